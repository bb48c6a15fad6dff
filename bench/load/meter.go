package load

import (
	"math"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// meter counts what happens on one loop in the measured part, which is told by a message's intended send time. Owned
// by the loop.
type meter struct {
	from, until        int64 // Monotonic ns
	messages           uint64
	errors, mismatches uint64
	connections        uint64 // that Gets made
	latency, lateness  *hdr.Histogram
	firstError         string

	// At begin, and then from begin to end: of the loop, and the station's TLS handshakes.
	busyNanos, handshakes, resumed uint64
	agreed                         agreement
}

func newMeter() meter {
	return meter{from: math.MaxInt64, until: math.MaxInt64, latency: newHistogram(), lateness: newHistogram()}
}

// counts tells whether a message belongs to the measured part.
func (m *meter) counts(intended int64) bool { return intended >= m.from && intended < m.until }

// record implements part of task.
func (m *meter) record(intended, now int64, right bool) {
	switch {
	case !right:
		m.mismatches++ // at any time: a wrong one is never in order
	case m.counts(intended):
		m.messages++
		recordIn(m.latency, now-intended)
	}
}

// fail counts messages that will not come back.
func (m *meter) fail(messages uint64, err error) {
	m.errors += messages
	if m.firstError == "" {
		m.firstError = err.Error()
	}
}

func (m *meter) begin(s *station, now int64) {
	m.from, m.busyNanos, m.handshakes, m.resumed = now, s.loop.Counters.BusyNanos, s.handshakes, s.resumed
}

func (m *meter) end(s *station, now int64) {
	m.until, m.busyNanos = now, s.loop.Counters.BusyNanos-m.busyNanos
	m.handshakes, m.resumed, m.agreed = s.handshakes-m.handshakes, s.resumed-m.resumed, s.agreed
}

// sum adds the meters of all loops up, for a measured part of so many seconds.
func sum(meters []*meter, size int, seconds, cpu float64) Result {
	r := Result{Seconds: seconds, GeneratorCPU: cpu, processors: processors()}
	latency, lateness := newHistogram(), newHistogram()
	for _, m := range meters {
		r.Messages += m.messages
		r.Errors += m.errors
		r.Mismatches += m.mismatches
		r.Connections += m.connections
		r.Handshakes += m.handshakes
		r.Resumed += m.resumed
		if m.agreed.version != 0 {
			r.Agreed = m.agreed.String()
		}
		latency.Merge(m.latency)
		lateness.Merge(m.lateness)
		if r.FirstError == "" {
			r.FirstError = m.firstError
		}
		if seconds > 0 {
			r.LoopBusy = max(r.LoopBusy, float64(m.busyNanos)/1e9/seconds)
		}
	}
	r.Bytes = r.Messages * uint64(size)
	r.Latency, r.SendLateness = latencyOf(latency), latencyOf(lateness)
	r.judge()
	return r
}
