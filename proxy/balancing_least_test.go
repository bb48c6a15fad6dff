package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// What counts as a connection to a backend.

// counts returns how many connections each backend has, as "a:1 b:2".
func counts(p *proxytest.Proxy) string {
	var all []string
	for _, b := range p.Server().Backends() {
		all = append(all, fmt.Sprintf("%s:%d", b.Name, b.Connections))
	}
	return strings.Join(all, " ")
}

func wantCounts(t testing.TB, p *proxytest.Proxy, want string) {
	t.Helper()
	proxytest.Eventually(t, "the backends have "+want, func() bool { return counts(p) == want })
}

// TestLeastConnectionsOverReloads: all loops, and configurations that change weights, names, the order and who is there.
func TestLeastConnectionsOverReloads(t *testing.T) {
	t.Parallel()
	tellers := newTellers(t, "a", "b", "c")
	p := startTellers(t, tellers, func(_ *proxy.Config, g *proxy.GroupConfig) {
		g.Schedule.Algorithm = "wlc"
		g.Backends = g.Backends[:2]
	})
	open := func(n int) (all []*proxytest.Conn) {
		for range n {
			c := p.Dial(t)
			inquiry{upgrade: true}.on(t, c, 101)
			all = append(all, c)
		}
		return all
	}
	first := open(8)
	wantCounts(t, p, "a:4 b:4")
	p.Reload(t, func(c *proxy.Config) {
		g := &c.Groups[0]
		g.Backends = []proxy.BackendConfig{tellers[2].Member("c"), g.Backends[1], g.Backends[0]}
		g.Backends[1].Weight, g.Backends[2].Name = 2, "renamed"
	})
	wantCounts(t, p, "c:0 b:4 renamed:4")
	_ = open(8)
	wantCounts(t, p, "c:4 b:8 renamed:4")
	p.Reload(t, func(c *proxy.Config) { c.Groups[0].Backends = c.Groups[0].Backends[:2] })
	wantCounts(t, p, "c:4 b:8 renamed:4") // it is told of as long as it has any
	p.Reload(t, func(c *proxy.Config) { c.Groups[0].Backends = append(c.Groups[0].Backends, tellers[0].Member("back")) })
	wantCounts(t, p, "c:4 b:8 back:4")
	for _, c := range first {
		c.Close()
	}
	wantCounts(t, p, "c:4 b:4 back:0")
	_ = open(8)
	wantCounts(t, p, "c:4 b:8 back:4")
}

// TestWhatIsKeptDoesNotCount: a pooled connection is nobody's; a request counts until its answer is whole, a tunnel as long
// as it lives.
func TestWhatIsKeptDoesNotCount(t *testing.T) {
	t.Parallel()
	slow := proxytest.NewBackendWith(t, proxytest.BackendOptions{Name: "slow"})
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{slow}, Config: func(c *proxy.Config) {
		c.KeepAliveRequests, c.BackendIdle = 1000, 100
		c.Groups[0].Backends[0].MaxConnections = 1
	}})
	client := p.Dial(t)
	client.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	server := slow.Accept()
	for n := range 3 {
		server.ReadHead()
		wantCounts(t, p, "slow:1")
		if head, _ := ask(t, p, ""); !strings.HasPrefix(head, "HTTP/1.1 503 ") {
			t.Errorf("while a request is under way the next gets %q", head)
		}
		server.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo")
		client.ReadHead()
		wantCounts(t, p, "slow:1")
		server.Send("dy")
		client.Want("body")
		wantCounts(t, p, "slow:0")
		p.WaitMetric(t, 1, "culvert_backend_connections_idle")
		if n < 2 {
			client.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		}
	}
	tunnel := p.Dial(t)
	tunnel.Send(proxytest.UpgradeRequest())
	backend := slow.Accept()
	wantCounts(t, p, "slow:1")
	backend.Send(proxytest.SwitchingProtocols(backend.ReadHead()))
	wantStatus(t, tunnel, 101)
	wantCounts(t, p, "slow:1")
	tunnel.Close()
	backend.Close()
	wantCounts(t, p, "slow:0")
	tunnel = p.Dial(t)
	tunnel.Send(proxytest.UpgradeRequest())
	slow.Accept().Close() // before it answers
	wantStatus(t, tunnel, 502)
	wantCounts(t, p, "slow:0")
}

// TestSecondaryBackendsWaitForTheirTime: they are asked where no primary one serves, and no longer.
func TestSecondaryBackendsWaitForTheirTime(t *testing.T) {
	t.Parallel()
	p := startTellers(t, newTellers(t, "one", "two", "spare"), func(_ *proxy.Config, g *proxy.GroupConfig) {
		g.Schedule.Algorithm = "wlc"
		g.Backends[2].Priority = 1
	})
	wants := func(names string) {
		t.Helper()
		served := map[string]bool{}
		for n := range 8 {
			served[who(inquiry{upgrade: n%2 == 1}.of(t, p, proxytest.ConnOptions{}))] = true
		}
		if got := fmt.Sprint(served); got != names {
			t.Errorf("requests get to %s; want %s", got, names)
		}
	}
	drain := func(name string) {
		t.Helper()
		if err := p.Server().DrainBackend(proxy.DefaultGroup, name, 0); err != nil {
			t.Fatal(err)
		}
	}
	wants("map[one:true two:true]")
	drain("one")
	wants("map[two:true]")
	drain("two")
	wants("map[spare:true]")
	if err := p.Server().UndrainBackend(proxy.DefaultGroup, "one"); err != nil {
		t.Fatal(err)
	}
	wants("map[one:true]")
}
