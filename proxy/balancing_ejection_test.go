package proxy_test

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/health"
	"culvert/proxy/proxytest"
)

// Backends that are ejected for what became of their requests.

// moody is a backend that treats each connection as its mood is.
type moody struct {
	*proxytest.Backend
	mood   atomic.Value // a function of its connection and the head of the request
	served atomic.Int64
}

func newMoody(t testing.TB) *moody {
	t.Helper()
	m := &moody{Backend: proxytest.NewBackend(t)}
	m.is(content)
	m.Serve(func(c *proxytest.Conn) {
		if c.TryReadHead() {
			m.served.Add(1)
			m.mood.Load().(func(*proxytest.Conn, string))(c, c.Received())
		}
	})
	return m
}

func (m *moody) is(mood func(c *proxytest.Conn, head string)) { m.mood.Store(mood) }

// hello is what clients say in their tunnels.
var hello = proxytest.ClientText("hello")

// content answers well, and ends a tunnel once the client has said something.
func content(c *proxytest.Conn, head string) {
	if proxytest.Field(head, "Upgrade") == "" {
		_ = c.TrySend("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nmoody")
		return
	}
	_ = c.TrySend(proxytest.SwitchingProtocols(head))
	_, _ = io.ReadFull(c.Stream(), make([]byte, len(hello)))
}

func babbles(c *proxytest.Conn, _ string) { _ = c.TrySend("what do you want?\r\n\r\n") }

func hangsUp(*proxytest.Conn, string) {}

func resets(c *proxytest.Conn, _ string) { c.Reset() }

func upgradesWrong(c *proxytest.Conn, head string) {
	_ = c.TrySend(proxytest.SwitchingProtocols(strings.Replace(head, proxytest.Key, "AAAA"+proxytest.Key[4:], 1)))
	c.TryReadHead()
}

// resetsTunnels opens a tunnel and resets it once the client has said something.
func resetsTunnels(c *proxytest.Conn, head string) {
	_ = c.TrySend(proxytest.SwitchingProtocols(head))
	_, _ = io.ReadFull(c.Stream(), make([]byte, len(hello)))
	c.Reset()
}

// flock are moody backends b0 and so on, and the proxy before them.
type flock struct {
	t       testing.TB
	p       *proxytest.Proxy
	members []*moody
}

// startFlock ejects after 3 failures unless change says otherwise.
func startFlock(t testing.TB, n int, change func(*proxy.Config, *health.OutlierSettings)) *flock {
	t.Helper()
	f := &flock{t: t}
	var backends []*proxytest.Backend
	for range n {
		m := newMoody(t)
		f.members, backends = append(f.members, m), append(backends, m.Backend)
	}
	f.p = proxytest.Start(t, proxytest.Options{Backends: backends, Config: func(c *proxy.Config) {
		settings := health.DefaultOutlierSettings()
		settings.Failures, settings.Base, settings.Longest = 3, int64(time.Hour), int64(24*time.Hour)
		c.Groups[0].Outliers = &settings
		if change != nil {
			change(c, &settings)
		}
	}})
	return f
}

// are has the first backends have these moods.
func (f *flock) are(moods ...func(*proxytest.Conn, string)) {
	for i, mood := range moods {
		f.members[i].is(mood)
	}
}

// get sends requests until a backend has had n more, and returns the last answer.
func (f *flock) get(i, n int) (answer string) {
	f.t.Helper()
	f.until(i, n, func() { answer, _ = ask(f.t, f.p, "") })
	return answer
}

// tunnels opens tunnels until a backend has had n more, each until the backend ends it.
func (f *flock) tunnels(i, n int) {
	f.t.Helper()
	f.until(i, n, func() {
		c := f.p.Dial(f.t)
		c.Send(proxytest.UpgradeRequest())
		if strings.HasPrefix(c.ReadHead(), "HTTP/1.1 101 ") {
			c.Send(hello)
			c.ReadUntilGone()
		}
		c.Close()
		f.p.WaitMetric(f.t, 0, "culvert_tunnels_active")
	})
}

// until does something until a backend has had n more requests, which the others may have their part of.
func (f *flock) until(i, n int, do func()) {
	f.t.Helper()
	had := f.members[i].served.Load()
	for range len(f.members) * (n + 1) {
		if f.members[i].served.Load() >= had+int64(n) {
			return
		}
		do()
	}
	if got := f.members[i].served.Load() - had; got < int64(n) {
		f.t.Fatalf("b%d had %d requests, want %d", i, got, n)
	}
}

func (f *flock) wantStanding(want ...string) {
	f.t.Helper()
	wantStanding(f.t, f.p, want...)
}

