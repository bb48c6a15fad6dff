package proxy_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"culvert/engine"
	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// Dials of further backends, and what bounds them.

// startRefusing starts a proxy before tellers, and backends that refuse: the tellers are asked only when all of these were.
func startRefusing(t testing.TB, refusing int, tellers []*teller, change func(*proxy.GroupConfig)) *proxytest.Proxy {
	t.Helper()
	var backends []*proxytest.Backend
	for _, s := range tellers {
		backends = append(backends, s.Backend)
	}
	var list []netip.AddrPort
	for range refusing {
		list = append(list, proxytest.Refuses(t))
	}
	return proxytest.Start(t, proxytest.Options{Backends: backends, Addresses: list, Config: func(c *proxy.Config) {
		c.KeepAliveRequests, c.BackendIdle = 1000, 100
		g := &c.Groups[0]
		g.RetryShare = 100
		for i := range tellers {
			g.Backends[i].Priority = 1
		}
		if change != nil {
			change(g)
		}
	}})
}

func TestWhatWasNotSentIsTriedElsewhere(t *testing.T) {
	t.Parallel()
	last := newTellers(t, "last")[0]
	p := startRefusing(t, 2, []*teller{last}, nil)
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", proxytest.UpgradeRequest(),
	} {
		c := p.Dial(t)
		c.Send(request)
		if head := c.ReadHead(); who(head) != "last" {
			t.Errorf("%q gets %q", request, head)
		}
		c.Close()
		if l := p.WaitLog(t, func(l proxytest.Line) bool { return l.Text("method") == request[:strings.IndexByte(request, ' ')] }); l.Number("tries") != 3 {
			t.Errorf("the log says %v", l)
		}
	}
	if retries, dials := p.Metric(t, "culvert_dial_retries_total"), p.Metric(t, "culvert_dials_total"); retries != 6 || dials != 8 {
		t.Errorf("3 requests take %v dials, %v of them retries; want 8, for one connection is used twice, and 6", dials, retries)
	}
}

// TestDialsAreBounded: with all backends refusing, many requests take few more dials than there are requests: the share,
// and the free ones.
func TestDialsAreBounded(t *testing.T) {
	t.Parallel()
	const requests, share = 300, 20
	freed := freeDials()
	p := startRefusing(t, 5, nil, func(g *proxy.GroupConfig) { g.RetryShare = share })
	for range requests {
		c := p.Dial(t)
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		wantStatus(t, c, 502)
		c.Close()
	}
	s := p.Scrape(t)
	dials, retries, refused := s.Sum("culvert_dials_total"), s.Sum("culvert_dial_retries_total"), s.Sum("culvert_dial_retries_refused_total")
	most := requests*share/100 + freed()
	if dials != requests+retries || retries > most || retries < requests*share/100 || refused == 0 {
		t.Errorf("%d requests take %v dials, %v of them retries, and %v were refused; want at most %v retries", requests, dials, retries, refused, most)
	}
	p.WaitLog(t, func(l proxytest.Line) bool { return l.Text("reason") == "connect-failed" && l.Number("tries") == 1 }).Want(t, "connect-failed", 502, "backend")
}

// freeDials returns how many dials of further backends are free, at most, from now until it is called.
func freeDials() func() float64 {
	begin := engine.Monotonic()
	return func() float64 { return 10 + 10*time.Duration(engine.Monotonic()-begin).Seconds() }
}

func TestWithoutARetryShareTheFreeOnesAreLeft(t *testing.T) {
	t.Parallel()
	last := newTellers(t, "last")[0]
	freed := freeDials()
	p := startRefusing(t, 1, []*teller{last}, func(g *proxy.GroupConfig) { g.RetryShare = 0 })
	served := 0
	for range 60 {
		if head := (inquiry{}).try(t, p); who(head) == "last" {
			served++
		}
	}
	if most := freed(); served < 10 || float64(served) > most {
		t.Errorf("%d of 60 requests were dialed a second time; want the free ones, 10 to %v", served, most)
	}
}

