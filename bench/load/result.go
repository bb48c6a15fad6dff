package load

import (
	"encoding/json"
	"errors"
	"fmt"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Errors that a measurement ends with, beside those of its plan and of its context. Its Result counts how many.
var (
	// ErrMismatch: an echo was not what had been sent, or an answer not what was asked for.
	ErrMismatch = errors.New("what came back was not what belongs there")
	// ErrBroken: tunnels or connections ended, or messages were not answered in time.
	ErrBroken = errors.New("connections broke or did not answer")
)

const (
	// latencyMax is the longest latency that is told from longer ones, in nanoseconds: 2 minutes.
	latencyMax = 120_000_000_000
	// latencyDigits is the precision of a latency, in decimal digits.
	latencyDigits = 3
	// lateNanos is how late the generator may send without being the limit itself; busyShare how busy a loop may be.
	lateNanos = 1_000_000
	busyShare = 0.9
)

// Result is what a measurement found.
type Result struct {
	// Messages is how many were sent in the measured part and came back right, Bytes their payload (one way). For
	// Connects it is the number of whole cycles, for Gets that of right answers.
	Messages, Bytes uint64
	// Errors counts messages that did not come back and cycles that failed, Mismatches echoes and answers that were wrong.
	Errors, Mismatches uint64
	// Connections is how many Gets made in the measured part.
	Connections uint64
	// Handshakes is how many of TLS succeeded in the measured part, Resumed how many of them took an earlier session up.
	// Agreed is what the last one of all came to: "TLS 1.3, TLS_AES_128_GCM_SHA256, X25519".
	Handshakes, Resumed uint64
	Agreed              string
	// Seconds is the length of the measured part.
	Seconds float64
	// Latency is that of the messages counted.
	Latency Latency
	// SendLateness is how much later than intended messages were sent, where a rate was given.
	SendLateness Latency
	// GeneratorCPU is the CPU time of this process in the measured part, in seconds; LoopBusy the share of it that
	// the busiest loop was not waiting.
	GeneratorCPU, LoopBusy float64
	processors             int // that it may use
	// Limited says that the generator was the limit itself, and LimitedWhy why.
	Limited    bool
	LimitedWhy string
	// FirstError is the text of the first error of a tunnel, "" if there was none.
	FirstError string
}

// MessagesPerSecond is the throughput.
func (r *Result) MessagesPerSecond() float64 { return perSecond(r.Messages, r.Seconds) }

// BytesPerSecond is the throughput of payload, one way.
func (r *Result) BytesPerSecond() float64 { return perSecond(r.Bytes, r.Seconds) }

func perSecond(n uint64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(n) / seconds
}

// Latency is a distribution, in nanoseconds; all zero without values.
type Latency struct {
	Min, P50, P90, P99, P999, Max int64
	Mean                          float64
	// Histogram is the whole of it, nil without values.
	Histogram *hdr.Histogram
}

// newHistogram returns an empty histogram of nanoseconds.
func newHistogram() *hdr.Histogram { return hdr.New(1, latencyMax, latencyDigits) }

// recordIn counts a value, one out of range as the nearest in it.
func recordIn(h *hdr.Histogram, nanos int64) {
	_ = h.RecordValue(min(max(nanos, 0), latencyMax)) // within the range there is no error
}

// latencyOf sums a histogram up.
func latencyOf(h *hdr.Histogram) Latency {
	if h == nil || h.TotalCount() == 0 {
		return Latency{}
	}
	return Latency{
		Min: h.Min(), Max: h.Max(), Mean: h.Mean(), Histogram: h,
		P50: h.ValueAtQuantile(50), P90: h.ValueAtQuantile(90),
		P99: h.ValueAtQuantile(99), P999: h.ValueAtQuantile(99.9),
	}
}

// resultJSON is a Result as it is written: flat, with the units in the names.
type resultJSON struct {
	Messages          uint64  `json:"messages"`
	Bytes             uint64  `json:"bytes"`
	Errors            uint64  `json:"errors"`
	Mismatches        uint64  `json:"mismatches"`
	Connections       uint64  `json:"connections,omitempty"`
	Handshakes        uint64  `json:"tls_handshakes,omitempty"`
	Resumed           uint64  `json:"tls_resumed,omitempty"`
	Agreed            string  `json:"tls,omitempty"`
	Seconds           float64 `json:"seconds"`
	MessagesPerSecond float64 `json:"messages_per_second"`
	BytesPerSecond    float64 `json:"bytes_per_second"`
	LatencyMin        int64   `json:"latency_min_ns"`
	LatencyP50        int64   `json:"latency_p50_ns"`
	LatencyP90        int64   `json:"latency_p90_ns"`
	LatencyP99        int64   `json:"latency_p99_ns"`
	LatencyP999       int64   `json:"latency_p99_9_ns"`
	LatencyMax        int64   `json:"latency_max_ns"`
	LatencyMean       float64 `json:"latency_mean_ns"`
	SendLatenessP99   int64   `json:"send_lateness_p99_ns"`
	GeneratorCPU      float64 `json:"generator_cpu_seconds"`
	LoopBusy          float64 `json:"generator_loop_busy"`
	Limited           bool    `json:"generator_limited"`
	LimitedWhy        string  `json:"generator_limited_why,omitempty"`
	FirstError        string  `json:"first_error,omitempty"`
}

// MarshalJSON implements json.Marshaler: one flat object.
func (r Result) MarshalJSON() ([]byte, error) {
	l := &r.Latency
	return json.Marshal(resultJSON{
		Messages: r.Messages, Bytes: r.Bytes, Errors: r.Errors, Mismatches: r.Mismatches, Connections: r.Connections, Seconds: r.Seconds,
		Handshakes: r.Handshakes, Resumed: r.Resumed, Agreed: r.Agreed,
		MessagesPerSecond: r.MessagesPerSecond(), BytesPerSecond: r.BytesPerSecond(),
		LatencyMin: l.Min, LatencyP50: l.P50, LatencyP90: l.P90, LatencyP99: l.P99, LatencyP999: l.P999,
		LatencyMax: l.Max, LatencyMean: l.Mean, SendLatenessP99: r.SendLateness.P99,
		GeneratorCPU: r.GeneratorCPU, LoopBusy: r.LoopBusy, Limited: r.Limited, LimitedWhy: r.LimitedWhy,
		FirstError: r.FirstError,
	})
}

// judge says whether the generator was the limit itself.
func (r *Result) judge() {
	switch {
	case r.SendLateness.P99 > lateNanos:
		r.LimitedWhy = fmt.Sprintf("its own sends came late: 1 %% of them by more than %.1f ms", float64(r.SendLateness.P99)/1e6)
	case r.LoopBusy > busyShare:
		r.LimitedWhy = fmt.Sprintf("its busiest loop was busy for %.0f %% of the time", 100*r.LoopBusy)
	case r.GeneratorCPU > busyShare*r.Seconds*float64(r.processors):
		r.LimitedWhy = fmt.Sprintf("it used %.0f %% of the CPU time that it may have", 100*r.GeneratorCPU/(r.Seconds*float64(r.processors)))
	}
	r.Limited = r.LimitedWhy != ""
}

// err returns the error that the counters stand for.
func (r *Result) err() error {
	var found error
	if r.Mismatches > 0 {
		found = fmt.Errorf("%w: %d of them", ErrMismatch, r.Mismatches)
	}
	if r.Errors > 0 {
		found = errors.Join(found, fmt.Errorf("%w: %d messages; the first said: %s", ErrBroken, r.Errors, r.FirstError))
	}
	return found
}
