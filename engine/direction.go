package engine

// direction is one of the two ways through a relay: from the end that it is named by to the other.
type direction struct {
	stage   Stage
	pending *Pending // judged, not yet taken by the destination; nil: none, and the source may be read
	held    *Pending // not yet judged: the stage asked to see it again with more
	inserts *Pending // frames of ours that wait for a boundary
	pipe    *Pipe    // spliced, not yet taken by the destination; nil: none. Never together with pending
	opaque  int64    // bytes still to come that need no judgement
	bytes   uint64   // forwarded
	taken   int64    // last time the destination took a byte while some were pending; Monotonic ns

	from           Side
	insertCount    uint8
	smallSplices   uint8
	boundary       bool // what was forwarded stands at a frame boundary
	opaqueBoundary bool // ... it will, when opaque has come
	mayRead        bool // the source may have something to read
	blocked        bool // the destination is full; Writable will be told
	ended          bool // the source's FIN was read
	// that it was passed on is in Relay.finished: the flags here fill one word, of which a tunnel has two
}

// paused tells whether the source must not be read.
func (d *direction) paused() bool { return d.waiting() || d.ended || d.stage == nil }

// waiting tells whether bytes wait for the destination.
func (d *direction) waiting() bool { return d.pending != nil || d.pipe != nil }

// count counts n bytes as forwarded.
func (d *direction) count(r *Relay, n int) {
	d.bytes += uint64(n)
	r.workspace.Counters.Relayed[d.from] += uint64(n)
}

// pump reads the source and forwards what its stage lets pass, until the source is empty, the destination full, or
// the budget of this turn used up.
func (r *Relay) pump(d *direction) {
	w := r.workspace
	budget := turnReads * len(w.ReadBuffer())
	for d.mayRead && !d.paused() && !r.broken[d.from.Other()] && r.flags&relayOver == 0 {
		if budget <= 0 {
			r.postpone()
			return
		}
		n, status := r.take(d)
		budget -= max(n, leastRead)
		if n > 0 && d.from == SideBackend {
			r.activity = w.now
		}
		if r.flags&relayOver != 0 {
			return
		}
		switch status {
		case StatusBlocked:
			d.mayRead = false
		case StatusEOF:
			r.sourceEnded(d)
			return
		case StatusFailed:
			r.broken[d.from] = true
			d.ended = true // nothing more will be read
			return
		}
	}
}

// take moves what the source has, once: through a pipe where it can, else through the read buffer and the stage.
func (r *Relay) take(d *direction) (int, Status) {
	if d.opaque > 0 {
		if n, status, ok := r.splice(d); ok {
			return n, status
		}
	}
	buffer := r.workspace.ReadBuffer()
	n, status := r.ends[d.from].Read(buffer)
	if n == len(buffer) {
		d.smallSplices = 0
	}
	if n > 0 {
		if status == StatusBlocked {
			d.mayRead = false
		}
		p, room := r.withHeld(d, n)
		r.process(d, p, room, 0)
	}
	return n, status
}

// postpone lets the relay go on in the next turn.
func (r *Relay) postpone() {
	if r.flags&relayQueued == 0 {
		r.flags |= relayQueued
		r.workspace.Later(r)
	}
}

// withHeld puts the bytes on hold in front of the n bytes just read. It returns them at the end of p, behind room.
func (r *Relay) withHeld(d *direction, n int) (p []byte, room int) {
	w := r.workspace
	held := d.held.Len()
	if held > 0 {
		copy(w.readBuffer[HoldMax-held:], d.held.Bytes())
		w.Release(d.held)
		d.held = nil
	}
	return w.readBuffer[:HoldMax+n], HoldMax - held
}

// process forwards p[at:] as the stage judges it, by as few writes as possible: what is dropped from between two runs is
// closed up in place, and a head of ours goes into the room in front of what follows it, for p is the relay's own.
// p[begin:end] is judged and not written yet, ours of its bytes are not the stream's; p[at:] is not judged; the rest is
// room. lead bytes of ours stand in front of p[at:] from the beginning.
func (r *Relay) process(d *direction, p []byte, at, lead int) {
	begin, end, ours := at-lead, at, lead
	if d.opaque > 0 {
		n := int(min(d.opaque, int64(len(p)-at)))
		d.opaque -= int64(n)
		at += n
		end = at
		d.boundary = d.opaque == 0 && d.opaqueBoundary
		if d.boundary && d.inserts != nil {
			r.forward(d, p[begin:end], ours)
			r.insertHere(d)
			begin, ours = end, 0
		}
		if at == len(p) && (d.opaque > 0 || !r.limits.Surrender) {
			r.forward(d, p[begin:end], ours)
			return
		}
	}
	verdicts := d.stage.Judge(p[at:], r.workspace.verdicts[:0])
	r.workspace.keepVerdicts(verdicts)
	for i := range verdicts {
		v := &verdicts[i]
		next := at + int(v.N)
		switch v.Action {
		case ActionForward:
			if end != at {
				copy(p[end:], p[at:next])
			}
			end += int(v.N)
			d.boundary = v.Boundary
			if d.boundary && d.inserts != nil {
				r.forward(d, p[begin:end], ours)
				r.insertHere(d)
				begin, ours = end, 0
			}
		case ActionDrop:
		case ActionHold:
			r.hold(d, p[at:next])
		case ActionSplice:
			d.opaque, d.opaqueBoundary, d.boundary = v.N, v.Boundary, false
			next = at
		case ActionEnd:
			r.forward(d, p[begin:end], ours)
			if r.limits.Surrender && at < len(p) {
				d.held = r.workspace.Append(nil, p[at:])
			}
			r.finishBoth(Outcome{Reason: v.Reason, By: d.from})
			return
		case ActionEmit:
			head := d.stage.(Emitter).Emission(int(v.N))
			begin, end, ours = r.lead(d, head, p[:at], begin, end, ours)
			next = at
		case ActionDone:
			r.forward(d, p[begin:end], ours)
			r.done(d, p[at:])
			return
		}
		at = next
	}
	r.forward(d, p[begin:end], ours)
}

