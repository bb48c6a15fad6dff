//go:build linux && !race

package main

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const (
	// leftPerTunnel is how much of the heap may be left, in bytes for each tunnel that there was: tables and pools do not
	// shrink. leftAgain is by how much that may grow when as many come and go again: what is measured varies so.
	leftPerTunnel, leftAgain = 256, 64
	// leftAnyway is what may be left besides: histograms and the like that are made when they are needed first.
	leftAnyway = 2 << 20
)

// ending is a scene in which a policy ends the tunnels of one server.
type ending struct {
	*play
	name, reason string
	began        time.Time // before anything of the proxy's could
	before       map[string]float64
	owed         int64 // tunnels that are to be ended
	gone         int   // that have
	samples      []sample
}

// sample is how many tunnels the server has, at a moment between two.
type sample struct {
	from, to time.Time
	left     int64
}

func (p *play) beginEnding() *ending {
	p.t.Helper()
	e := &ending{play: p, began: time.Now(), before: p.metrics()}
	e.name, e.reason = p.scene.ends()
	e.owed = p.servers.truth()[e.name]
	if e.owed < endsPerSecond*3/2 {
		p.t.Fatalf("%s has %d tunnels only: that shows no rate", e.name, e.owed)
	}
	return e
}

// second is one second: as any other, but that tunnels of this server may end, and new ones go on to others.
func (e *ending) second(version int) {
	e.t.Helper()
	e.reload(version)
	for range behindReload {
		if e.open() == e.name { // its checks have not found out yet
			e.owed++
		}
	}
	e.look(version)
}

// look counts what has ended.
func (e *ending) look(round int) {
	e.t.Helper()
	s := sample{from: time.Now()}
	s.left = e.servers.truth()[e.name]
	s.to = time.Now()
	e.samples = append(e.samples, s)
	if s.left < e.owed && e.scene.drained != "" && s.to.Sub(e.began) < drainFor {
		e.t.Errorf("%d of %d tunnels have ended before their time", e.owed-s.left, e.owed)
	}
	e.gone += len(e.guests.exchange(round))
	truth := e.servers.truth()
	if others, want := total(truth)-truth[e.name], e.tunnels()-(e.owed-int64(e.gone)); others != want {
		e.t.Fatalf("servers whose tunnels are not to end have %d in all, and should have %d: %v", others, want, truth)
	}
}

// finish waits for the end of the last one: those of the server have ended for that reason, at the rate, and no others.
func (e *ending) finish() int {
	e.t.Helper()
	if e.scene.drained != "" && e.gone == 0 {
		e.t.Errorf("none of %d tunnels has ended within %s: reloads put the end off", e.owed, time.Since(e.began))
	}
	until(e.t, "the tunnels of "+e.name+" to be ended", func() bool {
		e.look(0)
		return e.servers.truth()[e.name] == 0 && int64(e.gone) >= e.owed
	})
	after := e.metrics()
	for name, n := range after {
		if reason, ok := endedFor(name); ok && n != e.before[name] && !(reason == e.reason && n-e.before[name] == float64(e.owed)) {
			e.t.Errorf("%v tunnels have ended by %s; those of %s by %s were to, %d", n-e.before[name], reason, e.name, e.reason, e.owed)
		}
	}
	if int64(e.gone) != e.owed {
		e.t.Errorf("%d tunnels have ended, and %d were to", e.gone, e.owed)
	}
	for i, a := range e.samples {
		for _, b := range e.samples[i+1:] {
			// What is ended at a time is counted when it happens, which may be later than it was decided: hence twice as many.
			if most := 2*endsPerSecond*b.to.Sub(a.from).Seconds() + endsPerSecond; float64(a.left-b.left) > most {
				e.t.Errorf("within %s %d tunnels have ended; %d per second are to", b.to.Sub(a.from), a.left-b.left, endsPerSecond)
			}
		}
	}
	e.agreeInTheEnd()
	return e.gone
}

// endedFor returns the reason for which a metric counts the tunnels that have ended.
func endedFor(metric string) (reason string, ok bool) {
	return reason, scanned(metric, `culvert_tunnels_ended_total{,reason=%q}`, &reason)
}

// leastHeap returns how many bytes of the proxy's heap live: the least that there were, until the collector has run three times.
func (p *play) leastHeap() float64 {
	p.t.Helper()
	const runs, allocated = "go_gc_duration_seconds_count", "go_memstats_heap_alloc_bytes"
	now := p.metrics()
	first, least := now[runs], now[allocated]
	until(p.t, "the collector to run", func() bool {
		now = p.metrics()
		least = min(least, now[allocated])
		return now[runs] >= first+3
	})
	return least
}

// wantNothingLeft fails if the proxy, or a server, holds more than it did before there were tunnels.
func (p *play) wantNothingLeft(before map[string]float64, descriptors int, heap, largest float64) {
	p.t.Helper()
	for name, one := range p.servers {
		p.untilClosed(name, one.child, one.idle)
	}
	p.untilClosed("the proxy", p.proxy, descriptors)
	until(p.t, "as many goroutines as before", func() bool { return p.metrics()["go_goroutines"] <= before["go_goroutines"] })
	var after map[string]float64
	defer func() {
		if p.t.Failed() {
			p.t.Log(held(before, after))
		}
	}()
	until(p.t, "as little to be held as before", func() bool { // but for a check, now and then
		after = p.metrics()
		return len(held(before, after)) == 0
	})
	if n := after["culvert_reloads_total"]; n != reloads {
		p.t.Errorf("%v configurations were taken over, want %d", n, reloads)
	}
	of := fmt.Sprintf(`culvert_backend_connections_active{address="%s",`, p.servers[added].address)
	for name := range after {
		if strings.HasPrefix(name, of) {
			p.t.Errorf("a server that no configuration has any more, and no tunnel leads to, is still known: %s", name)
		}
	}
	left := p.leastHeap()
	again := p.wave()
	p.t.Logf("figure: of the heap %.2f MB lived before there were tunnels, %.2f MB with all of them, %.2f MB behind them, "+
		"and %.2f MB when as many again had come and gone", heap/1e6, largest/1e6, left/1e6, again/1e6)
	if most := heap + leftAnyway + leftPerTunnel*mostTunnels; left > most {
		p.t.Errorf("%.0f bytes of the heap are left, at most %.0f are to", left, most)
	}
	if most := left + leftAgain*mostTunnels; again > most {
		p.t.Errorf("%.0f bytes of the heap are left behind as many tunnels again, at most %.0f are to", again, most)
	}
}

// untilClosed waits until a process has no more descriptors than it had.
func (p *play) untilClosed(name string, c *child, before int) {
	p.t.Helper()
	until(p.t, fmt.Sprintf("the descriptors of %s, which had %d, to be closed", name, before), func() bool { return c.descriptors() <= before })
}

// wave opens as many tunnels again, has each carry a message, and closes them. It returns how much of the heap lives then.
func (p *play) wave() float64 {
	p.t.Helper()
	n := strconv.Itoa(howMany(p.t, 0))
	out, err := exec.Command(p.bench, "echo", "--target", p.site.listen, "--tunnels", n, "--pace", "256", "--messages", n, "--warm-up", "0").CombinedOutput()
	if err != nil {
		p.t.Errorf("as many tunnels again: %v\n%s\n%+v\n%v", err, out, p.listed(), p.metrics())
	}
	until(p.t, "them to be over", func() bool { return p.metrics()["culvert_tunnels_active{}"] == 0 })
	return p.leastHeap()
}
