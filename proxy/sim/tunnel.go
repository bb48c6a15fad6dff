package sim

import (
	"bytes"
	"fmt"

	"culvert/engine"
	"culvert/proxy"
	"culvert/proxy/ws"
)

// tunnel is a relay between two simulated sockets, its peers, and what the oracle knows of it.
type tunnel struct {
	world *world
	plan  *tunnelPlan
	index int
	dice  dice // for the moves alone: the runs of a seed differ in them

	loop       *loop // nil while on its way between two loops
	relay      *engine.Relay
	stages     [2]engine.Stage
	sockets    [2]*socket
	peers      [2]*peer
	deliveries [2]delivery // by the side that they go to
	oracle     oracle
	readBuffer int // the largest that it has met

	inserted, moved, haunted int // how many of the plan's events are behind us
	due                      []errand
	wantsMove                bool
	parcel                   []byte // the exported state, on its way
	arrivedInTurn            uint64 // turn of the loop in which it came
	started, over            bool
	outcome                  engine.Outcome
	digest                   uint64
}

// errand is what the proxy does to a tunnel in a turn of its loop.
type errand uint8

const (
	errandStart errand = iota
	errandInsert
	errandEnd
)

func newTunnel(w *world, index int, plan *tunnelPlan) *tunnel {
	t := &tunnel{world: w, plan: plan, index: index, loop: w.loops[0], dice: newDice(w.plan.seed, uint64(index*8+6))}
	for side := range t.sockets {
		s := newSocket(t, engine.Side(side))
		t.sockets[side], t.peers[side] = s, newPeer(s)
		s.peer = t.peers[side]
		t.deliveries[side].stream = plan.peers[1-side].stream
	}
	t.deliveries[engine.SideClient].head = plan.head
	t.oracle.firstFIN = engine.SideNone
	t.readBuffer = len(t.loop.workspace.ReadBuffer())
	return t
}

// next returns when something happens to the tunnel that no loop does by itself.
func (t *tunnel) next() int64 {
	if t.done() {
		return never
	}
	at := min(t.peers[0].next(), t.peers[1].next())
	if !t.started {
		return min(at, t.plan.startAt)
	}
	if t.over {
		return at
	}
	if !t.oracle.ending {
		at = min(at, t.plan.endAt)
	}
	if t.inserted < len(t.plan.inserts) {
		at = min(at, t.plan.inserts[t.inserted].at)
	}
	if t.moved < len(t.plan.moves) {
		at = min(at, t.plan.moves[t.moved])
	}
	if t.haunted < len(t.plan.ghosts) {
		at = min(at, t.plan.ghosts[t.haunted].at)
	}
	return at
}

// done tells whether nothing is left of the tunnel.
func (t *tunnel) done() bool { return t.over && t.sockets[0].gone && t.sockets[1].gone }

// act does everything that is due at time now. What needs the proxy's own loop becomes an errand.
func (t *tunnel) act(now int64) {
	t.peers[0].act(now)
	t.peers[1].act(now)
	if !t.started {
		if t.plan.startAt <= now {
			t.started = true
			t.due = append(t.due, errandStart)
			t.peers[0].begin(now)
			t.peers[1].begin(now)
		}
		return
	}
	if t.over {
		return
	}
	for ; t.inserted < len(t.plan.inserts) && t.plan.inserts[t.inserted].at <= now; t.inserted++ {
		t.due = append(t.due, errandInsert)
	}
	for ; t.moved < len(t.plan.moves) && t.plan.moves[t.moved] <= now; t.moved++ {
		t.wantsMove = t.world.move
	}
	for ; t.haunted < len(t.plan.ghosts) && t.plan.ghosts[t.haunted].at <= now; t.haunted++ {
		ghost := t.plan.ghosts[t.haunted]
		if s := t.sockets[ghost.side]; !s.gone {
			s.tell(ghost.readiness)
		}
	}
	if t.plan.endAt <= now && !t.oracle.ending {
		t.oracle.ending = true
		t.due = append(t.due, errandEnd)
	}
}

