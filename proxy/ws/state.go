package ws

import (
	"encoding/binary"
	"errors"
	"fmt"

	gobwas "github.com/gobwas/ws"
)

// ErrState is wrapped by every error of Scanner.RestoreState: the bytes are not a scanner's state, or of a version
// this build does not know.
var ErrState = errors.New("not a scanner state")

// A state is a version byte and the fields of Scanner in their order, big-endian, without padding. A change of meaning
// takes a new version; old ones stay readable as long as a process may hand tunnels to its successor.
const (
	stateVersion = 1
	stateSize    = 1 + 4*8 + 3*4 + 2 + 2 + 4
)

// AppendState appends the scanner's whole state, options included, to b: 53 bytes that RestoreState understands in
// this or another process. It may be called at any moment between two calls of Scan. Held bytes and what is left of a
// Skip are the caller's to keep.
func (s *Scanner) AppendState(b []byte) []byte {
	b = append(b, stateVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(s.remaining))
	b = binary.BigEndian.AppendUint64(b, s.frames)
	b = binary.BigEndian.AppendUint64(b, s.text)
	b = binary.BigEndian.AppendUint64(b, s.binary)
	b = binary.BigEndian.AppendUint32(b, s.ping)
	b = binary.BigEndian.AppendUint32(b, s.pong)
	b = binary.BigEndian.AppendUint32(b, s.skipThreshold)
	b = binary.BigEndian.AppendUint16(b, s.closeCode)
	b = append(b, s.closeMask[:]...)
	return append(b, s.statusLeft, s.flags, byte(s.violation), byte(s.tolerated))
}

// RestoreState replaces the scanner's state by the one that b begins with, and returns the bytes behind it. If b is no
// state that a scanner can be in, the error wraps ErrState, rest is b, and the scanner is as it was.
func (s *Scanner) RestoreState(b []byte) (rest []byte, err error) {
	if len(b) == 0 || b[0] != stateVersion {
		return b, fmt.Errorf("%w: want version %d", ErrState, stateVersion)
	}
	if len(b) < stateSize {
		return b, fmt.Errorf("%w: %d bytes of %d", ErrState, len(b), stateSize)
	}
	restored := Scanner{
		remaining:     int64(binary.BigEndian.Uint64(b[1:])),
		frames:        binary.BigEndian.Uint64(b[9:]),
		text:          binary.BigEndian.Uint64(b[17:]),
		binary:        binary.BigEndian.Uint64(b[25:]),
		ping:          binary.BigEndian.Uint32(b[33:]),
		pong:          binary.BigEndian.Uint32(b[37:]),
		skipThreshold: binary.BigEndian.Uint32(b[41:]),
		closeCode:     binary.BigEndian.Uint16(b[45:]),
		closeMask:     [2]byte(b[47:49]),
		statusLeft:    b[49],
		flags:         b[50],
		violation:     Violation(b[51]),
		tolerated:     Violation(b[52]),
	}
	if !restored.possible() {
		return b, fmt.Errorf("%w: fields contradict one another", ErrState)
	}
	*s = restored
	return b[stateSize:], nil
}

// possible reports whether some stream leads to this state, as far as later calls rely on it.
func (s *Scanner) possible() bool {
	strict, closing := s.flags&flagStrict != 0, s.flags&flagClosing != 0
	switch {
	case s.flags&^flagsKnown != 0, s.flags&(flagDeflate|flagOther) == flagDeflate|flagOther:
		return false
	case s.remaining < 0, s.statusLeft > 2, s.violation >= violations, s.tolerated >= violations:
		return false
	case s.violation != NoViolation && (s.remaining > 0 || closing):
		return false
	case strict && s.tolerated != NoViolation, !strict && s.violation != NoViolation && s.violation != LengthOverflow:
		return false
	case strict && closing && s.remaining > gobwas.MaxControlFramePayloadSize:
		return false
	case closing:
		return s.remaining >= int64(s.statusLeft)
	}
	return s.statusLeft == 0 && s.closeCode == 0 && s.closeMask == [2]byte{} && s.flags&flagCloseInvalid == 0
}
