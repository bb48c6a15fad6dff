package proxy_test

import (
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/health"
	"culvert/proxy/proxytest"
)

// Backends that are new, or back, and begin with a part of their share. Time passes for the steward when a test says so.

// slowly takes an hour in nine steps, from a tenth on.
var slowly = health.SlowStart{Duration: int64(time.Hour), Least: 10}

const slowStep = int64(time.Hour) / 9

// startSlowly begins with a alone, as b0; nobody begins slowly where all begin.
func startSlowly(t *testing.T, change func(*proxy.Config)) (p *proxytest.Proxy, a, b *site) {
	t.Helper()
	a, b = newSite(t, "a"), newSite(t, "b")
	p = proxytest.Start(t, proxytest.Options{Addresses: addresses(a), Config: func(c *proxy.Config) {
		c.Groups[0].SlowStart = slowly
		if change != nil {
			change(c)
		}
	}})
	t.Cleanup(p.Server().HaltSteward())
	if share := standing(p, "b0").Share; share != 100 {
		t.Errorf("the first backend begins with %d %%", share)
	}
	return p, a, b
}

// join adds b as b1.
func join(t *testing.T, p *proxytest.Proxy, b *site) {
	t.Helper()
	p.Reload(t, func(c *proxy.Config) {
		c.Groups[0].Backends = append(c.Groups[0].Backends, proxy.BackendConfig{Name: "b1", Address: b.address, Weight: 1})
	})
}

// wantShare wants b1 to have a share in percent, as status and metric tell, and of so many requests what that makes.
func wantShare(t *testing.T, p *proxytest.Proxy, b *site, share, requests int, of int64) {
	t.Helper()
	if got := reported(p, "b1").Share; got != share {
		t.Errorf("b has %d %% of its share, want %d %%", got, share)
	}
	if got := p.Metric(t, "culvert_backend_share_ratio", "backend=b1"); got != float64(share)/100 {
		t.Errorf("the metric says %v of a share of %d %%", got, share)
	}
	before := b.served.Load()
	for range requests {
		ask(t, p, "")
	}
	if n := b.served.Load() - before; n < of-1 || n > of+1 {
		t.Errorf("with %d %% of its share b had %d of %d requests, want %d", share, n, requests, of)
	}
}

func TestANewBackendBeginsSlowly(t *testing.T) {
	t.Parallel()
	p, _, b := startSlowly(t, nil)
	before := p.Server().Now()
	join(t, p, b)
	after := p.Server().Now()
	next := p.Server().Tend(after)
	if next < before+slowStep || next > after+slowStep {
		t.Fatalf("the share grows after %v", time.Duration(next-before))
	}
	wantShare(t, p, b, 10, 22, 2)
	for step := 1; step <= 9; step++ {
		p.Server().Tend(next - 1)
		if got := reported(p, "b1").Share; got != 10*step {
			t.Errorf("before step %d the share is %d %%", step, got)
		}
		then := p.Server().Tend(next)
		switch step {
		case 4:
			wantShare(t, p, b, 50, 15, 5)
		case 9:
			wantShare(t, p, b, 100, 10, 5)
			if then != health.Never {
				t.Errorf("with all of its share it gets more after %v", time.Duration(then-next))
			}
		default:
			if then != next+slowStep {
				t.Fatalf("step %d is %v behind the one before", step+1, time.Duration(then-next))
			}
		}
		next = then
	}
}

