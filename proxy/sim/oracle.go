package sim

import (
	"culvert/engine"
	"culvert/proxy"
)

// oracle is what an onlooker who sees only the sockets' calls knows of a tunnel, and what has to follow from that. It
// shares no code with the relay: it reckons with the deadlines' definitions, not with their implementation.
type oracle struct {
	activity     int64    // a byte touched the backend's socket, a stall was over, or the first FIN was passed on
	accepted     [2]int64 // this side took a byte
	pending      [2]int   // from this side, when it was last looked at
	pendingSince [2]int64
	firstFIN     engine.Side
	noticed      [2]int // turns since the end was noticed to be broken in which nothing was read from it
	readBefore   [2]int
	restored     int64  // when it was moved last
	ending       bool   // the proxy itself ends the tunnel
	final        [2]int // bytes forwarded from this side when its end was released
}

// touched: n bytes were read from or taken by a socket.
func (t *tunnel) touched(s *socket, _ int, written bool) {
	if s.lingerer != nil {
		return
	}
	if s.side == engine.SideBackend {
		t.oracle.activity = t.world.now
	}
	if written {
		t.oracle.accepted[s.side] = t.world.now
	}
}

// arriving: bytes are taken towards a side.
func (t *tunnel) arriving(s *socket, p []byte) {
	d := &t.deliveries[s.side]
	if problem := d.arrive(p); problem != "" {
		t.failf("%s got %s at byte %d of the stream (limit %d of %d)", s.side, problem, d.position, d.stream.limit, len(d.stream.bytes))
	}
}

// finishing: the proxy sends its FIN to a side.
func (t *tunnel) finishing(s *socket) {
	d := &t.deliveries[s.side]
	if !d.clean() {
		t.failf("%s got a FIN within a frame of ours or within the head", s.side)
	}
	if s.lingerer != nil {
		return
	}
	from := s.side.Other()
	source := t.sockets[from]
	if !source.eof {
		t.failf("%s got a FIN although the %s has not finished", s.side, from)
	}
	if d.position != d.stream.limit || source.read != len(source.stream.bytes) {
		t.failf("%s got a FIN after %d of %d bytes (%d of %d were read)", s.side, d.position, d.stream.limit, source.read, len(source.stream.bytes))
	}
	if len(d.inserts) > 0 && d.stream.boundary(d.position) {
		t.failf("%s got a FIN, but %d insertions were lost", s.side, len(d.inserts))
	}
	if t.oracle.firstFIN == engine.SideNone {
		t.oracle.firstFIN = from
		t.oracle.activity = t.world.now
	}
}

// look takes note of what is pending and checks what must hold after every call. It is called after each of them.
func (t *tunnel) look() {
	if t.over || t.relay == nil {
		return
	}
	o := &t.oracle
	for side := range o.pending {
		from := engine.Side(side)
		pending := t.relay.PendingBytes(from)
		switch {
		case pending > 0 && o.pending[side] == 0:
			o.pendingSince[side] = t.world.now
		case pending == 0 && o.pending[side] > 0:
			o.activity = t.world.now
		}
		o.pending[side] = pending
		if bound := t.bound(from); pending > bound {
			t.failf("%d bytes from the %s are pending, at most %d may be", pending, from, bound)
		}
		t.checkForwarded(from, pending)
	}
}

// bound returns how many bytes from a side may wait: one read, what was on hold before it, insertions, the head.
func (t *tunnel) bound(from engine.Side) int {
	bound := t.readBuffer
	if t.world.plan.pipes > 0 {
		bound = max(bound, pipeBytes)
	}
	bound += engine.HoldMax + engine.InsertMax*(insertedPayload+6)
	if from == engine.SideBackend {
		bound += len(t.plan.head)
	}
	return bound
}

// forwarded returns how many bytes of a side's stream must have left its stage.
func (t *tunnel) forwarded(from engine.Side) int {
	s := t.sockets[from]
	if s.eof {
		return s.stream.limit // what was on hold goes with the FIN
	}
	return s.stream.forwardable(s.read)
}

// checkForwarded compares the relay's own count with what follows from the bytes read.
func (t *tunnel) checkForwarded(from engine.Side, pending int) {
	want := t.forwarded(from)
	if got := t.relay.Bytes(from); got != uint64(want) {
		t.failf("%d bytes from the %s were forwarded, want %d of %d read", got, from, want, t.sockets[from].read)
	}
	if d := &t.deliveries[from.Other()]; d.position+pending < want && !d.undecided {
		t.failf("of %d bytes from the %s only %d arrived and %d are pending", want, from, d.position, pending)
	}
}

// deadline returns when the tunnel has to end by itself as things stand.
func (t *tunnel) deadline() (at int64, outcome engine.Outcome, ok bool) {
	o, limits := &t.oracle, &t.plan.limits
	for side, pending := range o.pending {
		if pending == 0 {
			continue
		}
		to := engine.Side(side).Other()
		stalled := max(o.pendingSince[side], o.accepted[to]) + limits.Stalled
		if limits.Stalled > 0 && (!ok || stalled < at) {
			at, outcome, ok = stalled, engine.Outcome{Reason: engine.EndStalled, By: to}, true
		}
	}
	switch {
	case o.pending != [2]int{}:
	case o.firstFIN != engine.SideNone:
		return o.activity + limits.HalfClosed, engine.Outcome{Reason: engine.EndHalfClosed, By: o.firstFIN.Other()}, true
	case limits.Idle > 0:
		return o.activity + limits.Idle, engine.Outcome{Reason: engine.EndIdle, By: engine.SideNone}, true
	}
	return at, outcome, ok
}

