package http1

import "math"

const (
	// MaxBodyHold bounds the bytes that Scan leaves for the next call.
	MaxBodyHold = 128
	// MaxTrailerNameBytes bounds the name of a trailer. It is what a trailer line holds
	// back: a line is forwarded or dropped by its name.
	MaxTrailerNameBytes = MaxBodyHold - 1
)

// bodyPhase is where a body stands. All transitions are in chunk.go, but for those of
// bodies without framing of their own, which are in Scan, Skip and EOF.
//
//	bodyLength ------------------------------------------------> bodyDone
//	bodyUntilClose --------------------------------------------> bodyDone (by EOF)
//	chunkSize <-> chunkPad -> chunkExtension
//	    |  ^          |             |
//	    |  |          +------+------+
//	    v  |                 v
//	chunkData -> chunkEnd   (line end: chunkData, or trailerName after the last chunk)
//	trailerName <-> trailerValue
//	trailerName -> bodyDone
//	any -> bodyFailed
type bodyPhase uint8

const (
	bodyDone       bodyPhase = iota // nothing more belongs to the body
	bodyFailed                      // entered by fail; Scan keeps its answer
	bodyLength                      // waits for remaining bytes of payload
	bodyUntilClose                  // waits for EOF
	chunkSize                       // waits for all digits and what ends them
	chunkPad                        // after digits and white space: waits for ';' or CRLF
	chunkExtension                  // after ';': waits for CRLF
	chunkData                       // waits for remaining bytes of payload
	chunkEnd                        // waits for the CRLF after the payload
	trailerName                     // at the beginning of a line: waits for ':' or CRLF
	trailerValue                    // after ':': waits for CRLF
	bodyPhaseCount
)

// Flags of a BodyScanner.
const (
	flagDechunk     uint8 = 1 << iota // drop the framing, forward the payload
	flagDropTrailer                   // the trailer line that is being read is dropped
	flagKnown       = flagDechunk | flagDropTrailer
)

// BodyScanner finds the end of a body in a stream of bytes and says which of them may go
// to the other side as they are. It is 56 bytes, holds no pointer, and is copied by
// assignment. The zero value is a body of no bytes. Owned by its exchange.
type BodyScanner struct {
	remaining int64 // bodyLength, chunkData: payload bytes to come; chunk lines: the size
	payload   int64 // payload bytes seen
	wire      int64 // bytes seen, framing included; bodyFailed: up to the offending byte

	lineBytes    uint32 // of the extension, or of all trailers
	overhead     uint32 // of chunk lines beyond what their payload pays for, see beginChunk
	maxExtension uint32
	maxOverhead  uint32
	maxTrailer   uint32
	trailers     uint16 // trailer lines begun
	maxTrailers  uint16

	phase  bodyPhase
	kind   BodyKind
	side   Side
	reason Reason
	flags  uint8
}

// Init makes the scanner ready for a body of this kind, which side sends. length counts
// for BodyLength only. Nil limits are DefaultLimits; the scanner takes copies.
func (s *BodyScanner) Init(kind BodyKind, length int64, side Side, limits *Limits) {
	if limits == nil {
		limits = &defaultLimits
	}
	*s = BodyScanner{
		kind:         kind,
		side:         side,
		maxExtension: uint32(limits.MaxChunkExtensionBytes),
		maxOverhead:  uint32(limits.MaxChunkOverheadBytes),
		maxTrailer:   uint32(limits.MaxTrailerBytes),
		maxTrailers:  uint16(limits.MaxHeaders),
	}
	switch kind {
	case BodyLength:
		if s.remaining = max(length, 0); s.remaining > 0 {
			s.phase = bodyLength
		}
	case BodyChunked:
		s.phase = chunkSize
	case BodyUntilClose:
		s.phase = bodyUntilClose
	}
}

// Dechunk makes Scan forward the payload alone, without chunk framing and trailers: for
// a receiver that speaks HTTP/1.0. It belongs right after Init.
func (s *BodyScanner) Dechunk() { s.flags |= flagDechunk }

// Scan judges p, the bytes of the stream that follow those already scanned:
//
//   - p[:forward] may go to the other side as they are
//   - p[forward:forward+drop] are part of the body but stay here: chunk extensions, and
//     trailers that must not be merged into a head (RFC 9110 6.5.1)
//   - done: the body is complete, and the bytes after these are not its own
//   - err: the message is malformed; the bytes before were valid
//
// When neither done nor err is told and drop > 0, the rest of p is to be scanned at
// once. When drop == 0, the rest, at most MaxBodyHold bytes, cannot be judged yet: hold
// it and present it again in front of the bytes that follow. No byte is forwarded that
// could be refused later.
func (s *BodyScanner) Scan(p []byte) (forward, drop int, done bool, err *Error) {
	for at := 0; at < len(p) && s.phase > bodyFailed; { // every turn but the last takes bytes
		before := *s
		n, dropped := s.step(p[at:])
		if n == 0 {
			break
		}
		if dropped {
			drop += n
		} else if drop > 0 { // the answer has no room for what comes after a drop
			*s = before
			break
		} else {
			forward += n
		}
		at += n
	}
	if s.phase == bodyFailed {
		err = newError(s.side, s.reason, s.wire)
	}
	return forward, drop, s.phase == bodyDone, err
}

// Skip takes n bytes of payload, at most Opaque(), that went to the other side unseen.
func (s *BodyScanner) Skip(n int64) {
	if n < 0 || n > s.Opaque() {
		panic("http1: Skip beyond the opaque bytes")
	}
	s.takePayload(n)
}

// Opaque returns how many of the next bytes are payload, which needs no look: the rest
// of the chunk or of the Content-Length, or math.MaxInt64 for a body until close.
func (s *BodyScanner) Opaque() int64 {
	switch s.phase {
	case bodyLength, chunkData:
		return s.remaining
	case bodyUntilClose:
		return math.MaxInt64
	}
	return 0
}

// EOF takes note that the stream has ended, and reports whether the body is complete.
// Held bytes, if there are any, are lost.
func (s *BodyScanner) EOF() (complete bool) {
	if s.phase == bodyUntilClose {
		s.phase = bodyDone
	}
	return s.phase == bodyDone
}

// Kind returns the kind of body that the scanner was made for.
func (s *BodyScanner) Kind() BodyKind { return s.kind }

// Done reports whether the body is complete.
func (s *BodyScanner) Done() bool { return s.phase == bodyDone }

// Payload returns the bytes of payload scanned or skipped so far.
func (s *BodyScanner) Payload() int64 { return s.payload }
