package engine

const (
	// smallSplice: a splice of fewer bytes than this, in bytes, costs more than a copy.
	smallSplice = 16 << 10
	// smallSplicesMax is how many of them in a row send a direction back to copying, until a read fills the buffer.
	smallSplicesMax = 2
)

// splice moves payload that needs no judgement through a pipe, without it entering user space. ok is false when this
// direction has to copy: its ends are no sockets, no pipe is to be had, too little comes at once, memory is tight, for
// a pipe takes as much as many small reads, or the source says so.
func (r *Relay) splice(d *direction) (n int, status Status, ok bool) {
	w := r.workspace
	if d.opaque < smallSplice || d.smallSplices >= smallSplicesMax || w.memory.tight() {
		return 0, 0, false
	}
	source, sourceOK := r.ends[d.from].(Splicer)
	if _, ok := r.ends[d.from.Other()].(Splicer); !ok || !sourceOK {
		return 0, 0, false
	}
	pipe := w.pipes.take(&w.Counters)
	if pipe == nil {
		return 0, 0, false
	}
	n, status = source.SpliceIn(pipe, int(min(d.opaque, pipeBytes)))
	if n <= 0 {
		w.pipes.put(pipe, &w.Counters)
		return 0, status, status != StatusReady
	}
	d.smallSplices++
	if n >= smallSplice {
		d.smallSplices = 0
	}
	d.opaque -= int64(n)
	d.count(r, n)
	d.boundary = d.opaque == 0 && d.opaqueBoundary
	d.pipe, d.taken, d.blocked = pipe, w.now, false
	w.Counters.Spliced += uint64(n)
	w.Counters.PendingBytes += uint64(n)
	w.charge(int64(n))
	r.emptyPipe(d)
	if d.pipe != nil {
		w.Counters.Pauses++
		w.memory.stalled.touch(r)
	}
	if d.opaque == 0 && r.limits.Surrender {
		r.process(d, nil, 0, 0)
	}
	return n, status, true
}

// emptyPipe moves what the direction's pipe holds to the destination, as far as it takes it.
func (r *Relay) emptyPipe(d *direction) {
	w := r.workspace
	to := d.from.Other()
	destination := r.ends[to].(Splicer)
	for d.pipe.held > 0 {
		n, status := destination.SpliceOut(d.pipe)
		if n > 0 {
			w.Counters.PendingBytes -= uint64(n)
			w.charge(-int64(n))
			if to == SideBackend {
				r.activity = w.now
			}
		}
		if status == StatusFailed {
			r.broken[to] = true
		}
		if status != StatusReady {
			d.blocked = true
			r.schedule()
			return
		}
	}
	w.pipes.put(d.pipe, &w.Counters)
	d.pipe = nil
	r.insertNow(d)
}

// pipeToPending moves what a pipe holds into memory: a relay that ends or is exported keeps no pipe.
func (r *Relay) pipeToPending(d *direction) {
	if d.pipe == nil {
		return
	}
	w := r.workspace
	w.charge(-int64(d.pipe.held))
	d.pending = w.drain(d.pipe)
	w.pipes.put(d.pipe, &w.Counters)
	d.pipe = nil
}
