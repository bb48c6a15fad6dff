package proxy_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"culvert/proxy"
	"culvert/proxy/health"
	"culvert/proxy/proxytest"
)

// What follows from checks, and what they leave behind.

// checkAll has every backend be checked once.
func checkAll(t testing.TB, p *proxytest.Proxy) {
	t.Helper()
	over := p.Metric(t, "culvert_health_checks_total") + p.Metric(t, "culvert_backends_checked")
	p.Server().BeginChecks()
	waitChecks(t, p, over)
	p.Server().Tend(p.Server().Now())
}

// wantStanding compares how the backends of the default group stand, in their order: "down (status)" and the like.
func wantStanding(t testing.TB, p *proxytest.Proxy, want ...string) {
	t.Helper()
	for i, w := range want {
		b := standing(p, fmt.Sprintf("b%d", i))
		got := b.Status
		if b.Reason != "" {
			got += " (" + b.Reason + ")"
		}
		if got != w {
			t.Errorf("b%d is %s, want %s", i, got, w)
		}
		status, _, _ := strings.Cut(w, " ")
		if n := p.Metric(t, "culvert_backend_status", "backend="+b.Name, "status="+status); n != 1 {
			t.Errorf("the metric says %v of b%d being %s", n, i, status)
		}
		if n := p.Metric(t, "culvert_backend_status", "backend="+b.Name); n != 1 {
			t.Errorf("b%d has %v statuses at once", i, n)
		}
	}
}

// wantAnswers wants a number of requests to be answered by these alone; none: by 503.
func wantAnswers(t testing.TB, p *proxytest.Proxy, n int, names ...string) {
	t.Helper()
	for range n {
		head, body := ask(t, p, "")
		if len(names) == 0 {
			names = []string{"503"}
		}
		if strings.HasPrefix(head, "HTTP/1.1 503 ") {
			body = "503"
		}
		if !strings.Contains(" "+strings.Join(names, " ")+" ", " "+body+" ") {
			t.Errorf("%q answers, want %v", body, names)
		}
	}
}

func TestChecksTakeBackendsOutAndBringThemBack(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, "a"), newSite(t, "b")
	p := proxytest.Start(t, proxytest.Options{Addresses: addresses(a, b), Config: func(c *proxy.Config) {
		c.Loops = 2
		c.Groups[0].Check = seldom(func(s *health.Settings) { s.Path, s.Unhealthy, s.Healthy = "/check", 3, 2 })
	}})
	rounds := func(n int) {
		t.Helper()
		for range n {
			checkAll(t, p)
		}
	}
	rounds(1)
	if a.checks.Load() == 0 || b.checks.Load() == 0 || p.Metric(t, "culvert_backends_checked") != 2 {
		t.Errorf("a was checked %d times, b %d times", a.checks.Load(), b.checks.Load())
	}
	a.failing.Store(true)
	rounds(2)
	a.failing.Store(false)
	rounds(1) // what counts are three in a row
	a.failing.Store(true)
	rounds(2)
	wantStanding(t, p, "serving", "serving")
	wantAnswers(t, p, 2, "a", "b")
	rounds(1)
	wantStanding(t, p, "down (status)", "serving")
	wantAnswers(t, p, 4, "b")
	if h, u := p.Metric(t, "culvert_backends_healthy"), p.Metric(t, "culvert_backends_unhealthy"); h != 1 || u != 1 {
		t.Errorf("%v are healthy and %v unhealthy, want one each", h, u)
	}
	b.failing.Store(true)
	rounds(3)
	wantStanding(t, p, "down (status)", "down (status)")
	wantAnswers(t, p, 2)
	a.failing.Store(false)
	rounds(1)
	wantAnswers(t, p, 1)
	rounds(1)
	wantStanding(t, p, "serving", "down (status)")
	wantAnswers(t, p, 2, "a")
	good, bad := p.Metric(t, "culvert_health_checks_total", "result=good"), p.Metric(t, "culvert_health_checks_total", "result=bad")
	if good+bad != float64(a.checks.Load()+b.checks.Load()) || bad != 8+5 {
		t.Errorf("%v checks are counted as good and %v as bad, of %d and %d", good, bad, a.checks.Load(), b.checks.Load())
	}
	wantToldInOrder(t, p,
		`"level":"warn","group":"default","backend":"b0","was":"serving","status":"down","detail":"status"`,
		`"level":"warn","group":"default","backend":"b1","was":"serving","status":"down","detail":"status"`,
		`"level":"error","group":"default"`, `no backend of the group takes requests`,
		`"level":"info","group":"default","backend":"b0","was":"down","status":"serving"`,
	)
}

