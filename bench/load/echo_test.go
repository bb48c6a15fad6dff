package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"

	"culvert/bench/echo"
)

func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

// TestEveryEchoIsCounted sends a known number of messages of sizes around every limit.
func TestEveryEchoIsCounted(t *testing.T) {
	fleet := open(t, backend(t, echo.Options{}), FleetOptions{Tunnels: 5, Loops: 2})
	for _, p := range []EchoPlan{
		{Size: 1, Messages: 101}, {Size: 15, Messages: 100}, {Size: 16, Messages: 100}, {Size: 17, Messages: 100},
		{Size: 125, Messages: 1000, InFlight: 32}, {Size: 126, Messages: 100}, {Size: 65535, Messages: 50, InFlight: 3},
		{Size: 65536, Messages: 50}, {Size: 1 << 20, Messages: 20, InFlight: 2}, {Size: 125, Messages: 3},
		{Size: 125, Messages: 77, WarmUp: 10 * time.Millisecond}, {Size: 125, Messages: 30, Subset: 1},
		{Size: 125, Messages: 200, Rate: 10_000, Subset: 3},
	} {
		var order []string
		p.Begin, p.End = func() { order = append(order, "begin") }, func() { order = append(order, "end") }
		p.Duration = patience
		r, err := fleet.Echo(t.Context(), p)
		if err != nil {
			t.Fatalf("%d bytes: %v", p.Size, err)
		}
		if r.Messages != uint64(p.Messages) || r.Bytes != uint64(p.Messages*p.Size) || r.Latency.Histogram.TotalCount() != int64(p.Messages) {
			t.Errorf("%d messages, %d bytes; want %d of %d", r.Messages, r.Bytes, p.Messages, p.Size)
		}
		if !slices.Equal(order, []string{"begin", "end"}) {
			t.Errorf("called %v", order)
		}
	}
	if err := fleet.Once(t.Context(), 4000); err != nil {
		t.Error(err)
	}
	if fleet.Len() != 5 {
		t.Errorf("%d tunnels are open, want 5", fleet.Len())
	}
}

// TestManyTunnels opens, uses and closes 2,000 of them.
func TestManyTunnels(t *testing.T) {
	var told int
	fleet := open(t, backend(t, echo.Options{}), FleetOptions{Tunnels: 2000, Loops: 2, Progress: func(n int) { told = n }})
	if err := fleet.Once(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if n := fleet.Len(); n != 2000 || told > n {
		t.Errorf("%d tunnels are open, %d were told", n, told)
	}
	if err := fleet.Close(t.Context()); err != nil || fleet.Len() != 0 {
		t.Errorf("%d are left, %v", fleet.Len(), err)
	}
	if _, err := fleet.Echo(t.Context(), EchoPlan{Size: 1, Messages: 1}); !errors.Is(err, errClosed) {
		t.Errorf("a closed fleet says %v", err)
	}
}

// attempts is how often a figure that a busy machine spoils is measured before it counts as wrong.
const attempts = 5

// soon measures until nothing is wrong, which is what measure returns, "" for nothing.
func soon(t *testing.T, measure func() (wrong string)) {
	t.Helper()
	for n := 1; ; n++ {
		wrong := measure()
		if wrong == "" {
			return
		}
		if n == attempts {
			t.Error(wrong)
			return
		}
		t.Logf("attempt %d: %s", n, wrong)
	}
}

// TestADelayIsReported: a server that delays 10 ms has a latency of 10 ms, with and without a rate.
func TestADelayIsReported(t *testing.T) {
	const delay = 10 * time.Millisecond
	fleet := open(t, backend(t, echo.Options{Delay: delay}), FleetOptions{Tunnels: 10})
	for _, p := range []EchoPlan{{Size: 125, Duration: 700 * time.Millisecond}, {Size: 125, Duration: 700 * time.Millisecond, Rate: 1000}} {
		soon(t, func() string {
			r, err := fleet.Echo(t.Context(), p)
			if low := time.Duration(r.Latency.Min); err != nil || low < delay {
				t.Errorf("a latency of %s, %v", low, err)
			}
			if median := time.Duration(r.Latency.P50); median > delay+delay/4 {
				return fmt.Sprintf("rate %g: p50 is %s, and in truth %s", p.Rate, median, delay)
			}
			return ""
		})
	}
}

// TestAStallIsReported: against a server that stands still for 100 ms at the end of every second, messages at a fixed
// rate show what that means: one in ten waits, for 0 to 100 ms evenly, so that the true p99 is 90 ms and the true p95
// 50 ms. A generator that waits for an echo before it sends the next message hardly sees it.
func TestAStallIsReported(t *testing.T) {
	const period, stall = time.Second, 100 * time.Millisecond
	fleet := open(t, backend(t, echo.Options{StallEvery: period, StallFor: stall}), FleetOptions{Tunnels: 20})
	const tolerance = 10 * time.Millisecond
	soon(t, func() string {
		r, err := fleet.Echo(t.Context(), EchoPlan{Size: 125, Rate: 800, Duration: 2 * period})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ quantile, share float64 }{{95, 0.5}, {99, 0.9}, {99.9, 0.99}} {
			got, want := time.Duration(r.Latency.Histogram.ValueAtQuantile(c.quantile)), time.Duration(c.share*float64(stall))
			if got < want-tolerance || got > want+tolerance {
				return fmt.Sprintf("p%g is %s, and in truth %s; %s", c.quantile, got, want, r.LimitedWhy)
			}
		}
		return ""
	})
	soon(t, func() string {
		closed, err := fleet.Echo(t.Context(), EchoPlan{Size: 125, Duration: period, Subset: 1})
		if err != nil {
			t.Fatal(err)
		}
		if p99 := time.Duration(closed.Latency.P99); p99 > stall/2 {
			return fmt.Sprintf("p99 of a closed loop is %s: this test proves nothing", p99)
		}
		return ""
	})
}

