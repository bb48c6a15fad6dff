package proxy_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/access"
	"culvert/proxy/proxytest"
	"culvert/proxy/route"
)

// What a reload changes, and what it leaves alone.

// named starts a proxy before a group per name, each of one backend that answers requests by its group's name. The
// default group is the first.
func named(t testing.TB, change func(*proxy.Config), names ...string) (*proxytest.Proxy, []*proxytest.Backend) {
	t.Helper()
	var backends []*proxytest.Backend
	for _, name := range names {
		b := proxytest.NewBackend(t)
		b.Serve(func(c *proxytest.Conn) {
			for c.TryReadHead() {
				if c.TrySend(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(name), name)) != nil {
					return
				}
			}
		})
		backends = append(backends, b)
	}
	return proxytest.Start(t, proxytest.Options{Backends: backends, Config: func(c *proxy.Config) {
		livesOnBothSides(c)
		all := c.Groups[0].Backends
		c.Groups = nil
		for i, name := range names {
			c.Groups = append(c.Groups, proxy.GroupConfig{Name: name, Backends: all[i : i+1]})
		}
		c.Listeners[0].Group = names[0]
		if change != nil {
			change(c)
		}
	}}), backends
}

// asks asks for a path and returns the body of the answer, or its status if that is not 200.
func asks(t testing.TB, c *proxytest.Conn, path string) string {
	t.Helper()
	c.Send("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
	head := c.ReadHead()
	status, length := 0, 0
	_, _ = fmt.Sscanf(head, "HTTP/1.1 %d", &status)
	_, after, _ := strings.Cut(head, "Content-Length: ")
	_, _ = fmt.Sscanf(after, "%d", &length)
	body := c.ReadExactly(length)
	if status != 200 {
		return fmt.Sprint(status)
	}
	return body
}

func wantAsked(t testing.TB, c *proxytest.Conn, path, want string) {
	t.Helper()
	if got := asks(t, c, path); got != want {
		t.Errorf("%s is answered %s, want %s", path, got, want)
	}
}

func TestAReloadCountsForTheNextRequestOfAConnection(t *testing.T) {
	p, _ := named(t, nil, "one", "two")
	client := p.Dial(t)
	wantAsked(t, client, "/x", "one")
	p.Reload(t, func(c *proxy.Config) {
		c.Listeners[0].Rules = []proxy.RuleConfig{{Match: route.Match{Path: "/x"}, Group: "two"}}
	})
	wantAsked(t, client, "/x", "two")
	wantAsked(t, client, "/y", "one")
	p.Reload(t, func(c *proxy.Config) { c.Listeners[0].Rules, c.Listeners[0].Group = nil, "" })
	wantAsked(t, client, "/x", "404")
	p.WaitMetric(t, 2, "culvert_reloads_total")
}

// A request goes on as the configuration had it when its head was whole: its answer is edited by the old rule.
func TestARequestIsTreatedByOneConfiguration(t *testing.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		c.Listeners[0].Rules = []proxy.RuleConfig{{
			Group: proxy.DefaultGroup, RequestHeaders: []proxy.HeaderEdit{set("X-Rule", "old")}, AnswerHeaders: []proxy.HeaderEdit{set("X-Rule", "old")},
		}}
	}})
	client := p.Dial(t)
	client.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	conn := b.Accept()
	if head := conn.ReadHead(); !strings.Contains(head, "X-Rule: old\r\n") {
		t.Errorf("sent %q", head)
	}
	p.Reload(t, func(c *proxy.Config) {
		c.Listeners[0].Rules = []proxy.RuleConfig{{Group: proxy.DefaultGroup, AnswerHeaders: []proxy.HeaderEdit{set("X-Rule", "new")}}}
	})
	conn.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	if head := client.ReadHead(); !strings.Contains(head, "X-Rule: old\r\n") || strings.Contains(head, "new") {
		t.Errorf("answered %q", head)
	}
	client.Close()
}

// A request that is being dialed while its group is taken away is still served by it.
func TestARequestIsRetriedWithinItsOwnGroup(t *testing.T) {
	b := proxytest.NewBackend(t)
	slow := proxytest.NeverAnswers(t)
	p := proxytest.Start(t, proxytest.Options{Addresses: []netip.AddrPort{slow}, Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		c.Timeouts.Connect = 500 * time.Millisecond
		own := c.Groups[0].Backends
		own[0], own[1] = own[1], own[0]
	}})
	client := p.Dial(t)
	client.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	p.WaitMetric(t, 1, "culvert_dials_total")
	p.Reload(t, func(c *proxy.Config) {
		c.Groups = []proxy.GroupConfig{{Name: "other", Backends: []proxy.BackendConfig{{Name: "none", Address: proxytest.Refuses(t), Weight: 1}}}}
		c.Listeners[0].Group = "other"
	})
	conn := b.Accept()
	conn.ReadHead()
	conn.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	client.Want("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n")
	client.Close()
}