// run does the errands, in a turn of the tunnel's loop.
func (t *tunnel) run() {
	first := t.inserted - countOf(t.due, errandInsert)
	for _, errand := range t.due {
		switch {
		case t.over:
		case errand == errandStart:
			t.start()
		case errand == errandInsert:
			t.insert(t.plan.inserts[first])
			first++
		case errand == errandEnd:
			t.tracef("is ended by the proxy")
			end := t.relay.End
			if t.plan.abort {
				end = t.relay.Abort
			}
			end(engine.Outcome{Reason: engine.EndShutdown, By: engine.SideNone})
		}
		t.look()
	}
	t.due = t.due[:0]
}

func countOf(errands []errand, kind errand) (n int) {
	for _, e := range errands {
		if e == kind {
			n++
		}
	}
	return n
}

// start begins the tunnel with what an exchange would hand over: a head for the client, and bytes read early.
func (t *tunnel) start() {
	t.tracef("starts on loop %d: idle %d ms, stalled %d ms, half-closed %d ms", t.loop.index, t.plan.limits.Idle/millisecond,
		t.plan.limits.Stalled/millisecond, t.plan.limits.HalfClosed/millisecond)
	t.relay = new(engine.Relay)
	for side := range t.stages {
		options := t.plan.options
		options.Sender = ws.Role(side)
		t.stages[side] = t.world.hooks.stage(proxy.NewFrameStage(options))
	}
	t.oracle.activity = t.world.now
	t.relay.Init(t.loop.workspace, t.ends(), t.stages, &t.plan.limits, t)
	t.relay.Emit(engine.SideClient, t.plan.head)
	for _, side := range []engine.Side{engine.SideBackend, engine.SideClient} {
		if n := t.plan.peers[side].early; n > 0 && !t.over {
			t.sockets[side].read = n
			t.relay.Feed(side, bytes.Clone(t.sockets[side].stream.bytes[:n]))
		}
	}
	for side, s := range t.sockets {
		if s.peer.plan.quiet && s.untouched() && !t.over {
			s.readGate = false
			t.relay.Quiet(engine.Side(side))
		}
	}
	t.relay.Start()
	for _, s := range t.sockets {
		if s.told != 0 && !s.gone {
			s.tell(0) // what nobody was told yet
		}
	}
}

// ends returns the sockets as the relay knows them.
func (t *tunnel) ends() (ends [2]engine.End) {
	for side, s := range t.sockets {
		var end engine.End = s
		if t.world.plan.pipes > 0 {
			end = splicingSocket{s}
		}
		ends[side] = t.world.hooks.end(end)
	}
	return ends
}

// insert asks for a frame of our own. It may be refused when enough of them wait, or the direction has finished.
func (t *tunnel) insert(i insertion) {
	d, source := &t.deliveries[i.towards], t.sockets[i.towards.Other()]
	waiting := len(d.inserts)
	d.inserts = append(d.inserts, i.frame) // it may arrive before Insert returns
	accepted := t.relay.Insert(i.towards, i.frame)
	t.tracef("a ping of ours towards the %s: accepted %t", i.towards, accepted)
	t.note(uint64(i.towards)<<1, uint64(waiting))
	if !accepted {
		t.world.seen.situations[insertRefused]++
		d.inserts = d.inserts[:len(d.inserts)-1]
		if waiting < engine.InsertMax && !source.eof && !source.noticed {
			t.failf("an insertion was refused although only %d wait", waiting)
		}
	}
}

// note mixes two values, and the time, into the digest: runs of a seed that must not differ are compared by it.
func (t *tunnel) note(a, b uint64) {
	for _, v := range [3]uint64{uint64(t.world.now), a, b} {
		t.digest = (t.digest ^ v) * 0x9E3779B97F4A7C15
		t.digest ^= t.digest >> 29
	}
}

func (t *tunnel) noteBytes(b []byte) {
	for _, v := range b {
		t.digest = (t.digest ^ uint64(v)) * 0x100000001B3
	}
}

func (t *tunnel) name(side engine.Side) string { return fmt.Sprintf("tunnel %d %s", t.index, side) }

func (t *tunnel) failf(format string, arguments ...any) {
	t.world.failf("tunnel %d: "+format, append([]any{t.index}, arguments...)...)
}

func (t *tunnel) tracef(format string, arguments ...any) {
	if t.world.trace != nil {
		t.world.tracef("tunnel %d "+format, append([]any{t.index}, arguments...)...)
	}
}
