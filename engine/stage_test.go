package engine

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
)

// rawStage forwards everything. Every read ends at a boundary if frames is set.
type rawStage struct{ frames bool }

func (s *rawStage) Judge(p []byte, v []Verdict) []Verdict {
	return append(v, Verdict{Action: ActionForward, N: int64(len(p)), Boundary: s.frames})
}
func (s *rawStage) Finish() EndReason                     { return EndNone }
func (s *rawStage) AppendState(b []byte) []byte           { return b }
func (s *rawStage) RestoreState(b []byte) ([]byte, error) { return b, nil }

// frameStage judges a little protocol that asks for every verdict. A frame is a kind, three bytes of length in network
// order, and that many bytes. It does not matter where reads cut the stream.
type frameStage struct {
	kind byte // of the frame under way
	rest int  // bytes of it still to come, header included
	// finish is what Finish answers.
	finish EndReason
}

// The kinds of frames.
const (
	kindForward = 'F' // forwarded as it comes
	kindHold    = 'H' // held until it is whole, at most HoldMax bytes, then forwarded
	kindDrop    = 'D' // dropped
	kindSplice  = 'S' // what the read did not bring is spliced
	kindEnd     = 'E' // ends the relay; neither it nor what follows is forwarded
	kindInsert  = 'I' // never sent by an end: an insertion

	frameHeader = 4
)

// endByStage is the reason of ActionEnd.
const endByStage = FirstOuterReason + 3

func (s *frameStage) Judge(p []byte, v []Verdict) []Verdict {
	for len(p) > 0 {
		if s.rest > 0 {
			n := min(s.rest, len(p))
			s.rest -= n
			if s.kind == kindDrop {
				v = append(v, Verdict{Action: ActionDrop, N: int64(n)})
			} else {
				v = append(v, Verdict{Action: ActionForward, N: int64(n), Boundary: s.rest == 0})
			}
			p = p[n:]
			continue
		}
		if len(p) < frameHeader {
			return append(v, Verdict{Action: ActionHold, N: int64(len(p))})
		}
		kind, size := p[0], frameHeader+int(binary.BigEndian.Uint32(p)&0xFFFFFF)
		switch {
		case kind == kindEnd:
			return append(v, Verdict{Action: ActionEnd, Reason: endByStage})
		case kind == kindHold && size > len(p) && size <= HoldMax:
			return append(v, Verdict{Action: ActionHold, N: int64(len(p))})
		case kind == kindSplice && size > len(p):
			return append(v, Verdict{Action: ActionForward, N: int64(len(p))},
				Verdict{Action: ActionSplice, N: int64(size - len(p)), Boundary: true})
		}
		s.kind, s.rest = kind, size
	}
	return v
}

func (s *frameStage) Finish() EndReason { return s.finish }

const frameStageVersion = 7

func (s *frameStage) AppendState(b []byte) []byte {
	b = append(b, frameStageVersion, s.kind, byte(s.finish))
	return binary.BigEndian.AppendUint32(b, uint32(s.rest))
}

func (s *frameStage) RestoreState(b []byte) ([]byte, error) {
	if len(b) < 7 || b[0] != frameStageVersion || binary.BigEndian.Uint32(b[3:]) > frameHeader+0xFFFFFF {
		return nil, errors.New("not a frame stage")
	}
	s.kind, s.finish, s.rest = b[1], EndReason(b[2]), int(binary.BigEndian.Uint32(b[3:]))
	return b[7:], nil
}

// frame returns a frame of a kind with size bytes of payload, all equal to fill.
func frame(kind byte, size int, fill byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(kind)<<24|uint32(size))
	for range size {
		b = append(b, fill)
	}
	return b
}

// frames returns a stream of about size bytes of frames of the given kinds, and what of it passes.
func frames(random *rand.Rand, kinds string, size, largest int) (stream, passed []byte) {
	for len(stream) < size {
		kind, length := kinds[random.IntN(len(kinds))], random.IntN(largest)
		if kind == kindHold {
			length %= HoldMax - frameHeader + 1
		}
		f := frame(kind, length, byte('a'+random.IntN(26)))
		stream = append(stream, f...)
		if kind != kindDrop {
			passed = append(passed, f...)
		}
	}
	return stream, passed
}

// randomBytes returns n bytes that do not repeat.
func randomBytes(seed byte, n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{seed})
	_, _ = source.Read(b)
	return b
}

func newRandom(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }
