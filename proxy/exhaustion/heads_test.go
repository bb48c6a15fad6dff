package exhaustion

import (
	"io"
	"net"
	"strings"
	"testing"

	"culvert/proxy"
)

// TestUnfinishedHeadsAreShedBeforeTunnels: clients that never finish their requests use the buffer memory up, and it is
// they who pay, not the tunnels whose clients pause.
func TestUnfinishedHeadsAreShedBeforeTunnels(t *testing.T) {
	const budget, tunnels, heads = 8 << 20, 30, 400
	s, err := newStand(func(c *proxy.Config) { c.BufferMemory, c.SplicePipes = budget, -1 })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	for range tunnels {
		c, status, err := s.openWith(strings.Replace(upgradeRequest, "GET / ", floodPath, 1))
		if err != nil || status != 101 {
			t.Fatalf("status %d, %v", status, err)
		}
		defer func() { _ = c.Close() }()
	}
	if err := eventually("all tunnels stall", func() bool { return s.metric("culvert_relay_pauses_total") >= tunnels }); err != nil {
		t.Fatal(err)
	}
	for i := range heads { // large ones first; the small ones then fill the last gap
		head := "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 18000)
		if i > heads/2 {
			head = head[:3000]
		}
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, head)
	}
	if err := eventually("requests are shed", func() bool { return s.metric("culvert_requests_shed_total") > 0 }); err != nil {
		t.Error(err)
	}
	if shed, active := s.metric("culvert_relays_shed_total"), s.metric("culvert_tunnels_active"); shed > 0 || active != tunnels {
		t.Errorf("%v tunnels were shed, %v of %d live on", shed, active, tunnels)
	}
}
