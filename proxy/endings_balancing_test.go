package proxy_test

import (
	"time"

	"culvert/proxy"
	"culvert/proxy/health"
	"culvert/proxy/proxytest"
)

// The endings of docs/endings.md that come of balancing: of requests that wait for a backend with a free place, and of
// tunnels whose backend is out of use.

// queue has a tunnel take the backend's only place, and the row's client stand in line with a request.
func (e *ending) queue(request string, timeout time.Duration) (takes *proxytest.Conn) {
	e.t.Helper()
	e.start(func(c *proxy.Config) {
		c.Groups[0].Backends[0].MaxConnections, c.Groups[0].Queue, c.Groups[0].QueueTimeout = 1, 1, timeout
	})
	takes, _ = e.p.Tunnel(e.t)
	e.dial()
	e.client.Send(request)
	return takes
}

// waiting is queue for long.
func (e *ending) waiting(request string) (takes *proxytest.Conn) {
	e.t.Helper()
	takes = e.queue(request, longTimeout)
	e.p.WaitMetric(e.t, 1, "culvert_requests_waiting")
	return takes
}

// waitedInVain: nobody waits any more, and the backend was dialed for the tunnel alone.
func (e *ending) waitedInVain() {
	e.t.Helper()
	e.p.WaitMetric(e.t, 0, "culvert_requests_waiting")
	e.tried(1)
}

// drainAtOnce takes the backend out of use, and has its tunnels end.
func (e *ending) drainAtOnce() {
	e.t.Helper()
	if err := e.p.Server().DrainBackend(proxy.DefaultGroup, "b0", time.Nanosecond); err != nil {
		e.t.Fatal(err)
	}
}

var balancingEndings = map[string]func(*ending){
	"D14": func(e *ending) {
		e.queue(plainRequest, shortTimeout)
		e.refused(503)
		e.waitedInVain()
		e.lingers(e.client)
	},
	"D15": func(e *ending) {
		e.waiting(proxytest.UpgradeRequest())
		e.client.CloseWrite()
		e.client.WantEOF()
		e.released(e.client)
		e.waitedInVain()
	},
	"D16": func(e *ending) {
		takes := e.waiting(plainRequest)
		e.client.CloseWrite()
		takes.Reset()
		e.p.WaitEnd(e.t).Want(e.t, "client-reset", 101, "client")
		e.accept()
		e.answered()
	},
	"D17": func(e *ending) {
		e.waiting(plainRequest)
		e.client.Reset()
		e.released(e.client)
		e.waitedInVain()
	},
	"D18": func(e *ending) {
		e.waiting(plainRequest)
		e.drainAtOnce() // which ends the tunnel too
		e.p.WaitLog(e.t, func(l proxytest.Line) bool { return l.Text("reason") == "drained" })
		e.refused(503)
		e.judged = true
		e.p.WaitLog(e.t, func(l proxytest.Line) bool { return l.Text("event") == "request" }).Want(e.t, e.row.reason, e.row.status, e.row.by[0])
		e.waitedInVain()
		e.lingers(e.client)
	},
	"T52": nearClient(drainedOpen),
	"T53": nearClient(drainedPending),
	"T54": nearClient(drainedHalfClosed),
	"T55": nearClient(drainedInFrame),
	"T56": nearClient(downOpen),
	"T57": nearClient(downPending),
}

func drainedOpen(s *sides) {
	s.open(nil)
	s.drainAtOnce()
	s.finished()
}

func drainedPending(s *sides) {
	s.openNarrow(nil)
	sent := s.fill(s.far)
	s.drainAtOnce()
	s.logged()
	s.prefix(s.near.ReadUntilEOF(), sent, false)
	s.far.ReadUntilGone()
	s.letGo()
}

// letGo ends lingering closes that would wait for a FIN behind more than they read.
func (s *sides) letGo() {
	s.t.Helper()
	for _, c := range []*proxytest.Conn{s.near, s.far} {
		c.Reset()
		s.p.WaitReleased(s.t, c)
	}
}

func drainedHalfClosed(s *sides) {
	s.open(nil)
	s.near.CloseWrite()
	s.far.WantEOF()
	s.drainAtOnce()
	s.near.WantEOF()
	s.released(s.near)
	s.lingers(s.far)
}

func drainedInFrame(s *sides) {
	s.open(nil)
	s.far.Send(s.farHeader + "begun")
	s.near.Want(s.farHeader + "begun")
	s.drainAtOnce()
	s.finished()
}

// goDown has the backend of the tunnel be found down. Its checks begin with that, lest one be taken for the tunnel.
func (s *sides) goDown() {
	s.t.Helper()
	s.backend.StopListening()
	s.p.Reload(s.t, func(c *proxy.Config) {
		c.Groups[0].Check, c.Groups[0].EndWhenDown = seldom(kind(health.TCP)), true
	})
	s.p.Server().BeginChecks()
}

func downOpen(s *sides) {
	s.open(nil)
	s.goDown()
	s.finished()
}

func downPending(s *sides) {
	s.openNarrow(nil)
	sent := s.fill(s.near)
	s.goDown()
	s.logged()
	s.prefix(s.far.ReadUntilEOF(), sent, false)
	s.near.ReadUntilGone()
	s.letGo()
}
