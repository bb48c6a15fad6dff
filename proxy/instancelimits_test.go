package proxy_test

import (
	"net/netip"
	"strings"
	"testing"

	"culvert/proxy"
	"culvert/proxy/proxytest"
	"culvert/proxy/route"
)

// What reaches a limit of the instance is dropped and counted, and nothing that lives is touched. That the limits are
// exact, package limit shows in virtual time; here, a rate of one per second lets one through, and no test takes a second.

func TestLimitsOfTheInstance(t *testing.T) {
	const dropped = "culvert_dropped_total"
	for _, c := range []struct {
		limit  string
		set    func(*proxy.Config)
		closes bool // a connection is closed when it is accepted, or a request gets 503
	}{
		{"max-connections", func(c *proxy.Config) { c.Limits.Connections = 1 }, true},
		{"max-new-connections", func(c *proxy.Config) { c.Limits.NewConnections = 1 }, true},
		{"max-requests", func(c *proxy.Config) { c.Limits.Requests = 1 }, false},
		{"max-connections-per-client", func(c *proxy.Config) { c.Limits.ClientConnections = 1 }, true},
		{"max-new-connections-per-client", func(c *proxy.Config) { c.Limits.ClientNewConnections = 1 }, true},
		{"max-requests-per-client", func(c *proxy.Config) { c.Limits.ClientRequests = 1 }, false},
		{"requests-per-second", func(c *proxy.Config) {
			c.Listeners[0].Rules = []proxy.RuleConfig{{Match: route.Match{Path: "/"}, Group: "one", Requests: 1}}
		}, false},
	} {
		t.Run(c.limit, func(t *testing.T) {
			p, _ := named(t, c.set, "one")
			first := p.Dial(t)
			wantAsked(t, first, "/", "one")
			if c.closes {
				p.Dial(t).WantEOF()
				wantAsked(t, first, "/", "one")
			} else {
				wantAsked(t, first, "/", "503")
				wantLog(t, p, "request 200 complete backend", "request 503 limit proxy "+c.limit)
			}
			p.WaitMetric(t, 1, dropped, "limit="+c.limit)
			p.WaitMetric(t, 1, dropped)
			text, uncounted := string(p.Scrape(t)), `culvert_client_limit_uncounted_total{limit="`+c.limit+`"} 0`
			if (c.limit == "max-new-connections-per-client" || c.limit == "max-requests-per-client") && !strings.Contains(text, uncounted) {
				t.Errorf("%s is not told", uncounted)
			}
			if !c.closes && c.limit == "max-requests" && !strings.Contains(text, `culvert_limit_utilisation_ratio{limit="max-requests"}`) {
				t.Error("how much of the limit is used is not told")
			}
		})
	}
}

// TestNewConnectionsOfANamedClientAreBounded: behind a PROXY header they are those of the client that it names.
func TestNewConnectionsOfANamedClientAreBounded(t *testing.T) {
	p, _ := named(t, func(c *proxy.Config) {
		requiresProxy(c)
		c.Limits.ClientNewConnections = 1
	}, "one")
	for i, c := range []struct{ client, want string }{{"192.0.2.1", "one"}, {"192.0.2.2", "one"}, {"192.0.2.1", ""}} {
		client := p.Dial(t)
		client.Send("PROXY TCP4 " + c.client + " 198.51.100.1 1 2\r\n")
		if c.want == "" {
			client.ReadUntilGone()
			p.WaitMetric(t, 1, "culvert_dropped_total", "limit=max-new-connections-per-client")
			continue
		}
		if got := asks(t, client, "/"); got != c.want {
			t.Errorf("connection %d is answered %s", i, got)
		}
	}
}

