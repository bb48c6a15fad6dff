package ws

import (
	"encoding/binary"

	gobwas "github.com/gobwas/ws"
)

// A frame header, RFC 6455 section 5.2:
//
//	 byte 0            byte 1            bytes 2..3 or 2..9      last 4
//	|F|R|R|R| opcode |M| length (7)  |  length (16 or 64)    | masking key |
//	|I|S|S|S|        |A|             |  if length is 126     | if MASK     |
//	|N|V|V|V|        |S| 126 -> +2   |  or 127               |             |
//	| |1|2|3|        |K| 127 -> +8   |                       |             |
const (
	bitFIN        = 0x80
	bitRSV1       = 0x40
	bitsRSV23     = 0x30
	bitsOpcode    = 0x0f
	bitControl    = 0x08 // in the opcode
	bitMASK       = 0x80
	bitsLength    = 0x7f
	length16      = 126
	length64      = 127
	maskingKeyLen = 4
)

// MaxHold is the most that Result.Hold asks for, in bytes: the longest header, 2 + 8 + 4, short of one.
const MaxHold = gobwas.MaxHeaderSize - 1

// headerSize tells from the second byte how long the whole header is: 2, 4 or 10, and 4 more when masked.
func headerSize(second byte) int {
	size := 2 + int(second&bitMASK)/(bitMASK/maskingKeyLen)
	switch second & bitsLength {
	case length16:
		size += 2
	case length64:
		size += 8
	}
	return size
}

// payloadLength reads the length from a complete header whose length does not overflow.
func payloadLength(header []byte) int64 {
	switch length := header[1] & bitsLength; length {
	case length16:
		return int64(binary.BigEndian.Uint16(header[2:4]))
	case length64:
		return int64(binary.BigEndian.Uint64(header[2:10]))
	default:
		return int64(length)
	}
}

// judgeHeader judges as many bytes of a header as there are (at least one), in the order in which they arrive, so that
// the verdict does not depend on where reads cut: what is held is legal so far. Bytes behind the header are not looked
// at.
func (s *Scanner) judgeHeader(header []byte) Violation {
	if violation := s.judgeFirstByte(header[0]); violation != NoViolation || len(header) < 2 {
		return violation
	}
	if violation := s.judgeSecondByte(header[0], header[1]); violation != NoViolation {
		return violation
	}
	return judgeLength(header)
}

// judgeFirstByte judges FIN, the reserved bits and the opcode against what is open and what was agreed.
func (s *Scanner) judgeFirstByte(first byte) Violation {
	opcode := gobwas.OpCode(first & bitsOpcode)
	if s.flags&flagOther == 0 {
		if first&bitsRSV23 != 0 {
			return ReservedBit
		}
		// RSV1 marks a compressed message, on its first frame only (RFC 7692 section 6).
		startsMessage := opcode == gobwas.OpText || opcode == gobwas.OpBinary
		if first&bitRSV1 != 0 && !(startsMessage && s.flags&flagDeflate != 0) {
			return ReservedBit
		}
		if opcode.IsReserved() {
			return ReservedOpcode
		}
	}
	fragmented := s.flags&flagFragmented != 0
	switch {
	case opcode.IsControl():
		if first&bitFIN == 0 {
			return FragmentedControl
		}
	case opcode == gobwas.OpContinuation:
		if !fragmented {
			return StrayContinuation
		}
	case fragmented:
		return InterruptedMessage
	}
	return NoViolation
}

// judgeSecondByte judges the mask bit against the sender's role, and the length of control frames.
func (s *Scanner) judgeSecondByte(first, second byte) Violation {
	if second&bitMASK != s.flags&flagMasked {
		if second&bitMASK == 0 {
			return UnmaskedClientFrame
		}
		return MaskedServerFrame
	}
	if first&bitControl != 0 && second&bitsLength > gobwas.MaxControlFramePayloadSize {
		return LongControl
	}
	return NoViolation
}

// judgeLength judges an extended length of which at least the second byte of the header is there.
func judgeLength(header []byte) Violation {
	switch header[1] & bitsLength {
	case length16:
		if len(header) >= 4 && binary.BigEndian.Uint16(header[2:4]) < length16 {
			return NonMinimalLength
		}
	case length64:
		if len(header) >= 3 && header[2]&0x80 != 0 {
			return LengthOverflow
		}
		// Six leading zeros leave 16 bits, whatever the last two bytes will be.
		if len(header) >= 8 && binary.BigEndian.Uint64(header[:8])<<16 == 0 {
			return NonMinimalLength
		}
	}
	return NoViolation
}