// wantToldInOrder wants the error log to have these pieces, one behind the other, and each once.
func wantToldInOrder(t testing.TB, p *proxytest.Proxy, pieces ...string) {
	t.Helper()
	log := p.ErrorLog()
	rest := log
	for _, piece := range pieces {
		_, after, ok := strings.Cut(rest, piece)
		if !ok {
			t.Errorf("the error log does not have %s in its place", piece)
			continue
		}
		if n := strings.Count(log, piece); n != 1 {
			t.Errorf("the error log has %s %d times", piece, n)
		}
		rest = after
	}
}

// stall is a phase in which a check may stall, and how its backend has it come to that.
type stallingPhase struct {
	name   string
	kind   health.Kind
	way    proxytest.Way
	silent bool // nothing answers the connect
	reach  func(c *proxytest.Conn)
}

var stallingPhases = []stallingPhase{
	{name: "connect", silent: true},
	{name: "handshake", way: proxytest.Way{Backend: proxytest.TLS13}, reach: func(c *proxytest.Conn) { c.ReadExactly(1) }},
	{name: "head", reach: func(c *proxytest.Conn) { c.ReadHead() }},
	{name: "head-over-TLS", way: proxytest.Way{Backend: proxytest.TLS13}, reach: func(c *proxytest.Conn) { c.ReadHead() }},
	{name: "pong", kind: health.WebSocket, reach: func(c *proxytest.Conn) { openChecked(c); readPing(c) }},
}

// stalledCheck is a proxy of one loop in which a check stalls, beside a group that is not checked.
type stalledCheck struct {
	t      *proxytest.T
	p      *proxytest.Proxy
	b      *proxytest.Backend
	c      *proxytest.Conn // the check's at its backend; nil: it is being connected
	timers float64         // before the check
}

func startStalled(t *proxytest.T, phase *stallingPhase) *stalledCheck {
	t.Helper()
	s := &stalledCheck{t: t, b: proxytest.NewBackend(t)}
	other := newSite(t.T, "other")
	s.p = proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{s.b}, Config: func(c *proxy.Config) {
		stalls := c.Groups[0]
		stalls.Name, stalls.Check = "stalls", seldom(kind(phase.kind))
		if phase.silent {
			stalls.Backends[0].Address = proxytest.NeverAnswers(t)
		}
		c.Groups[0].Backends = []proxy.BackendConfig{{Name: "other", Address: other.address, Weight: 1}}
		c.Groups = append(c.Groups, stalls)
	}})
	s.timers = s.p.Metric(t, "culvert_timers")
	s.p.Server().BeginChecks()
	switch {
	case phase.silent: // the next turn of the loop dials
	case phase.name == "handshake":
		s.c = s.b.AcceptRaw()
	default:
		s.c = s.b.Accept()
	}
	if s.c != nil {
		phase.reach(s.c)
		s.p.Watch(t, s.c)
	}
	return s
}

// gone: the check's connection is given up, though its backend keeps its end.
func (s *stalledCheck) gone() {
	s.t.Helper()
	if s.c == nil {
		return
	}
	s.c.ReadUntilGone()
	s.c.Close()
	s.p.WaitReleased(s.t, s.c)
}

// checks wants so many backends to be checked, each with its one timer.
func (s *stalledCheck) checks(n float64) {
	s.t.Helper()
	s.p.WaitMetric(s.t, n, "culvert_backends_checked")
	s.p.WaitMetric(s.t, s.timers-1+n, "culvert_timers")
}