// TestWhatWasSentIsNotTriedElsewhere: a backend that has taken the connection and then resets it may have done the work.
func TestWhatWasSentIsNotTriedElsewhere(t *testing.T) {
	t.Parallel()
	cruel := proxytest.NewBackend(t)
	cruel.Serve(func(c *proxytest.Conn) {
		c.TryReadHead()
		c.Reset()
	})
	other := newTellers(t, "other")[0]
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{cruel}, Config: func(c *proxy.Config) {
		b := other.Member("other")
		b.Priority = 1
		c.Groups[0].Backends = append(c.Groups[0].Backends, b)
		c.Groups[0].RetryShare = 100
	}})
	for _, request := range []string{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", proxytest.UpgradeRequest()} {
		c := p.Dial(t)
		c.Send(request)
		wantStatus(t, c, 502)
		c.Close()
	}
	if n := len(other.requests()); n != 0 {
		t.Errorf("%d requests were sent a second time", n)
	}
	if n := len(cruel.Connections()); n != 3 {
		t.Errorf("3 requests took %d connections", n)
	}
}

// TestWhoFailsWhileOthersWaitIsToldOfThat: with nobody else to try it does not go to the end of the line.
func TestWhoFailsWhileOthersWaitIsToldOfThat(t *testing.T) {
	t.Parallel()
	p := startRefusing(t, 1, nil, func(g *proxy.GroupConfig) {
		g.Backends[0].MaxConnections, g.Queue, g.QueueTimeout = 1, 100, proxytest.Patience
	})
	turn := make(chan struct{})
	var all []*proxytest.Conn
	for range 40 {
		all = append(all, p.Dial(t))
	}
	p.WaitMetric(t, 40, "culvert_client_connections_active")
	p.Server().Post(func() { <-turn }) // so that they are there all at once
	for _, c := range all {
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	close(turn)
	for _, c := range all {
		wantStatus(t, c, 502)
	}
	for range all {
		p.WaitEnd(t).Want(t, "connect-failed", 502, "backend")
	}
	if n := p.Metric(t, "culvert_requests_queued_total"); n == 0 {
		t.Error("none has waited")
	}
}

// TestWhoHasWaitedIsBoundedToo: a dial of a further backend is one more, also where a place for it was waited for.
func TestWhoHasWaitedIsBoundedToo(t *testing.T) {
	t.Parallel()
	busy := proxytest.NewBackend(t)
	freed := freeDials()
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{busy}, Addresses: []netip.AddrPort{proxytest.Refuses(t)}, Config: func(c *proxy.Config) {
		c.KeepAliveRequests, c.BackendIdle = 1000, 100
		g := &c.Groups[0]
		g.Schedule.Algorithm = "wlc"
		g.Backends[0].MaxConnections, g.Queue, g.QueueTimeout = 1, 100, proxytest.Patience
	}})
	client, backend := p.Tunnel(t)
	var all []*proxytest.Conn
	for range 30 {
		c := p.Dial(t)
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		all = append(all, c)
	}
	p.WaitMetric(t, 30, "culvert_requests_waiting")
	client.Close()
	backend.Close()
	busy.Serve(newTalker("busy"))
	served := 0
	for _, c := range all {
		if strings.HasPrefix(c.ReadHead(), "HTTP/1.1 200 ") {
			served++
		}
	}
	if retries := p.Metric(t, "culvert_dial_retries_total"); served < 5 || float64(served) > freed() || retries < float64(served) {
		t.Errorf("%d of 30 requests got a second dial, and %v are counted; want the free ones", served, retries)
	}
}

// newTalker returns a script that answers every request with 200.
func newTalker(name string) func(c *proxytest.Conn) {
	return func(c *proxytest.Conn) {
		for c.TryReadHead() {
			if c.TrySend(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Teller: %s\r\n\r\n", name)) != nil {
				return
			}
		}
	}
}
