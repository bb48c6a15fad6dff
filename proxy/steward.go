package proxy

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"culvert/engine"
	"culvert/proxy/health"

	"github.com/rs/zerolog"
)

// steward says who may be picked: by weights, orders, checks and ejections, and by how far a slow start has come. It makes
// the schedulers that the loops pick by, off the loops, and ends the tunnels of backends whose tunnels are to end. It has
// one goroutine; a reload settles a new site by the same methods. Everything below the lock belongs to whoever holds it.
type steward struct {
	server *Server
	wakeup chan struct{} // one is enough: it looks at everything
	end    chan struct{}
	ended  chan struct{}

	mu    sync.Mutex
	crews map[string]*crew
	begun bool // start was called; before, all that comes comes together, and nobody is told
}

// crew is what the steward knows of a group's members, over all configurations.
type crew struct {
	settings health.OutlierSettings
	outliers *health.Outliers[*backend]
	mates    map[*backend]*mate
	down     map[*backend]bool // as the outliers know it
	idle     bool              // nobody can serve, and that was said
}

// mate is one member.
type mate struct {
	began   int64        // when its slow start did, Monotonic ns
	was     health.State // of its checks, at the last look
	status  health.Status
	since   int64 // when the status became that
	drained int64 // when it began to be drained; 0: it is not
	ending  bool  // its tunnels are being ended
	pace    health.Pace
	rate    int // of the pace
	weight  int
	share   int
}

const (
	// stewardLongest is how long the steward sleeps at most.
	stewardLongest = time.Minute
	// stewardShortest is how long it rests, at least, before it looks again, and stewardRest how many times as long as it has
	// worked: checks and failures of many backends wake it all the time, and it must not take a processor for itself.
	stewardShortest = 5 * time.Millisecond
	stewardRest     = 4
)

func newSteward(s *Server) *steward {
	return &steward{
		server: s, wakeup: make(chan struct{}, 1), end: make(chan struct{}), ended: make(chan struct{}), crews: make(map[string]*crew),
	}
}

// wake has the steward look at everything. It may be called from any goroutine and does not wait.
func (w *steward) wake() {
	select {
	case w.wakeup <- struct{}{}:
	default:
	}
}

func (w *steward) start() {
	w.mu.Lock()
	w.begun = true
	w.mu.Unlock()
	w.wake()
	// goroutine: steward of the backends, ends when stop is called
	go w.run()
}

func (w *steward) stop() {
	close(w.end)
	<-w.ended
}

func (w *steward) run() {
	defer close(w.ended)
	timer := time.NewTimer(stewardShortest)
	defer timer.Stop()
	for {
		select {
		case <-w.end:
			return
		case <-w.wakeup:
		case <-timer.C:
		}
		now := engine.Monotonic()
		next := w.tend(now)
		pause := max(stewardShortest, time.Duration(engine.Monotonic()-now)*stewardRest)
		select {
		case <-w.end:
			return
		case <-time.After(pause):
		}
		timer.Reset(min(max(time.Duration(next-engine.Monotonic()), 0), stewardLongest))
	}
}

// tend brings all groups of the present site up to date, and returns when something changes by itself.
func (w *steward) tend(now int64) (next int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.settleAll(w.server.site.Load(), now)
}

// enter makes a site the present one: settled before anybody picks by it. In one step, for were the site before looked at
// once more in between, what is known of members that only the new one has would be lost, and the other way around.
func (w *steward) enter(s *site, now int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settleAll(s, now)
	w.server.site.Store(s)
	w.forget(s)
	w.wake()
}

func (w *steward) settleAll(s *site, now int64) (next int64) {
	next = health.Never
	for _, g := range s.groups {
		next = min(next, w.settle(s, g, now))
	}
	return next
}

// forget drops what is known of groups and backends that a site does not have. The lock is held.
func (w *steward) forget(s *site) {
	for name, c := range w.crews {
		g := s.group(name)
		if g == nil {
			delete(w.crews, name)
			continue
		}
		members := make(map[*backend]bool, len(g.members))
		for i := range g.members {
			members[g.members[i].backend] = true
		}
		maps.DeleteFunc(c.mates, func(b *backend, _ *mate) bool { return !members[b] })
	}
}

