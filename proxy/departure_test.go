package proxy_test

import (
	"strings"
	"testing"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// TestALingeringCloseCountsForTheBounds: a client that was refused keeps its descriptor until it goes, or the linger
// timeout is over, and so long it counts.
func TestALingeringCloseCountsForTheBounds(t *testing.T) {
	overWays(t, aLingeringCloseCountsForTheBounds)
}

func aLingeringCloseCountsForTheBounds(t *proxytest.T) {
	for _, test := range []struct {
		name  string
		bound func(*proxy.Config)
	}{
		{"of all connections", func(c *proxy.Config) { c.Limits.Connections = 1 }},
		{"of one client's", func(c *proxy.Config) { c.Limits.ClientConnections = 1 }},
	} {
		t.Run(test.name, func(t *proxytest.T) {
			p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{proxytest.NewBackend(t)}, Config: test.bound})
			first := p.Dial(t)
			first.Send("BAD\r\n\r\n")
			if head := first.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 400 ") {
				t.Fatalf("got %q", head)
			}
			p.WaitEnd(t)
			second := p.Dial(t)
			if rest, _ := second.ReadUntilGone(); rest != "" {
				t.Errorf("the second got %q", rest)
			}
			first.Close()
			proxytest.Eventually(t, "the descriptor is closed", func() bool {
				return p.Metric(t, "culvert_client_connections_active") == 0
			})
			third := p.Dial(t)
			third.Send("BAD\r\n\r\n")
			if head := third.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 400 ") {
				t.Fatalf("got %q", head)
			}
		})
	}
}
