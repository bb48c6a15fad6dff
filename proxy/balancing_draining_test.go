package proxy_test

import (
	"strings"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/health"
	"culvert/proxy/proxytest"
)

// What becomes of the tunnels and the requests of a backend that is taken out of use. Time passes for the steward when a
// test says so.

// leaving is a proxy with tunnels to its backend b0; b1, a site, gets nothing until b0 is out of use.
type leaving struct {
	t       *testing.T
	p       *proxytest.Proxy
	b0      *proxytest.Backend
	b1      *site
	clients []*proxytest.Conn // the oldest first
	servers []*proxytest.Conn
}

// endRate is in tunnels per second.
const endRate = 10

func startLeaving(t *testing.T, tunnels int, change func(*proxy.Config)) *leaving {
	t.Helper()
	l := &leaving{t: t, b0: proxytest.NewBackend(t), b1: newSite(t, "b1")}
	l.p = proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{l.b0}, Addresses: addresses(l.b1), Config: func(c *proxy.Config) {
		c.Groups[0].EndRate = endRate
		c.Groups[0].Backends[1].Weight = 0
		if change != nil {
			change(c)
		}
	}})
	for range tunnels {
		client, server := l.p.Tunnel(t)
		l.clients, l.servers = append(l.clients, client), append(l.servers, server)
	}
	l.order(l.p.Server().WeighBackend(proxy.DefaultGroup, "b1", 1))
	t.Cleanup(l.p.Server().HaltSteward())
	return l
}

func (l *leaving) order(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *leaving) drain(limit time.Duration) {
	l.t.Helper()
	l.order(l.p.Server().DrainBackend(proxy.DefaultGroup, "b0", limit))
}

// live wants so many tunnels to be left, the youngest: they carry messages both ways, and the others have ended.
func (l *leaving) live(n int) {
	l.t.Helper()
	gone := len(l.clients) - n
	for i, client := range l.clients {
		if server := l.servers[i]; i < gone {
			client.WantEOF()
			server.WantEOF()
		} else {
			client.Send(proxytest.ClientText("still"))
			server.Want(proxytest.ClientText("still"))
			server.Send(proxytest.ServerText("here"))
			client.Want(proxytest.ServerText("here"))
		}
	}
	if active := l.p.Metric(l.t, "culvert_tunnels_active"); active != float64(n) {
		l.t.Errorf("%v tunnels are active, want %d", active, n)
	}
}

// ended wants so many tunnels to have ended for this reason, as log and metrics tell, and none for another.
func (l *leaving) ended(n int, reason string) {
	l.t.Helper()
	all, these := l.p.Metric(l.t, "culvert_tunnels_ended_total"), l.p.Metric(l.t, "culvert_tunnels_ended_total", "reason="+reason)
	if all != float64(n) || these != float64(n) {
		l.t.Errorf("%v tunnels have ended, %v of them as %s; want %d", all, these, reason, n)
	}
	lines := 0
	for _, line := range l.p.Log() {
		if line.Text("event") == "tunnel-end" {
			line.Want(l.t, reason, 101, "proxy")
			lines++
		}
	}
	if lines != n {
		l.t.Errorf("%d lines tell of the end of a tunnel, want %d", lines, n)
	}
}

const betweenEnds = int64(time.Second) / endRate

