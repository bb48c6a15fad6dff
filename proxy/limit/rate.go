package limit

import "sync/atomic"

// Rate bounds the events of all loops together. Its methods may be called by any number of goroutines; none waits for
// another.
//
// From a rest on, a rate of n per second with a burst of b admits b at once, and then one every 1/n s: in any second at
// most n+b-1. What is not used within the rate comes back to the burst at the pace of the rate.
type Rate struct {
	pace     atomic.Pointer[pace]
	expected atomic.Uint64 // see pace
	admitted tally
}

// NewRate returns a bound of perSecond events (at most MaxPerSecond; 0 or less: no bound), of which burst may come at
// once (0 or less: a tenth of perSecond, at least 1).
func NewRate(perSecond, burst int) *Rate {
	r := &Rate{}
	r.Set(perSecond, burst)
	return r
}

// Set changes the bound from the next event on, taking the same values as NewRate. What has been admitted still counts,
// so that setting the same values again gives nobody a second burst. But what was admitted at a slow rate and would hold
// a fast one up for more than a second is forgotten.
func (r *Rate) Set(perSecond, burst int) { r.pace.Store(newPace(perSecond, burst)) }

// Allow tells whether an event at now, in nanoseconds of the monotonic clock, is within the rate, and counts it if so.
// It does not allocate.
func (r *Rate) Allow(now int64) bool {
	p := r.pace.Load()
	if p.interval == 0 {
		return true
	}
	for {
		expected := r.expected.Load()
		next, ok := p.next(expected, now)
		if !ok {
			return false
		}
		if r.expected.CompareAndSwap(expected, next) {
			r.admitted.add(now)
			return true
		}
	}
}

// Utilisation returns which share of the rate was used in the second before now, from 0 to 1, as a moving average; 0
// where there is no bound.
func (r *Rate) Utilisation(now int64) float64 {
	p := r.pace.Load()
	if p.interval == 0 {
		return 0
	}
	return min(r.admitted.lastSecond(now)/float64(p.perSecond), 1)
}

// tally counts events by the second that they fell into, and keeps the last few. Each slot holds the low bits of its
// second, above the count.
type tally struct{ slots [4]atomic.Uint64 }

// countBits are enough for a MaxPerSecond of bursts.
const countBits = 40

func (t *tally) slot(of uint64) (slot *atomic.Uint64, label uint64) {
	return &t.slots[of%uint64(len(t.slots))], of << countBits
}

// add counts an event. One that is a few seconds late, on a loop that has been held up, may be lost.
func (t *tally) add(now int64) {
	slot, label := t.slot(uint64(now) / 1e9)
	for {
		seen := slot.Load()
		if (seen^label)>>countBits == 0 {
			slot.Add(1)
			return
		}
		if slot.CompareAndSwap(seen, label|1) {
			return
		}
	}
}

func (t *tally) count(of uint64) float64 {
	slot, label := t.slot(of)
	seen := slot.Load()
	if (seen^label)>>countBits != 0 {
		return 0
	}
	return float64(seen & (1<<countBits - 1))
}

// lastSecond estimates how many events fell into the second that ends at now: those of the current whole second, and as
// much of those of the one before as is still within.
func (t *tally) lastSecond(now int64) float64 {
	current, gone := uint64(now)/1e9, float64(uint64(now)%1e9)/1e9
	return t.count(current) + t.count(current-1)*(1-gone)
}
