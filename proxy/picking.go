package proxy

import (
	"slices"
	"time"

	"culvert/engine"
	"culvert/proxy/health"
)

// fullMax is how many backends that have as many connections as they may are passed over before a request waits.
const fullMax = 16

// pick chooses the next backend, leaving out those that were tried already, and counts a connection to it, which leave
// takes back. full says that there would be one, were it not for the bound on its connections.
func (x *exchange) pick() (b *backend, full, ok bool) {
	if x.tries >= ConnectTries {
		return nil, false, false
	}
	h, g := x.shard, x.rule.group
	if x.place == nil && g.queue.waiting.Load() > 0 {
		return nil, g.serves(x.tried[:x.tries]), false // others were here first
	}
	r := &h.picks
	r.Now, r.Key, r.HasKey = h.loop.Now(), x.hashKey, x.hasKey
	r.Tried = append(r.Tried[:0], x.tried[:x.tries]...)
	if i, stuck := x.stuckTo(); stuck {
		if g.members[i].reserve() {
			return x.picked(i), false, true
		}
		full = true
		r.Tried = append(r.Tried, i)
	}
	for range fullMax {
		i, ok := x.rule.lineup.next(r)
		if !ok {
			return nil, full, false
		}
		if g.members[i].reserve() {
			return x.picked(i), false, true
		}
		full = true
		r.Tried = append(r.Tried, i)
	}
	return x.pickSpare()
}

// pickSpare looks at all members for one that has a place, those of the lowest priority first: those whose turn it was
// were full.
func (x *exchange) pickSpare() (b *backend, full, ok bool) {
	g := x.rule.group
	standing, begin := g.standing.Load(), int(x.record.id%uint64(len(g.members)))
	for {
		best := -1
		for n := range g.members {
			i := (begin + n) % len(g.members)
			if m := &g.members[i]; standing.status[i] == health.Serving && m.hasPlace() && !slices.Contains(x.tried[:x.tries], i) &&
				(best < 0 || m.priority < g.members[best].priority) {
				best = i
			}
		}
		switch {
		case best < 0:
			return nil, true, false
		case g.members[best].reserve():
			return x.picked(best), false, true
		}
	}
}

// picked notes that a member was chosen.
func (x *exchange) picked(i int) *backend {
	x.tried[x.tries] = i
	x.tries++
	return x.rule.group.members[i].backend
}

// hasPlace tells whether a member may have one more connection.
func (m *member) hasPlace() bool { return m.most == 0 || m.backend.active.Load() < m.most }

// reserve counts a connection to a member, unless it has as many as it may.
func (m *member) reserve() bool {
	active := &m.backend.active
	for m.most > 0 {
		n := active.Load()
		if n >= m.most {
			return false // not counted even for a moment, in which another would be turned away
		}
		if active.CompareAndSwap(n, n+1) {
			return true
		}
	}
	active.Add(1)
	return true
}

// queueUp waits for a backend to have fewer connections, where the group lets so many wait.
func (x *exchange) queueUp() {
	w := &x.shard.loop.Workspace
	c := &x.rule.group.config
	if !x.rule.group.queue.join(x, c.Queue) {
		x.record.detail = "queue"
		if c.Queue == 0 {
			x.record.detail = "max-connections"
		}
		x.refuse(EndLimit, engine.SideNone)
		return
	}
	x.state = exchangeQueued
	x.shard.counters.queued++
	w.Wheel.Arm(&x.timer, w.Now()+int64(c.QueueTimeout))
	x.rule.group.attend() // a connection has ended in between, and nobody was there to be called
	x.readEarly()         // a FIN that came with the head is told only once
}

// serves tells whether any member that was not tried takes new requests.
func (g *group) serves(tried []int) bool {
	for i, status := range g.standing.Load().status {
		if status == health.Serving && !slices.Contains(tried, i) {
			return true
		}
	}
	return false
}

// room returns how many more connections the members that serve and were not tried may have, most at most.
func (g *group) room(tried []int, most int) (places int) {
	for i, status := range g.standing.Load().status {
		m := &g.members[i]
		switch {
		case status != health.Serving || slices.Contains(tried, i):
		case m.most == 0:
			return most
		default:
			places += int(max(m.most-m.backend.active.Load(), 0))
		}
		if places >= most {
			return most
		}
	}
	return places
}

