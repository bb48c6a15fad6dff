package http1

import (
	"encoding/binary"
	"errors"
)

const (
	bodyStateVersion = 2
	// BodyStateBytes is the size of what AppendState appends.
	BodyStateBytes = 6 + 3*8 + 5*4 + 2*2
)

// ErrBodyState is returned by RestoreState for bytes that AppendState cannot have written.
var ErrBodyState = errors.New("http1: not the state of a body scanner")

// AppendState appends the scanner's state: a version byte, then fields of fixed width in
// little-endian order. Bytes that the caller holds back are not part of it.
func (s *BodyScanner) AppendState(dst []byte) []byte {
	dst = append(dst, bodyStateVersion,
		byte(s.phase), byte(s.kind), byte(s.side), byte(s.reason), s.flags)
	for _, value := range [...]int64{s.remaining, s.payload, s.wire} {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(value))
	}
	for _, value := range [...]uint32{s.lineBytes, s.overhead, s.maxExtension, s.maxOverhead, s.maxTrailer} {
		dst = binary.LittleEndian.AppendUint32(dst, value)
	}
	dst = binary.LittleEndian.AppendUint16(dst, s.trailers)
	return binary.LittleEndian.AppendUint16(dst, s.maxTrailers)
}

// RestoreState replaces the scanner by the one whose state begins state, and returns
// what follows. A state that no scanner can be in is refused, and the scanner is left as
// it was.
func (s *BodyScanner) RestoreState(state []byte) (rest []byte, err error) {
	if len(state) < BodyStateBytes || state[0] != bodyStateVersion {
		return nil, ErrBodyState
	}
	restored := BodyScanner{
		phase:  bodyPhase(state[1]),
		kind:   BodyKind(state[2]),
		side:   Side(state[3]),
		reason: Reason(state[4]),
		flags:  state[5],
	}
	words := state[6:BodyStateBytes]
	for _, value := range [...]*int64{&restored.remaining, &restored.payload, &restored.wire} {
		*value = int64(binary.LittleEndian.Uint64(words))
		words = words[8:]
	}
	for _, value := range [...]*uint32{&restored.lineBytes, &restored.overhead,
		&restored.maxExtension, &restored.maxOverhead, &restored.maxTrailer} {
		*value = binary.LittleEndian.Uint32(words)
		words = words[4:]
	}
	restored.trailers, restored.maxTrailers = binary.LittleEndian.Uint16(words), binary.LittleEndian.Uint16(words[2:])
	if !restored.valid() {
		return nil, ErrBodyState
	}
	*s = restored
	return state[BodyStateBytes:], nil
}

// valid reports whether the parts of the state belong together.
func (s *BodyScanner) valid() bool {
	return s.side <= FromBackend && s.reason < reasonCount && s.flags&^flagKnown == 0 &&
		s.payload >= 0 && s.wire >= s.payload && s.trailers <= s.maxTrailers &&
		(s.phase == bodyFailed) == (s.reason != ReasonNone) &&
		s.validPhase() && s.validCounts()
}

// validPhase reports whether a body of this kind can be in this phase.
func (s *BodyScanner) validPhase() bool {
	switch s.kind {
	case BodyNone:
		return s.phase == bodyDone
	case BodyLength:
		return s.phase == bodyDone || s.phase == bodyLength
	case BodyUntilClose:
		return s.phase == bodyDone || s.phase == bodyUntilClose
	case BodyChunked:
		return s.phase < bodyPhaseCount && s.phase != bodyLength && s.phase != bodyUntilClose
	}
	return false
}

// validCounts reports whether the counters are within what the phase allows.
func (s *BodyScanner) validCounts() bool {
	dropping := s.flags&flagDropTrailer != 0
	mostOverhead := int64(s.maxOverhead)
	if s.phase == chunkPad || s.phase == chunkExtension || s.phase == bodyFailed {
		mostOverhead += maxChunkDigits + int64(len("\r\n")) // of a line that is not whole
	}
	if int64(s.overhead) > mostOverhead {
		return false
	}
	switch s.phase {
	case bodyFailed:
		return s.remaining >= 0
	case bodyLength, chunkData:
		return s.remaining > 0 && !dropping
	case chunkPad, chunkExtension:
		return s.remaining >= 0 && s.lineBytes <= s.maxExtension && !dropping
	case trailerName:
		return s.remaining == 0 && s.lineBytes <= s.maxTrailer && !dropping
	case trailerValue:
		return s.remaining == 0 && s.lineBytes <= s.maxTrailer
	}
	return s.remaining == 0 && !dropping
}
