package engine

// memory is the budget of what a loop holds for its connections: buffers by their capacity, pipes by their content.
// It has two steps. Above half of the limit reads shrink and nothing is spliced, so that less is held of each; at the
// limit the package above refuses new work (Workspace.Exhausted) and gives up what it holds for work that has not begun
// (Shedder), and then the relays that have been stalled the longest end. Owned by the loop.
type memory struct {
	used, limit int64
	stalled     stalledList
	shedder     Shedder
}

// Shedder holds buffers for what is no relay yet.
type Shedder interface {
	// Shed gives up one thing that holds buffers, and reports false when there is none.
	Shed() bool
}

// SetShedder names who gives up buffers before any relay has to.
func (w *Workspace) SetShedder(s Shedder) { w.memory.shedder = s }

func (m *memory) tight() bool { return m.limit > 0 && m.used > m.limit/2 }

// Exhausted tells whether the loop's buffer memory is used up: new work should be refused.
func (w *Workspace) Exhausted() bool { return w.memory.limit > 0 && w.memory.used >= w.memory.limit }

// Charge counts bytes that are held elsewhere for a connection of this loop; negative ones are not held any more.
func (w *Workspace) Charge(bytes int64) { w.charge(bytes) }

func (w *Workspace) charge(bytes int64) {
	w.memory.used += bytes
	w.Counters.HeldBytes = uint64(w.memory.used)
	w.Counters.HeldPeak = max(w.Counters.HeldPeak, w.Counters.HeldBytes)
}

// EndTurn ends a turn: where the budget of memory is exceeded, work that has not begun is given up, and then the relays
// that have been stalled the longest, until it is kept.
func (w *Workspace) EndTurn() {
	if w.memory.tight() {
		w.Counters.ReadsShrunk++
	}
	for w.memory.shedder != nil && w.Exhausted() && w.memory.shedder.Shed() {
		w.Counters.WorkShed++
	}
	for w.Exhausted() && w.memory.stalled.first != nil {
		r := w.memory.stalled.first
		w.Counters.RelaysShed++
		r.abort(Outcome{Reason: EndNoMemory, By: r.slowest()})
	}
}

// slowest returns the side that has taken none of what waits for it for the longest time, be there a deadline or not.
func (r *Relay) slowest() Side {
	client, backend := &r.directions[SideBackend], &r.directions[SideClient] // what waits for them
	if backend.waiting() && (!client.waiting() || backend.taken < client.taken) {
		return SideBackend
	}
	return SideClient
}

// stalledList holds the relays of which bytes wait, the one that made no progress for the longest time first.
type stalledList struct{ first, last *Relay }

// touch puts r last: it began to wait, or made progress.
func (l *stalledList) touch(r *Relay) {
	if l.last == r {
		return
	}
	l.remove(r)
	r.stalledBefore = l.last
	if l.last != nil {
		l.last.stalledAfter = r
	} else {
		l.first = r
	}
	l.last = r
}

// remove takes r out, if it is in.
func (l *stalledList) remove(r *Relay) {
	if l.first != r && r.stalledBefore == nil {
		return
	}
	if r.stalledBefore != nil {
		r.stalledBefore.stalledAfter = r.stalledAfter
	} else {
		l.first = r.stalledAfter
	}
	if r.stalledAfter != nil {
		r.stalledAfter.stalledBefore = r.stalledBefore
	} else {
		l.last = r.stalledBefore
	}
	r.stalledBefore, r.stalledAfter = nil, nil
}