// attend calls those in line for whom there may be a place, the oldest first; all, where nobody serves any more.
func (g *group) attend() {
	if g.queue.waiting.Load() == 0 {
		return
	}
	g.queue.callUpTo(func(waiting int) int {
		if !g.serves(nil) {
			return waiting
		}
		return g.room(nil, waiting)
	})
}

// pickAgain: the request was called.
func (x *exchange) pickAgain() {
	if !x.renewGroup() {
		x.refuse(EndNoBackend, engine.SideNone)
		return
	}
	g := x.rule.group
	b, full, ok := x.pick()
	switch {
	case ok && x.mayDial(b):
		x.leaveQueue(true)
		g.attend() // while this one counted as called, nobody was for another place
		x.record.waited = x.shard.loop.Now() - x.record.headDone
		x.dialDeadline = x.shard.loop.Now() + int64(x.policy.Timeouts.ConnectTotal)
		x.state = exchangeDialing
		x.dial(b)
	case ok:
		x.leaveQueue(true)
		x.giveUp()
	case full:
		x.place.again()
		if x.tries > 0 && g.room(x.tried[:x.tries], 1) == 0 && g.room(nil, 1) > 0 {
			x.place.callBehind() // the place is at a backend that failed this request
			return
		}
		g.attend() // it was taken by another, and one may have become free since
	case x.tries > 0:
		x.giveUp()
	default:
		x.refuse(EndNoBackend, engine.SideNone)
	}
}

// renewGroup has a request that has waited chosen for by the present configuration: its backends may all be gone, and others
// be there. How it is treated besides is what it was when its head was whole. It reports false where they are spoken to so
// differently now that what was written for them is not for these.
func (x *exchange) renewGroup() bool {
	site, before := x.shard.site, x.rule.group
	g := site.group(before.name)
	if g == nil || g == before && slices.Contains(site.lineups[g], x.rule.lineup) {
		return true // a lineup that no rule has any more is not kept up
	}
	if !g.takesPrefacesOf(before) {
		return false
	}
	rule := *x.rule
	rule.group, rule.lineup = g, g.own
	for _, l := range site.lineups[g] {
		if l.schedule == x.rule.lineup.schedule {
			rule.lineup = l
		}
	}
	x.hasKey = x.hasKey && rule.lineup.schedule.hashBy == x.rule.lineup.schedule.hashBy
	for n, i := range x.tried[:x.tries] {
		x.tried[n] = -1 // it is not there any more
		if i >= 0 {
			x.tried[n] = slices.IndexFunc(g.members, func(m member) bool { return m.backend == before.members[i].backend })
		}
	}
	x.rule = &rule
	return true
}

// takesPrefacesOf tells whether a request begins with the same PROXY header, or none, as with another configuration: over
// TLS it goes out apart from the request.
func (g *group) takesPrefacesOf(other *group) bool {
	return g.config.SendProxy == other.config.SendProxy &&
		(g.config.SendProxy == 0 || len(g.members) == 0 || g.members[0].backend.secure == other.members[0].backend.secure)
}

// leaveQueue gives up the place in line, if there is one. served says that it was not in vain.
func (x *exchange) leaveQueue(served bool) {
	if x.place != nil {
		x.place.leave(served)
		x.place = nil
	}
}

// failedBackend takes note that the backend failed the request.
func (x *exchange) failedBackend() {
	if o := x.rule.group.config.Outliers; o != nil {
		x.shard.countFailure(x.record.backend, o.Failures)
	}
}

// countFailure counts one more failure in a row of a backend. A tunnel to it that has grown old since the one before is a
// success in between: nothing happens to a tunnel when it does, so it is looked for here. This loop's tell enough: where
// there are many, each loop has some of them.
func (h *shard) countFailure(b *backend, limit int) {
	now := h.loop.Now()
	// In a storm of failures each would look at all tunnels that are young, of which there may be many.
	if before := b.failedAt.Swap(now); now-before > int64(10*time.Millisecond) && h.streams.grown(b, before, now) {
		b.tally.Success()
	}
	if b.tally.Failure(limit) {
		b.reported.Store(true)
		h.server.steward.wake()
	}
}

// answeredBackend takes note that the backend answered, and how fast.
func (x *exchange) answeredBackend() {
	b := x.record.backend
	b.latency.Observe(x.record.answered-x.record.dialed, x.shard.loop.Now())
	b.answers[x.record.upstream/100%len(b.answers)].Add(1)
	if !x.upgrade || x.record.upstream != 101 {
		b.tally.Success() // a tunnel shows later
	}
}
