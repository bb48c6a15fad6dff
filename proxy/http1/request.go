package http1

// maxEmptyLines is how many empty lines may stand before a request line: RFC 9112 2.2
// asks for one, which old clients send after a body.
const maxEmptyLines = 1

// Expectation is what the Expect header asks for (RFC 9110 10.1.1).
type Expectation uint8

// The expectations.
const (
	ExpectNothing  Expectation = iota // no Expect, or HTTP/1.0, whose Expect is ignored
	ExpectContinue                    // 100-continue
	ExpectUnknown                     // anything else: answer 417
)

// RequestHead parses the head of a request and keeps its meaning as offsets. The zero
// value is ready; a used one is ready after Reset and keeps its memory (20 bytes a
// header), so one serves many connections. Owned by its user; one head at a time.
type RequestHead struct {
	Fields

	method, target  span
	path, query     span
	authority       span // of the target or else of Host
	hostEnd         uint32
	port            int
	emptyLines      int
	form            TargetForm
	expect          Expectation
	hasQuery        bool
	hostFromTarget  bool
	hostLineMissing bool
}

// Reset makes the head ready for another request. It keeps no reference to a buffer.
func (h *RequestHead) Reset() {
	h.reset()
	*h = RequestHead{Fields: h.Fields}
}

// Parse reads a request's head from buf, which holds all bytes received so far from the
// head's first byte on. Between calls buf may grow and move, nothing else. Nil limits
// are DefaultLimits; they must be the same for each call.
//
//   - n > 0: the head is buf[:n]; what follows is not its own
//   - n == 0 and err == nil: the head is incomplete
//   - err != nil: the head is refused, at its first line that breaks a rule or at the
//     first byte that passes a limit; Parse keeps this answer until Reset. The accessors
//     tell what was read and is right before it
//
// No line is judged twice and no byte searched twice: a head that comes byte by byte
// costs as much as one that comes whole. The head borrows buf until Reset, Rebind or the
// next Parse.
func (h *RequestHead) Parse(buf []byte, limits *Limits) (n int, err *Error) {
	return h.parse(buf, limits, FromClient, h)
}

// startPrefix refuses at the first byte what is no HTTP at all, such as a TLS record.
func (h *RequestHead) startPrefix(line []byte) (Reason, int) {
	if len(line) > 0 && charClass[line[0]]&charToken == 0 && line[0] != '\r' && line[0] != '\n' {
		return ReasonBadMethod, 0
	}
	return ReasonNone, 0
}

// startLine judges a request line (RFC 9112 3): one space between its three parts,
// nothing before and nothing behind.
func (h *RequestHead) startLine(line []byte, limits *Limits) {
	if len(line) == 0 {
		if h.emptyLines++; h.emptyLines > maxEmptyLines {
			h.fail(ReasonEmptyLines, h.line)
		}
		return
	}
	methodEnd := tokenLength(line)
	switch {
	case methodEnd == len(line):
		h.fail(ReasonBadRequestLine, h.line+methodEnd)
		return
	case methodEnd == 0, line[methodEnd] != ' ':
		h.failStart(line, methodEnd, ReasonBadMethod)
		return
	}
	targetStart := methodEnd + 1
	targetEnd := targetStart
	for targetEnd < len(line) && charClass[line[targetEnd]]&charTarget != 0 {
		targetEnd++
	}
	switch {
	case targetEnd == len(line), targetEnd == targetStart && line[targetEnd] == ' ':
		h.fail(ReasonBadRequestLine, h.line+targetEnd)
		return
	case line[targetEnd] != ' ', targetEnd == targetStart:
		h.failStart(line, targetEnd, ReasonBadTarget)
		return
	}
	version, reason := parseVersion(line[targetEnd+1:])
	if reason != ReasonNone {
		h.failStart(line, targetEnd+1, reason)
		return
	}
	h.version = version
	h.method = span{uint32(h.line), uint32(h.line + methodEnd)}
	method := line[:methodEnd]
	if string(method) == "TRACE" || string(method) == "CONNECT" {
		h.fail(ReasonMethodNotAllowed, h.line) // and the target is read for the log alone
	}
	h.parseTarget(method, line[targetStart:targetEnd], h.line+targetStart)
	h.hostFromTarget = h.form == AbsoluteForm
	if h.phase != headFailed {
		h.beginFields(limits)
	}
}

