package limit

import "math/bits"

// How a Meter samples: of any three samples the first and the last are sampleSpacing ns apart or more, so that all of
// them together reach back further than a second.
const (
	meterSamples  = 20
	sampleSpacing = int64(1e9) / 8
	meterWindow   = int64(1e9)
)

// Meter tells how many bytes passed in the last second, from a counter of all bytes that ever passed. It is fed as often
// as its owner likes, from once per turn to every few seconds; between two samples, bytes are taken to have passed
// evenly. The zero Meter is ready. Owned by one loop, or whoever adds up the counters of all.
type Meter struct {
	samples [meterSamples]sample // a ring; the newest is at index newest
	newest  int
	count   int
}

type sample struct {
	at    int64
	total uint64
}

// Add feeds the counter as it stands at now, in nanoseconds of the monotonic clock. The first sample is where counting
// begins. A counter that goes back has been restarted: counting begins anew from there. Times that go back count as the
// newest.
func (m *Meter) Add(now int64, total uint64) {
	if m.count > 0 {
		last := &m.samples[m.newest]
		now = max(now, last.at)
		if total < last.total {
			m.count = 0
		} else if m.count > 1 && now-m.back(1).at < sampleSpacing {
			*last = sample{now, total}
			return
		}
	}
	m.newest = (m.newest + 1) % meterSamples
	m.samples[m.newest] = sample{now, total}
	m.count = min(m.count+1, meterSamples)
}

// back returns the sample that is n older than the newest.
func (m *Meter) back(n int) sample { return m.samples[(m.newest-n+meterSamples)%meterSamples] }

// Rate returns the bytes that passed in the second before now. What passed since the last sample is not known and not
// guessed.
func (m *Meter) Rate(now int64) uint64 {
	if m.count == 0 {
		return 0
	}
	newest := m.back(0)
	return newest.total - m.totalAt(max(now, newest.at)-meterWindow)
}

// totalAt returns what the counter stood at, evenly between samples and unchanged outside of them.
func (m *Meter) totalAt(at int64) uint64 {
	later := m.back(0)
	if at >= later.at {
		return later.total
	}
	for n := 1; n < m.count; n++ {
		earlier := m.back(n)
		if at >= earlier.at {
			hi, lo := bits.Mul64(later.total-earlier.total, uint64(at-earlier.at))
			passed, _ := bits.Div64(hi, lo, uint64(later.at-earlier.at))
			return earlier.total + passed
		}
		later = earlier
	}
	return later.total
}
