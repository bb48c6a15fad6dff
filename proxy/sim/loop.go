package sim

import (
	"slices"

	"culvert/engine"
)

const (
	// turnGap is the time between two turns of a loop that has more to do.
	turnGap = 10 * microsecond
	// longestDelay is how late a loop that turns freely may come.
	longestDelay = 100 * millisecond
	// turnsMax bounds the turns in a row that a loop may ask for without any time passing to speak of.
	turnsMax = 5000
)

// loop turns a workspace as engine.Loop does: time and timers first, then tasks and events.
type loop struct {
	world     *world
	index     int
	workspace *engine.Workspace
	dice      dice
	queue     []*socket // readiness to be told
	batch     []*socket
	incoming  []*tunnel          // exported, to be restored here
	retired   [2][]*engine.Relay // exported in this turn, and in the one before
	turnAt    int64
	turns     uint64
	restless  int
}

func newLoop(w *world, index int) *loop {
	l := &loop{world: w, index: index, turnAt: never, dice: newDice(w.plan.seed, uint64(1000+index))}
	l.workspace = engine.NewWorkspace(w.plan.loops[index].readBuffer, w.now)
	l.workspace.SetBounds(w.plan.pipes, w.plan.loops[index].memory)
	return l
}

// awaited tells whether someone waits for a turn of this loop.
func (l *loop) awaited() bool {
	if len(l.queue) > 0 || len(l.incoming) > 0 {
		return true
	}
	for _, t := range l.world.tunnels {
		if t.loop == l && (len(t.due) > 0 || t.wantsMove && !t.over) {
			return true
		}
	}
	return false
}

// plan decides when the loop turns next: at once if it has more to do, else when a timer may be due; in the free world
// a little later. With nobody waiting it sleeps.
func (l *loop) plan() {
	now := l.world.now
	at := int64(never)
	if next, ok := l.workspace.Wheel.Next(); ok {
		at = max(next, now+1) + l.delay(20)
	}
	if l.workspace.Unfinished() {
		at = min(at, now+turnGap)
	}
	if l.world.plan.free && l.awaited() {
		at = min(at, now+1+l.delay(50))
	}
	l.turnAt = at
}

// delay is how late the loop comes this time; in n of 100 cases it is late at all.
func (l *loop) delay(n int) int64 {
	if l.world.plan.free && l.dice.percent(n) {
		return l.dice.logTime(longestDelay)
	}
	return 0
}

// wake makes a loop that turns freely turn soon if someone waits for it.
func (l *loop) wake() {
	if at := l.world.now + 1; l.turnAt > at && l.awaited() {
		l.turnAt = min(l.turnAt, at+l.delay(50))
	}
}

// turn is one turn of the loop.
func (l *loop) turn() {
	l.turns++
	l.workspace.BeginTurn(l.world.now)
	l.lookAtAll()
	late := l.world.plan.free && l.dice.percent(50)
	if !late {
		l.runErrands()
	}
	l.dispatch()
	if late {
		l.runErrands()
	}
	if l.world.plan.free {
		l.moveSome(100)
	}
	l.lookAtAll()
	l.workspace.EndTurn()
	l.check()
	l.overwriteRetired()
}

// dispatch tells what happened to the ends. In between, a tunnel may be moved away.
func (l *loop) dispatch() {
	l.queue, l.batch = l.batch[:0], l.queue
	for _, s := range l.batch {
		s.queue = false
	}
	for i, s := range l.batch {
		l.batch[i] = nil
		if s.tunnel.loop == l && s.tunnel.relay != nil {
			s.deliver()
			s.tunnel.look()
		}
		if l.world.plan.free {
			l.moveSome(20)
		}
	}
}

func (l *loop) runErrands() {
	incoming := l.incoming
	l.incoming = nil
	for _, t := range incoming {
		t.restore(l)
	}
	for _, t := range l.world.tunnels {
		if t.loop == l && len(t.due) > 0 {
			t.run()
		}
	}
}

// moveSome exports tunnels that are to move, each with a likelihood in percent, and sends them to some loop.
func (l *loop) moveSome(likelihood int) {
	for _, t := range l.world.tunnels {
		if t.loop == l && t.movable() && l.dice.percent(likelihood) {
			t.export()
			to := l.world.loops[l.dice.IntN(len(l.world.loops))]
			to.incoming = append(to.incoming, t)
			if to != l {
				to.wake()
			}
		}
	}
}

func (t *tunnel) movable() bool { return t.wantsMove && !t.over && t.relay != nil }

func (l *loop) lookAtAll() {
	for _, t := range l.world.tunnels {
		if t.loop == l {
			t.look()
		}
	}
}

// retire keeps a relay that was exported.
func (l *loop) retire(r *engine.Relay) { l.retired[0] = append(l.retired[0], r) }

// overwriteRetired destroys the relays that were exported before this turn began: their loop may know them for one turn
// more, when their budget was used up.
func (l *loop) overwriteRetired() {
	for i, r := range l.retired[1] {
		*r = engine.Relay{}
		l.retired[1][i] = nil
	}
	l.retired[0], l.retired[1] = l.retired[1][:0], l.retired[0]
}

// forget takes a socket out of the loop's set: what was told of it is stale.
func (l *loop) forget(s *socket) {
	s.owner, s.told, s.queue = nil, 0, false
	l.queue = slices.DeleteFunc(l.queue, func(queued *socket) bool { return queued == s })
}