// failStart refuses a start line at position at, telling a lone CR from other bytes.
func (f *Fields) failStart(line []byte, at int, reason Reason) {
	if at < len(line) && line[at] == '\r' {
		reason = ReasonBareCR
	}
	f.fail(reason, f.line+at)
}

// beginFields moves on to the header lines.
func (f *Fields) beginFields(limits *Limits) {
	const usual = 32 // headers of a browser's request, and some
	if f.fields == nil {
		f.fields = make([]field, 0, min(usual, limits.MaxHeaders))
	}
	f.phase = headFields
}

// field judges Host and Expect, which only requests have.
func (h *RequestHead) field(i int) {
	switch h.fields[i].id {
	case FieldHost:
		h.applyHost(i)
	case FieldExpect:
		h.applyExpect(h.value(i))
	}
}

// applyHost takes Host over. The authority of an absolute target replaces it, but a
// malformed or second Host is refused all the same (RFC 9112 3.2, 3.2.2).
func (h *RequestHead) applyHost(i int) {
	at := int(h.fields[i].valueStart)
	if int(h.first[FieldHost]) != i+1 {
		h.fail(ReasonDuplicateHost, int(h.fields[i].start))
		return
	}
	value := h.value(i)
	if h.hostFromTarget {
		if _, _, ok := splitHost(value); !ok {
			h.fail(ReasonBadHost, at)
		}
		return
	}
	if !h.setHost(value, at) {
		h.fail(ReasonBadHost, at)
	}
}

func (h *RequestHead) applyExpect(value []byte) {
	if h.version == HTTP10 {
		return
	}
	elements := List(value)
	for {
		element, ok := elements.Next()
		switch {
		case !ok:
			return
		case !EqualFold(element, "100-continue"):
			h.expect = ExpectUnknown
		case h.expect == ExpectNothing:
			h.expect = ExpectContinue
		}
	}
}

// end judges that HTTP/1.1 names a Host.
func (h *RequestHead) end() {
	h.hostLineMissing = !h.Has(FieldHost)
	if h.hostLineMissing && h.version == HTTP11 {
		h.fail(ReasonMissingHost, h.line)
	}
}

// Method returns the method, which is case-sensitive. Borrowed.
func (h *RequestHead) Method() []byte { return h.bytes(h.method) }

// Target returns the request target as it came, nil where it was refused. Borrowed.
func (h *RequestHead) Target() []byte { return h.bytes(h.target) }

// Form returns the form of the request target.
func (h *RequestHead) Form() TargetForm { return h.form }

// Path returns the target's path, percent-encoded as it came, never empty: "/" or "*"
// stands for that of an absolute target without one (RFC 9112 3.2.1, 3.2.4). Borrowed.
func (h *RequestHead) Path() []byte {
	switch {
	case h.path.start < h.path.end:
		return h.bytes(h.path)
	case !h.hasQuery && string(h.Method()) == "OPTIONS":
		return asterisk[:1:1]
	}
	return slash[:1:1]
}

// Query returns what follows the target's first '?'; ok is false when there is none.
// Borrowed.
func (h *RequestHead) Query() (query []byte, ok bool) { return h.bytes(h.query), h.hasQuery }

// Host returns the host and port that the request is for: the authority of an absolute
// target, or else Host; nil when an HTTP/1.0 request names none. Borrowed.
func (h *RequestHead) Host() []byte {
	if h.authority.end == 0 {
		return nil
	}
	return h.bytes(h.authority)
}

// HostName returns Host without the port, in the case in which it came; an IPv6 address
// keeps its brackets, a name its trailing dot. Borrowed.
func (h *RequestHead) HostName() []byte {
	if h.authority.end == 0 {
		return nil
	}
	return h.bytes(span{h.authority.start, h.hostEnd})
}

// Port returns the port that Host names, 1 to 65535, or 0 when it names none.
func (h *RequestHead) Port() int { return h.port }

// Expect returns what the Expect headers ask for.
func (h *RequestHead) Expect() Expectation { return h.expect }

// Body returns how the request's body is framed and, for BodyLength, how many bytes it
// has (RFC 9112 6.3).
func (h *RequestHead) Body() (kind BodyKind, length int64) {
	switch {
	case h.chunked:
		return BodyChunked, 0
	case h.length > 0:
		return BodyLength, h.length
	}
	return BodyNone, 0
}