// TestTunnelsEndAtTheirRate: not one before the deadline, and then the oldest first, one after the other.
func TestTunnelsEndAtTheirRate(t *testing.T) {
	t.Parallel()
	for name, drain := range map[string]func(*leaving){
		"by the operator": func(l *leaving) { l.drain(time.Hour) },
		"by configuration": func(l *leaving) {
			l.p.Reload(t, func(c *proxy.Config) {
				c.Groups[0].Backends[0].Drain, c.Groups[0].Backends[0].DrainFor = true, time.Hour
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := startLeaving(t, 4, nil)
			tend := l.p.Server().Tend
			before := l.p.Server().Now()
			drain(l)
			after := l.p.Server().Now()
			next := tend(after)
			if next < before+int64(time.Hour) || next > after+int64(time.Hour) {
				t.Fatalf("the tunnels are to end after %v, want an hour", time.Duration(next-before))
			}
			wantStanding(t, l.p, "draining", "serving")
			wantAnswers(t, l.p, 3, "b1")
			for left := 4; left > 0; left-- {
				tend(next - 1)
				l.live(left)
				then := tend(next)
				l.live(left - 1)
				if then != next+betweenEnds && left > 1 {
					t.Fatalf("the next tunnel ends %v after the last", time.Duration(then-next))
				}
				next = then
			}
			l.ended(4, "drained")
			if then := tend(next); then < next+int64(time.Second) {
				t.Errorf("with nothing left to be ended, the steward looks again after %v", time.Duration(then-next))
			}
		})
	}
}

// TestAllTunnelsEndAtOnceWithoutARate, over all loops.
func TestAllTunnelsEndAtOnceWithoutARate(t *testing.T) {
	t.Parallel()
	l := startLeaving(t, 8, func(c *proxy.Config) { c.Groups[0].EndRate, c.Loops = 0, 3 })
	l.drain(time.Hour)
	next := l.p.Server().Tend(l.p.Server().Now())
	l.p.Server().Tend(next - 1)
	l.live(8)
	l.p.Server().Tend(next)
	l.live(0)
	l.ended(8, "drained")
}

// TestTheRateIsOfAllLoops: those of three are no faster than one.
func TestTheRateIsOfAllLoops(t *testing.T) {
	t.Parallel()
	l := startLeaving(t, 8, func(c *proxy.Config) { c.Loops = 3 })
	l.drain(time.Hour)
	next := l.p.Server().Tend(l.p.Server().Now())
	for ended := range 8 {
		if n := l.p.Metric(t, "culvert_tunnels_active"); n != float64(8-ended) {
			t.Fatalf("%v tunnels are left, want %d", n, 8-ended)
		}
		next = l.p.Server().Tend(next)
		l.p.WaitMetric(t, float64(7-ended), "culvert_tunnels_active")
	}
	l.live(0)
	l.ended(8, "drained")
}

// TestTheEndOfTunnelsIsStopped by whoever uses the backend again, or gives it more time.
func TestTheEndOfTunnelsIsStopped(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(*leaving){
		"used again":      func(l *leaving) { l.order(l.p.Server().UndrainBackend(proxy.DefaultGroup, "b0")) },
		"drained forever": func(l *leaving) { l.drain(0) },
		"drained longer":  func(l *leaving) { l.drain(24 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			l := startLeaving(t, 4, nil)
			tend := l.p.Server().Tend
			l.drain(time.Hour)
			next := tend(tend(tend(l.p.Server().Now())))
			l.live(2)
			stop(l)
			tend(next)
			tend(next + int64(time.Hour))
			l.live(2)
			l.ended(2, "drained")
			if name == "used again" {
				wantStanding(t, l.p, "serving", "serving")
				l.order(l.p.Server().WeighBackend(proxy.DefaultGroup, "b1", 0))
				l.p.Tunnel(t)
			}
		})
	}
}

// TestTheOperatorUsesWhatTheConfigurationDrains: its tunnels are left alone, also by reloads, until the configuration has it
// drained no more; what it says after that counts again.
func TestTheOperatorUsesWhatTheConfigurationDrains(t *testing.T) {
	t.Parallel()
	l := startLeaving(t, 4, nil)
	tend := l.p.Server().Tend
	reload := func(drain bool, rate int) {
		l.p.Reload(t, func(c *proxy.Config) {
			c.Groups[0].EndRate = rate
			b := &c.Groups[0].Backends[0]
			b.Drain, b.DrainFor = drain, 0
			if drain {
				b.DrainFor = time.Hour
			}
		})
	}
	reload(true, endRate)
	wantStanding(t, l.p, "draining", "serving")
	next := tend(tend(l.p.Server().Now()))
	l.live(3)
	l.order(l.p.Server().UndrainBackend(proxy.DefaultGroup, "b0"))
	wantStanding(t, l.p, "serving", "serving")
	reload(true, endRate+1)
	tend(next + int64(time.Hour))
	wantStanding(t, l.p, "serving", "serving")
	l.live(3)
	l.ended(1, "drained")
	l.drain(0)
	wantStanding(t, l.p, "draining", "serving")
	l.order(l.p.Server().UndrainBackend(proxy.DefaultGroup, "b0"))
	wantStanding(t, l.p, "serving", "serving")
	reload(false, endRate)
	wantStanding(t, l.p, "serving", "serving")
	reload(true, endRate)
	wantStanding(t, l.p, "draining", "serving")
	l.live(3)
}

// TestTunnelsOutliveWhatIsNoEnd: a weight of 0, by order or by configuration, and being drained without a limit.
func TestTunnelsOutliveWhatIsNoEnd(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, status string
		take         func(*leaving)
	}{
		{"weight 0", "weight-0", func(l *leaving) { l.order(l.p.Server().WeighBackend(proxy.DefaultGroup, "b0", 0)) }},
		{"configured weight 0", "weight-0", func(l *leaving) {
			l.p.Reload(l.t, func(c *proxy.Config) { c.Groups[0].Backends[0].Weight = 0 })
		}},
		{"drained", "draining", func(l *leaving) { l.drain(0) }},
		{"drained by configuration", "draining", func(l *leaving) {
			l.p.Reload(l.t, func(c *proxy.Config) { c.Groups[0].Backends[0].Drain = true })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := startLeaving(t, 2, nil)
			test.take(&leaving{t: t, p: l.p})
			wantStanding(t, l.p, test.status, "serving")
			wantAnswers(t, l.p, 3, "b1")
			l.p.Server().Tend(l.p.Server().Now() + int64(1000*time.Hour))
			l.live(2)
			l.ended(0, "drained")
		})
	}
}

