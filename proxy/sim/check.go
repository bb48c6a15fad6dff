package sim

import "culvert/engine"

// check judges how the loop stands at the end of a turn.
func (l *loop) check() {
	unfinished := l.workspace.Unfinished()
	if !unfinished {
		l.restless = 0
	} else if l.restless++; l.restless > turnsMax {
		l.world.failf("loop %d has more to do after %d turns", l.index, l.restless)
	}
	pending, buffers := 0, 0
	for _, t := range l.world.tunnels {
		switch {
		case t.loop != l || t.relay == nil:
		case t.over:
			for _, s := range t.sockets {
				if !s.gone && !unfinished {
					t.checkLingering(s)
				}
				buffers += lingeringBuffer(s)
			}
		default:
			t.look()
			t.checkOverdue()
			if !unfinished {
				t.checkRest()
			}
			t.checkBroken(unfinished)
			pending += t.oracle.pending[0] + t.oracle.pending[1]
			buffers += t.buffers()
		}
	}
	if got := l.workspace.Counters.PendingBytes; got != uint64(pending) {
		l.world.failf("loop %d counts %d pending bytes, its relays have %d", l.index, got, pending)
	}
	if l.workspace.Exhausted() && pending > 0 {
		l.world.failf("loop %d ends its turn with its memory exhausted and %d bytes pending", l.index, pending)
	}
	if held := l.workspace.Counters.HeldBytes; held > 0 && buffers == 0 {
		l.world.failf("loop %d holds %d bytes of buffers, but all its relays are idle", l.index, held)
	}
}

// checkRest: with nothing left to do, every direction waits for something that was promised to it.
func (t *tunnel) checkRest() {
	for from, source := range t.sockets {
		sink := t.sockets[1-from]
		pending := t.oracle.pending[from]
		switch {
		case source.queue || sink.queue:
			// told after this turn began
		case source.noticed || sink.noticed:
			// checkBroken's affair
		case pending > 0 && sink.writeGate:
			t.failf("%d bytes wait for the %s, which has room", pending, sink.side)
		case pending == 0 && source.readGate && !source.eof:
			t.failf("the %s is not read any more although it never said that it is empty", source.side)
		case pending == 0 && source.eof && !sink.finished:
			t.failf("the FIN of the %s was not passed on", source.side)
		}
	}
	if t.sockets[0].finished && t.sockets[1].finished {
		t.failf("both sides have finished, but it goes on")
	}
}

// checkBroken: a broken end is passed on within one turn of being noticed, or as soon as what it sent before is read.
func (t *tunnel) checkBroken(unfinished bool) {
	o := &t.oracle
	for side, s := range t.sockets {
		if !s.noticed {
			continue
		}
		if s.read > o.readBefore[side] {
			o.noticed[side] = 0
		} else if o.noticed[side]++; o.noticed[side] > 1 || !unfinished {
			t.failf("the reset of the %s is known, but the %s is not reset", s.side, s.side.Other())
		}
	}
	o.readBefore = [2]int{t.sockets[0].read, t.sockets[1].read}
}

// checkOverdue: a deadline is not missed by a loop that had the tunnel for a whole turn.
func (t *tunnel) checkOverdue() {
	at, outcome, ok := t.deadline()
	if ok && t.world.now >= at+engine.WheelTick && t.loop.turns > t.arrivedInTurn {
		t.failf("%v was due %d ns ago", outcome, t.world.now-at)
	}
}

// checkLingering: a lingering close that can go on does.
func (t *tunnel) checkLingering(s *socket) {
	g := s.lingerer
	switch {
	case g == nil:
		t.failf("the end of the %s was never released", s.side)
	case s.queue:
	case !s.finished && s.writeGate:
		t.failf("a lingering close has bytes for the %s, which has room", s.side)
	}
}

// buffers returns how many buffers the relay may hold: one for what is pending, one for a partial header, one for
// waiting insertions, per direction. Idle at a frame boundary it may hold none.
func (t *tunnel) buffers() (n int) {
	for from, s := range t.sockets {
		if t.oracle.pending[from] > 0 {
			n++
		}
		if dropping := s.stream.closed && s.read >= s.stream.limit; t.forwarded(s.side) < s.read && !dropping {
			n++
		}
		if len(t.deliveries[1-from].inserts) > 0 {
			n++
		}
	}
	return n
}

// lingeringBuffer returns how many buffers a lingering close may hold.
func lingeringBuffer(s *socket) int {
	if s.lingerer != nil && !s.lingerer.over && s.lingerer.rest != nil {
		return 1
	}
	return 0
}

// checkEnd judges what is left when nothing will ever happen again.
func (w *world) checkEnd() {
	for _, t := range w.tunnels {
		if !t.over {
			t.failf("nothing will ever happen again, but it goes on")
		}
		for _, s := range t.sockets {
			if !s.gone {
				t.failf("the end of the %s is still open", s.side)
			}
		}
	}
	for _, l := range w.loops {
		c := &l.workspace.Counters
		if timers := l.workspace.Wheel.Len(); timers != 0 || c.PendingBytes != 0 || c.HeldBytes != 0 {
			w.failf("loop %d is left with %d timers, %d pending bytes, %d bytes of buffers", l.index, timers, c.PendingBytes, c.HeldBytes)
		}
		if c.Relays != c.RelaysOver {
			w.failf("loop %d began %d relays and ended %d", l.index, c.Relays, c.RelaysOver)
		}
	}
}
