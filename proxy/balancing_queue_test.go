package proxy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// Requests that wait for a backend with a free place.

// narrow starts a proxy whose only backend takes one connection, in the hands of the test, and lets ten wait.
func narrow(t testing.TB, loops int, change func(*proxy.Config, *proxy.GroupConfig)) (*proxytest.Proxy, *proxytest.Backend) {
	t.Helper()
	b := proxytest.NewBackend(t)
	return proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		c.Loops = loops
		g := &c.Groups[0]
		g.Backends[0].MaxConnections, g.Queue, g.QueueTimeout = 1, 10, proxytest.Patience
		if change != nil {
			change(c, g)
		}
	}}), b
}

// waits sends a request that is the n-th in line.
func waits(t testing.TB, p *proxytest.Proxy, request string, n int) *proxytest.Conn {
	t.Helper()
	c := p.Dial(t)
	c.Send(request)
	p.WaitMetric(t, float64(n), "culvert_requests_waiting")
	return c
}

// accept opens the backend's end of a tunnel to the client, which has waited for it.
func accept(t testing.TB, b *proxytest.Backend, client *proxytest.Conn) *proxytest.Conn {
	t.Helper()
	server := b.Accept()
	server.Send(proxytest.SwitchingProtocols(server.ReadHead()))
	wantStatus(t, client, 101)
	return server
}

func wantStatus(t testing.TB, c *proxytest.Conn, status int) {
	t.Helper()
	if head := c.ReadHead(); !strings.HasPrefix(head, fmt.Sprintf("HTTP/1.1 %d ", status)) {
		t.Fatalf("%s wants status %d, but it got %q", c, status, head)
	}
}

func TestTheOldestOfAllLoopsGetsThePlace(t *testing.T) {
	t.Parallel()
	p, b := narrow(t, 4, nil)
	client, backend := p.Tunnel(t)
	var line []*proxytest.Conn
	for n := range 10 {
		line = append(line, waits(t, p, proxytest.UpgradeRequest(), n+1))
	}
	loops := 0
	for loop := range 4 {
		if p.Metric(t, "culvert_exchanges_active", fmt.Sprintf("loop=%d", loop)) > 0 {
			loops++
		}
	}
	if loops < 2 {
		t.Errorf("all ten wait on one loop")
	}
	for n, next := range line {
		client.Close()
		backend.Close()
		client, backend = next, accept(t, b, next)
		for _, later := range line[n+1:] {
			later.WantNothing()
		}
	}
	if n := p.Metric(t, "culvert_requests_queued_total"); n != 10 {
		t.Errorf("%v requests have waited; want 10", n)
	}
}

// TestTheLogTellsHowLongOneWaited, apart from how long it took to connect.
func TestTheLogTellsHowLongOneWaited(t *testing.T) {
	t.Parallel()
	const wait = 300 * time.Millisecond
	p, b := narrow(t, 1, nil)
	client, backend := p.Tunnel(t)
	next := waits(t, p, proxytest.UpgradeRequest(), 1)
	// tidy:sleep the log tells how long it was
	time.Sleep(wait)
	client.Close()
	backend.Close()
	accept(t, b, next)
	var opened []proxytest.Line
	proxytest.Eventually(t, "both tunnels are in the log", func() bool {
		opened = slices.DeleteFunc(p.Log(), func(l proxytest.Line) bool { return l.Text("event") != "tunnel-open" })
		return len(opened) == 2
	})
	if first, ok := opened[0]["queue_ms"]; ok {
		t.Errorf("who has not waited did so for %v ms", first)
	}
	if ms, least := opened[1].Number("queue_ms"), float64(wait.Milliseconds()); ms < least || opened[1].Number("connect_ms") >= least {
		t.Errorf("of one that waited for %v ms the log says %v", least, opened[1])
	}
}

func TestWhoDoesNotGetAPlaceIsToldWhy(t *testing.T) {
	t.Parallel()
	p, b := narrow(t, 2, func(_ *proxy.Config, g *proxy.GroupConfig) { g.Queue, g.QueueTimeout = 1, 200*time.Millisecond })
	client, backend := p.Tunnel(t)
	late := waits(t, p, proxytest.UpgradeRequest(), 1)
	more := p.Dial(t)
	more.Send(proxytest.UpgradeRequest())
	wantStatus(t, more, 503)
	if l := p.WaitEnd(t); l.Text("detail") != "queue" {
		t.Errorf("with the line full the log says %v", l)
	} else {
		l.Want(t, "limit", 503, "proxy")
	}
	wantStatus(t, late, 503)
	l := p.WaitEnd(t)
	l.Want(t, "queue-timeout", 503, "proxy")
	if l.Number("queue_ms") < 200 {
		t.Errorf("of one that waited for 200 ms the log says %v", l)
	}
	p.WaitMetric(t, 0, "culvert_requests_waiting")

	p.Reload(t, func(c *proxy.Config) { c.Groups[0].Queue = 0 })
	none := p.Dial(t)
	none.Send(proxytest.UpgradeRequest())
	wantStatus(t, none, 503)
	if l := p.WaitEnd(t); l.Text("detail") != "max-connections" {
		t.Errorf("without a line the log says %v", l)
	}
	client.Close()
	backend.Close()
	p.WaitMetric(t, 0, "culvert_backend_connections_active")
	next := p.Dial(t)
	next.Send(proxytest.UpgradeRequest())
	accept(t, b, next)
}