// checkedElsewhere has b0 be checked at the port of a site, so that a test can have it fail while its tunnels live.
func checkedElsewhere(s *site) *health.Settings {
	return seldom(func(c *health.Settings) { c.Path, c.Port = "/check", s.address.Port() })
}

// TestTunnelsOfABackendThatIsDown live on by default; else they end at their rate, as long as it is down.
func TestTunnelsOfABackendThatIsDown(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, end bool) (*leaving, *site) {
		at := newSite(t, "check")
		l := startLeaving(t, 4, func(c *proxy.Config) {
			c.Groups[0].Check, c.Groups[0].EndWhenDown = checkedElsewhere(at), end
		})
		at.failing.Store(true)
		return l, at
	}
	t.Run("live on", func(t *testing.T) {
		l, _ := start(t, false)
		checkAll(t, l.p)
		checkAll(t, l.p) // one may have found it up before
		wantStanding(t, l.p, "down (status)", "down (status)")
		l.p.Server().Tend(l.p.Server().Now() + int64(1000*time.Hour))
		l.live(4)
		l.ended(0, "backend-down")
	})
	t.Run("end", func(t *testing.T) {
		l, at := start(t, true)
		p, tend := l.p, l.p.Server().Tend
		checkTwice := func() {
			for range 2 {
				over := p.Metric(t, "culvert_health_checks_total") + p.Metric(t, "culvert_backends_checked")
				p.Server().BeginChecks()
				waitChecks(t, p, over)
			}
		}
		checkTwice()
		l.live(4)
		now := p.Server().Now()
		next := tend(now)
		l.live(3)
		if next != now+betweenEnds {
			t.Errorf("the second ends %v after the first", time.Duration(next-now))
		}
		tend(next - 1)
		l.live(3)
		next = tend(next)
		l.live(2)
		at.failing.Store(false)
		checkTwice()
		tend(next)
		tend(next + int64(time.Hour))
		l.live(2)
		l.ended(2, "backend-down")
		if reported(p, "b0").Status != "serving" {
			t.Errorf("b0 is %s", reported(p, "b0").Status)
		}
	})
}