func TestAWeightChangesWithoutTouchingCounts(t *testing.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}})
	client, conn := p.Tunnel(t)
	active := func(want float64) {
		t.Helper()
		p.WaitMetric(t, want, "culvert_backend_connections_active", "backend=b0", "group=default")
	}
	active(1)
	p.Reload(t, func(c *proxy.Config) { c.Groups[0].Backends[0].Weight = 7 })
	active(1)
	p.WaitMetric(t, 7, "culvert_backend_weight", "backend=b0")
	another := proxytest.NewBackend(t)
	p.Reload(t, func(c *proxy.Config) {
		c.Groups[0].Backends = []proxy.BackendConfig{{Name: "another", Address: another.Address(), Weight: 1}}
	})
	active(1) // it is configured no more, but a tunnel leads there
	p.WaitMetric(t, 0, "culvert_backend_weight", "backend=b0")
	client.Send("\x81\x80\x00\x00\x00\x00")
	conn.Want("\x81\x80\x00\x00\x00\x00")
	p.Reload(t, func(c *proxy.Config) {
		c.Groups[0].Backends = append(c.Groups[0].Backends, proxy.BackendConfig{Name: "again", Address: b.Address(), Weight: 3})
	})
	p.WaitMetric(t, 1, "culvert_backend_connections_active", "backend=again")
	p.Reload(t, func(c *proxy.Config) { c.Groups[0].Backends = c.Groups[0].Backends[:1] })
	client.Close()
	conn.Close()
	proxytest.Eventually(t, "a backend that nothing leads to is forgotten", func() bool {
		return !strings.Contains(string(p.Scrape(t)), `backend="again"`)
	})
}

