package exhaustion

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/proxy"
)

// floodPath asks the backend for frames without end.
const floodPath = "GET /flood "

// floodFrames bounds what a flooding backend sends, in frames of 16 KiB.
const floodFrames = 256

// flood sends frames until the client is gone or the bound is reached.
func flood(c net.Conn) {
	frame := append([]byte{0x82, 126, 0x40, 0x00}, make([]byte, 16<<10)...)
	for range floodFrames {
		if _, err := c.Write(frame); err != nil {
			return
		}
	}
	_, _ = io.Copy(io.Discard, c)
}

const (
	memoryBudget   = 1 << 20
	stalledTunnels = 1000
	livelyTunnels  = 100
)

// TestHostileE08Memory: 1,000 tunnels whose clients never read want sixty times the buffer memory; the budget is kept
// by small reads and by ending those that were stalled the longest, and 100 other tunnels notice nothing.
func TestHostileE08Memory(t *testing.T) {
	s, err := newStand(func(c *proxy.Config) {
		c.BufferMemory, c.NotSentLowat, c.SplicePipes = memoryBudget, 16<<10, -1
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	var lively []net.Conn
	for range livelyTunnels {
		c, status, err := s.open()
		if err != nil || status != 101 {
			t.Fatalf("status %d, %v", status, err)
		}
		defer func() { _ = c.Close() }()
		lively = append(lively, c)
	}
	before := roundTrips(t, lively, 10)
	refused := 0
	for range stalledTunnels {
		c, status, err := s.openWith(strings.Replace(upgradeRequest, "GET / ", floodPath, 1))
		switch {
		case err != nil:
			t.Fatal(err)
		case status == 503:
			refused++
			continue
		case status != 101:
			t.Fatalf("status %d", status)
		}
		defer func() { _ = c.Close() }()
	}
	during := roundTrips(t, lively, 10)
	if err := eventually("tunnels are shed or refused", func() bool {
		return s.metric("culvert_relays_shed_total")+float64(refused) > 0
	}); err != nil {
		t.Error(err)
	}
	const slack = 256 << 10 // buffers of one turn, before the budget is looked at
	if peak := s.metric("culvert_buffer_peak_bytes"); peak > memoryBudget+slack {
		t.Errorf("buffers took %.0f bytes, the budget is %d", peak, memoryBudget)
	}
	if s.metric("culvert_buffer_tight_turns_total") == 0 {
		t.Error("reads never shrank: the first step was not taken")
	}
	t.Logf("%d stalled: %.0f shed, %d refused, peak %.1f MiB of %d MiB; p99 of %d others: %v before, %v during",
		stalledTunnels, s.metric("culvert_relays_shed_total"), refused, s.metric("culvert_buffer_peak_bytes")/(1<<20),
		memoryBudget>>20, livelyTunnels, before, during)
}

// roundTrips pings all tunnels in turn and returns the 99th percentile, for information only.
func roundTrips(t *testing.T, tunnels []net.Conn, rounds int) time.Duration {
	t.Helper()
	var took []time.Duration
	for range rounds {
		for i, c := range tunnels {
			begin := time.Now()
			if err := ping(c); err != nil {
				t.Fatalf("lively tunnel %d suffered: %v", i, err)
			}
			took = append(took, time.Since(begin))
		}
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// openWith is open with a request of its own and a small receive buffer.
func (s *stand) openWith(request string) (net.Conn, int, error) {
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		return nil, 0, err
	}
	if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		return nil, 0, err
	}
	return upgrade(c, request)
}

// TestHostileE09: all tunnels end in one instant, because their backend is gone.
func TestHostileE09(t *testing.T) {
	s, err := newStand(func(*proxy.Config) {})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	if _, err := proxy.RaiseDescriptorLimit(); err != nil {
		t.Fatal(err)
	}
	for i := range stormTunnels {
		c, status, err := s.open()
		if err != nil || status != 101 {
			t.Fatalf("tunnel %d: status %d, %v", i, status, err)
		}
		defer func() { _ = c.Close() }()
	}
	s.hangUp()
	if err := eventually("no tunnel is left", func() bool { return s.metric("culvert_client_connections_active") == 0 }); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"culvert_tunnels_active": 0, "culvert_relay_pending_bytes": 0, "culvert_buffer_bytes": 0,
		"culvert_backend_connections_active": 0, "culvert_tunnels_opened_total": stormTunnels,
	} {
		if got := s.metric(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	c, status, err := s.open()
	if err != nil || status != 101 {
		t.Fatalf("afterwards: status %d, %v", status, err)
	}
	_ = c.Close()
	const bucket = `culvert_loop_turn_seconds_bucket{loop="0",le="%s"}`
	now := s.scrape()
	turns := metricOf(now, "culvert_loop_turn_seconds_count")
	t.Logf("figure: %d tunnels ended at once: of %v turns %v took longer than 10 ms, %v longer than 100 ms", stormTunnels, turns,
		turns-metricOf(now, fmt.Sprintf(bucket, "0.01")), turns-metricOf(now, fmt.Sprintf(bucket, "0.1")))
}