// TestFailuresThatEject: three in a row do, with a success in between they are none in a row.
func TestFailuresThatEject(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		mood func(*proxytest.Conn, string)
		work func(f *flock, i, n int)
	}{
		{"no answer of HTTP", babbles, func(f *flock, i, n int) { f.get(i, n) }},
		{"a FIN for an answer", hangsUp, func(f *flock, i, n int) { f.get(i, n) }},
		{"a reset for an answer", resets, func(f *flock, i, n int) { f.get(i, n) }},
		{"a 101 that is none", upgradesWrong, (*flock).tunnels},
		{"a tunnel that is reset at once", resetsTunnels, (*flock).tunnels},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := startFlock(t, 2, nil)
			f.are(test.mood)
			test.work(f, 0, 2)
			f.are(content)
			test.work(f, 0, 1)
			f.are(test.mood)
			test.work(f, 0, 2)
			f.wantStanding("serving", "serving")
			test.work(f, 0, 1)
			f.p.WaitStatus(t, "b0", "ejected")
			f.wantStanding("ejected", "serving")
			had := f.members[0].served.Load()
			test.work(f, 1, 3)
			if n := f.members[0].served.Load(); n != had {
				t.Errorf("the ejected backend got %d requests", n-had)
			}
			if n := f.p.Metric(t, "culvert_backends_unhealthy"); n != 1 {
				t.Errorf("%v backends are unhealthy", n)
			}
			wantToldInOrder(t, f.p, `"level":"warn","group":"default","backend":"b0","was":"serving","status":"ejected"`)
		})
	}
}

// TestConnectsThatFailEject: refused, or given up in time.
func TestConnectsThatFailEject(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]netip.AddrPort{"refused": proxytest.Refuses(t), "silent": proxytest.NeverAnswers(t)} {
		t.Run(name, func(t *testing.T) {
			good := newSite(t, "good")
			p := proxytest.Start(t, proxytest.Options{Addresses: []netip.AddrPort{address, good.address}, Config: func(c *proxy.Config) {
				c.Timeouts.Connect = 500 * time.Millisecond // which the good one needs none of, however busy the machine is
				settings := health.DefaultOutlierSettings()
				settings.Failures = 2
				c.Groups[0].Outliers, c.Groups[0].RetryShare = &settings, 100
			}})
			for n := 0; p.Metric(t, "culvert_backend_dial_failures_total") < 2 && n < 10; n++ {
				wantAnswers(t, p, 1, "good")
			}
			wantStanding(t, p, "ejected", "serving")
			wantAnswers(t, p, 4, "good")
			if n := p.Metric(t, "culvert_backend_dial_failures_total"); n != 2 {
				t.Errorf("%v dials have failed: the ejected backend is tried", n)
			}
		})
	}
}

// TestATunnelThatHasLivedIsNoFailure, however it ends, and a success while it lives.
func TestATunnelThatHasLivedIsNoFailure(t *testing.T) {
	t.Parallel()
	f := startFlock(t, 2, nil)
	f.are(resetsTunnels, resetsTunnels)
	f.tunnels(0, 2)
	var clients []*proxytest.Conn
	for range 6 {
		c := f.p.Dial(t)
		c.Send(proxytest.UpgradeRequest())
		c.ReadHead()
		clients = append(clients, c)
	}
	<-time.After(time.Duration(health.EarlyReset))
	f.are(babbles, babbles)
	f.get(0, 2)
	f.wantStanding("serving", "serving")
	for _, c := range clients {
		c.Send(hello)
		c.WantReset()
	}
	f.p.WaitMetric(t, 0, "culvert_tunnels_active")
	f.wantStanding("serving", "serving")
}

// TestEjectionsLastLonger, each time by what the first one lasts, until the backend has been good for long.
func TestEjectionsLastLonger(t *testing.T) {
	t.Parallel()
	f := startFlock(t, 2, nil)
	t.Cleanup(f.p.Server().HaltSteward())
	f.are(babbles)
	now, tend := f.p.Server().Now(), f.p.Server().Tend
	eject := func(lasting time.Duration) {
		t.Helper()
		f.get(0, 3)
		end := now + int64(lasting)
		if next := tend(now); next != end || reported(f.p, "b0").Status != "ejected" {
			t.Fatalf("it is %s, and that changes after %v; want ejected, for %v", reported(f.p, "b0").Status, time.Duration(next-now), lasting)
		}
		if tend(end - 1); reported(f.p, "b0").Status != "ejected" {
			t.Errorf("it is back before the end of %v", lasting)
		}
		if tend(end); reported(f.p, "b0").Status != "serving" {
			t.Errorf("it is not back at the end of %v", lasting)
		}
		now = end
	}
	eject(time.Hour)
	eject(2 * time.Hour)
	eject(3 * time.Hour)
	now += int64((3 + 2 + 1) * time.Hour)
	eject(time.Hour)
}