// RelayOver implements engine.RelayObserver.
func (t *tunnel) RelayOver(r *engine.Relay, outcome engine.Outcome) {
	switch {
	case t.over:
		t.failf("it ended twice")
	case r != t.relay:
		t.failf("a relay that was moved away has ended")
	case !r.Over():
		t.failf("a relay that has ended says that it goes on")
	}
	t.over, t.outcome = true, outcome
	t.world.tally[outcome]++
	t.note(uint64(outcome.Reason)<<8|uint64(outcome.By), 1)
	t.note(r.Bytes(engine.SideClient), r.Bytes(engine.SideBackend))
	for _, stage := range t.stages {
		t.noteBytes(stage.AppendState(nil))
	}
	t.tracef("ends: %s by %s", proxy.ReasonName(outcome.Reason), outcome.By)
	t.judge(r, outcome)
}

// judge tells whether the tunnel may end like this, now.
func (t *tunnel) judge(r *engine.Relay, outcome engine.Outcome) {
	want := lingered
	switch outcome.Reason {
	case engine.EndIdle, engine.EndHalfClosed, engine.EndStalled:
		t.judgeTimeout(outcome)
		if outcome.Reason == engine.EndStalled {
			want = resetByUs
		}
	case engine.EndClosed:
		want = released
		if !t.sockets[0].finished || !t.sockets[1].finished || outcome.By != t.oracle.firstFIN {
			t.failf("closed by the %s, but the first FIN came from the %s", outcome.By, t.oracle.firstFIN)
		}
	case engine.EndClientReset, engine.EndBackendReset, engine.EndClientLost, engine.EndBackendLost:
		want = resetByUs
		t.judgeReset(outcome)
	case proxy.EndProtocolError:
		t.judgeViolation(outcome)
	case engine.EndNoMemory:
		want = resetByUs
		t.judgeShed(outcome)
	case engine.EndShutdown:
		if t.plan.abort {
			want = resetByUs
		}
		if !t.oracle.ending || outcome.By != engine.SideNone {
			t.failf("shut down, but nobody asked for it")
		}
	default:
		t.failf("no tunnel ends for that reason")
	}
	for side, s := range t.sockets {
		if got := r.Bytes(s.side); want == lingered && got != uint64(t.oracle.final[side]) {
			t.failf("%d bytes from the %s were forwarded in all, want %d", got, s.side, t.oracle.final[side])
		}
		if s.release != want {
			t.failf("the end of the %s was released in way %d, want %d", s.side, s.release, want)
		}
	}
}

func (t *tunnel) judgeTimeout(outcome engine.Outcome) {
	at, want, ok := t.deadline()
	switch {
	case !ok || outcome != want:
		t.failf("timed out: %v, but the next deadline is %v", outcome, want)
	case t.world.now < at:
		t.failf("timed out %d ns early", at-t.world.now)
	}
}

// judgeShed: who is ended for want of memory had bytes waiting, and no other tunnel was stalled longer.
func (t *tunnel) judgeShed(outcome engine.Outcome) {
	limit := t.world.plan.loops[t.loop.index].memory
	switch waiting := t.oracle.pending[outcome.By.Other()&1]; {
	case limit == 0 || outcome.By == engine.SideNone || waiting == 0:
		t.failf("ended for want of memory by the %s, for whom %d bytes wait", outcome.By, waiting)
	}
	for _, other := range t.world.tunnels {
		if other.loop == t.loop && !other.over && other.relay != nil && other.oracle.lastProgress() < t.oracle.pendingFrom() {
			t.failf("ended for want of memory although tunnel %d is stalled since %s", other.index, clock(other.oracle.lastProgress()))
		}
	}
}

// pendingFrom returns since when bytes are pending, or 0 if none are.
func (o *oracle) pendingFrom() (since int64) {
	for side, pending := range o.pending {
		if pending > 0 {
			since = max(since, o.pendingSince[side])
		}
	}
	return since
}

// lastProgress returns the last time at which a tunnel with pending bytes made any progress; never if none are pending.
func (o *oracle) lastProgress() int64 {
	if o.pending == [2]int{} {
		return never
	}
	return max(o.pendingSince[0], o.pendingSince[1], o.accepted[0], o.accepted[1], o.restored)
}

func (t *tunnel) judgeReset(outcome engine.Outcome) {
	s := t.sockets[outcome.By&1]
	want := [2][2]engine.EndReason{
		{engine.EndClientReset, engine.EndClientLost}, {engine.EndBackendReset, engine.EndBackendLost},
	}[s.side][s.fault]
	if outcome.Reason != want || !s.broken || !s.noticed {
		t.failf("%v, but the %s is broken: %t, noticed: %t, fault %d", outcome, s.side, s.broken, s.noticed, s.fault)
	}
}

func (t *tunnel) judgeViolation(outcome engine.Outcome) {
	s := t.sockets[outcome.By&1]
	if s.stream.violation == 0 || s.read < s.stream.violation {
		t.failf("ended for what the %s sent, whose %d bytes were legal", outcome.By, s.read)
	}
}

// lingerOver: a lingering close is about to let go of its end.
func (t *tunnel) lingerOver(g *lingerer) {
	s, d := g.socket, &t.deliveries[g.socket.side]
	if late := t.world.now - g.due; late > engine.WheelTick+t.world.lateness() {
		t.failf("%s lingered %d ns beyond its bound", s.side, late)
	}
	if !s.finished || s.broken {
		return // it stalled, or is gone
	}
	if want := t.oracle.final[s.side.Other()]; d.position != want {
		t.failf("%s got %d bytes in front of the last FIN, want %d", s.side, d.position, want)
	}
}
