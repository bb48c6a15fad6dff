package balance

import (
	"math"
	"sync/atomic"
)

const (
	latencyUnit = 16 // nanoseconds; the longest that fits is 68 s
	// Time is counted in ticks of 16.8 ms, of which a half-life has 512: 8.6 s.
	clockShift    = 24
	halfLifeShift = 9
	// firstGuess stands for the answer time of a backend that is being tried for the first time, in latencyUnit: 1 s.
	firstGuess = 1e9 / latencyUnit
)

// Latency is how long a backend takes to answer: a moving average of what is observed, except that it follows a peak at
// once and comes down by half in 8.6 s. The zero value knows nothing. It is one word, so that every loop may observe and
// read at any time, and is written once in 17 ms or at a peak.
//
// What nobody has observed for a half-life is in doubt, and the value sinks until somebody tries the backend. Who does
// puts an end to that: the value is what it was, until an answer comes, which is then believed as it is. A backend that
// nobody knows yet counts as the fastest of all until one request has been sent to it, and as slow (1 s) until that one
// is answered. So neither is flooded: each gets one request, and then what its answer says.
type Latency struct {
	// Above, 32 bits: the value, in latencyUnit; 0: unknown. Below, 31 bits: when it was written. Last, 1 bit: the
	// backend is being tried.
	state atomic.Uint64
}

// latency is a state of a Latency.
type latency uint64

const (
	trying   latency = 1
	tickMask latency = 1<<32 - 2
)

func latencyOf(units uint64, now int64, flag latency) latency {
	return latency(units<<32) | tick(now) | flag
}

func tick(now int64) latency { return latency(now>>clockShift) << 1 & tickMask }

func (l latency) value() uint64 { return uint64(l >> 32) }

// age is how long ago the state was written, in ticks. The clock of another loop may be ahead by one: then it is now.
func (l latency) age(now int64) uint64 {
	age := uint64(tick(now)-l&tickMask) & uint64(tickMask) >> 1
	if age > uint64(tickMask)>>2 {
		return 0
	}
	return age
}

// fades is what remains of 2^32 after so many ticks of a half-life. Immutable.
var fades = func() (table [1 << halfLifeShift]uint64) {
	for ticks := range table {
		table[ticks] = uint64(math.Exp2(32 - float64(ticks)/float64(len(table))))
	}
	return table
}()

// decayed is what remains of units, below 2^32, after some ticks: half after each half-life.
func decayed(units, ticks uint64) uint64 {
	return units * fades[ticks%uint64(len(fades))] >> 32 >> min(ticks>>halfLifeShift, 32)
}

// Observe takes in that an answer took so many nanoseconds. Now is in nanoseconds of the monotonic clock.
func (l *Latency) Observe(nanoseconds, now int64) {
	units := min(uint64(max(nanoseconds/latencyUnit, 1)), 1<<32-1)
	for {
		seen := latency(l.state.Load())
		old, age := seen.value(), seen.age(now)
		next := latencyOf(units, now, 0)
		if old > 0 && seen&trying == 0 && units < decayed(old, age) {
			if age == 0 {
				return // it has no weight yet
			}
			next = latencyOf(decayed(old, age)+units-decayed(units, age), now, 0)
		}
		if next == seen || l.state.CompareAndSwap(uint64(seen), uint64(next)) {
			return
		}
	}
}

// Value returns the answer time as it stands, in nanoseconds; known is false if there was neither answer nor attempt.
func (l *Latency) Value(now int64) (nanoseconds int64, known bool) {
	return int64(l.units(now)) * latencyUnit, l.state.Load() != 0
}

// units returns the value as it stands, in latencyUnit; 0 for an unknown one.
func (l *Latency) units(now int64) uint64 {
	seen := latency(l.state.Load())
	return decayed(seen.value(), seen.age(now))
}

// about tells whether l is hardly slower than other.
func (l *Latency) about(other *Latency, now int64) bool {
	return float64(l.units(now)) <= aboutAsFast*float64(other.units(now))
}

// chosen notes that a request goes to the backend: if it is in doubt, it is being tried.
func (l *Latency) chosen(now int64) {
	seen := latency(l.state.Load())
	switch {
	case seen.value() == 0:
		l.state.CompareAndSwap(uint64(seen), uint64(latencyOf(firstGuess, now, trying)))
	case seen.age(now) >= 1<<halfLifeShift:
		l.state.CompareAndSwap(uint64(seen), uint64(latencyOf(seen.value(), now, trying)))
	}
}