// TestWhoLeavesWhileWaitingGivesUpItsPlace: by a FIN, a reset, or with the last byte of its request.
func TestWhoLeavesWhileWaitingGivesUpItsPlace(t *testing.T) {
	t.Parallel()
	p, b := narrow(t, 2, nil)
	client, backend := p.Tunnel(t)
	atOnce := func(c *proxytest.Conn) { c.Close() }
	for _, leave := range []func(*proxytest.Conn){atOnce, (*proxytest.Conn).CloseWrite, (*proxytest.Conn).Reset} {
		leave(waits(t, p, proxytest.UpgradeRequest(), 1))
		p.WaitMetric(t, 0, "culvert_requests_waiting")
		p.WaitEnd(t).Want(t, "client-left", 499, "client")
	}
	waits(t, p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1).Reset()
	p.WaitMetric(t, 0, "culvert_requests_waiting")
	p.WaitEnd(t).Want(t, "client-left", 499, "client")
	for range 5 {
		gone := p.Dial(t)
		gone.Send(proxytest.UpgradeRequest())
		gone.CloseWrite()
		p.WaitEnd(t).Want(t, "client-left", 499, "client")
	}
	p.WaitMetric(t, 0, "culvert_requests_waiting")
	last := waits(t, p, proxytest.UpgradeRequest(), 1)
	client.Close()
	backend.Close()
	accept(t, b, last)
}

// TestWhoComesWithItsFINDoesNotWait: what is told only once, together with the head, counts too.
func TestWhoComesWithItsFINDoesNotWait(t *testing.T) {
	t.Parallel()
	p, _ := narrow(t, 1, nil)
	_, _ = p.Tunnel(t)
	gone := p.Dial(t)
	turn := make(chan struct{})
	p.Server().Post(func() { <-turn })
	gone.Send(proxytest.UpgradeRequest())
	gone.CloseWrite()
	close(turn)
	p.WaitEnd(t).Want(t, "client-left", 499, "client")
}

