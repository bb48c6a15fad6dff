package proxy_test

import (
	"path/filepath"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/proxytest"
	"culvert/proxy/route"
)

// What a reload, discovery and a shutdown make of requests that wait.

func TestALineThatIsReloadedAwayServesThoseInIt(t *testing.T) {
	t.Parallel()
	p, b := narrow(t, 2, nil)
	client, backend := p.Tunnel(t)
	first := waits(t, p, proxytest.UpgradeRequest(), 1)
	p.Reload(t, func(c *proxy.Config) { c.Groups[0].Queue = 0 })
	if head, _ := ask(t, p, ""); head[:13] != "HTTP/1.1 503 " {
		t.Errorf("behind one that waits, and without a line, the answer is %q", head)
	}
	client.Close()
	backend.Close()
	accept(t, b, first)
}

// TestABackendThatIsAddedTakesThoseWhoWait: as many as it has places for, the oldest first.
func TestABackendThatIsAddedTakesThoseWhoWait(t *testing.T) {
	t.Parallel()
	p, b := narrow(t, 3, nil)
	client, backend := p.Tunnel(t)
	var line []*proxytest.Conn
	for n := range 4 {
		line = append(line, waits(t, p, proxytest.UpgradeRequest(), n+1))
	}
	other := proxytest.NewBackend(t)
	p.Reload(t, func(c *proxy.Config) {
		added := other.Member("other")
		added.MaxConnections = 2
		c.Groups[0].Backends = append(c.Groups[0].Backends, added)
	})
	for _, c := range []*proxytest.Conn{other.Accept(), other.Accept()} {
		c.Send(proxytest.SwitchingProtocols(c.ReadHead()))
	}
	wantStatus(t, line[0], 101)
	wantStatus(t, line[1], 101)
	p.WaitMetric(t, 2, "culvert_requests_waiting")
	client.Close()
	backend.Close()
	accept(t, b, line[2])
	other.Close()
	line[0].Close()
	line[1].Close()
	line[2].Close()
	line[3].Close()
}

// TestABackendThatIsRemovedHoldsNobodyBack: those who wait, and those who come then, get to the other one.
func TestABackendThatIsRemovedHoldsNobodyBack(t *testing.T) {
	t.Parallel()
	p, _ := narrow(t, 2, nil)
	_, _ = p.Tunnel(t)
	waiting := waits(t, p, proxytest.UpgradeRequest(), 1)
	other := newTellers(t, "other")[0]
	p.Reload(t, func(c *proxy.Config) { c.Groups[0].Backends = []proxy.BackendConfig{other.Member("other")} })
	for range 4 {
		if _, body := ask(t, p, ""); body != "" {
			t.Errorf("the body is %q", body)
		}
	}
	wantStatus(t, waiting, 101)
	if n := p.Metric(t, "culvert_backend_connections_active", "backend=b0"); n != 1 {
		t.Errorf("the tunnel to the backend that is gone counts %v", n)
	}
}

// TestWhoWaitsByAScheduleThatIsGoneIsServedByTheGroups: by servers, too, that were not in use when it came.
func TestWhoWaitsByAScheduleThatIsGoneIsServedByTheGroups(t *testing.T) {
	t.Parallel()
	other := proxytest.NewBackend(t)
	p, _ := narrow(t, 2, func(c *proxy.Config, g *proxy.GroupConfig) {
		g.Backends = append(g.Backends, other.Member("other"))
		c.Listeners[0].Rules = []proxy.RuleConfig{{
			Match: route.Match{Path: "/"}, Group: proxy.DefaultGroup, Schedule: &proxy.Schedule{Algorithm: "wlc"},
		}}
	})
	order := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	order(p.Server().DrainBackend(proxy.DefaultGroup, "other", 0))
	_, _ = p.Tunnel(t)
	waiting := waits(t, p, proxytest.UpgradeRequest(), 1)
	p.Reload(t, func(c *proxy.Config) { c.Listeners[0].Rules = nil })
	order(p.Server().UndrainBackend(proxy.DefaultGroup, "other"))
	accept(t, other, waiting).Close()
	waiting.Close()
	other.Close()
}

// TestNobodyWaitsWhereNobodyServes: neither those who have waited, nor those who come.
func TestNobodyWaitsWhereNobodyServes(t *testing.T) {
	t.Parallel()
	p, _ := narrow(t, 2, nil)
	_, _ = p.Tunnel(t)
	first, second := waits(t, p, proxytest.UpgradeRequest(), 1), waits(t, p, proxytest.UpgradeRequest(), 2)
	if err := p.Server().DrainBackend(proxy.DefaultGroup, "b0", 0); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, first, 503)
	wantStatus(t, second, 503)
	p.WaitEnd(t).Want(t, "no-backend", 503, "proxy")
	p.WaitEnd(t).Want(t, "no-backend", 503, "proxy")
	if head, _ := ask(t, p, ""); head[:13] != "HTTP/1.1 503 " {
		t.Errorf("with the only backend drained the answer is %q", head)
	}
	p.WaitEnd(t).Want(t, "no-backend", 503, "proxy")
}

// TestWhoComesWhileOthersWaitIsToldThatNobodyServes: what became of the backends is known to its loop before those who
// wait are.
func TestWhoComesWhileOthersWaitIsToldThatNobodyServes(t *testing.T) {
	t.Parallel()
	p, _ := narrow(t, 1, nil)
	_, _ = p.Tunnel(t)
	first := waits(t, p, proxytest.UpgradeRequest(), 1)
	p.Reload(t, func(c *proxy.Config) {
		c.Groups[0].Backends, c.Groups[0].Discovery = nil, &proxy.Discovery{File: filepath.Join(t.TempDir(), "not-there-yet")}
	})
	for range 3 {
		if head, _ := ask(t, p, ""); head[:13] != "HTTP/1.1 503 " {
			t.Errorf("without servers the answer is %q", head)
		}
	}
	wantStatus(t, first, 503)
}

func TestAShutdownEndsThoseWhoWait(t *testing.T) {
	t.Parallel()
	p, _ := narrow(t, 2, func(c *proxy.Config, _ *proxy.GroupConfig) { c.ShutdownGrace = 100 * time.Millisecond })
	client, backend := p.Tunnel(t)
	first, second := waits(t, p, proxytest.UpgradeRequest(), 1), waits(t, p, proxytest.UpgradeRequest(), 2)
	over := make(chan struct{})
	go func() {
		defer close(over)
		p.Shutdown(t)
	}()
	for _, c := range []*proxytest.Conn{first, second, client, backend} {
		c.ReadUntilGone()
		c.Close()
	}
	<-over
	for range 3 {
		if l := p.WaitEnd(t); l.Text("reason") != "shutdown" {
			t.Errorf("the log says %v", l)
		}
	}
}

func TestAShutdownLetsThoseWhoWaitHaveTheirTurn(t *testing.T) {
	t.Parallel()
	p, b := narrow(t, 2, func(c *proxy.Config, _ *proxy.GroupConfig) { c.ShutdownGrace = proxytest.Patience })
	client, backend := p.Tunnel(t)
	first := waits(t, p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1)
	p.Server().StopListening()
	client.Close()
	backend.Close()
	next := b.Accept()
	next.ReadHead()
	next.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	wantStatus(t, first, 200)
}

// TestWhoWaitsForBackendsThatAreSpokenToOtherwiseIsRefused: its request was written without the PROXY header that they want.
func TestWhoWaitsForBackendsThatAreSpokenToOtherwiseIsRefused(t *testing.T) {
	t.Parallel()
	p, _ := narrow(t, 2, nil)
	_, _ = p.Tunnel(t)
	waiting := waits(t, p, proxytest.UpgradeRequest(), 1)
	other := newTellers(t, "other")[0]
	p.Reload(t, func(c *proxy.Config) {
		c.Groups[0].Backends, c.Groups[0].SendProxy = []proxy.BackendConfig{other.Member("other")}, 1
	})
	wantStatus(t, waiting, 503)
	p.WaitEnd(t).Want(t, "no-backend", 503, "proxy")
	if n := len(other.requests()); n != 0 {
		t.Errorf("the backend has got %d requests", n)
	}
}
