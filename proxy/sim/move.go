package sim

import (
	"bytes"

	"culvert/engine"
	"culvert/proxy"
	"culvert/proxy/ws"
)

// export takes the tunnel off its loop: all that is left of it are bytes, and two sockets that no loop knows.
func (t *tunnel) export() {
	t.wantsMove = false
	prefix := []byte("in front")
	state := t.relay.AppendState(bytes.Clone(prefix))
	if !bytes.HasPrefix(state, prefix) {
		t.failf("AppendState changed what it appends to")
	}
	t.parcel = t.world.hooks.state(state[len(prefix):])
	if t.world.trace != nil {
		t.tracef("leaves loop %d in %d bytes", t.loop.index, len(t.parcel))
	}
	t.relay.Detach()
	t.loop.retire(t.relay)
	t.world.moves++
	t.noteMove()
	t.relay, t.stages = nil, [2]engine.Stage{}
	for _, s := range t.sockets {
		t.loop.forget(s)
	}
	t.loop = nil
}

// restore brings the tunnel to life on a loop.
func (t *tunnel) restore(l *loop) {
	t.loop = l
	t.arrivedInTurn = l.turns
	t.readBuffer = max(t.readBuffer, len(l.workspace.ReadBuffer()))
	for _, s := range t.sockets {
		s.moved = s.errorTaken
	}
	state := t.parcel
	t.parcel = nil
	if t.dice.percent(20) {
		t.refuseCut(state)
	}
	tail := []byte("behind")
	r, stages := new(engine.Relay), t.blankStages()
	t.relay, t.stages = r, stages
	rest, err := r.RestoreState(append(bytes.Clone(state), tail...), l.workspace, t.ends(), stages, t)
	if err != nil || !bytes.Equal(rest, tail) {
		t.failf("its state was not restored: %v, %q follows", err, rest)
		return
	}
	if again := r.AppendState(nil); !bytes.Equal(again, state) {
		t.failf("restored and exported again, its state differs:\n%x\n%x", state, again)
	}
	clear(state)
	if t.world.trace != nil {
		t.tracef("goes on, on loop %d", l.index)
	}
	t.oracle.restored = t.world.now
	r.Start()
	t.look()
	for _, s := range t.sockets {
		// Registering reports how things stand; between turns nothing could have been missed.
		if t.world.plan.free && !t.over && !s.gone {
			s.tell(s.readiness())
		}
	}
}

// blankStages returns stages that know nothing yet, not even who sends: the state has to tell all.
func (t *tunnel) blankStages() (stages [2]engine.Stage) {
	for side := range stages {
		stages[side] = t.world.hooks.stage(proxy.NewFrameStage(ws.Options{}))
	}
	return stages
}

// refuseCut checks that a state cut short is refused and leaves nothing behind.
func (t *tunnel) refuseCut(state []byte) {
	w := t.loop.workspace
	timers, counters := w.Wheel.Len(), w.Counters
	_, err := new(engine.Relay).RestoreState(state[:t.dice.IntN(len(state))], w, t.ends(), t.blankStages(), t)
	if err == nil {
		t.failf("a state cut short was accepted")
	}
	if w.Wheel.Len() != timers || w.Counters.PendingBytes != counters.PendingBytes {
		t.failf("a refused state left something behind")
	}
}
