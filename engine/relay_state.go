package engine

import (
	"encoding/binary"
	"errors"
)

// relayStateVersion is the first byte of an exported relay. A reader refuses versions that it does not know.
const relayStateVersion = 1

// errRelayState is returned for bytes that are no exported relay of a known version.
var errRelayState = errors.New("engine: not an exported relay of a known version, or cut short")

// AppendState appends the whole state of a live relay, its stages included, to b: a flat, versioned format. The ends
// are not part of it: whoever moves a relay moves their descriptors. Call it between events, then Detach.
func (r *Relay) AppendState(b []byte) []byte {
	b = append(b, relayStateVersion, byte(r.firstFIN), boolBits(r.broken[0], r.broken[1]))
	for _, v := range []int64{r.activity, r.limits.Idle, r.limits.Stalled, r.limits.HalfClosed, r.limits.Linger} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	for side := range r.directions {
		d := &r.directions[side]
		r.pipeToPending(d) // bytes in a pipe are pending bytes
		b = append(b, boolBits(d.stage != nil, d.boundary, d.opaqueBoundary, d.ended, r.finished[side]), d.insertCount)
		for _, v := range []uint64{uint64(d.opaque), d.bytes, uint64(d.taken)} {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
		for _, p := range []*Pending{d.pending, d.held, d.inserts} {
			b = binary.LittleEndian.AppendUint32(b, uint32(p.Len()))
			b = append(b, p.Bytes()...)
		}
		if d.stage != nil {
			b = d.stage.AppendState(b)
		}
	}
	return b
}

// Detach takes a relay off its workspace without touching the ends: nothing is delivered, finished or reported any
// more. The exported state goes on elsewhere.
func (r *Relay) Detach() {
	keep := r.observer
	r.observer = detached{}
	r.over(Outcome{}, nil)
	r.observer = keep
}

type detached struct{}

func (detached) RelayOver(*Relay, Outcome) {}

// RestoreState sets up r on workspace w from what AppendState wrote, between ends that continue the exported ones,
// and returns the bytes that follow. stages are restored from the state; they must be of the exported kinds. Start
// follows.
func (r *Relay) RestoreState(b []byte, w *Workspace, ends [2]End, stages [2]Stage, observer RelayObserver) ([]byte, error) {
	in := stateReader{b: b}
	if in.byte() != relayStateVersion {
		return nil, errRelayState
	}
	limits := new(RelayLimits)
	r.Init(w, ends, stages, limits, observer)
	r.firstFIN = Side(in.byte())
	r.broken[0], r.broken[1], _, _, _ = bitBools(in.bits(2))
	for _, v := range []*int64{&r.activity, &limits.Idle, &limits.Stalled, &limits.HalfClosed, &limits.Linger} {
		*v = int64(in.uint64())
	}
	if r.firstFIN > SideNone || min(limits.Idle, limits.Stalled, limits.HalfClosed, limits.Linger) < 0 {
		in.err = errRelayState
	}
	for side := range r.directions {
		r.restoreDirection(&r.directions[side], &in)
	}
	if in.err != nil {
		r.Detach()
		return nil, in.err
	}
	return in.b, nil
}

func (r *Relay) restoreDirection(d *direction, in *stateReader) {
	w := r.workspace
	staged, boundary, opaqueBoundary, ended, finished := bitBools(in.bits(5))
	d.boundary, d.opaqueBoundary, d.ended, r.finished[d.from] = boundary, opaqueBoundary, ended, finished
	d.insertCount = in.byte()
	d.opaque, d.bytes, d.taken = int64(in.uint64()), in.uint64(), int64(in.uint64())
	for _, p := range []**Pending{&d.pending, &d.held, &d.inserts} {
		if bytes := in.bytes(); len(bytes) > 0 {
			*p = w.Append(nil, bytes)
		}
	}
	w.Counters.PendingBytes += uint64(d.pending.Len())
	if d.pending != nil {
		w.memory.stalled.touch(r)
	}
	switch {
	case in.err != nil:
	case d.held.Len() > HoldMax, d.insertCount > InsertMax, (d.insertCount > 0) != (d.inserts != nil), d.opaque < 0:
		in.err = errRelayState
	case staged != (d.stage != nil):
		in.err = errRelayState
	case staged:
		in.b, in.err = d.stage.RestoreState(in.b)
	}
}

// stateReader takes values off an exported state. After the first error it returns zeros.
type stateReader struct {
	b   []byte
	err error
}

func (in *stateReader) take(n int) []byte {
	if in.err != nil || len(in.b) < n {
		in.err = errRelayState
		return make([]byte, min(n, 8))
	}
	p := in.b[:n]
	in.b = in.b[n:]
	return p
}

func (in *stateReader) byte() byte { return in.take(1)[0] }

// bits takes a byte of which n bits have a meaning; the others are zero.
func (in *stateReader) bits(n int) byte {
	b := in.byte()
	if b>>n != 0 {
		in.err = errRelayState
	}
	return b
}

func (in *stateReader) uint64() uint64 { return binary.LittleEndian.Uint64(in.take(8)) }

// bytes takes a length and as many bytes; the length is checked against what is there before anything is allocated.
func (in *stateReader) bytes() []byte {
	n := binary.LittleEndian.Uint32(in.take(4))
	if in.err != nil || uint64(n) > uint64(len(in.b)) {
		in.err = errRelayState
		return nil
	}
	return in.take(int(n))
}

func boolBits(bits ...bool) (b byte) {
	for i, set := range bits {
		if set {
			b |= 1 << i
		}
	}
	return b
}

func bitBools(b byte) (b0, b1, b2, b3, b4 bool) {
	return b&1 != 0, b&2 != 0, b&4 != 0, b&8 != 0, b&16 != 0
}
