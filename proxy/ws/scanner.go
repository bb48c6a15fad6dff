package ws

import gobwas "github.com/gobwas/ws"

// Options say what a Scanner is to expect. The zero value is a lenient scanner of a client's frames without extension
// that never skips.
type Options struct {
	// Sender is the side that wrote the stream: a client's frames must be masked, a server's must not be.
	Sender Role
	// Extension is what the handshake agreed on (Agreement.Extension).
	Extension Extension
	// SkipThreshold, in bytes: a payload of which at least this much is still to come after a read is answered with
	// Result.Skip. 0: never.
	SkipThreshold uint32
	// Strict ends the stream at the first violation. A lenient scanner only notes the first one (Tolerated) and goes
	// on; LengthOverflow ends it all the same.
	Strict bool
}

// The first two flags stand at the places that MASK and RSV1 have in a frame header, so that they compare directly. The
// values are part of the state's format: never renumber.
const (
	flagMasked       = bitMASK // the sender is a client
	flagDeflate      = bitRSV1 // permessage-deflate was agreed
	flagOther        = 0x20    // some unknown extension was agreed
	flagStrict       = 0x10
	flagFragmented   = 0x08 // inside a fragmented data message
	flagClosing      = 0x04 // the header of a close frame was accepted
	flagCloseInvalid = 0x02 // see CloseInvalid
	flagsKnown       = 0xfe
)

// Scanner walks one direction of a WebSocket byte stream without copying or unmasking payload, and knows at every
// moment whether the stream stands at a frame boundary. It refers to no memory but its own 56 bytes, and a payload
// length that a peer declares is a number to it, never a size to allocate. Owned by whoever owns the direction; Init
// before use.
type Scanner struct {
	remaining     int64 // payload bytes of the current frame still to come; 0 at a frame boundary
	frames        uint64
	text          uint64
	binary        uint64
	ping          uint32
	pong          uint32
	skipThreshold uint32
	closeCode     uint16  // as far as read, see statusLeft
	closeMask     [2]byte // masking key of the status code
	statusLeft    uint8   // bytes of the status code still to be read
	flags         uint8
	violation     Violation // what ended the stream
	tolerated     Violation // the first one that did not
}

// Result says what is to be done with the bytes given to Scan, in this order: pass Forward bytes on, drop Drop, present
// the last Hold again. Forward + Drop + Hold is always the number of bytes given.
type Result struct {
	// Forward is the number of bytes from the start that may be passed on.
	Forward int
	// Boundary is the last position within 0..Forward at which the stream stands between two frames, where a
	// control frame may be inserted unless Closed; -1 if there is none.
	Boundary int
	// Drop is the number of bytes behind Forward that nobody may see: data after a close frame, or the offending
	// header and all behind it.
	Drop int
	// Hold is the number of bytes at the end, at most 13, to be presented again in front of the next bytes: an
	// incomplete frame header, legal so far.
	Hold int
	// Skip is the number of payload bytes still to come that need no look, given when it reaches the skip threshold.
	// The scanner counts them as gone by: the next Scan begins behind them.
	Skip int64
	// SkipEndsAtBoundary says that the skipped bytes end at a frame boundary. True whenever Skip is not 0, for
	// a skip runs to the end of its frame.
	SkipEndsAtBoundary bool
	// Violation is what the bytes at Forward did wrong, the end of this stream: further calls drop everything and say
	// the same.
	Violation Violation
}

// Init makes the scanner ready for the first byte after the opening handshake, whatever it held before.
func (s *Scanner) Init(options Options) {
	*s = Scanner{skipThreshold: options.SkipThreshold}
	if options.Sender == Client {
		s.flags |= flagMasked
	}
	switch options.Extension {
	case Deflate:
		s.flags |= flagDeflate
	case OtherExtension:
		s.flags |= flagOther
	}
	if options.Strict {
		s.flags |= flagStrict
	}
}

// Scan judges the bytes just read, preceded by those that the last Result asked to hold. Nothing of p is kept or
// changed. The answer for a stream does not depend on how it was cut into calls.
func (s *Scanner) Scan(p []byte) Result {
	if s.violation != NoViolation {
		return Result{Drop: len(p), Violation: s.violation}
	}
	if s.remaining > int64(len(p)) {
		return cutWithin(len(p), -1, s.enterPayload(p, s.remaining))
	}
	position := int(s.remaining)
	if s.statusLeft > 0 {
		s.readStatus(p[:position])
	}
	s.remaining = 0

	masked, rsv1 := s.flags&flagMasked, s.flags&flagDeflate
	smallHeader := 2 + int(masked)/(bitMASK/maskingKeyLen)
	for position < len(p) {
		// What nearly every frame is: a whole data message with a short length, its header complete.
		if s.flags&(flagFragmented|flagClosing) == 0 && len(p)-position >= smallHeader {
			first, length := p[position]&^rsv1, p[position+1]^masked
			if length < length16 && (first == bitFIN|byte(gobwas.OpText) || first == bitFIN|byte(gobwas.OpBinary)) {
				s.countMessage(first)
				end := position + smallHeader + int(length)
				if end > len(p) {
					return cutWithin(len(p), position, s.enterPayload(p[position+smallHeader:], int64(length)))
				}
				position = end
				continue
			}
		}
		if s.flags&flagClosing != 0 {
			break
		}
		size, violation := s.readHeader(p[position:])
		if violation != NoViolation {
			s.violation = violation
			break
		}
		if size == 0 {
			return Result{Forward: position, Boundary: position, Hold: len(p) - position}
		}
		header := p[position : position+size]
		length := payloadLength(header)
		s.accept(header, length)
		payload := position + size
		if length > int64(len(p)-payload) {
			return cutWithin(len(p), position, s.enterPayload(p[payload:], length))
		}
		s.readStatus(p[payload : payload+int(length)])
		position = payload + int(length)
	}
	return Result{Forward: position, Boundary: position, Drop: len(p) - position, Violation: s.violation}
}

// enterPayload takes in the beginning (or a middle part) of a payload of which length bytes were still to come, more
// than there are. It returns what may be skipped of the rest.
func (s *Scanner) enterPayload(part []byte, length int64) (skip int64) {
	s.remaining = length - int64(len(part))
	if s.flags&flagClosing != 0 {
		s.readStatus(part)
		return 0
	}
	if s.skipThreshold == 0 || s.remaining < int64(s.skipThreshold) {
		return 0
	}
	skip, s.remaining = s.remaining, 0
	return skip
}

// cutWithin is the answer to a read that ends within a payload.
func cutWithin(forward, boundary int, skip int64) Result {
	return Result{Forward: forward, Boundary: boundary, Skip: skip, SkipEndsAtBoundary: skip > 0}
}

// readHeader returns the size of the header that p begins with, 0 if it is incomplete, and the violation that ends the
// stream, if any. It changes nothing but the note of what was tolerated, and that only for a complete header.
func (s *Scanner) readHeader(p []byte) (size int, ends Violation) {
	violation := s.judgeHeader(p)
	if violation != NoViolation && s.flags&flagStrict != 0 {
		return 0, violation
	}
	if len(p) < 2 {
		return 0, NoViolation
	}
	if judgeLength(p) == LengthOverflow {
		return 0, LengthOverflow
	}
	size = headerSize(p[1])
	if len(p) < size {
		return 0, NoViolation
	}
	if s.tolerated == NoViolation {
		s.tolerated = violation
	}
	return size, NoViolation
}

// accept takes a complete header into account: the one place where the scanner moves from one frame to the next.
func (s *Scanner) accept(header []byte, length int64) {
	opcode := gobwas.OpCode(header[0] & bitsOpcode)
	switch opcode {
	case gobwas.OpText, gobwas.OpBinary:
		s.countMessage(header[0])
	case gobwas.OpPing:
		s.frames++
		s.ping++
	case gobwas.OpPong:
		s.frames++
		s.pong++
	case gobwas.OpClose:
		s.frames++
		s.beginClose(header, length)
	default:
		s.frames++
	}
	if opcode.IsControl() {
		return
	}
	s.flags &^= flagFragmented
	if header[0]&bitFIN == 0 {
		s.flags |= flagFragmented
	}
}

// AtBoundary reports whether the bytes passed on so far end between two frames. Bytes given out as Skip count as
// passed on.
func (s *Scanner) AtBoundary() bool { return s.remaining == 0 }

// Violation returns what ended the stream, NoViolation if nothing did.
func (s *Scanner) Violation() Violation { return s.violation }

// Tolerated returns the first violation that a lenient scanner let pass, NoViolation if there was none.
func (s *Scanner) Tolerated() Violation { return s.tolerated }