// lead puts a head of ours behind p[begin:end], and in front of what follows p, without a write of its own where there
// is room for it in p.
func (r *Relay) lead(d *direction, head, p []byte, begin, end, ours int) (newBegin, newEnd, newOurs int) {
	switch n := len(head); {
	case begin == end && n <= len(p): // all of p is room: what follows need not be moved
		copy(p[len(p)-n:], head)
		return len(p) - n, len(p), n
	case n <= len(p)-end:
		copy(p[end:], head)
		return begin, end + n, ours + n
	}
	r.forward(d, p[begin:end], ours)
	r.emit(d, head)
	return len(p), len(p), 0
}

func (r *Relay) hold(d *direction, p []byte) {
	if len(p) > HoldMax {
		panic("engine: a stage holds more than HoldMax bytes")
	}
	if len(p) > 0 {
		d.held = r.workspace.Append(nil, p)
	}
}

// forward counts and emits bytes of the stream, among which ours are not.
func (r *Relay) forward(d *direction, p []byte, ours int) {
	d.count(r, len(p)-ours)
	r.emit(d, p)
}

// emit writes p to the destination; what it does not take becomes pending, which pauses the source.
func (r *Relay) emit(d *direction, p []byte) {
	if len(p) == 0 {
		return
	}
	w := r.workspace
	if d.pending == nil {
		n, blocked := r.write(d, p)
		if n == len(p) {
			return
		}
		p = p[n:]
		d.blocked = blocked
		d.taken = w.now
		w.Counters.Pauses++
		if !blocked {
			r.postpone() // interrupted, not full: nobody will tell
		}
	}
	d.pending = w.Append(d.pending, p)
	w.memory.stalled.touch(r)
	w.Counters.PendingBytes += uint64(len(p))
	w.Counters.PendingPeak = max(w.Counters.PendingPeak, uint64(d.pending.Len()))
	r.schedule()
}

// write offers p to the destination once.
func (r *Relay) write(d *direction, p []byte) (n int, blocked bool) {
	to := d.from.Other()
	n, status := r.ends[to].Write(p)
	if n > 0 && to == SideBackend {
		r.activity = r.workspace.now
	}
	if status == StatusFailed {
		r.broken[to] = true
		return n, true
	}
	return n, status == StatusBlocked
}

// flush writes what is pending. When all of it is gone the source may be read again, or its FIN is passed on.
func (r *Relay) flush(d *direction) {
	w := r.workspace
	for d.pending != nil && !d.blocked {
		n, blocked := r.write(d, d.pending.Bytes())
		d.pending.Advance(n)
		w.Counters.PendingBytes -= uint64(n)
		d.blocked = blocked
		if n > 0 {
			r.progress(d)
		}
		if d.pending.Len() == 0 {
			w.Release(d.pending)
			d.pending = nil
			r.insertNow(d)
		}
	}
	if d.pipe != nil && !d.blocked {
		before := d.pipe.held
		if r.emptyPipe(d); d.pipe != nil && d.pipe.held < before {
			r.progress(d)
		}
	}
	r.unstall()
	if !d.waiting() && d.ended {
		r.passFIN(d)
	}
	r.schedule()
}

// progress: the destination took some of what waited for it.
func (r *Relay) progress(d *direction) {
	d.taken = r.workspace.now
	r.workspace.memory.stalled.touch(r)
}

// unstall takes note that nothing waits any more, if so: the idle timeout starts over, for it was stalled, not idle.
func (r *Relay) unstall() {
	if !r.directions[0].waiting() && !r.directions[1].waiting() {
		r.workspace.memory.stalled.remove(r)
		r.activity = r.workspace.now
	}
}

// insertNow writes the frames that wait, if this is a place for them: the end of what was forwarded.
func (r *Relay) insertNow(d *direction) {
	if d.inserts != nil && d.boundary && d.opaque == 0 && !d.waiting() {
		r.insertHere(d)
	}
}

// insertHere emits the frames that wait behind what was forwarded, be it pending: a consumer that never takes a whole
// frame at once would keep them waiting for ever. Only pump comes here with bytes pending, and it stops then, so that
// what is added to them stays bounded by InsertMax.
func (r *Relay) insertHere(d *direction) {
	frames := d.inserts
	d.inserts, d.insertCount = nil, 0
	r.emit(d, frames.Bytes())
	r.workspace.Release(frames)
}