func TestARemovedListenerStopsAcceptingAndItsTunnelsLiveOn(t *testing.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		livesOnBothSides(c)
		c.Listeners = append(c.Listeners, c.Listeners[0])
		c.Listeners[1].Name = "second"
	}})
	second := p.Server().Addresses()[1]
	client := proxytest.Dial(t, second)
	defer client.Close()
	conn := p.Upgrade(t, client)
	idle := proxytest.Dial(t, second)
	defer idle.Close()
	idle.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	served := b.Accept()
	served.ReadHead()
	served.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	idle.Want("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	busy := proxytest.Dial(t, second)
	defer busy.Close()
	busy.Send("GET /busy HTTP/1.1\r\nHost: a\r\n\r\n")
	served.ReadHead()

	p.Reload(t, func(c *proxy.Config) { c.Listeners = c.Listeners[:1] })
	idle.WantEOF()
	served.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	busy.Want("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	busy.WantEOF()
	if proxytest.Connects(second) {
		t.Error("the removed listener still accepts")
	}
	client.Send("\x81\x80\x00\x00\x00\x00")
	conn.Want("\x81\x80\x00\x00\x00\x00")
	if len(p.Server().Addresses()) != 1 {
		t.Errorf("the listeners are %v", p.Server().Addresses())
	}
}

func TestAChangedAddressIsBoundFirstOrNothingChanges(t *testing.T) {
	p, _ := named(t, nil, "one", "two")
	taken := proxytest.NewBackend(t)
	client := p.Dial(t)
	wantAsked(t, client, "/", "one")
	for _, wrong := range []struct {
		name   string
		change func(*proxy.Config)
		says   string
	}{
		{"an address in use", func(c *proxy.Config) {
			c.Listeners[0].Group = "two"
			c.Listeners = append(c.Listeners, proxy.ListenerConfig{Address: netip.MustParseAddrPort("127.0.0.1:0"), Group: "two"},
				proxy.ListenerConfig{Address: taken.Address(), Group: "two"})
		}, "address already in use"},
		{"an unknown group", func(c *proxy.Config) { c.Listeners[0].Group = "three" }, `there is no group "three"`},
		{"no listener", func(c *proxy.Config) { c.Listeners = nil }, "no listener"},
		{"a group without backends", func(c *proxy.Config) { c.Groups[1].Backends = nil }, "group two: no backend"},
		{"two actions", func(c *proxy.Config) {
			c.Listeners[0].Rules = []proxy.RuleConfig{{Group: "one", Redirect: &proxy.RedirectConfig{Status: 302, Location: "/"}}}
		}, "rule 1: 2 actions"},
		{"a bad rewrite", func(c *proxy.Config) {
			c.Listeners[0].Rules = []proxy.RuleConfig{{Group: "one", Rewrite: path("x")}}
		}, "begins with /"},
	} {
		if err := p.TryReload(wrong.change); err == nil || !strings.Contains(err.Error(), wrong.says) {
			t.Errorf("%s: the reload says %v, want %q", wrong.name, err, wrong.says)
		}
		wantAsked(t, client, "/", "one")
		if n := len(p.Server().Addresses()); n != 1 {
			t.Errorf("%s: %d listeners", wrong.name, n)
		}
	}
	p.WaitMetric(t, 0, "culvert_reloads_total")

	before := p.Address()
	p.Reload(t, func(c *proxy.Config) {
		c.Listeners = []proxy.ListenerConfig{{Address: netip.MustParseAddrPort("127.0.0.2:0"), Group: "two"}}
	})
	client.WantEOF() // idle, and its listener is gone
	if proxytest.Connects(before) {
		t.Error("the old address still accepts")
	}
	wantAsked(t, p.Dial(t), "/", "two")
}

// A rule's rate goes on across reloads, so a configuration that is refused could have set its bound already.
func TestARefusedReloadLeavesTheRatesOfRules(t *testing.T) {
	bounded := func(c *proxy.Config, requests int) {
		c.Listeners[0].Rules = []proxy.RuleConfig{{Name: "rule", Match: route.Match{Path: "/"}, Group: "one", Requests: requests}}
	}
	p, _ := named(t, func(c *proxy.Config) { bounded(c, 1_000_000) }, "one")
	taken := proxytest.NewBackend(t)
	if p.TryReload(func(c *proxy.Config) {
		bounded(c, 1)
		c.Listeners = append(c.Listeners, proxy.ListenerConfig{Address: taken.Address(), Group: "one"})
	}) == nil {
		t.Error("an address in use is accepted")
	}
	client := p.Dial(t)
	for range 3 {
		wantAsked(t, client, "/", "one")
	}
	p.Reload(t, func(c *proxy.Config) { bounded(c, 1) })
	wantAsked(t, client, "/", "one")
	wantAsked(t, client, "/", "503")
}

// What a reload has bound before it failed is let go: nobody waits in the queue of an address that is not served.
func TestARefusedReloadBindsNothing(t *testing.T) {
	p, _ := named(t, nil, "one")
	taken := proxytest.NewBackend(t)
	free := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), p.Address().Port())
	if p.TryReload(func(c *proxy.Config) {
		c.Listeners = append(c.Listeners, proxy.ListenerConfig{Address: free, Group: "one"}, proxy.ListenerConfig{Address: taken.Address(), Group: "one"})
	}) == nil {
		t.Error("an address in use is accepted")
	}
	if proxytest.Connects(free) {
		t.Error("an address of the refused configuration is listened on")
	}
}

// A shutdown that begins during a reload finds all listeners, or the reload is refused.
func TestAShutdownOvertakesAReload(t *testing.T) {
	p, _ := named(t, nil, "one")
	p.Server().StopListening()
	err := p.TryReload(func(c *proxy.Config) {
		c.Listeners = append(c.Listeners, proxy.ListenerConfig{Address: netip.MustParseAddrPort("127.0.0.1:0"), Group: "one"})
	})
	if !errors.Is(err, proxy.ErrNotRunning) {
		t.Errorf("the reload says %v", err)
	}
}