// TestTheGeneratorSaysWhenItIsTheLimit: nobody sends 8 million messages a second on one loop.
func TestTheGeneratorSaysWhenItIsTheLimit(t *testing.T) {
	fleet := open(t, backend(t, echo.Options{}), FleetOptions{Tunnels: 4})
	r, err := fleet.Echo(t.Context(), EchoPlan{Size: 125, Rate: 8_000_000, Duration: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Limited || r.LimitedWhy == "" {
		t.Errorf("it says nothing, at a lateness of %d ns", r.SendLateness.P99)
	}
	for _, c := range []struct {
		name    string
		result  Result
		limited bool
	}{
		{"late", Result{SendLateness: Latency{P99: lateNanos + 1}}, true},
		{"busy", Result{LoopBusy: 0.91}, true},
		{"in time", Result{SendLateness: Latency{P99: lateNanos}, LoopBusy: 0.9}, false},
	} {
		c.result.judge()
		if c.result.Limited != c.limited {
			t.Errorf("%s: limited %v", c.name, c.result.Limited)
		}
	}
}

// TestAnEarlyEndKeepsWhatWasMeasured: the context ends a measurement, not its result.
func TestAnEarlyEndKeepsWhatWasMeasured(t *testing.T) {
	fleet := open(t, backend(t, echo.Options{}), FleetOptions{Tunnels: 3})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := fleet.Echo(ctx, EchoPlan{Size: 125, Duration: time.Hour, Progress: func(s Snapshot) {
		if err := fleet.Once(ctx, 1); !errors.Is(err, errBusy) {
			t.Errorf("a second measurement at the same time: %v", err)
		}
		if s.Messages > 0 && s.Measuring && s.Open == 3 && s.MessagesPerSecond > 0 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || r.Messages == 0 || r.Errors != 0 {
		t.Errorf("%d messages, %d errors, %v", r.Messages, r.Errors, err)
	}
	if r, err := fleet.Echo(t.Context(), EchoPlan{Size: 3, Messages: 5}); err != nil || r.Messages != 5 {
		t.Errorf("afterwards: %d messages, %v", r.Messages, err)
	}
}

// TestUnansweredMessagesAreErrors: a server that swallows everything does not hold the generator up for ever.
func TestUnansweredMessagesAreErrors(t *testing.T) {
	swallow := scripted(t, func(p *peer) {
		for ok := true; ok; {
			_, _, ok = p.receive()
		}
	})
	for _, p := range []EchoPlan{{Size: 125, Messages: 4, InFlight: 2, Duration: 50 * time.Millisecond}, {Size: 125, Rate: 100, Duration: 50 * time.Millisecond}} {
		fleet := open(t, swallow, FleetOptions{Tunnels: 2, Timeout: 700 * time.Millisecond})
		r, err := fleet.Echo(t.Context(), p)
		if !errors.Is(err, ErrBroken) || r.Errors == 0 || r.Messages != 0 || fleet.Len() != 0 {
			t.Errorf("%d right, %d errors, %d open, %v", r.Messages, r.Errors, fleet.Len(), err)
		}
		if err := fleet.Once(t.Context(), 1); err != nil {
			t.Errorf("an empty fleet has nothing to be wrong: %v", err)
		}
	}
	fleet := open(t, swallow, FleetOptions{Tunnels: 2, Timeout: 700 * time.Millisecond})
	if err := fleet.Once(t.Context(), 1); err == nil {
		t.Error("a round without answers is no error")
	}
}

// TestAMessageCostsNoAllocation counts those of the whole process, with a server that allocates nothing either.
func TestAMessageCostsNoAllocation(t *testing.T) {
	fleet := open(t, scripted(t, func(p *peer) {
		request, reply := make([]byte, 6+100), make([]byte, 2+100)
		reply[0], reply[1] = 0x82, 100
		for {
			for n := 0; n < len(request); {
				k, err := p.reader.Read(request[n:])
				if err != nil || request[0] != 0x82 {
					return
				}
				n += k
			}
			copy(reply[2:], request[6:])
			gobwas.Cipher(reply[2:], [4]byte(request[2:6]), 0)
			if _, err := p.Write(reply); err != nil {
				return
			}
		}
	}), FleetOptions{Tunnels: 4})
	for _, rate := range []float64{0, 20_000} {
		var before, after runtime.MemStats
		r, err := fleet.Echo(t.Context(), EchoPlan{
			Size: 100, Rate: rate, WarmUp: 50 * time.Millisecond, Duration: 500 * time.Millisecond,
			Begin: func() { runtime.ReadMemStats(&before) }, End: func() { runtime.ReadMemStats(&after) },
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := after.Mallocs - before.Mallocs; r.Messages < 1000 || n > r.Messages/20 {
			t.Errorf("%d allocations for %d messages at rate %g", n, r.Messages, rate)
		}
	}
}

// TestTheOthersGoOn: a tunnel that breaks is counted and gone, and takes nobody with it.
func TestTheOthersGoOn(t *testing.T) {
	var accepted atomic.Int64
	fleet := open(t, scripted(t, func(p *peer) {
		mortal := accepted.Add(1) == 1
		for n := 1; ; n++ {
			payload, _, ok := p.receive()
			if !ok || mortal && n > 10 {
				return
			}
			_, _ = p.Write(frame(true, gobwas.OpBinary, payload))
		}
	}), FleetOptions{Tunnels: 4, Loops: 2})
	for _, p := range []EchoPlan{{Size: 50, Messages: 200, InFlight: 2}, {Size: 50, Messages: 200, Rate: 5000}} {
		r, err := fleet.Echo(t.Context(), p)
		if n := fleet.Len(); n != 3 {
			t.Errorf("%d tunnels are open, want 3", n)
		}
		broke := p.Rate == 0 // in the first measurement
		if errors.Is(err, ErrBroken) != broke || (r.Errors > 0) != broke || (r.FirstError != "") != broke || r.Messages < 190 {
			t.Errorf("%d right, %d errors (%s), %v", r.Messages, r.Errors, r.FirstError, err)
		}
	}
}

// TestTunnelsThatEndWhileNothingHappens are not open any more.
func TestTunnelsThatEndWhileNothingHappens(t *testing.T) {
	leave := make(chan struct{})
	fleet := open(t, scripted(t, func(*peer) { <-leave }), FleetOptions{Tunnels: 3})
	close(leave)
	for deadline := time.Now().Add(patience); fleet.Len() > 0; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d tunnels are open", fleet.Len())
		}
	}
	if _, err := fleet.Echo(t.Context(), EchoPlan{Size: 1, Messages: 1}); !errors.Is(err, errNoTunnel) {
		t.Errorf("a measurement without tunnels says %v", err)
	}
}

// TestOpeningCanBeGivenUp: the context ends it.
func TestOpeningCanBeGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	silent := rawServer(t, func(conn net.Conn) {
		cancel()
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = conn.Read(make([]byte, 1))
	})
	if _, err := Open(ctx, silent, FleetOptions{Tunnels: 2}); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

// TestTwoFleetsAtOnce: small messages are measured on one while another moves large ones.
func TestTwoFleetsAtOnce(t *testing.T) {
	target := backend(t, echo.Options{})
	large, small := open(t, target, FleetOptions{Tunnels: 2}), open(t, target, FleetOptions{Tunnels: 10})
	ctx, cancel := context.WithCancel(t.Context())
	var moved Result
	done := make(chan error, 1)
	go func() {
		var err error
		moved, err = large.Echo(ctx, EchoPlan{Size: 1 << 20, Duration: time.Hour})
		done <- err
	}()
	r, err := small.Echo(t.Context(), EchoPlan{Size: 125, Duration: 300 * time.Millisecond})
	cancel()
	if other := <-done; err != nil || !errors.Is(other, context.Canceled) || errors.Is(other, ErrBroken) {
		t.Errorf("%v, and %v", err, other)
	}
	if r.Messages == 0 || moved.Messages == 0 {
		t.Errorf("%d small and %d large messages", r.Messages, moved.Messages)
	}
}
