package engine

// The transitions of a relay towards its end. docs/endings.md is the truth table behind them.

// sourceEnded: the source's FIN was read; every byte before it was judged.
func (r *Relay) sourceEnded(d *direction) {
	if d.ended {
		return // it came with the end of a message, and is the observer's affair
	}
	if r.broken[d.from] {
		d.ended = true
		return // a reset behind the FIN: settle ends the relay
	}
	if reason := d.stage.Finish(); reason != EndNone {
		r.finishBoth(Outcome{Reason: reason, By: d.from})
		return
	}
	d.ended = true
	if d.held != nil {
		held := d.held
		d.held = nil
		r.forward(d, held.Bytes(), 0)
		r.workspace.Release(held)
	}
	if !d.waiting() {
		r.passFIN(d)
	}
}

// done: the source's message is whole. What came behind it is kept for whoever takes the ends over.
func (r *Relay) done(d *direction, rest []byte) {
	if !r.limits.Surrender {
		panic("engine: a message ends on a relay that owns its ends")
	}
	d.ended = true
	r.flags |= relayWhole << d.from
	if len(rest) > 0 {
		d.held = r.workspace.Append(nil, rest)
	}
	if !d.waiting() {
		r.passFIN(d)
	}
}

// passFIN passes the half-close on: everything before it was taken by the destination.
func (r *Relay) passFIN(d *direction) {
	if r.finished[d.from] {
		return
	}
	r.finished[d.from] = true
	if r.limits.Surrender {
		r.schedule()
		return
	}
	if !r.finished[d.from.Other()] { // else settle closes both ends within this turn, which says the same
		r.ends[d.from.Other()].Finish()
	}
	if r.firstFIN == SideNone {
		r.firstFIN = d.from
		r.activity = r.workspace.now // the half-closed timeout starts here
	}
	r.schedule()
}

// settle ends the relay if both sides have finished or one is broken.
func (r *Relay) settle() {
	if r.flags&relayOver != 0 {
		return
	}
	done := r.finished[SideClient] && r.finished[SideBackend]
	if done && r.limits.Surrender {
		r.over(Outcome{Reason: EndClosed, By: SideNone}, nil)
		return
	}
	for side := range r.broken {
		if !r.broken[side] || r.dispensable(Side(side)) {
			continue
		}
		if Side(side) == SideBackend && r.flags&(relayWhole<<side) != 0 {
			// It has answered. What waits for it concerns nobody any more, what waits for the client is the observer's.
			r.over(Outcome{Reason: EndClosed, By: SideBackend}, nil)
			return
		}
		// What a side sent before it broke can still be read; deliver it if there is room.
		d := &r.directions[side]
		d.mayRead = true
		r.pump(d)
		if r.flags&(relayOver|relayQueued) == 0 || d.paused() {
			r.fail(Side(side))
		}
		return
	}
	if done {
		r.over(Outcome{Reason: EndClosed, By: r.firstFIN}, End.Close)
	}
}

// dispensable tells whether a side has said all it had to say and was told everything: what becomes of it then does
// not matter to what is still on the way to the other.
func (r *Relay) dispensable(side Side) bool {
	return r.flags&(relayWhole<<side) != 0 && r.finished[side.Other()]
}

// fail: one side is broken; the other is reset within this turn, what was pending is discarded.
func (r *Relay) fail(side Side) {
	if r.flags&relayOver != 0 {
		return
	}
	r.abort(Outcome{Reason: BrokenReason(side, r.ends[side].Fault()), By: side})
}

// Abort resets both sides.
func (r *Relay) Abort(outcome Outcome) { r.abort(outcome) }

// End delivers what is pending, finishes both sides and leaves them to a lingering close.
func (r *Relay) End(outcome Outcome) { r.finishBoth(outcome) }

func (r *Relay) abort(outcome Outcome) { r.over(outcome, End.Reset) }

// finishBoth hands each end what is pending for it.
func (r *Relay) finishBoth(outcome Outcome) {
	if r.flags&relayOver != 0 {
		return
	}
	if r.limits.Surrender {
		r.over(outcome, nil)
		return
	}
	w := r.workspace
	for side := range r.ends {
		in, out := &r.directions[Side(side).Other()], &r.directions[side]
		r.pipeToPending(in)
		rest := in.pending
		w.Counters.PendingBytes -= uint64(rest.Len())
		in.pending = nil
		r.ends[side].Linger(rest, LingerLimits{
			Nanos: r.limits.Linger, Stalled: r.limits.Stalled, PeerFinished: out.ended,
		})
	}
	r.over(outcome, nil)
}

// over releases everything and tells the observer, once. release is what happens to each end; nil: it did already.
func (r *Relay) over(outcome Outcome, release func(End)) {
	if r.flags&relayOver != 0 {
		return
	}
	r.flags |= relayOver
	w := r.workspace
	w.Counters.RelaysOver++
	w.Wheel.Cancel(&r.timer)
	w.memory.stalled.remove(r)
	if r.limits.Surrender {
		release = nil
		r.surrender(outcome)
	}
	for side := range r.directions {
		d := &r.directions[side]
		w.Counters.PendingBytes -= uint64(d.pending.Len() + d.pipe.Held())
		w.charge(-int64(d.pipe.Held()))
		w.pipes.put(d.pipe, &w.Counters)
		d.pipe = nil
		for _, p := range []*Pending{d.pending, d.held, d.inserts} {
			w.Release(p)
		}
		d.pending, d.held, d.inserts, d.insertCount = nil, nil, nil, 0
		if release != nil {
			release(r.ends[side])
		}
	}
	if !r.limits.Surrender {
		r.observer.RelayOver(r, outcome)
	}
}

// surrender hands the ends to the observer; what it does not take of the bytes that wait is released afterwards.
func (r *Relay) surrender(outcome Outcome) {
	for side := range r.directions {
		r.pipeToPending(&r.directions[side])
	}
	r.observer.RelayOver(r, outcome)
}

// TakePending returns the bytes from a side that its other end has not taken, nil for none, and gives them up. Only in
// RelayOver of a relay whose ends are surrendered; the caller releases them.
func (r *Relay) TakePending(from Side) *Pending {
	d := &r.directions[from]
	p := d.pending
	r.workspace.Counters.PendingBytes -= uint64(p.Len())
	d.pending = nil
	return p
}

// TakeRest returns what came from a side behind its message, nil for none. As TakePending.
func (r *Relay) TakeRest(from Side) *Pending {
	d := &r.directions[from]
	p := d.held
	d.held = nil
	return p
}

// Unread tells whether an end may have something to read that the relay did not. As TakePending.
func (r *Relay) Unread(side Side) bool { return r.directions[side].mayRead }

// Done tells whether a side's message was whole and the other side took all of it.
func (r *Relay) Done(from Side) bool { return r.finished[from] }