// stallingEnds are what may happen to a check that stalls.
var stallingEnds = map[string]func(*stalledCheck){
	"time": func(s *stalledCheck) {
		s.p.Server().ExpireChecks()
		s.p.WaitMetric(s.t, 1, "culvert_health_checks_total", "result=bad")
		if got := standing(s.p, "b0"); got.Status != "down" || got.Reason != "timeout" {
			s.t.Errorf("the backend is %s, %q", got.Status, got.Reason)
		}
		s.gone()
		s.checks(1)
	},
	"check-removed": func(s *stalledCheck) {
		s.p.Reload(s.t, func(c *proxy.Config) { c.Groups[1].Check = nil })
		s.gone()
		s.checks(0)
	},
	"backend-removed": func(s *stalledCheck) {
		s.p.Reload(s.t, func(c *proxy.Config) { c.Groups = c.Groups[:1] })
		s.gone()
		s.checks(0)
		if text := string(s.p.Scrape(s.t)); strings.Contains(text, `group="stalls"`) {
			s.t.Error("a backend that nothing leads to is still known")
		}
	},
	"backend-replaced": func(s *stalledCheck) {
		s.p.Reload(s.t, func(c *proxy.Config) {
			c.Groups[1].Backends = []proxy.BackendConfig{{Name: "next", Address: proxytest.Refuses(s.t), Weight: 1}}
		})
		s.gone()
		s.checks(1)
		checkAll(s.t, s.p)
		if got := standing(s.p, "next"); got.Status != "down" || got.Reason != "refused" {
			s.t.Errorf("the next backend is %s, %q", got.Status, got.Reason)
		}
	},
	"settings-changed": func(s *stalledCheck) {
		s.p.Reload(s.t, func(c *proxy.Config) {
			c.Groups[1].Check = seldom(func(s *health.Settings) { s.Path = "/other" })
		})
		s.gone()
		s.checks(1)
		if n := s.p.Metric(s.t, "culvert_health_checks_total"); n != 0 {
			s.t.Errorf("%v checks are counted, though that one was given up", n)
		}
		s.p.Server().BeginChecks()
		if s.c != nil {
			asked("HEAD /other HTTP/1.1")(&checked{t: s.t}, s.b.Accept())
			s.p.WaitMetric(s.t, 1, "culvert_health_checks_total", "result=good")
		}
	},
	"settings-same": func(s *stalledCheck) {
		s.p.Reload(s.t, func(c *proxy.Config) {
			again := *c.Groups[1].Check
			c.Groups[1].Check = &again
		})
		s.checks(1)
		s.p.Server().ExpireChecks() // that one goes on
		s.p.WaitMetric(s.t, 1, "culvert_health_checks_total", "result=bad")
		s.gone()
	},
	"shutdown": func(s *stalledCheck) { s.p.Shutdown(s.t); s.gone() },
	"close":    func(s *stalledCheck) { s.p.Close(s.t); s.gone() },
}

// TestAStallingCheckHoldsNobody: the loop goes on with requests while a check stalls, and of the check nothing is left.
func TestAStallingCheckHoldsNobody(t *testing.T) {
	for i := range stallingPhases {
		for end, happens := range stallingEnds {
			phase := &stallingPhases[i]
			t.Run(phase.name+"/"+end, func(t *testing.T) {
				t.Parallel()
				s := startStalled(proxytest.Over(t, phase.way), phase)
				wantAnswers(s.t, s.p, 3, "other")
				happens(s)
			})
		}
	}
}

// TestChecksHaveNoGoroutines, but for the coroutine of a TLS handshake, which any has. It is not parallel, for it counts
// those of the process.
func TestChecksHaveNoGoroutines(t *testing.T) {
	const n = 30
	for _, way := range backendWays[:2] {
		t.Run(onWay(way, "stalling"), func(t *testing.T) {
			over := proxytest.Over(t, way)
			b := proxytest.NewBackend(over)
			p := proxytest.Start(over, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
				for i := range n {
					c.Groups = append(c.Groups, proxy.GroupConfig{Name: fmt.Sprint("g", i), Backends: c.Groups[0].Backends, Check: seldom(nil)})
				}
			}})
			before := runtime.NumGoroutine()
			p.Server().BeginChecks()
			for range n {
				b.Accept().ReadHead()
			}
			if during := runtime.NumGoroutine(); during > before {
				t.Errorf("%d checks under way have %d goroutines", n, during-before)
			}
			p.Server().ExpireChecks()
			p.WaitMetric(t, n, "culvert_health_checks_total", "result=bad")
		})
	}
}

// TestAShutdownForgetsNoFindings: requests under way get none of the backends that are down.
func TestAShutdownForgetsNoFindings(t *testing.T) {
	t.Parallel()
	p := proxytest.Start(t, proxytest.Options{Addresses: []netip.AddrPort{proxytest.Refuses(t)}, Config: func(c *proxy.Config) {
		c.Groups[0].Check = seldom(nil)
		c.ShutdownGrace = longTimeout
	}})
	checkAll(t, p)
	client := p.Dial(t)
	client.Send(partialHead)
	p.WaitMetric(t, 1, "culvert_exchanges_active")
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Shutdown(t)
	}()
	p.WaitMetric(t, 0, "culvert_backends_checked")
	p.Server().Tend(p.Server().Now())
	client.Send("ple.com\r\n\r\n")
	if answer := client.ReadUntilEOF(); !strings.HasPrefix(answer, "HTTP/1.1 503 ") {
		t.Errorf("the request gets %q", answer)
	}
	p.WaitEnd(t).Want(t, "no-backend", 503, "proxy")
	client.Close()
	<-done
	if strings.Contains(p.ErrorLog(), `"status":"serving"`) {
		t.Error("a backend that is down is said to serve at the end")
	}
}
