package sim

import "culvert/engine"

// peer is who sits at the far side of a socket: it sends its stream in chunks and reads what comes, each at its own
// pace, and may fall silent, stop reading, finish or reset.
type peer struct {
	world  *world
	socket *socket
	plan   *peerPlan
	dice   dice

	sendAt, readAt, finAt, resetAt int64

	full    bool // waits for room in the proxy's receive buffer
	stalled bool // does not read for now
	silent  bool // was silent already
	sawFIN  bool
	left    bool // reset, or let go by the proxy
}

func newPeer(s *socket) *peer {
	plan := s.tunnel.plan.peers[s.side]
	return &peer{
		world: s.world, socket: s, plan: plan,
		dice:   newDice(s.world.plan.seed, uint64(s.tunnel.index*8+int(s.side)+4)),
		sendAt: never, readAt: never, finAt: never, resetAt: never,
	}
}

// begin starts the peer's life at time now.
func (p *peer) begin(now int64) {
	p.sendAt = now
	if p.plan.resetAt != never {
		p.resetAt = now + p.plan.resetAt
	}
}

// next returns when the peer or its socket acts.
func (p *peer) next() int64 {
	return min(p.sendAt, p.readAt, p.finAt, p.resetAt, p.socket.readGateAt, p.socket.writeGateAt)
}

// act does everything that is due.
func (p *peer) act(now int64) {
	s := p.socket
	if s.readGateAt <= now {
		s.readGateAt = never
		s.opened(engine.Readable)
	}
	if s.writeGateAt <= now {
		s.writeGateAt = never
		s.opened(engine.Writable)
	}
	if p.sendAt <= now {
		p.sendAt = never
		p.send(now)
	}
	if p.readAt <= now {
		p.readAt = never
		p.receive(now)
	}
	if p.finAt <= now {
		p.finAt = never
		p.finish()
	}
	if p.resetAt <= now {
		p.reset()
	}
}

// send puts a chunk of the stream into the receive buffer of the proxy's kernel.
func (p *peer) send(now int64) {
	s := p.socket
	left := len(s.stream.bytes) - s.arrived
	if left == 0 {
		if p.plan.fin == finAtEnd || p.plan.fin == finInReply && p.sawFIN {
			p.finAt = now + p.dice.time(0, p.plan.finDelay)
		}
		return
	}
	if s.arrived >= p.plan.silentAt && !p.silent {
		p.silent = true
		p.sendAt = now + p.plan.silentFor
		return
	}
	room := p.plan.socket.receive - (s.arrived - s.read)
	if room <= 0 {
		p.full = true
		return
	}
	n := min(left, room, p.dice.between(1, p.plan.chunk))
	s.arrived += n
	p.tracef("sends %d", n)
	s.opened(engine.Readable)
	p.sendAt = now + p.dice.time(0, p.plan.gap)
}

// roomAgain: the proxy has read.
func (p *peer) roomAgain() {
	if p.full && !p.left {
		p.full = false
		p.sendAt = p.world.now + p.plan.latency
	}
}

// bytesAgain: the proxy has written or finished.
func (p *peer) bytesAgain() {
	if !p.left && !p.stalled && p.readAt == never {
		p.readAt = p.world.now + p.plan.latency
	}
}

// receive takes bytes out of the send buffer of the proxy's kernel.
func (p *peer) receive(now int64) {
	s := p.socket
	p.stalled = false
	if s.consumed >= p.plan.stallAt && p.plan.stallFor > 0 {
		p.stalled = true
		if p.plan.stallFor != never {
			p.readAt = now + p.plan.stallFor
		}
		p.plan = p.plan.withoutStall()
		p.tracef("stops reading")
		return
	}
	n := min(s.sent-s.consumed, p.dice.between(1, p.plan.bite))
	s.consumed += n
	if n > 0 {
		p.tracef("receives %d", n)
	}
	if !s.writeGate && s.writeGateAt == never && s.room() >= p.plan.socket.lowWater {
		s.opened(engine.Writable)
	}
	switch {
	case s.sent > s.consumed:
		p.readAt = now + p.dice.time(0, p.plan.rest)
	case s.finished && !p.sawFIN:
		p.sawFIN = true
		p.tracef("sees the FIN")
		if p.plan.fin == finInReply && s.arrived == len(s.stream.bytes) {
			p.finAt = now + p.dice.time(0, p.plan.finDelay)
		}
	}
}

// withoutStall is the plan of a peer that stalls no more.
func (p *peerPlan) withoutStall() *peerPlan {
	changed := *p
	changed.stallAt = never
	return &changed
}

// finish sends the FIN, behind all bytes.
func (p *peer) finish() {
	if !p.socket.finArrived {
		p.tracef("finishes")
		p.socket.finArrived = true
		p.socket.opened(engine.Readable | engine.Hangup)
	}
}

func (p *peer) reset() {
	p.tracef("resets")
	p.abandon()
	p.socket.breakDown(p.plan.resetDrops, p.plan.fault)
}

// abandon ends the peer's life.
func (p *peer) abandon() {
	p.left = true
	p.sendAt, p.readAt, p.finAt, p.resetAt = never, never, never, never
}

func (p *peer) tracef(format string, arguments ...any) {
	if p.world.trace != nil {
		p.world.tracef("%s peer "+format, append([]any{p.socket.tunnel.name(p.socket.side)}, arguments...)...)
	}
}
