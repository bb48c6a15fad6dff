package proxy

import (
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
		return nil, true, false // others were here first
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
	return nil, full, false
}

// picked notes that a member was chosen.
func (x *exchange) picked(i int) *backend {
	x.tried[x.tries] = i
	x.tries++
	return x.rule.group.members[i].backend
}

// reserve counts a connection to a member, unless it has as many as it may.
func (m *member) reserve() bool {
	if n := m.backend.active.Add(1); m.most > 0 && n > m.most {
		m.backend.active.Add(-1)
		return false
	}
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
	if g := x.rule.group; g.hasRoom() {
		g.queue.call() // a connection has ended in between, and nobody was there to be called
	}
}

// hasRoom tells whether any member that serves may have one more connection.
func (g *group) hasRoom() bool {
	standing := g.standing.Load()
	for i := range g.members {
		m := &g.members[i]
		if standing.status[i] == health.Serving && (m.most == 0 || m.backend.active.Load() < m.most) {
			return true
		}
	}
	return false
}

// pickAgain: the request is the first in line, and there is a place.
func (x *exchange) pickAgain() {
	b, full, ok := x.pick()
	switch {
	case ok:
		x.leaveQueue()
		x.record.waited = x.shard.loop.Now() - x.record.headDone
		x.dialDeadline = x.shard.loop.Now() + int64(x.policy.Timeouts.ConnectTotal)
		x.state = exchangeDialing
		x.dial(b)
	case full:
		x.place.again()
	default:
		x.refuse(EndNoBackend, engine.SideNone)
	}
}

// leaveQueue gives up the place in line, if there is one.
func (x *exchange) leaveQueue() {
	if x.place != nil {
		x.place.leave()
		x.place = nil
	}
}

// failedBackend takes note that the backend failed the request.
func (x *exchange) failedBackend() {
	b, g := x.record.backend, x.rule.group
	if o := g.config.Outliers; o != nil && b.tally.Failure(o.Failures) {
		b.reported.Store(true)
		x.shard.server.steward.wake()
	}
}

// answeredBackend takes note that the backend answered, and how fast.
func (x *exchange) answeredBackend() {
	b := x.record.backend
	b.latency.Observe(x.record.answered-x.record.dialed, x.shard.loop.Now())
	if !x.upgrade || x.record.upstream != 101 {
		b.tally.Success() // a tunnel shows later
	}
}