func TestWhatComesWhileARequestWaitsIsKept(t *testing.T) {
	t.Parallel()
	p, b := narrow(t, 2, func(c *proxy.Config, _ *proxy.GroupConfig) { c.KeepAliveRequests = 10 })
	client, backend := p.Tunnel(t)
	early := waits(t, p, proxytest.UpgradeRequest()+proxytest.ClientText("with the head"), 1)
	early.Send(proxytest.ClientText("while waiting"))
	second := waits(t, p, "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo", 2)
	second.Send("dyGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	client.Close()
	backend.Close()
	backend = accept(t, b, early)
	backend.Want(proxytest.ClientText("with the head") + proxytest.ClientText("while waiting"))
	early.Close()
	backend.Close()
	for _, body := range []string{"body", ""} {
		backend = b.Accept()
		backend.ReadHead()
		backend.Want(body)
		backend.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		wantStatus(t, second, 200)
		backend.Close()
	}
	second.WantEOF()
}

// heldBack starts narrow with two loops, whose first one turns no more until release is called. A tunnel has the only place,
// on the second loop; onFirst and onSecond wait, on the loops of their names, in this order.
func heldBack(t testing.TB) (p *proxytest.Proxy, b *proxytest.Backend, free func(), onFirst, onSecond *proxytest.Conn, release func()) {
	t.Helper()
	p, b = narrow(t, 2, nil)
	client := dialLoop(t, p, 1)
	client.Send(proxytest.UpgradeRequest())
	backend := accept(t, b, client)
	onFirst, onSecond = dialLoop(t, p, 0), dialLoop(t, p, 1)
	onFirst.Send(proxytest.UpgradeRequest())
	p.WaitMetric(t, 1, "culvert_requests_waiting")
	onSecond.Send(proxytest.UpgradeRequest())
	p.WaitMetric(t, 2, "culvert_requests_waiting")
	turn, held := make(chan struct{}), make(chan struct{})
	p.Server().Post(func() { close(held); <-turn })
	<-held
	return p, b, func() { client.Close(); backend.Close() }, onFirst, onSecond, func() { close(turn) }
}

// dialLoop connects a client that is on this loop of two.
func dialLoop(t testing.TB, p *proxytest.Proxy, loop int) *proxytest.Conn {
	t.Helper()
	for {
		before := p.Metric(t, "culvert_client_connections_active")
		label := fmt.Sprintf("loop=%d", loop)
		own := p.Metric(t, "culvert_client_connections_total", label)
		c := p.Dial(t)
		p.WaitMetric(t, before+1, "culvert_client_connections_active")
		proxytest.Eventually(t, "the connection is some loop's", func() bool {
			return p.Metric(t, "culvert_client_connections_total") >= p.Metric(t, "culvert_exchanges_active")
		})
		if p.Metric(t, "culvert_client_connections_total", label) > own {
			return c
		}
		c.Close()
		p.WaitMetric(t, before, "culvert_client_connections_active")
	}
}

// TestAPlaceIsNotLostWithWhoWasCalledForIt: the first in line is called, and has left before it hears of it.
func TestAPlaceIsNotLostWithWhoWasCalledForIt(t *testing.T) {
	t.Parallel()
	p, b, free, first, second, release := heldBack(t)
	first.Close() // its loop is told of that first
	free()
	proxytest.Eventually(t, "the place is free", func() bool { return p.Server().Connections() == 0 })
	release()
	accept(t, b, second)
}

// TestNobodyOvertakesWhoWasCalled: neither the next in line nor one that comes while the first has not answered yet.
func TestNobodyOvertakesWhoWasCalled(t *testing.T) {
	t.Parallel()
	p, b, free, first, second, release := heldBack(t)
	free()
	proxytest.Eventually(t, "the place is free", func() bool { return p.Server().Connections() == 0 })
	if err := p.Server().WeighBackend(proxy.DefaultGroup, "b0", 2); err != nil { // all have reason to look
		t.Fatal(err)
	}
	looked := make(chan struct{})
	p.Server().PostTo(1, func() { close(looked) })
	<-looked
	release()
	backend := accept(t, b, first)
	second.WantNothing()
	first.Close()
	backend.Close()
	accept(t, b, second)
}

// TestALineThatWasCalledInVainKeepsItsOrder: backends stand otherwise than before, but there is no place.
func TestALineThatWasCalledInVainKeepsItsOrder(t *testing.T) {
	t.Parallel()
	p, b := narrow(t, 1, nil)
	client, backend := p.Tunnel(t)
	var line []*proxytest.Conn
	for n := range 4 {
		line = append(line, waits(t, p, proxytest.UpgradeRequest(), n+1))
	}
	for weight := 1; weight <= 3; weight++ {
		if err := p.Server().WeighBackend(proxy.DefaultGroup, "b0", weight); err != nil {
			t.Fatal(err)
		}
	}
	for _, next := range line {
		client.Close()
		backend.Close()
		client, backend = next, accept(t, b, next)
	}
}

// TestALargeGroupIsFullOnlyWhenAllAre: the turn is with many that are, and one has a place.
func TestALargeGroupIsFullOnlyWhenAllAre(t *testing.T) {
	t.Parallel()
	var tellers []*teller
	for n := range 24 {
		tellers = append(tellers, newTeller(t, fmt.Sprintf("t%d", n), nil))
	}
	p := startTellers(t, tellers, func(_ *proxy.Config, g *proxy.GroupConfig) {
		for i := range g.Backends {
			g.Backends[i].MaxConnections = 1
		}
	})
	tunnels := map[string]*proxytest.Conn{}
	for range tellers {
		c := p.Dial(t)
		tunnels[who(inquiry{upgrade: true}.on(t, c, 101))] = c
	}
	if len(tunnels) != len(tellers) {
		t.Fatalf("%d backends have all %d tunnels", len(tunnels), len(tellers))
	}
	for name, c := range tunnels {
		c.Close()
		p.WaitMetric(t, 23, "culvert_backend_connections_active")
		c = p.Dial(t)
		if head := (inquiry{upgrade: true}).on(t, c, 101); who(head) != name {
			t.Errorf("%s has a place, and %s gets the tunnel", name, who(head))
		}
		tunnels[name] = c
	}
}

// TestAFINMeansLeavingAlsoWhileWaiting: where a FIN means that, also while it waits.
func TestAFINMeansLeavingAlsoWhileWaiting(t *testing.T) {
	t.Parallel()
	p, _ := narrow(t, 2, func(c *proxy.Config, _ *proxy.GroupConfig) { c.AbortOnClientFIN = true })
	_, _ = p.Tunnel(t)
	waits(t, p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1).CloseWrite()
	p.WaitMetric(t, 0, "culvert_requests_waiting")
	p.WaitEnd(t).Want(t, "client-left", 499, "client")
}
