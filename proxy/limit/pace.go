// Package limit bounds how fast things may happen: requests and connections per second, of all clients (Rate) or of each
// (Clients). It measures bandwidth (Meter), and holds the table of named specifications (Specs).
//
// Time is a parameter: nanoseconds of the monotonic clock, from any origin. Loops that share a bound may differ by up to
// a second in what they take for now.
//
//	requests := limit.NewRate(1000, 0)
//	...
//	if !requests.Allow(now) {
//		// answer 503
//	}
package limit

// Times are kept in 1/1024 ns, so that a rate which does not divide a second is kept exactly enough, in unsigned numbers
// that wrap around. Only differences are looked at, so that no time is too late to be kept; a difference is true up to
// 104 days either way.
const (
	fractionBits = 10
	second       = int64(1e9) << fractionBits
)

// MaxPerSecond bounds rates, in events per second; a larger one is taken for it. Up to a million per second a rate is
// kept exactly, beyond to a thousandth.
const MaxPerSecond = 1_000_000_000

// maxBurstSeconds bounds how many seconds' worth of events a burst may hold.
const maxBurstSeconds = 7 * 24 * 3600

// maxSkew is by how much the loops' readings of now may differ. What is expected further ahead than a whole burst and
// this was reckoned at a slower rate than the present one, or has wrapped around: it does not count.
const maxSkew = second

// pace is a rate and its burst, made ready for reckoning by the generic cell rate algorithm (ITU-T I.371, virtual
// scheduling). All that it needs to know of the past is one time: when the next event is expected if events come at
// exactly the rate. An event is within the rate unless it is early by more than the tolerance. Immutable.
//
// The time 0 stands for no past at all.
type pace struct {
	interval  int64 // between events that come at exactly the rate; 0: no bound
	tolerance int64 // the burst less one, times the interval
	perSecond int64
}

// newPace takes events per second (0 or less: no bound), and how many of them may come at once after a rest (0 or less:
// a tenth of the rate, at least 1). An operator who writes 100 per second does not mean one every 10 ms: requests come
// in small crowds.
func newPace(perSecond, burst int) *pace {
	if perSecond <= 0 {
		return &pace{}
	}
	p := &pace{perSecond: min(int64(perSecond), MaxPerSecond)}
	p.interval = (second + p.perSecond - 1) / p.perSecond // rounded up: never more events than the rate
	if burst <= 0 {
		burst = int(max(p.perSecond/10, 1))
	}
	p.tolerance = (min(int64(burst), p.perSecond*maxBurstSeconds) - 1) * p.interval
	return p
}

// early returns by how much an event at now comes early, 0 if nothing of the past counts any more.
func (p *pace) early(expected uint64, now int64) int64 {
	early := int64(expected - uint64(now)<<fractionBits)
	if expected == 0 || early < 0 || early > p.tolerance+p.interval+maxSkew {
		return 0
	}
	return early
}

// next judges an event at now, and returns what is to be known from then on: the same if it is refused.
func (p *pace) next(expected uint64, now int64) (next uint64, ok bool) {
	early := p.early(expected, now)
	if early > p.tolerance {
		return expected, false
	}
	return max(uint64(now)<<fractionBits+uint64(early+p.interval), 1), true
}
