package sim

import "culvert/engine"

// socket is one end of a tunnel as the proxy sees it: the receive and the send buffer of a simulated kernel. It
// behaves in every way that the contract of engine.End allows. Bytes are not stored: the receive buffer is a window of
// the peer's stream, and what is sent is compared with what should come the moment it is taken.
//
// A gate is open from the moment at which readiness was told to that at which a call answered StatusBlocked: exactly
// then the kernel owes another event.
type socket struct {
	world  *world
	tunnel *tunnel
	side   engine.Side
	name   string
	plan   *socketPlan
	dice   dice
	peer   *peer

	owner engine.Owner
	label engine.Side
	told  engine.Readiness // waits in the loop's queue
	queue bool             // is in the loop's queue

	stream      *stream
	arrived     int // bytes of the stream that the kernel has had
	read        int // bytes of the stream that were read
	finArrived  bool
	eof         bool // StatusEOF was answered
	broken      bool // a reset came
	noticed     bool // ... and the proxy knows
	errorTaken  bool // ... because a call took the error, of which the kernel knows nothing any more
	moved       bool // ... and nor does the end, for it is another one now
	fault       engine.Fault
	readGate    bool
	readGateAt  int64 // when it opens by itself
	sent        int   // bytes taken, whoever they belong to
	consumed    int   // bytes that the peer has read
	writeGate   bool
	writeGateAt int64
	finished    bool // our FIN was sent

	release  release // by the relay
	gone     bool    // by whoever came last
	lingerer *lingerer
}

// release is how the relay let go of an end.
type release uint8

const (
	held release = iota
	released
	resetByUs
	lingered
)

func newSocket(t *tunnel, side engine.Side) *socket {
	plan := t.plan.peers[side]
	return &socket{
		world: t.world, tunnel: t, side: side, plan: &plan.socket, name: side.String(),
		dice:   newDice(t.world.plan.seed, uint64(t.index*8+int(side)+2)),
		stream: plan.stream, arrived: plan.early,
		readGate: true, writeGate: true, readGateAt: never, writeGateAt: never,
	}
}

// note adds a call to the trace and to the digest, in which runs of the same seed must agree.
func (s *socket) note(what string, n int, status engine.Status) (int, engine.Status) {
	s.tunnel.note(uint64(s.side)<<8|uint64(status)<<16|uint64(what[0])<<24, uint64(n))
	s.world.seen.call(what, n, status)
	if s.world.trace != nil {
		s.world.tracef("%s %s %d %s", s.tunnel.name(s.side), what, n, statusNames[status])
	}
	return n, status
}

// alive fails the run if the end was let go.
func (s *socket) alive(call string) bool {
	if s.gone {
		s.world.failf("%s: %s after the end was released", s.tunnel.name(s.side), call)
	}
	return !s.gone
}

// Attach implements engine.End.
func (s *socket) Attach(owner engine.Owner, side engine.Side) {
	if s.alive("Attach") {
		s.owner, s.label = owner, side
	}
}

// Read implements engine.End.
func (s *socket) Read(p []byte) (int, engine.Status) {
	switch {
	case !s.alive("Read") || !s.readGate:
		return 0, engine.StatusBlocked
	case len(p) == 0:
		s.world.failf("%s: a read of no bytes", s.tunnel.name(s.side))
		return 0, engine.StatusBlocked
	case s.dice.percent(s.plan.interrupted):
		return s.note("read", 0, engine.StatusReady)
	case s.arrived == s.read:
		return s.note("read", 0, s.emptied())
	}
	n := min(len(p), s.arrived-s.read)
	if s.dice.percent(s.plan.shortRead) {
		n = s.dice.between(1, n)
	}
	copy(p, s.stream.bytes[s.read:s.read+n])
	s.read += n
	s.peer.roomAgain()
	s.tunnel.touched(s, n, false)
	return s.note("read", n, s.afterRead())
}

// afterRead decides what a read says besides the bytes.
func (s *socket) afterRead() engine.Status {
	switch {
	case s.arrived > s.read && s.dice.percent(s.plan.earlyBlock):
		s.readGate, s.readGateAt = false, s.world.now+s.dice.time(0, s.plan.blockFor)
		return engine.StatusBlocked
	case s.arrived > s.read, s.dice.percent(s.plan.lateStatus):
		return engine.StatusReady
	}
	return s.emptied()
}

// emptied is what an empty receive buffer says.
func (s *socket) emptied() engine.Status {
	switch {
	case s.broken && s.moved:
		return engine.StatusEOF
	case s.broken:
		s.fails()
		return engine.StatusFailed
	case s.finArrived:
		s.eof = true
		return engine.StatusEOF
	}
	s.readGate = false
	return engine.StatusBlocked
}

// fails: a call reports the error. The event that announced it may go with that.
func (s *socket) fails() {
	s.noticed, s.errorTaken = true, true
	if s.dice.percent(s.plan.deafError) {
		s.told = 0
	}
}

// Write implements engine.End.
func (s *socket) Write(p []byte) (int, engine.Status) {
	switch {
	case !s.alive("Write"):
		return 0, engine.StatusFailed
	case s.finished:
		s.world.failf("%s: %d bytes written behind the FIN", s.tunnel.name(s.side), len(p))
		return 0, engine.StatusFailed
	case len(p) == 0:
		s.world.failf("%s: a write of no bytes", s.tunnel.name(s.side))
		return 0, engine.StatusBlocked
	case s.broken:
		s.fails()
		return s.note("write", 0, engine.StatusFailed)
	case !s.writeGate:
		return 0, engine.StatusBlocked
	case s.dice.percent(s.plan.interrupted):
		return s.note("write", 0, engine.StatusReady)
	}
	n := min(len(p), s.room())
	if n > 0 && s.dice.percent(s.plan.shortWrite) {
		n = s.dice.between(1, n)
	}
	s.tunnel.arriving(s, p[:n])
	s.sent += n
	if n > 0 {
		s.tunnel.touched(s, n, true)
		s.peer.bytesAgain()
	}
	return s.note("write", n, s.afterWrite(n == len(p)))
}

