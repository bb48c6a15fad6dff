package sim

import (
	"golang.org/x/sys/unix"

	"culvert/engine"
)

// splicingSocket is a socket whose bytes may pass through a pipe. The pipes are the kernel's own.
type splicingSocket struct{ *socket }

// SpliceIn implements engine.Splicer.
func (s splicingSocket) SpliceIn(p *engine.Pipe, limit int) (int, engine.Status) {
	switch {
	case !s.alive("SpliceIn") || !s.readGate:
		return 0, engine.StatusBlocked
	case s.dice.percent(s.plan.interrupted), s.arrived == s.read && (s.finArrived && !s.broken || s.moved):
		return s.note("splice in", 0, engine.StatusReady)
	case s.arrived == s.read:
		return s.note("splice in", 0, s.emptied())
	}
	n := min(limit, s.arrived-s.read, p.Room())
	if s.dice.percent(s.plan.shortRead) {
		n = s.dice.between(1, n)
	}
	_, write := p.Ends()
	if written, err := unix.Write(write, s.stream.bytes[s.read:s.read+n]); written != n {
		s.world.failf("a pipe with room for %d bytes took %d: %v", p.Room(), written, err)
		return 0, engine.StatusBlocked
	}
	p.Moved(n)
	s.read += n
	s.peer.roomAgain()
	s.tunnel.touched(s.socket, n, false)
	return s.note("splice in", n, engine.StatusReady)
}

// SpliceOut implements engine.Splicer.
func (s splicingSocket) SpliceOut(p *engine.Pipe) (int, engine.Status) {
	switch {
	case !s.alive("SpliceOut"), s.finished:
		s.world.failf("%s: a splice behind the FIN or the release", s.tunnel.name(s.side))
		return 0, engine.StatusFailed
	case s.broken:
		s.fails()
		return s.note("splice out", 0, engine.StatusFailed)
	case !s.writeGate:
		return 0, engine.StatusBlocked
	case s.dice.percent(s.plan.interrupted):
		return s.note("splice out", 0, engine.StatusReady)
	}
	n := min(p.Held(), s.room())
	if n == 0 {
		s.writeGate = false
		return s.note("splice out", 0, engine.StatusBlocked)
	}
	if s.dice.percent(s.plan.shortWrite) {
		n = s.dice.between(1, n)
	}
	read, _ := p.Ends()
	buffer := s.world.scratch[:n]
	if got, err := unix.Read(read, buffer); got != n {
		s.world.failf("a pipe that holds %d bytes gave %d: %v", p.Held(), got, err)
		return 0, engine.StatusFailed
	}
	p.Moved(-n)
	s.tunnel.arriving(s.socket, buffer)
	s.sent += n
	s.tunnel.touched(s.socket, n, true)
	s.peer.bytesAgain()
	return s.note("splice out", n, engine.StatusReady)
}
