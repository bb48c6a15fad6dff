package load

import (
	"encoding/json"
	"errors"
	"math"
	"net/netip"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"

	"culvert/bench/echo"
)

// TestConnectsAreCounted makes a known number of cycles.
func TestConnectsAreCounted(t *testing.T) {
	target := backend(t, echo.Options{})
	target.Sources = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")}
	for _, p := range []ConnectPlan{
		{Size: 125, Count: 1}, {Size: 125, Count: 203, Concurrency: 7, Loops: 2}, {Size: 70_000, Count: 20, Concurrency: 30},
		{Size: 125, Count: 50, Concurrency: 4, Rate: 1000}, {Size: 1, Count: 20, Concurrency: 2, WarmUp: 20 * time.Millisecond},
	} {
		p.Duration = patience
		r, err := Connects(t.Context(), target, p)
		if err != nil || r.Messages != uint64(p.Count) || r.Bytes != uint64(p.Count*p.Size) {
			t.Errorf("%d cycles of %d, %v", r.Messages, p.Count, err)
		}
		if r.Latency.Min <= 0 || r.Latency.Max < r.Latency.P50 {
			t.Errorf("latencies from %d to %d ns", r.Latency.Min, r.Latency.Max)
		}
	}
}

// TestAWrongEchoSpoilsItsCycle: it is counted as wrong and not as made.
func TestAWrongEchoSpoilsItsCycle(t *testing.T) {
	r, err := Connects(t.Context(), scripted(t, func(p *peer) {
		payload, _, ok := p.receive()
		if !ok {
			return
		}
		payload[50] ^= 0x80
		_, _ = p.Write(frame(true, gobwas.OpBinary, payload))
		_, _, _ = p.receive()
	}), ConnectPlan{Size: 125, Count: 5})
	if !errors.Is(err, ErrMismatch) || r.Mismatches != 5 || r.Messages != 0 {
		t.Errorf("%d right, %d wrong, %v", r.Messages, r.Mismatches, err)
	}
}

// TestPlansAreChecked: what no plan can mean is an error before anything is sent.
func TestPlansAreChecked(t *testing.T) {
	target := backend(t, echo.Options{})
	fleet := open(t, target, FleetOptions{Tunnels: 2})
	for _, p := range []EchoPlan{
		{}, {Size: 125}, {Size: MaxSize + 1, Messages: 1}, {Size: -1, Messages: 1}, {Size: 1, Messages: -1, Duration: 1},
		{Size: 1, Duration: -1}, {Size: 1, Duration: MaxDuration + 1}, {Size: 1, Messages: 1, InFlight: MaxInFlight + 1},
		{Size: 1, Messages: 1, Rate: math.NaN()}, {Size: 1, Messages: 1, Rate: -1}, {Size: 1, Messages: 1, Rate: MaxRate + 1},
		{Size: 1, Messages: 1, Subset: 3}, {Size: 1, Messages: 1, WarmUp: -1},
	} {
		if r, err := fleet.Echo(t.Context(), p); err == nil || r.Messages != 0 {
			t.Errorf("%+v was accepted", p)
		}
	}
	for _, p := range []ConnectPlan{
		{}, {Size: 1}, {Size: 0, Count: 1}, {Size: 1, Count: -1}, {Size: 1, Count: 1, Concurrency: MaxConcurrency + 1},
		{Size: 1, Count: 1, Loops: MaxLoops + 1}, {Size: 1, Count: 1, Timeout: -1}, {Size: 1, Count: 1, WarmUp: MaxDuration + 1},
	} {
		if _, err := Connects(t.Context(), target, p); err == nil {
			t.Errorf("%+v was accepted", p)
		}
	}
	for _, o := range []FleetOptions{{}, {Tunnels: MaxTunnels + 1}, {Tunnels: 1, Loops: MaxLoops + 1}, {Tunnels: 1, Pace: -1}, {Tunnels: 1, Timeout: -1}} {
		if _, err := Open(t.Context(), target, o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	for _, bad := range []Target{{}, {Addresses: []netip.AddrPort{{}}}, {Addresses: target.Addresses, Path: "no slash"}} {
		if _, err := Open(t.Context(), bad, FleetOptions{Tunnels: 1}); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
	if fleet.Len() != 2 {
		t.Errorf("%d tunnels are open, want 2", fleet.Len())
	}
}

// TestResultsAreFlatJSON: the keys are what scripts rely on.
func TestResultsAreFlatJSON(t *testing.T) {
	h := newHistogram()
	for n := range int64(1000) {
		recordIn(h, n*1000)
	}
	recordIn(h, math.MaxInt64)
	text, err := json.Marshal(Result{Messages: 10, Seconds: 2, Latency: latencyOf(h), Limited: true, LimitedWhy: "why"})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]any{}
	if err := json.Unmarshal(text, &found); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"messages", "bytes", "errors", "mismatches", "seconds", "messages_per_second", "bytes_per_second",
		"latency_min_ns", "latency_p50_ns", "latency_p90_ns", "latency_p99_ns", "latency_p99_9_ns", "latency_max_ns",
		"latency_mean_ns", "send_lateness_p99_ns", "generator_cpu_seconds", "generator_loop_busy", "generator_limited",
		"generator_limited_why",
	} {
		if _, ok := found[key]; !ok {
			t.Errorf("%s is missing in %s", key, text)
		}
	}
	if found["messages_per_second"] != 5.0 || found["latency_max_ns"].(float64) < latencyMax {
		t.Errorf("wrong figures in %s", text)
	}
}
