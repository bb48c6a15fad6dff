package engine

// lingerer is a lingering close under way: it writes what is left, finishes, and then reads and discards, because a
// close with unread input would make the kernel destroy our last bytes by a reset. It owns its Conn.
//
//	writing  --rest written, FIN sent-->  discarding  --FIN, error or the time bound-->  closed
type lingerer struct {
	conn         *Conn
	rest         *Pending
	timer        Timer
	discarded    int64
	finished     bool // our FIN is sent
	peerFinished bool
}

func startLinger(c *Conn, rest *Pending, limits LingerLimits) {
	w := &c.loop.Workspace
	g := &lingerer{conn: c, rest: rest, peerFinished: limits.PeerFinished}
	c.Attach(g, SideNone)
	w.Counters.Lingering++
	g.timer.Init(g)
	w.Wheel.Arm(&g.timer, w.now+limits.Nanos)
	g.Ready(SideNone, Readable|Writable)
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
}

func (g *lingerer) close() {
	g.release()
	g.conn.Close()
}

func (g *lingerer) release() {
	w := &g.conn.loop.Workspace
	w.Wheel.Cancel(&g.timer)
	w.Release(g.rest)
	g.rest = nil
	w.Counters.Lingering--
}
