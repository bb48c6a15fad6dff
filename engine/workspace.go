package engine

import "github.com/valyala/bytebufferpool"

// Limits of a workspace, in bytes.
const (
	// DefaultReadBuffer is the size of a loop's one read buffer.
	DefaultReadBuffer = 64 << 10
	// MinReadBuffer and MaxReadBuffer are the range of its setting.
	MinReadBuffer = 4 << 10
	MaxReadBuffer = 1 << 20
	// turnReads is how many full reads one direction may do in one turn before the others have theirs.
	turnReads = 4
	// leastRead is what a read counts as in that, in bytes, be it of nothing.
	leastRead = 256
	// mergeMax is how much is copied together to save a write.
	mergeMax = 16 << 10
)

// Resumer is someone who goes on in the next turn: its budget is used up, or it must not go deeper.
type Resumer interface{ Resume() }

// Workspace is what everything on one loop shares: the turn's time, the wheel, the read buffer, the buffer pools and
// the counters. It is owned by the loop. It does no I/O, so that a simulation can drive a relay with one of its own.
type Workspace struct {
	// Wheel holds every deadline of the loop.
	Wheel Wheel
	// Counters are the loop's plain counters; read them on the loop.
	Counters Counters

	now        int64
	wireBuffer []byte // what was read of a wire below a transport; nil until there is one
	readBuffer []byte // HoldMax bytes of headroom for bytes on hold, then the read buffer itself
	verdicts   []Verdict
	classes    [len(classSizes)]bytebufferpool.Pool
	bytes      ByteBuffers
	pipes      pipePool
	memory     memory
	shells     *Pending // free list of Pending values without a buffer
	again      []Resumer
	againSpare []Resumer
}

// classSizes are the capacities of the pooled buffers: a small remainder never pins a large buffer. The last class
// takes whatever is larger. The third has room for a record of TLS.
var classSizes = [...]int{512, 4 << 10, 17 << 10, DefaultReadBuffer + 1024, MaxReadBuffer + 8192}

// NewWorkspace returns a workspace with a read buffer of the given size in bytes (0: DefaultReadBuffer) at time now.
func NewWorkspace(readBuffer int, now int64) *Workspace {
	if readBuffer == 0 {
		readBuffer = DefaultReadBuffer
	}
	w := &Workspace{
		now:        now,
		readBuffer: make([]byte, HoldMax+readBuffer),
		verdicts:   make([]Verdict, 0, 64),
	}
	w.pipes.limit = DefaultSplicePipes
	w.Wheel.Init(now)
	return w
}

// SetBounds sets how many pipes the workspace may have open, and how many bytes of buffers it may hold (0: any number).
func (w *Workspace) SetBounds(splicePipes int, bufferMemory int64) {
	w.pipes.limit, w.memory.limit = splicePipes, bufferMemory
}

// ClosePipes closes all pipes of a workspace on which no relay is left.
func (w *Workspace) ClosePipes() { w.pipes.close() }

// Now returns the time of the current turn in Monotonic nanoseconds.
func (w *Workspace) Now() int64 { return w.now }

// ReadBuffer returns the loop's read buffer, whose content is valid until the next read by anyone on the loop. Under
// memory pressure it is MinReadBuffer bytes long, so that less is held of each.
func (w *Workspace) ReadBuffer() []byte {
	if w.memory.tight() {
		return w.readBuffer[HoldMax : HoldMax+MinReadBuffer]
	}
	return w.readBuffer[HoldMax:]
}

// wire returns the buffer for what comes from a wire, valid until the next read of one.
func (w *Workspace) wire() []byte {
	if w.wireBuffer == nil {
		w.wireBuffer = make([]byte, len(w.readBuffer)-HoldMax)
	}
	return w.wireBuffer
}

// BeginTurn sets the time of the turn, fires due timers and lets those go on who ran out of their budget in the
// turn before.
func (w *Workspace) BeginTurn(now int64) {
	w.now = now
	w.Wheel.Advance(now)
	if len(w.again) == 0 {
		return
	}
	round := w.again
	w.again, w.againSpare = w.againSpare[:0], nil
	for i, r := range round {
		round[i] = nil
		r.Resume()
	}
	w.againSpare = round[:0]
}

// Unfinished tells whether someone waits for the next turn, so that the loop must not sleep.
func (w *Workspace) Unfinished() bool { return len(w.again) > 0 }

// verdictsMax is how many verdicts of one Judge the workspace keeps room for.
const verdictsMax = 4096

// keepVerdicts keeps the list that a stage extended, so that the next need not grow it again.
func (w *Workspace) keepVerdicts(verdicts []Verdict) {
	if cap(verdicts) > cap(w.verdicts) && cap(verdicts) <= verdictsMax {
		w.verdicts = verdicts[:0]
	}
}

// Later has r resumed in the next turn, which comes at once.
func (w *Workspace) Later(r Resumer) { w.again = append(w.again, r) }

// classOf returns the class of buffers with room for size bytes.
func classOf(size int) int {
	class := 0
	for class < len(classSizes)-1 && size > classSizes[class] {
		class++
	}
	return class
}

// shell returns a Pending without a buffer; recycle takes it back.
func (w *Workspace) shell() *Pending {
	p := w.shells
	if p == nil {
		return new(Pending)
	}
	w.shells, p.next = p.next, nil
	return p
}

func (w *Workspace) recycle(p *Pending) {
	p.buffer = nil
	p.next, w.shells = w.shells, p
}

// Acquire returns an empty pooled buffer with room for at least size bytes. Release gives it back.
func (w *Workspace) Acquire(size int) *Pending {
	p := w.shell()
	class := classOf(size)
	p.class, p.offset = uint8(class), 0
	p.buffer = w.classes[class].Get()
	if cap(p.buffer.B) < size {
		p.buffer.B = make([]byte, 0, max(size, min(classSizes[class], classSizes[len(classSizes)-2])))
	}
	p.charged = int32(cap(p.buffer.B))
	w.charge(int64(p.charged))
	return p
}

// Release gives a buffer back to its pool. nil is allowed.
func (w *Workspace) Release(p *Pending) {
	if p == nil {
		return
	}
	// At its full length, so that the pool's calibration keeps buffers of exactly this class. One that was appended to
	// in place beyond its class is left to the collector.
	w.charge(-int64(p.charged))
	p.buffer.B = p.buffer.B[:cap(p.buffer.B)]
	poison(p.buffer.B)
	if cap(p.buffer.B) <= classSizes[p.class] {
		w.classes[p.class].Put(p.buffer)
	}
	w.recycle(p)
}

// Append copies b behind what p holds (nil: nothing yet) and returns the buffer to use from now on. Bytes that do not
// fit move to a buffer of a larger class: buffers of a class never grow.
func (w *Workspace) Append(p *Pending, b []byte) *Pending {
	if p == nil {
		p = w.Acquire(len(b))
	} else if need := p.Len() + len(b); len(p.buffer.B)+len(b) > cap(p.buffer.B) {
		larger := w.Acquire(need)
		larger.buffer.B = append(larger.buffer.B, p.Bytes()...)
		w.Release(p)
		p = larger
	}
	p.buffer.B = append(p.buffer.B, b...)
	return p
}
