package http1

import "math"

const (
	// maxChunkDigits bounds a chunk size, leading zeros included.
	maxChunkDigits = 16
	// freeChunkBytes is what a chunk's framing may take, whatever its payload.
	freeChunkBytes = 16
)

// step takes bytes from the beginning of p in the current phase and moves the phase on.
// n is 0 when more bytes are needed or the body has failed; otherwise these n bytes are
// valid for good, and drop says that they are not to be forwarded.
func (s *BodyScanner) step(p []byte) (n int, drop bool) {
	switch s.phase {
	case bodyLength, chunkData, bodyUntilClose:
		n = int(min(int64(len(p)), s.Opaque()))
		s.takePayload(int64(n))
		return n, false
	case chunkSize:
		n = s.stepSize(p)
	case chunkPad:
		n, drop = s.stepPad(p)
	case chunkExtension:
		n, drop = s.stepExtension(p)
	case chunkEnd:
		n = s.stepEnd(p)
	case trailerName:
		n, drop = s.stepTrailerName(p)
	case trailerValue:
		n, drop = s.stepTrailerValue(p)
	}
	s.wire += int64(n)
	return n, drop || s.flags&flagDechunk != 0
}

// fail ends the scanning; the offending byte is p[at] of the current step.
func (s *BodyScanner) fail(reason Reason, at int) {
	s.phase, s.reason = bodyFailed, reason
	s.wire += int64(at)
}

// takePayload counts n bytes of payload and moves on after the last.
func (s *BodyScanner) takePayload(n int64) {
	s.payload += n
	s.wire += n
	if s.phase == bodyUntilClose {
		return
	}
	if s.remaining -= n; s.remaining > 0 {
		return
	}
	if s.phase == chunkData {
		s.phase = chunkEnd
	} else {
		s.phase = bodyDone
	}
}

// lineEnd judges the CRLF whose CR is p[at]. It answers 0 when the LF has not come or
// another byte has, which is an error: a CR must never be left to be read differently.
func (s *BodyScanner) lineEnd(p []byte, at int) int {
	if at+1 >= len(p) {
		return 0
	}
	if p[at+1] != '\n' {
		s.fail(ReasonBareCR, at)
		return 0
	}
	return at + 2
}

// beginLine takes over a chunk's size, which has so many digits.
func (s *BodyScanner) beginLine(size uint64, digits int) {
	s.remaining, s.lineBytes = int64(size), 0
	s.overhead += uint32(digits + len("\r\n"))
}

// endLine moves on after a chunk's line (RFC 9112 7.1), whose CR is p[at]: size 0 is the last chunk. It answers like
// lineEnd.
func (s *BodyScanner) endLine(p []byte, at int) int {
	n := s.lineEnd(p, at)
	switch {
	case n == 0:
	case s.remaining == 0:
		s.lineBytes, s.overhead = 0, 0
		s.phase = trailerName
	case !s.payOverhead():
		s.fail(ReasonChunkOverheadTooLarge, at)
		return 0
	default:
		s.lineBytes = 0
		s.phase = chunkData
	}
	return n
}

// payOverhead counts a chunk's line against its payload, as net/http does, and reports whether the limit is kept. Without
// it, lines that are all within their own limit make a body of hardly any payload endless.
func (s *BodyScanner) payOverhead() bool {
	over := int64(s.overhead) + int64(s.lineBytes) - freeChunkBytes
	over = max(over-2*min(s.remaining, math.MaxUint32), 0)
	if over > int64(s.maxOverhead) {
		return false
	}
	s.overhead = uint32(over)
	return true
}

// stepSize waits for the whole size and the byte that ends it.
func (s *BodyScanner) stepSize(p []byte) int {
	digits := 0
	var size uint64
	for digits < len(p) && charClass[p[digits]]&charHex != 0 {
		if digits == maxChunkDigits {
			s.fail(ReasonChunkTooLarge, digits)
			return 0
		}
		if size = size<<4 | hexValue(p[digits]); size > math.MaxInt64 {
			s.fail(ReasonChunkTooLarge, digits)
			return 0
		}
		digits++
	}
	if digits == len(p) {
		return 0
	}
	switch c := p[digits]; {
	case c == '\n':
		s.fail(ReasonBareLF, digits)
	case digits == 0:
		s.fail(ReasonBadChunkSize, 0)
	case c == ';' || c == ' ' || c == '\t':
		s.beginLine(size, digits)
		s.phase = chunkPad
		return digits
	case c == '\r':
		if digits+1 < len(p) { // else the LF has not come: the size is read again
			s.beginLine(size, digits)
			return s.endLine(p, digits)
		}
	default:
		s.fail(ReasonBadChunkSize, digits)
	}
	return 0
}

// stepPad takes white space between a size and ';' (BWS, RFC 9112 7.1.1) or CRLF, where
// some old servers leave it.
func (s *BodyScanner) stepPad(p []byte) (n int, drop bool) {
	for n < len(p) && (p[n] == ' ' || p[n] == '\t') {
		n++
	}
	switch {
	case n > 0:
		return s.takeExtension(n), true
	case p[0] != ';':
		return s.endChunkLine(p), false
	}
	if n = s.takeExtension(1); n > 0 {
		s.phase = chunkExtension
	}
	return n, true
}