// TestAnIPv6ClientCountsAsItsNetwork: by its connections too, whichever address of it they come from, and a tunnel as it
// counted when it came.
func TestAnIPv6ClientCountsAsItsNetwork(t *testing.T) {
	b := proxytest.NewBackend(t)
	prefix := func(bits int) func(*proxy.Config) {
		return func(c *proxy.Config) { c.Limits.ClientPrefix6 = bits }
	}
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		c.TrustedProxies, c.Limits.ClientConnections = []netip.Prefix{loopback}, 1
	}})
	upgrade := func(client string) *proxytest.Conn {
		c := p.Dial(t)
		c.Send(strings.ReplaceAll(ruleWS, "¶", "\r\n") + "X-Forwarded-For: " + client + "\r\n\r\n")
		return c
	}
	refused := func(client string) {
		t.Helper()
		c := upgrade(client)
		if got := c.ReadUntilEOF(); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
			t.Errorf("%s is answered %q", client, got)
		}
		c.Close()
	}
	let := func(client string) *proxytest.Conn {
		t.Helper()
		c := upgrade(client)
		conn := b.Accept()
		conn.ReadHead()
		conn.Send(strings.ReplaceAll(ruleWSOK, "¶", "\r\n"))
		c.ReadHead()
		return c
	}
	one, two := let("2001:db8::1"), let("2001:db8:0:1::1")
	refused("2001:db8::2:2:2:2")
	p.Reload(t, prefix(128))
	alone := let("2001:db8::1")
	let("2001:db8::2")
	refused("2001:db8::1")
	for _, c := range []*proxytest.Conn{one, two, alone} {
		c.Reset()
	}
	p.WaitMetric(t, 1, "culvert_client_connections_active")
	let("2001:db8::1")
	p.Reload(t, prefix(0))
	let("2001:db8::3") // the network is as it was before it counted anything
	refused("2001:db8::4")
}

// TestConnectionsOfANamedClientAreBounded: from its PROXY header on, for it may never send a whole request.
func TestConnectionsOfANamedClientAreBounded(t *testing.T) {
	p, _ := named(t, func(c *proxy.Config) {
		requiresProxy(c)
		c.Limits.ClientConnections = 1
	}, "one")
	const header = "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n"
	first := p.Dial(t)
	first.Send(header + "GET / HT")
	p.WaitMetric(t, 1, "culvert_client_connections_active")
	second := p.Dial(t)
	second.Send(header)
	second.ReadUntilGone()
	p.WaitMetric(t, 1, "culvert_dropped_total", "limit=max-connections-per-client")
	first.Send("TP/1.1\r\nHost: a\r\n\r\n")
	first.Want("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none")
	first.Close()
	p.WaitMetric(t, 0, "culvert_client_connections_active")
	third := p.Dial(t)
	third.Send(header)
	wantAsked(t, third, "/", "one")
}

// TestTunnelsOutliveALimit: what is over a limit that a reload brings stays.
func TestTunnelsOutliveALimit(t *testing.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}})
	client, conn := p.Tunnel(t)
	_, _ = p.Tunnel(t)
	p.Reload(t, func(c *proxy.Config) { c.Limits.Connections = 1 })
	p.Dial(t).WantEOF()
	client.Send("\x81\x80\x00\x00\x00\x00")
	conn.Want("\x81\x80\x00\x00\x00\x00")
	p.WaitMetric(t, 2, "culvert_tunnels_active")
}

// TestBandwidthOverItsBoundDropsWhatIsNew: the transfer that goes over it is not touched.
func TestBandwidthOverItsBoundDropsWhatIsNew(t *testing.T) {
	const size = 4 << 20
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		livesOnBothSides(c)
		c.Limits.Bandwidth = 1 << 20
	}})
	client := p.Dial(t)
	client.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	conn := b.Accept()
	conn.ReadHead()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = conn.TrySend("HTTP/1.1 200 OK\r\nContent-Length: 4194304\r\n\r\n" + strings.Repeat("x", size))
	}()
	client.ReadHead()
	client.ReadExactly(size)
	<-sent
	proxytest.Eventually(t, "a request is dropped", func() bool {
		another := proxytest.Dial(t, p.Address())
		defer another.Close()
		another.CloseWrite() // else an accepted one would wait for a request
		another.ReadUntilGone()
		return p.Metric(t, "culvert_dropped_total", "limit=max-bandwidth") > 0
	})
	proxytest.Eventually(t, "it is over", func() bool { return p.Metric(t, "culvert_limit_utilisation_ratio", "limit=max-bandwidth") < 1 })
	client.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	conn.ReadHead()
	conn.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	client.Want("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
}

// TestAReloadKnowsWhatWasRelayedBefore: a bound on bandwidth that it brings begins with the traffic behind it.
func TestAReloadKnowsWhatWasRelayedBefore(t *testing.T) {
	p, _ := named(t, nil, "one")
	client := p.Dial(t)
	wantAsked(t, client, "/", "one")
	if total := p.Server().Published(); total != 0 {
		t.Errorf("%d bytes are published without a bound", total)
	}
	p.Reload(t, func(c *proxy.Config) { c.Limits.Bandwidth = 1 << 20 })
	if total := p.Server().Published(); total != uint64(len("one")) {
		t.Errorf("%d bytes are published", total)
	}
}
