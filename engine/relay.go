package engine

// RelayLimits are the deadlines of a relay, in nanoseconds. They are immutable: relays share them.
type RelayLimits struct {
	// Idle ends a relay none of whose bytes touched the backend's end for this long. 0: none.
	Idle int64
	// Stalled ends a relay of which one end took no byte for this long while bytes were pending. 0: none.
	Stalled int64
	// HalfClosed takes the place of Idle once one side has finished.
	HalfClosed int64
	// Linger bounds the lingering close of each end.
	Linger int64
	// Surrender leaves the ends to the observer, however the relay ends: it moves messages between ends that live
	// on. A FIN is then not passed on; that both directions are done, by ActionDone or by a FIN, ends the relay as
	// EndClosed. It is not exported: no tunnel has it.
	Surrender bool
}

// RelayObserver is told when a relay is over. Both ends were released then, or handed to a lingering close; or they are
// the observer's, with what TakePending and TakeRest return (RelayLimits.Surrender).
type RelayObserver interface {
	RelayOver(r *Relay, outcome Outcome)
}

// Relay moves bytes between two ends, both ways, each direction judged by its stage. It holds at most one read per
// direction: what one side does not take is kept, and its source is not read until that is gone. Owned by the loop;
// it must not be copied once started.
//
//	open         both directions flow                      timer: idle, or stalled while bytes are pending
//	half-closed  one side finished, its FIN passed on      timer: half-closed, or stalled
//	over         RelayOver was called; nothing is touched  timer: none
//
// The transitions are in endings.go, the deadlines in deadlines.go, the flow of bytes in direction.go.
type Relay struct {
	workspace  *Workspace
	observer   RelayObserver
	limits     *RelayLimits
	ends       [2]End
	directions [2]direction // named by the side that they come from
	timer      Timer
	activity   int64 // last time a byte touched the backend's end, or a stall was over; Monotonic ns
	flags      relayFlags
	broken     [2]bool // an error is pending on the end, or was seen
	finished   [2]bool // the side's FIN was passed on to the other
	firstFIN   Side    // who finished first

	stalledBefore, stalledAfter *Relay // in the workspace's list of stalled relays
}

type relayFlags uint8

const (
	relayOver relayFlags = 1 << iota
	relayQueued
	relayDriven // events are being handled: nested calls only set state
	relayWhole  // a message is whole (ActionDone): the client's; the backend's is the next flag
)

// Init prepares a relay between two ends. stages[s] judges what comes from side s; nil: that side is not read at all,
// only watched for errors. The ends' events go to the relay from Start on.
func (r *Relay) Init(w *Workspace, ends [2]End, stages [2]Stage, limits *RelayLimits, observer RelayObserver) {
	r.workspace, r.ends, r.limits, r.observer = w, ends, limits, observer
	for side := range r.directions {
		d := &r.directions[side]
		d.stage = stages[side]
		d.from = Side(side)
		d.boundary = true
		d.mayRead = true
	}
	r.firstFIN = SideNone
	r.activity = w.now
	r.timer.Init(r)
	w.Counters.Relays++
}

// Quiet says that a side is known to have nothing to read until it is told of: it saves the read that would find out.
// Only before Start.
func (r *Relay) Quiet(side Side) { r.directions[side].mayRead = false }

// Whole says that a side has no message, or none of which anything is still to come. Only before Start, on a relay whose
// ends are surrendered.
func (r *Relay) Whole(from Side) { r.done(&r.directions[from], nil) }

// Start takes the ends' events over and begins to move bytes. Emit and Feed come before it.
func (r *Relay) Start() {
	if r.flags&relayOver != 0 {
		return
	}
	r.ends[SideClient].Attach(r, SideClient)
	r.ends[SideBackend].Attach(r, SideBackend)
	r.schedule()
	r.drive()
}

// Emit sends bytes towards a side as they are, unjudged and uncounted: a head of ours in front of the stream. Only
// before Start.
func (r *Relay) Emit(towards Side, p []byte) { r.emit(&r.directions[towards.Other()], p) }

// Feed gives bytes that were read from a side before the relay existed to its stage, and may change them. Only before
// Start; at most one read's worth.
func (r *Relay) Feed(from Side, p []byte) { r.FeedBehind(nil, from, p) }

// FeedBehind is Feed behind a head of ours that goes the same way, as by Emit: by one write, where together they are
// small.
func (r *Relay) FeedBehind(head []byte, from Side, p []byte) {
	if r.flags&relayOver != 0 {
		return
	}
	d := &r.directions[from]
	if lead := len(head); lead > 0 && len(p) > 0 && lead+len(p) <= mergeMax {
		both := r.workspace.Acquire(lead + len(p))
		buffer := both.Buffer()
		*buffer = append(append(*buffer, head...), p...)
		r.process(d, *buffer, lead, lead)
		r.workspace.Release(both)
		return
	}
	r.emit(d, head)
	if len(p) > 0 {
		r.process(d, p, 0, 0)
	}
}

// Ready implements Owner.
func (r *Relay) Ready(side Side, readiness Readiness) {
	if r.flags&relayOver != 0 {
		return
	}
	if readiness&Readable != 0 {
		r.directions[side].mayRead = true
	}
	if readiness&Broken != 0 {
		r.broken[side] = true
	}
	if readiness&Writable != 0 {
		r.directions[side.Other()].blocked = false
	}
	if r.flags&relayQueued != 0 {
		return // this turn's budget is used up; the next turn comes at once
	}
	r.drive()
}

// Resume implements Resumer: the budget of the turn before was used up.
func (r *Relay) Resume() {
	r.flags &^= relayQueued
	if r.flags&relayOver == 0 {
		r.drive()
	}
}

// drive does all that can be done now in both directions, and then judges how things stand.
func (r *Relay) drive() {
	for side := range r.directions {
		d := &r.directions[side]
		if d.waiting() && !d.blocked {
			r.flush(d)
		}
		r.pump(d)
		if r.flags&relayOver != 0 {
			return
		}
	}
	r.settle()
}

// Workspace returns the workspace that the relay lives on.
func (r *Relay) Workspace() *Workspace { return r.workspace }

// Ends returns the ends, which must not be used any more once the relay is over, but for asking what became of them.
func (r *Relay) Ends() [2]End { return r.ends }

// Over tells whether the relay has ended.
func (r *Relay) Over() bool { return r.flags&relayOver != 0 }

// Bytes returns how many bytes from a side were forwarded, insertions not included.
func (r *Relay) Bytes(from Side) uint64 { return r.directions[from].bytes }

// PendingBytes returns how many bytes from a side wait because the other side did not take them.
func (r *Relay) PendingBytes(from Side) int {
	d := &r.directions[from]
	return d.pending.Len() + d.pipe.Held()
}

// Insert sends a frame of our own towards a side, as soon as that direction stands at a frame boundary with nothing
// older pending. It reports false when InsertMax frames wait already, or when that direction has finished.
func (r *Relay) Insert(towards Side, frame []byte) bool {
	d := &r.directions[towards.Other()]
	if r.flags&relayOver != 0 || r.finished[d.from] || d.ended || d.insertCount >= InsertMax {
		r.workspace.Counters.InsertsRefused++
		return false
	}
	d.inserts = r.workspace.Append(d.inserts, frame)
	d.insertCount++
	r.insertNow(d)
	if r.broken[towards] {
		r.postpone() // the write failed, and no event need follow: the next turn passes it on
	}
	return true
}
