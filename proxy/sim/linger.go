package sim

import "culvert/engine"

// lingerer is a lingering close as engine.End.Linger promises it: it writes the rest, finishes, then reads and
// discards until the peer has finished or a bound is reached: one on how long the peer takes nothing, then one from our
// FIN on. The engine's own works on kernel sockets only.
type lingerer struct {
	socket    *socket
	workspace *engine.Workspace
	rest      *engine.Pending
	limits    engine.LingerLimits
	timer     engine.Timer
	due       int64 // when the bound on this phase is reached
	discarded int
	over      bool
}

func startLinger(s *socket, rest *engine.Pending, limits engine.LingerLimits) {
	w := s.tunnel.loop.workspace
	g := &lingerer{socket: s, workspace: w, rest: rest, limits: limits}
	s.lingerer = g
	s.Attach(g, engine.SideNone)
	g.timer.Init(g)
	g.arm()
	g.Ready(engine.SideNone, engine.Readable|engine.Writable)
}

func (g *lingerer) arm() {
	bound := g.limits.Nanos
	if !g.socket.finished && g.limits.Stalled > 0 {
		bound = g.limits.Stalled
	}
	g.due = g.workspace.Now() + bound
	g.workspace.Wheel.Arm(&g.timer, g.due)
}

// Ready implements engine.Owner.
func (g *lingerer) Ready(engine.Side, engine.Readiness) {
	if g.over {
		return
	}
	g.write()
	if g.socket.finished && !g.over {
		g.discard()
	}
}

func (g *lingerer) write() {
	s := g.socket
	for g.rest.Len() > 0 {
		n, status := s.Write(g.rest.Bytes())
		g.rest.Advance(n)
		if n > 0 {
			g.arm()
		}
		switch status {
		case engine.StatusFailed:
			g.end(s.Close)
			return
		case engine.StatusBlocked:
			return
		}
	}
	if !s.finished {
		s.Finish()
		g.arm()
	}
}

func (g *lingerer) discard() {
	var buffer [4096]byte
	for !g.limits.PeerFinished && g.discarded < engine.LingerBytes {
		n, status := g.socket.Read(buffer[:])
		g.discarded += n
		switch status {
		case engine.StatusFailed:
			g.end(g.socket.Close)
			return
		case engine.StatusEOF:
			g.limits.PeerFinished = true
		case engine.StatusBlocked:
			return
		}
	}
	if g.limits.PeerFinished {
		g.end(g.socket.Close)
	}
}

// OnTimer implements engine.TimerHandler: the time bound is reached.
func (g *lingerer) OnTimer(_ *engine.Timer, now int64) {
	if now < g.due {
		g.socket.world.failf("%s: lingered %d ns less than its bound", g.socket.tunnel.name(g.socket.side), g.due-now)
	}
	if g.socket.finished {
		g.end(g.socket.Close)
	} else {
		g.socket.world.seen.situations[lingerReset]++
		g.end(g.socket.Reset)
	}
}

func (g *lingerer) end(release func()) {
	g.over = true
	g.workspace.Wheel.Cancel(&g.timer)
	g.workspace.Release(g.rest)
	g.rest = nil
	g.socket.tunnel.lingerOver(g)
	release()
}
