package http1

import "bytes"

// Version is an HTTP version that the parsers accept.
type Version uint8

// The versions.
const (
	HTTP10 Version = iota + 1
	HTTP11
)

// String returns the version as the start line spells it.
func (v Version) String() string {
	if v == HTTP10 {
		return "HTTP/1.0"
	}
	return "HTTP/1.1"
}

// headPhase is where a head's parser stands.
//
//	headStartLine -> headFields -> headDone
//	     |               |
//	     +---------------+-------> headFailed
type headPhase uint8

const (
	headStartLine headPhase = iota // entered by Reset; waits for the start line's CRLF
	headFields                     // entered after the start line; waits for a line's CRLF
	headDone                       // entered by the empty line; Parse keeps its answer
	headFailed                     // entered by fail; Parse keeps its answer
)

// headRules is what differs between a request's head and a response's.
type headRules interface {
	// startPrefix judges the first bytes of a start line that may be incomplete.
	startPrefix(line []byte) (Reason, int)
	// startLine judges the whole start line, without its CRLF. It moves the phase on,
	// unless the line was an empty one that is to be ignored.
	startLine(line []byte, limits *Limits)
	// field judges header i beyond what concerns both kinds of head.
	field(i int)
	// end judges the head as a whole.
	end()
}

// parse reads as many complete lines as buf holds. It answers like RequestHead.Parse.
func (f *Fields) parse(buf []byte, limits *Limits, side Side, rules headRules) (int, *Error) {
	if limits == nil {
		limits = &defaultLimits
	}
	f.buf = buf
	for f.phase < headDone { // every turn but the last consumes a line
		if !f.parseLine(buf, limits, rules) {
			return 0, nil
		}
	}
	if f.phase == headFailed {
		return 0, newError(side, f.reason, int64(f.fault))
	}
	return f.line, nil
}

// fail ends the parsing. The first failure stands.
func (f *Fields) fail(reason Reason, offset int) {
	if f.phase != headFailed {
		f.phase, f.reason, f.fault = headFailed, reason, offset
	}
}

// parseLine reads the line at f.line and reports whether there was anything to judge;
// false means that more bytes are needed. Limits come before everything else that is
// wrong with a line, so that the verdict is the same however the bytes were cut.
func (f *Fields) parseLine(buf []byte, limits *Limits, rules headRules) bool {
	if f.phase == headStartLine {
		if reason, at := rules.startPrefix(buf[f.line:]); reason != ReasonNone {
			f.fail(reason, f.line+at)
			return true
		}
	}
	end, complete := f.findLineEnd(buf, limits)
	if !f.checkLimits(buf, end, limits) {
		return true
	}
	if !complete {
		return false
	}
	if end-f.line < 2 || buf[end-2] != '\r' {
		f.fail(ReasonBareLF, end-1)
		return true
	}
	line := buf[f.line : end-2]
	switch {
	case f.phase == headStartLine:
		rules.startLine(line, limits)
	case len(line) == 0:
		f.endHead(rules)
	default:
		f.parseField(line, limits)
		if f.phase != headFailed {
			rules.field(len(f.fields) - 1)
		}
	}
	f.line = end
	return true
}

// findLineEnd returns the offset after the line's LF, or how far there is none.
func (f *Fields) findLineEnd(buf []byte, limits *Limits) (end int, complete bool) {
	window := buf[:min(len(buf), limits.MaxHeadBytes+1)]
	if i := bytes.IndexByte(window[f.scanned:], '\n'); i >= 0 {
		f.scanned += i + 1
		return f.scanned, true
	}
	f.scanned = len(window)
	return f.scanned, false
}

// checkLimits judges the line that reaches to end, complete or not. Where two limits
// are passed, the one that is passed first when bytes come one by one is told.
func (f *Fields) checkLimits(buf []byte, end int, limits *Limits) bool {
	within := min(end, limits.MaxHeadBytes)
	switch {
	case f.phase == headStartLine:
		if within-f.line > limits.MaxStartLineBytes {
			f.fail(ReasonStartLineTooLong, f.line+limits.MaxStartLineBytes)
			return false
		}
	case within == f.line:
	case len(f.fields) >= limits.MaxHeaders && buf[f.line] != '\r' && buf[f.line] != '\n':
		f.fail(ReasonTooManyHeaders, f.line)
		return false
	case within-f.line > limits.MaxHeaderNameBytes:
		longest := f.line + limits.MaxHeaderNameBytes
		if bytes.IndexByte(buf[f.line:longest+1], ':') < 0 {
			f.fail(ReasonHeaderNameTooLong, longest)
			return false
		}
	}
	if end > limits.MaxHeadBytes {
		f.fail(ReasonHeadTooLarge, limits.MaxHeadBytes)
		return false
	}
	return true
}

// endHead judges the head as a whole once the empty line has come.
func (f *Fields) endHead(rules headRules) {
	if rules.end(); f.phase == headFailed {
		return
	}
	if f.optionNames {
		f.markNamed()
	}
	f.phase = headDone
}

// parseField judges one header line, given without its CRLF, and records it.
func (f *Fields) parseField(line []byte, limits *Limits) {
	nameLength := tokenLength(line)
	if nameLength == 0 || nameLength == len(line) || line[nameLength] != ':' {
		f.failName(line, nameLength)
		return
	}
	afterColon := line[nameLength+1:]
	if bad := indexNotText(afterColon); bad >= 0 {
		reason := ReasonBadHeaderValue
		if afterColon[bad] == '\r' {
			reason = ReasonBareCR
		}
		f.fail(reason, f.line+nameLength+1+bad)
		return
	}
	leading := 0
	for leading < len(afterColon) && (afterColon[leading] == ' ' || afterColon[leading] == '\t') {
		leading++
	}
	value := trimSpace(afterColon[leading:])
	valueStart := f.line + nameLength + 1 + leading
	id, class := classify(line[:nameLength])
	f.fields = append(f.fields, field{
		start: uint32(f.line), end: uint32(f.line + len(line) + 2),
		valueStart: uint32(valueStart), valueEnd: uint32(valueStart + len(value)),
		nameLength: uint16(nameLength), id: id, class: class,
	})
	if f.first[id] == 0 && id != FieldOther {
		f.first[id] = uint16(len(f.fields))
	}
	f.applyFraming(id, value, valueStart, limits)
}

// failName says what is wrong with a line that does not begin with a token and a colon.
func (f *Fields) failName(line []byte, at int) {
	offset := f.line + at
	switch {
	case at == len(line):
		f.fail(ReasonMissingColon, offset)
	case line[at] == '\r':
		f.fail(ReasonBareCR, offset)
	case line[at] != ' ' && line[at] != '\t':
		f.fail(ReasonBadHeaderName, offset)
	case at > 0:
		f.fail(ReasonSpaceBeforeColon, offset)
	case len(f.fields) == 0:
		f.fail(ReasonLeadingSpace, offset)
	default:
		f.fail(ReasonObsFold, offset)
	}
}

// parseVersion judges the HTTP-version of a start line (RFC 9112 2.3).
func parseVersion(b []byte) (Version, Reason) {
	if len(b) != len("HTTP/1.1") || string(b[:5]) != "HTTP/" || b[6] != '.' ||
		charClass[b[5]]&charDigit == 0 || charClass[b[7]]&charDigit == 0 {
		return 0, ReasonBadVersion
	}
	switch {
	case b[5] == '1' && b[7] == '1':
		return HTTP11, ReasonNone
	case b[5] == '1' && b[7] == '0':
		return HTTP10, ReasonNone
	}
	return 0, ReasonUnsupportedVersion
}