// afterWrite decides what a write says besides the number of bytes taken.
func (s *socket) afterWrite(all bool) engine.Status {
	switch {
	case s.room() == 0 && (!all || s.dice.percent(s.plan.earlyBlock)):
		s.writeGate = false
		return engine.StatusBlocked
	case s.room() > 0 && s.dice.percent(s.plan.earlyBlock):
		s.writeGate, s.writeGateAt = false, s.world.now+s.dice.time(0, s.plan.blockFor)
		return engine.StatusBlocked
	}
	return engine.StatusReady
}

// room returns how many bytes the send buffer takes.
func (s *socket) room() int { return s.plan.send - (s.sent - s.consumed) }

// Finish implements engine.End.
func (s *socket) Finish() {
	if !s.alive("Finish") {
		return
	}
	if s.finished {
		s.world.failf("%s: finished twice", s.tunnel.name(s.side))
	}
	s.finished = true
	s.note("FIN to it", 0, engine.StatusReady)
	s.tunnel.finishing(s)
	s.peer.bytesAgain()
}

// Fault implements engine.End.
func (s *socket) Fault() engine.Fault {
	if !s.noticed {
		s.world.failf("%s: asked for the fault of an end that is not broken", s.tunnel.name(s.side))
	}
	return s.fault
}

// Reset implements engine.End.
func (s *socket) Reset() {
	s.letGo(resetByUs)
	s.note("reset by us", 0, engine.StatusReady)
	s.leave()
}

// Close implements engine.End: a FIN goes out with it, if none did before.
func (s *socket) Close() {
	if !s.finished && !s.broken && !s.gone {
		s.Finish()
	}
	s.letGo(released)
	s.note("closed by us", 0, engine.StatusReady)
	s.leave()
}

// Linger implements engine.End.
func (s *socket) Linger(rest *engine.Pending, limits engine.LingerLimits) {
	s.letGo(lingered)
	s.note("lingering over", rest.Len(), engine.StatusReady)
	startLinger(s, rest, limits)
}

// letGo notes how the relay released the end; what a lingering close does later is its own affair.
func (s *socket) letGo(how release) {
	if !s.alive("a release") || s.lingerer != nil {
		return
	}
	if s.release != held {
		s.world.failf("%s: released twice", s.tunnel.name(s.side))
	}
	if t := s.tunnel; t.sockets[s.side.Other()].release == held {
		t.oracle.final = [2]int{t.forwarded(engine.SideClient), t.forwarded(engine.SideBackend)}
	}
	s.release = how
}

// leave takes the descriptor away.
func (s *socket) leave() {
	s.gone, s.owner = true, nil
	s.readGateAt, s.writeGateAt = never, never
	s.peer.abandon()
}

// opened tells that a call would not block any more. In the free world it would not from now on, else not before the
// owner is told: a relay that was just restored tries everything at once and must see nothing that one which stayed
// does not.
func (s *socket) opened(r engine.Readiness) {
	if s.gone {
		return
	}
	if s.world.plan.free {
		s.openGates(r)
	}
	s.tell(r)
}

func (s *socket) openGates(r engine.Readiness) {
	s.readGate = s.readGate || r&engine.Readable != 0
	s.writeGate = s.writeGate || r&engine.Writable != 0
}

// tell queues readiness for the loop that the socket is registered with. On its way between two loops it is with none.
func (s *socket) tell(r engine.Readiness) {
	s.told |= r
	if l := s.tunnel.loop; l != nil && !s.queue {
		s.queue = true
		l.queue = append(l.queue, s)
	}
}

// deliver hands the readiness told to the owner, as the loop does.
func (s *socket) deliver() {
	r := s.told
	s.told = 0
	if s.gone || s.owner == nil || r == 0 {
		return
	}
	s.openGates(r)
	if r&engine.Broken != 0 {
		s.noticed = true
	}
	if s.world.trace != nil {
		s.world.tracef("%s is told %s", s.tunnel.name(s.side), readinessName(r))
	}
	s.owner.Ready(s.label, r)
}

// untouched tells whether nothing has come of the peer since the tunnel was set up.
func (s *socket) untouched() bool {
	return s.arrived == s.read && !s.finArrived && !s.broken && s.told == 0
}

// readiness is what a new registration with an epoll set reports.
func (s *socket) readiness() (r engine.Readiness) {
	if s.readGate && (s.arrived > s.read || s.finArrived || s.broken) {
		r |= engine.Readable
	}
	if s.writeGate {
		r |= engine.Writable
	}
	if s.finArrived {
		r |= engine.Hangup
	}
	if s.broken {
		r |= engine.Readable | engine.Writable | engine.Hangup
		if !s.errorTaken {
			r |= engine.Broken
		}
	}
	return r
}

// breakDown: the peer's reset came. Bytes before it may be lost.
func (s *socket) breakDown(drops bool, fault engine.Fault) {
	s.broken, s.fault = true, fault
	if drops { // but not what was read before the tunnel began
		s.arrived, s.finArrived = max(s.read, s.peer.plan.early), false
	}
	s.readGateAt, s.writeGateAt = never, never
	s.opened(engine.Readable | engine.Writable | engine.Broken | engine.Hangup)
}