func TestAnAddressOfOursMayGrowToAllAddresses(t *testing.T) {
	p, _ := named(t, nil, "one")
	port := p.Address().Port()
	p.Reload(t, func(c *proxy.Config) { c.Listeners[0].Address = netip.AddrPortFrom(netip.IPv4Unspecified(), port) })
	client := proxytest.Dial(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.3"), port))
	defer client.Close()
	wantAsked(t, client, "/", "one")
}

// TestAllAddressesAndOneOfThem: what a reload may come to is what a start takes, else the next start fails.
func TestAllAddressesAndOneOfThem(t *testing.T) {
	held, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := netip.MustParseAddrPort(held.Addr().String()).Port()
	_ = held.Close()
	both := func(c *proxy.Config) {
		c.Listeners = []proxy.ListenerConfig{
			{Address: netip.AddrPortFrom(netip.IPv4Unspecified(), port), Group: "one"},
			{Address: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.3"), port), Group: "two"},
		}
	}
	wantBoth := func() {
		t.Helper()
		for address, want := range map[string]string{"127.0.0.2": "one", "127.0.0.3": "two"} {
			client := proxytest.Dial(t, netip.AddrPortFrom(netip.MustParseAddr(address), port))
			wantAsked(t, client, "/", want)
			client.Close()
		}
	}
	p, _ := named(t, both, "one", "two")
	wantBoth()
	p.Reload(t, func(c *proxy.Config) {
		c.Listeners = []proxy.ListenerConfig{{Address: netip.MustParseAddrPort("127.0.0.1:0"), Group: "one"}}
	})
	p.Reload(t, both) // both are new
	wantBoth()
}

func TestPooledConnectionsToARemovedBackendAreClosed(t *testing.T) {
	p, _ := named(t, nil, "one", "two")
	client := p.Dial(t)
	wantAsked(t, client, "/", "one")
	p.WaitMetric(t, 1, "culvert_backend_connections_idle")
	p.Reload(t, func(c *proxy.Config) { c.Listeners[0].Group, c.Groups = "two", c.Groups[1:] })
	if n := p.Metric(t, "culvert_backend_connections_idle"); n != 0 { // at once: sooner or later the backend's script ends it
		t.Errorf("%v connections are kept", n)
	}
	wantAsked(t, client, "/", "two")
	if text := string(p.Scrape(t)); strings.Contains(text, `group="one"`) {
		t.Error("a backend that nothing leads to is still known")
	}
}

// TestSecondariesWaitForTheirTurn: they serve where no primary takes requests, or those that were tried failed.
func TestSecondariesWaitForTheirTurn(t *testing.T) {
	p, backends := named(t, func(c *proxy.Config) {
		c.Groups[0].Backends = append(c.Groups[0].Backends[:1:1], c.Groups[1].Backends[0])
		c.Groups[0].Backends[1].Priority, c.Groups[0].Backends[1].Weight = 1, 100
	}, "primary", "secondary")
	client := p.Dial(t)
	for range 5 {
		wantAsked(t, client, "/", "primary")
	}
	p.Reload(t, func(c *proxy.Config) { c.Groups[0].Backends[0].Weight = 0 })
	wantAsked(t, client, "/", "secondary")
	p.Reload(t, func(c *proxy.Config) { c.Groups[0].Backends[0].Weight = 1 })
	wantAsked(t, client, "/", "primary")
	backends[0].Close()
	proxytest.Eventually(t, "the secondary serves", func() bool { return asks(t, client, "/") == "secondary" })
}

func TestLimitsChangeWithAReload(t *testing.T) {
	p, _ := named(t, nil, "one")
	first := p.Dial(t)
	wantAsked(t, first, "/", "one")
	p.Reload(t, func(c *proxy.Config) {
		c.Limits.ClientConnections, c.MaxHead = 1, 1024
		c.Listeners[0].Access = access.Lists{Black: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	})
	wantAsked(t, first, "/", "one") // counted from now on
	second := p.Dial(t)
	second.WantEOF()
	p.WaitMetric(t, 1, "culvert_dropped_total", "limit=max-connections-per-client")
	wantAsked(t, first, "/"+strings.Repeat("x", 1100), "431")
	first.Close()
	p.WaitMetric(t, 0, "culvert_client_connections_active")
	p.Reload(t, func(c *proxy.Config) {
		c.Limits.ClientConnections = 0
		c.Listeners[0].Access = access.Lists{Black: []netip.Prefix{loopback}}
	})
	third, fourth := p.Dial(t), p.Dial(t)
	wantAsked(t, third, "/", "403")
	wantAsked(t, fourth, "/", "403")
}

// TestSitesAreForgotten: of the configurations that were, the heap holds nothing, though tunnels, idle clients and a
// request from each of their times live on.
func TestSitesAreForgotten(t *testing.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: livesOnBothSides})
	for i := range 10 {
		_, _ = p.Tunnel(t)
		slow := p.Dial(t)
		slow.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		conn := b.Accept()
		conn.ReadHead()
		conn.Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbeg")
		slow.Want("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbeg")
		p.Reload(t, func(c *proxy.Config) {
			c.Timeouts.Idle = time.Duration(i+2) * time.Minute
			c.Groups[0].Backends[0].Weight = i + 1
		})
	}
	proxytest.Eventually(t, "at most 2 configurations are held", func() bool {
		runtime.GC()
		return p.Server().Sites() <= 2
	})
}
