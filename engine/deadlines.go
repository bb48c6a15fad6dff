package engine

// A relay has one timer for all its deadlines. They are lazy: activity stores a time and nothing else; when the timer
// fires the deadline is computed anew, and the timer re-armed for the rest.

// deadline returns when the relay ends by itself, as things stand, and for which reason. ok is false for never.
func (r *Relay) deadline() (at int64, outcome Outcome, ok bool) {
	pending := false
	for i := range r.directions {
		d := &r.directions[i]
		if !d.waiting() {
			continue
		}
		pending = true
		if stalled := d.taken + r.limits.Stalled; r.limits.Stalled > 0 && (!ok || stalled < at) {
			at, outcome, ok = stalled, Outcome{Reason: EndStalled, By: d.from.Other()}, true
		}
	}
	switch {
	case pending:
	case r.firstFIN != SideNone:
		at, outcome, ok = r.activity+r.limits.HalfClosed, Outcome{Reason: EndHalfClosed, By: r.firstFIN.Other()}, true
	case r.limits.Idle > 0:
		at, outcome, ok = r.activity+r.limits.Idle, Outcome{Reason: EndIdle, By: SideNone}, true
	}
	return at, outcome, ok
}

// schedule makes sure that the timer fires no later than the deadline. An earlier timer is left as it is.
func (r *Relay) schedule() {
	if r.flags&relayOver != 0 {
		return
	}
	at, _, ok := r.deadline()
	if ok && (!r.timer.Armed() || r.timer.Deadline() > at) {
		r.workspace.Wheel.Arm(&r.timer, at)
	}
}

// OnTimer implements TimerHandler.
func (r *Relay) OnTimer(_ *Timer, now int64) {
	at, outcome, ok := r.deadline()
	switch {
	case !ok:
	case at > now:
		r.workspace.Wheel.Arm(&r.timer, at)
	case outcome.Reason == EndStalled:
		// What is pending will never be taken: a clean end would be a lie.
		r.abort(outcome)
	default:
		r.finishBoth(outcome)
	}
}