// settle brings one group up to date. The lock is held.
func (w *steward) settle(s *site, g *group, now int64) (next int64) {
	c, fresh := w.crew(g)
	before := g.standing.Load()
	members, next := c.look(g, now, fresh)
	next = min(next, c.eject(g, members, now))
	after := &standing{status: make([]health.Status, len(members)), share: make([]int, len(members))}
	weights := make([]int, len(members))
	for i := range members {
		after.status[i], after.share[i], weights[i] = members[i].Status(), members[i].Share, members[i].Weight
	}
	changed := before == nil || !slices.Equal(before.status, after.status) || !slices.Equal(before.share, after.share) || !slices.Equal(before.weights, weights)
	after.weights = weights
	for _, l := range s.lineups[g] {
		if changed || len(*l.levels.Load()) == 0 {
			g.arrange(l, members, w.predecessor(g, l))
		}
	}
	g.standing.Store(after) // behind the schedulers: who is called by it for a place is to find that there
	if w.begun {
		c.tell(w.server.logs.Error, g, after.status, now)
	}
	if changed {
		g.attend()
	}
	return min(next, w.endTunnels(g, c, now))
}

// predecessor returns who had the turns of a lineup so far.
func (w *steward) predecessor(g *group, l *lineup) *lineup {
	if len(*l.levels.Load()) > 0 {
		return l
	}
	current := w.server.site.Load()
	if current == nil {
		return nil
	}
	if old := current.group(g.name); old != nil && old != g {
		for _, other := range current.lineups[old] {
			if other.schedule.algorithm == l.schedule.algorithm {
				return other
			}
		}
	}
	return nil
}

// crew returns what is known of a group, and whether that is nothing yet.
func (w *steward) crew(g *group) (c *crew, fresh bool) {
	if c = w.crews[g.name]; c != nil && w.begun {
		return c, false
	}
	c = &crew{mates: make(map[*backend]*mate), down: make(map[*backend]bool)}
	w.crews[g.name] = c
	return c, true
}

// look takes in how the members stand, but for ejections.
func (c *crew) look(g *group, now int64, fresh bool) (members []health.Member, next int64) {
	next = health.Never
	members = make([]health.Member, len(g.members))
	for i := range g.members {
		m := &g.members[i]
		b := m.backend
		known := c.mates[b]
		if known == nil {
			known = &mate{began: now, since: now, status: health.Serving, weight: m.weight}
			if fresh { // all begin together: nobody has more than others
				known.began = now - g.config.SlowStart.Duration
			}
			c.mates[b] = known
		}
		members[i] = health.Member{Weight: m.weight, Priority: m.priority, Checks: b.state()}
		limit, draining, since := m.drainFor, m.drain, int64(0)
		if o := b.orders.Load(); o != nil {
			switch {
			case o.drain:
				draining, limit, since = true, o.limit, o.since
			case o.serve && draining:
				draining = false
			case o.serve: // a later configuration that drains it is to count
				over := *o
				over.serve = false
				b.orders.CompareAndSwap(o, &over) // or else there are new orders, which are looked at next
			}
			if o.weight >= 0 {
				members[i].Weight = o.weight
			}
		}
		members[i].Draining = draining
		next = min(next, known.drain(draining, limit, since, now))
		if known.was == health.Down && members[i].Checks != health.Down || known.weight == 0 && members[i].Weight > 0 {
			known.began = now // it is back
		}
		known.was = members[i].Checks
		share, change := g.config.SlowStart.Share(known.began, now)
		members[i].Share, known.share, known.weight = share, share, members[i].Weight
		next = min(next, change)
	}
	return members, next
}

// drain notes whether a member is being drained, and returns when its tunnels are to end; Never: not, or already. The limit
// counts from when the drain began, or from since, when it was ordered anew.
func (m *mate) drain(draining bool, limit, since, now int64) (next int64) {
	m.ending = false
	switch {
	case !draining:
		if m.drained != 0 {
			m.drained, m.began = 0, now
		}
		return health.Never
	case m.drained == 0:
		m.drained = now
	}
	if limit == 0 {
		return health.Never
	}
	if end := max(m.drained, since) + limit; end > now {
		return end
	}
	m.ending = true
	return health.Never
}