// TestWhoIsBackBeginsSlowly: from its checks, from being drained, from its ejection.
func TestWhoIsBackBeginsSlowly(t *testing.T) {
	t.Parallel()
	grown := func(p *proxytest.Proxy) (now int64) {
		now = p.Server().Now() + slowly.Duration
		p.Server().Tend(now)
		return now
	}
	t.Run("up again", func(t *testing.T) {
		p, a, b := startSlowly(t, func(c *proxy.Config) { c.Groups[0].Check = seldom(func(s *health.Settings) { s.Path = "/check" }) })
		join(t, p, b)
		checkAll(t, p)
		grown(p)
		wantShare(t, p, b, 100, 4, 2)
		b.failing.Store(true)
		checkAll(t, p)
		checkAll(t, p)
		if status := reported(p, "b1").Status; status != "down" {
			t.Fatalf("b is %s", status)
		}
		b.failing.Store(false)
		checkAll(t, p)
		checkAll(t, p)
		wantShare(t, p, b, 10, 22, 2)
		if n := a.served.Load(); n < 20 {
			t.Errorf("a had %d requests", n)
		}
	})
	t.Run("drained no more", func(t *testing.T) {
		p, _, b := startSlowly(t, nil)
		join(t, p, b)
		grown(p)
		wantShare(t, p, b, 100, 4, 2)
		if err := p.Server().DrainBackend(proxy.DefaultGroup, "b1", 0); err != nil {
			t.Fatal(err)
		}
		if err := p.Server().UndrainBackend(proxy.DefaultGroup, "b1"); err != nil {
			t.Fatal(err)
		}
		wantShare(t, p, b, 10, 22, 2)
	})
	t.Run("ejected no more", func(t *testing.T) {
		f := startFlock(t, 2, func(c *proxy.Config, _ *health.OutlierSettings) { c.Groups[0].SlowStart = slowly })
		p := f.p
		t.Cleanup(p.Server().HaltSteward())
		f.are(babbles)
		f.get(0, 3)
		end := p.Server().Tend(p.Server().Now())
		if p.Server().Tend(end); reported(p, "b0").Status != "serving" || reported(p, "b0").Share != 10 {
			t.Errorf("b0 is %s, with %d %%", reported(p, "b0").Status, reported(p, "b0").Share)
		}
		if next := p.Server().Tend(end); next != end+slowStep {
			t.Errorf("its share grows after %v", time.Duration(next-end))
		}
		if p.Server().Tend(end + 8*slowStep); reported(p, "b0").Share != 90 {
			t.Errorf("behind eight steps it has %d %%", reported(p, "b0").Share)
		}
	})
}

// TestASlowStartOutlivesReloads: it goes on from where it is.
func TestASlowStartOutlivesReloads(t *testing.T) {
	t.Parallel()
	p, _, b := startSlowly(t, nil)
	join(t, p, b)
	next := p.Server().Tend(p.Server().Now())
	p.Reload(t, func(c *proxy.Config) { c.Groups[0].Backends[0].Weight = 2 })
	if then := p.Server().Tend(p.Server().Now()); then != next {
		t.Errorf("the next step is %v later than it was", time.Duration(then-next))
	}
	wantShare(t, p, b, 10, 21, 1)
}

// TestABackendThatIsGivenAWeightBeginsSlowly: with none it had no requests. More weight, or less, changes nothing.
func TestABackendThatIsGivenAWeightBeginsSlowly(t *testing.T) {
	t.Parallel()
	p, _, _ := startSlowly(t, nil)
	for _, step := range []struct{ weight, share int }{{5, 100}, {1, 100}, {0, 100}, {2, 10}, {3, 10}} {
		if err := p.Server().WeighBackend(proxy.DefaultGroup, "b0", step.weight); err != nil {
			t.Fatal(err)
		}
		if share := reported(p, "b0").Share; share != step.share {
			t.Errorf("with the weight %d it has %d %% of its share, want %d %%", step.weight, share, step.share)
		}
	}
	p.Server().Tend(p.Server().Now() + int64(time.Hour))
	if share := reported(p, "b0").Share; share != 100 {
		t.Errorf("an hour later it has %d %% of its share", share)
	}
}

// TestABackendIsThereOnce, though two names lead to it: what is said first counts.
func TestABackendIsThereOnce(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, "a"), newSite(t, "b")
	p := proxytest.Start(t, proxytest.Options{Addresses: addresses(a, b, a), Config: func(c *proxy.Config) {
		c.Groups[0].Backends[2].Drain = true
	}})
	wantStanding(t, p, "serving", "serving")
	p.Reload(t, func(c *proxy.Config) { c.Groups[0].Backends[0].Weight = 3 })
	for range 8 {
		ask(t, p, "")
	}
	if a.served.Load() != 6 || b.served.Load() != 2 {
		t.Errorf("a had %d requests, b %d; want 6 and 2", a.served.Load(), b.served.Load())
	}
	if all := p.Server().Backends(); len(all) != 2 || all[0].Name != "b0" {
		t.Errorf("%+v", all)
	}
}