// TestTunnelsEndWhenDownWhateverElseIsSaid: also those of a backend that gets no requests for another reason.
func TestTunnelsEndWhenDownWhateverElseIsSaid(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(*leaving){
		"weight-0": func(l *leaving) { l.order(l.p.Server().WeighBackend(proxy.DefaultGroup, "b0", 0)) },
		"draining": func(l *leaving) { l.drain(0) },
	} {
		t.Run(name, func(t *testing.T) {
			at := newSite(t, "check")
			l := startLeaving(t, 2, func(c *proxy.Config) {
				c.Groups[0].Check, c.Groups[0].EndWhenDown, c.Groups[0].EndRate = checkedElsewhere(at), true, 0
			})
			take(l)
			l.live(2)
			at.failing.Store(true)
			for range 2 { // one may have found it up before
				over := l.p.Metric(t, "culvert_health_checks_total") + l.p.Metric(t, "culvert_backends_checked")
				l.p.Server().BeginChecks()
				waitChecks(t, l.p, over)
			}
			l.p.Server().Tend(l.p.Server().Now())
			l.live(0)
			l.ended(2, "backend-down")
			if status := reported(l.p, "b0").Status; status != name {
				t.Errorf("b0 is %s", status)
			}
		})
	}
}

// TestAReloadChangesTheRateOfTunnelsThatAreBeingEnded, for it is then that an operator sees how fast that is.
func TestAReloadChangesTheRateOfTunnelsThatAreBeingEnded(t *testing.T) {
	t.Parallel()
	l := startLeaving(t, 4, func(c *proxy.Config) { c.Groups[0].EndRate = 1 })
	l.drain(time.Nanosecond) // a reload looks at the present moment
	l.p.Server().Tend(l.p.Server().Now())
	l.live(3)
	l.p.Reload(t, func(c *proxy.Config) { c.Groups[0].EndRate = 0 })
	l.live(0)
	l.ended(4, "drained")
}

// TestRequestsOfADrainedBackendAreAnswered, and its connections end with them.
func TestRequestsOfADrainedBackendAreAnswered(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		take func(*leaving)
	}{
		{"drained", func(l *leaving) { l.drain(time.Nanosecond) }},
		{"removed", func(l *leaving) {
			l.p.Reload(l.t, func(c *proxy.Config) { c.Groups[0].Backends = c.Groups[0].Backends[1:] })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := startLeaving(t, 0, func(c *proxy.Config) {
				livesOnBothSides(c)
				c.Groups[0].EndRate = 0
				c.Groups[0].Backends[1].Weight = 0
			})
			l.order(l.p.Server().WeighBackend(proxy.DefaultGroup, "b1", 0))
			client := l.p.Dial(t)
			client.Send("POST /page HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf")
			server := l.b0.Accept()
			server.ReadHead()
			server.Want("half")
			l.order(l.p.Server().WeighBackend(proxy.DefaultGroup, "b1", 1))
			test.take(&leaving{t: t, p: l.p})
			tend := l.p.Server().Tend
			tend(tend(l.p.Server().Now()) + int64(time.Hour))
			client.Send("rest")
			server.Want("rest")
			server.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
			tend(l.p.Server().Now() + int64(time.Hour))
			server.Send("done")
			if head := client.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
				t.Errorf("the request gets %q", head)
			}
			client.Want("done")
			l.p.WaitEnd(t).Want(t, "complete", 200, "backend")
			if test.name == "removed" {
				server.WantEOF() // it is not kept for others
			}
		})
	}
}