// eject takes in what became of requests, and says who is ejected.
func (c *crew) eject(g *group, members []health.Member, now int64) (next int64) {
	if g.config.Outliers == nil {
		c.outliers = nil
		for i := range g.members {
			g.members[i].backend.reported.Store(false) // lest it count when there are outliers again
		}
		return health.Never
	}
	if c.outliers == nil {
		c.settings = *g.config.Outliers
		c.outliers, c.down = health.NewOutliers[*backend](&c.settings), nil
	}
	down := make(map[*backend]bool, len(members))
	order := make([]*backend, len(members))
	for i := range members {
		order[i] = g.members[i].backend
		down[order[i]] = members[i].Status() != health.Serving
	}
	var back []*backend
	if !sameFlags(c.down, down) || c.settings != *g.config.Outliers {
		c.settings, c.down = *g.config.Outliers, down
		back = c.outliers.Change(&c.settings, order, func(b *backend) bool { return down[b] })
	}
	for _, b := range order {
		if b.reported.Swap(false) && c.outliers.Report(b, now) {
			b.ejected.Add(1)
		}
	}
	for _, b := range append(back, c.outliers.Advance(now)...) {
		b.tally.Success()
		if m := c.mates[b]; m != nil {
			m.began = now
		}
	}
	next = c.outliers.Next()
	for i, b := range order {
		if members[i].Ejected = c.outliers.Ejected(b); members[i].Ejected {
			continue
		}
		share, change := g.config.SlowStart.Share(c.mates[b].began, now)
		members[i].Share, c.mates[b].share = share, share
		next = min(next, change)
	}
	return next
}

func sameFlags(a, b map[*backend]bool) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

// tell logs what has changed.
func (c *crew) tell(log zerolog.Logger, g *group, status []health.Status, now int64) {
	serving := false
	for i, s := range status {
		b := g.members[i].backend
		m := c.mates[b]
		serving = serving || s == health.Serving
		if m.status == s {
			continue
		}
		e := log.Warn()
		if s == health.Serving {
			e = log.Info()
		}
		e = e.Str("group", g.name).Str("backend", b.name()).Str("was", m.status.String()).Str("status", s.String())
		if f := b.found.Load(); s == health.Failing && f != nil {
			e = e.Str("detail", f.reason)
		}
		e.Int64("connections", b.active.Load()).Msg("the status of a backend has changed")
		m.status, m.since = s, now
	}
	switch {
	case serving:
		c.idle = false
	case !c.idle:
		c.idle = true
		log.Error().Str("group", g.name).Msg("no backend of the group takes requests: they get 503")
	}
}

// endTunnels ends tunnels of members whose tunnels are to end, at the group's rate, and returns when the next are due.
func (w *steward) endTunnels(g *group, c *crew, now int64) (next int64) {
	next = health.Never
	for i := range g.members {
		b := g.members[i].backend
		m := c.mates[b]
		reason := EndDrained
		ending := m.ending
		if !ending && g.config.EndWhenDown && m.was == health.Down { // also where that is not why it gets no requests
			ending, reason = true, EndBackendDown
		}
		if !ending {
			m.pace = health.Pace{}
			continue
		}
		if m.pace == (health.Pace{}) || m.rate != g.config.EndRate {
			m.rate = g.config.EndRate
			m.pace, _ = health.NewPace(m.rate, now) // checked when the site was made
		}
		left := int(b.tunnels.Load()) // a request ends by itself
		if n := m.pace.Take(left, now); n > 0 {
			w.server.endTunnelsOf(b, n, reason)
		}
		if left > 0 {
			next = min(next, max(m.pace.Next(), now+int64(stewardShortest)))
		} else {
			next = min(next, now+int64(time.Second)) // one may come yet that was under way
		}
	}
	return next
}

// endTunnelsOf ends up to n tunnels to a backend, on all loops.
func (s *Server) endTunnelsOf(b *backend, n int, reason engine.EndReason) {
	left := new(atomic.Int64)
	left.Store(int64(n))
	for _, h := range s.shards {
		h.loop.PostAlways(func() { h.endTunnelsOf(b, left, reason) })
	}
}
