package engine

// The transitions of a relay towards its end. docs/endings.md is the truth table behind them.

// sourceEnded: the source's FIN was read; every byte before it was judged.
func (r *Relay) sourceEnded(d *direction) {
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
		r.forward(d, held.Bytes())
		r.workspace.Release(held)
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
	r.ends[d.from.Other()].Finish()
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
	for side := range r.broken {
		if !r.broken[side] {
			continue
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
	if r.finished[SideClient] && r.finished[SideBackend] {
		r.over(Outcome{Reason: EndClosed, By: r.firstFIN}, End.Close)
	}
}

// fail: one side is broken; the other is reset within this turn, what was pending is discarded.
func (r *Relay) fail(side Side) {
	if r.flags&relayOver != 0 {
		return
	}
	reason := [2]EndReason{EndClientReset, EndBackendReset}[side]
	if r.ends[side].Fault() == FaultLost {
		reason = [2]EndReason{EndClientLost, EndBackendLost}[side]
	}
	r.abort(Outcome{Reason: reason, By: side})
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
	if r.limits.Complete != EndNone && r.limits.Complete != outcome.Reason {
		r.abort(outcome)
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
	r.observer.RelayOver(r, outcome)
}