// stepExtension takes what stands behind ';'. Extensions concern one hop only and are
// to be ignored when unknown (RFC 9112 7.1.1), so they are not passed on: servers that
// read them differently (quoted line ends) have been tricked by them.
func (s *BodyScanner) stepExtension(p []byte) (n int, drop bool) {
	if n = indexNotText(p); n < 0 {
		n = len(p)
	}
	if n > 0 {
		return s.takeExtension(n), true
	}
	return s.endChunkLine(p), false
}

// takeExtension counts up to n bytes between a size and its CRLF.
func (s *BodyScanner) takeExtension(n int) int {
	return s.takeLineBytes(n, s.maxExtension, ReasonChunkExtensionTooLong)
}

// takeLineBytes counts as many of n bytes as most allows, and fails when it allows none:
// so the bytes before the limit are taken however the stream was cut.
func (s *BodyScanner) takeLineBytes(n int, most uint32, reason Reason) int {
	n = min(n, int(most-s.lineBytes))
	if n == 0 {
		s.fail(reason, 0)
	}
	s.lineBytes += uint32(n)
	return n
}

// endChunkLine expects the CRLF of a chunk line.
func (s *BodyScanner) endChunkLine(p []byte) int {
	switch p[0] {
	case '\r':
		return s.endLine(p, 0)
	case '\n':
		s.fail(ReasonBareLF, 0)
	default:
		s.fail(ReasonBadChunkExtension, 0)
	}
	return 0
}

// stepEnd expects the CRLF after a chunk's payload.
func (s *BodyScanner) stepEnd(p []byte) int {
	switch {
	case p[0] != '\r':
		s.fail(ReasonBadChunkEnd, 0)
	case len(p) == 1:
	case p[1] != '\n':
		s.fail(ReasonBadChunkEnd, 1)
	default:
		s.phase = chunkSize
		return 2
	}
	return 0
}

// stepTrailerName waits for a trailer's name and colon, or for the CRLF that ends the
// body. What has no business in a trailer is dropped with its whole line.
func (s *BodyScanner) stepTrailerName(p []byte) (n int, drop bool) {
	if p[0] == '\r' {
		if n = s.lineEnd(p, 0); n > 0 {
			s.phase = bodyDone
		}
		return n, false
	}
	if s.trailers >= s.maxTrailers {
		s.fail(ReasonTooManyTrailers, 0)
		return 0, false
	}
	n = tokenLength(p[:min(len(p), MaxTrailerNameBytes+1)])
	room := int(s.maxTrailer - s.lineBytes)
	switch {
	case n > room && room <= MaxTrailerNameBytes:
		s.fail(ReasonTrailersTooLarge, room)
	case n > MaxTrailerNameBytes:
		s.fail(ReasonHeaderNameTooLong, MaxTrailerNameBytes)
	case n == len(p):
	case n == 0 || p[n] != ':':
		s.failTrailer(p[n], n)
	case n == room:
		s.fail(ReasonTrailersTooLarge, room)
	default:
		_, class := classify(p[:n])
		drop = class&classNoTrailer != 0
		if drop {
			s.flags |= flagDropTrailer
		}
		s.phase = trailerValue
		s.trailers++
		s.lineBytes += uint32(n) + 1
		return n + 1, drop
	}
	return 0, false
}

// failTrailer says what is wrong with a trailer line whose byte c at position at is
// neither of its name nor the colon after it.
func (s *BodyScanner) failTrailer(c byte, at int) {
	switch {
	case c == '\n':
		s.fail(ReasonBareLF, at)
	case c == '\r':
		s.fail(ReasonMissingColon, at)
	case c != ' ' && c != '\t':
		s.fail(ReasonBadHeaderName, at)
	case at > 0:
		s.fail(ReasonSpaceBeforeColon, at)
	default:
		s.fail(ReasonObsFold, at)
	}
}

// stepTrailerValue takes a trailer's value and its CRLF.
func (s *BodyScanner) stepTrailerValue(p []byte) (n int, drop bool) {
	drop = s.flags&flagDropTrailer != 0
	if n = indexNotText(p); n < 0 {
		n = len(p)
	}
	if n > 0 {
		return s.takeLineBytes(n, s.maxTrailer, ReasonTrailersTooLarge), drop
	}
	switch p[0] {
	case '\r':
		if n = s.lineEnd(p, 0); n > 0 {
			s.flags &^= flagDropTrailer
			s.phase = trailerName
		}
		return n, drop
	case '\n':
		s.fail(ReasonBareLF, 0)
	default:
		s.fail(ReasonBadHeaderValue, 0)
	}
	return 0, drop
}

// hexValue returns the value of a hexadecimal digit.
func hexValue(c byte) uint64 {
	if c <= '9' {
		return uint64(c - '0')
	}
	return uint64(c|0x20-'a') + 10
}
