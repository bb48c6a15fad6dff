package engine

// lingerer is a lingering close under way: it writes what is left, finishes, and then reads and discards, because a
// close with unread input would make the kernel destroy our last bytes by a reset. It owns its Conn.
//
//	writing     timer: stalled, anew with every byte that the peer takes
//	   | the rest is written, our FIN sent
//	discarding  timer: linger, once
//	   | the peer's FIN, an error or the time bound
//	closed
type lingerer struct {
	conn         *Conn
	rest         *Pending
	timer        Timer
	limits       LingerLimits
	observer     CloseObserver // nil: nobody
	discarded    int64
	finished     bool // our FIN is sent
	peerFinished bool
}

func startLinger(c *Conn, rest *Pending, limits LingerLimits) {
	w := &c.loop.Workspace
	g := &lingerer{conn: c, rest: rest, limits: limits, peerFinished: limits.PeerFinished}
	c.Attach(g, SideNone)
	w.Counters.Lingering++
	g.timer.Init(g)
	g.arm()
	g.Ready(SideNone, Readable|Writable)
}

// arm starts the bound on the phase that we are in over.
func (g *lingerer) arm() {
	w := &g.conn.loop.Workspace
	bound := g.limits.Nanos
	if !g.finished && g.limits.Stalled > 0 {
		bound = g.limits.Stalled
	}
	w.Wheel.Arm(&g.timer, w.now+bound)
}

// Ready implements Owner.
func (g *lingerer) Ready(_ Side, r Readiness) {
	if r&Writable != 0 && !g.finished && !g.write() {
		return
	}
	if !g.discard() {
		return
	}
	if g.finished && g.peerFinished {
		g.close()
	}
}

// write reports false when the end was released.
func (g *lingerer) write() bool {
	w := &g.conn.loop.Workspace
	for g.rest.Len() > 0 {
		n, status := g.conn.Write(g.rest.Bytes())
		g.rest.Advance(n)
		if n > 0 {
			g.arm()
		}
		if status == StatusFailed {
			g.close()
			return false
		}
		if status == StatusBlocked {
			return true
		}
	}
	w.Release(g.rest)
	g.rest = nil
	g.conn.Finish()
	g.finished = true
	g.arm()
	return true
}

// discard reports false when the end was released. At the bound it stops reading and leaves the rest to the kernel's
// flow control: a close there and then would destroy our last bytes. Once the peer has sent its FIN nothing is added
// any more, and what is left is read.
func (g *lingerer) discard() bool {
	buffer := g.conn.loop.discardBuffer()
	for !g.peerFinished && (g.discarded < LingerBytes || g.conn.flags&connHangup != 0) {
		n, status := g.conn.Read(buffer)
		g.discarded += int64(n)
		switch {
		case status == StatusFailed:
			g.close()
			return false
		case status == StatusEOF:
			g.peerFinished = true
		case status == StatusBlocked:
			return true
		}
	}
	return true
}

// OnTimer implements TimerHandler: the time bound was reached.
func (g *lingerer) OnTimer(*Timer, int64) {
	g.conn.loop.Counters.LingerCut++
	if g.finished {
		g.close()
		return
	}
	g.release()
	g.conn.Reset() // the peer took nothing; without a reset the kernel would keep our bytes for minutes
	g.tell()
}

func (g *lingerer) close() {
	g.release()
	g.conn.Close()
	g.tell()
}

func (g *lingerer) tell() {
	if g.observer != nil {
		g.observer.ConnClosed()
	}
}

func (g *lingerer) release() {
	w := &g.conn.loop.Workspace
	w.Wheel.Cancel(&g.timer)
	w.Release(g.rest)
	g.rest = nil
	w.Counters.Lingering--
}