// TestNoMoreAreEjectedThanMay: the only one that is left never is.
func TestNoMoreAreEjectedThanMay(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ servers, percent, ejected int }{{1, 50, 0}, {1, 99, 0}, {2, 50, 1}, {3, 50, 1}, {4, 50, 2}, {2, 0, 0}, {2, 100, 2}} {
		t.Run(fmt.Sprintf("%d of %d at %d%%", test.ejected, test.servers, test.percent), func(t *testing.T) {
			f := startFlock(t, test.servers, func(_ *proxy.Config, s *health.OutlierSettings) { s.MostEjected = test.percent })
			for _, m := range f.members {
				m.is(babbles)
			}
			for range 12 * test.servers { // twice as many as it takes with every one of them
				ask(t, f.p, "")
			}
			ejected := 0
			for i := range f.members {
				if standing(f.p, fmt.Sprint("b", i)).Status == "ejected" {
					ejected++
				}
			}
			status := "502"
			if test.ejected == test.servers {
				status = "503"
			}
			head, _ := ask(t, f.p, "")
			if ejected != test.ejected || !strings.HasPrefix(head, "HTTP/1.1 "+status) {
				t.Errorf("%d are ejected, and a request gets %q", ejected, head)
			}
		})
	}
}

// TestWhoIsDrainedDoesNotCount: who is left is let in again.
func TestWhoIsDrainedDoesNotCount(t *testing.T) {
	t.Parallel()
	f := startFlock(t, 2, nil)
	f.are(babbles)
	f.get(0, 3)
	f.wantStanding("ejected", "serving")
	if err := f.p.Server().DrainBackend(proxy.DefaultGroup, "b1", 0); err != nil {
		t.Fatal(err)
	}
	f.wantStanding("serving", "draining")
	f.get(0, 6)
	f.wantStanding("serving", "draining")
}

// TestEjectionsOutliveReloads, those that leave the group as it is and those that do not.
func TestEjectionsOutliveReloads(t *testing.T) {
	t.Parallel()
	f := startFlock(t, 2, nil)
	t.Cleanup(f.p.Server().HaltSteward())
	f.are(babbles)
	f.get(0, 3)
	end := f.p.Server().Tend(f.p.Server().Now())
	f.p.Reload(t, func(c *proxy.Config) { c.Announce.Via = true })
	f.wantStanding("ejected", "serving")
	third := newSite(t, "third")
	f.p.Reload(t, func(c *proxy.Config) {
		c.Groups[0].Backends = append(c.Groups[0].Backends, proxy.BackendConfig{Name: "b2", Address: third.address, Weight: 1})
	})
	f.wantStanding("ejected", "serving", "serving")
	if next := f.p.Server().Tend(end - 1); next != end {
		t.Errorf("it ends %v later than before", time.Duration(next-end))
	}
	f.wantStanding("ejected", "serving", "serving")
	f.p.Reload(t, func(c *proxy.Config) { c.Groups[0].Backends = c.Groups[0].Backends[:1] })
	f.wantStanding("serving") // it is the only one
}

// TestOutliersOff: nobody is ejected, whoever is comes back, and what has failed before does not count later.
func TestOutliersOff(t *testing.T) {
	t.Parallel()
	f := startFlock(t, 2, nil)
	t.Cleanup(f.p.Server().HaltSteward())
	f.are(babbles)
	f.get(0, 3)
	f.wantStanding("ejected", "serving")
	settings := health.DefaultOutlierSettings()
	settings.Failures = 3
	off := func(c *proxy.Config) { c.Groups[0].Outliers = nil }
	on := func(c *proxy.Config) { c.Groups[0].Outliers = &settings }
	f.p.Reload(t, off)
	f.wantStanding("serving", "serving")
	if answer := f.get(0, 7); !strings.HasPrefix(answer, "HTTP/1.1 502 ") {
		t.Errorf("the last answer is %q", answer)
	}
	f.wantStanding("serving", "serving")
	f.are(content)
	f.p.Reload(t, on)
	f.get(0, 1)
	f.are(babbles)
	f.get(0, 3) // which is not looked at
	f.p.Reload(t, off)
	f.p.Reload(t, on)
	f.wantStanding("serving", "serving")
}
