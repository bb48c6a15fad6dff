package http1

// ResponseHead parses the head of a response and keeps its meaning as offsets, in the
// same way as RequestHead.
type ResponseHead struct {
	Fields

	status int
	phrase span
}

// Reset makes the head ready for another response. It keeps no reference to a buffer.
func (h *ResponseHead) Reset() {
	h.reset()
	*h = ResponseHead{Fields: h.Fields}
}

// Parse reads a response's head from buf in the same way as RequestHead.Parse. Its
// errors have the status 502.
func (h *ResponseHead) Parse(buf []byte, limits *Limits) (n int, err *Error) {
	return h.parse(buf, limits, FromBackend, h)
}

// startPrefix refuses at the first byte what is no HTTP at all.
func (h *ResponseHead) startPrefix(line []byte) (Reason, int) {
	const prefix = "HTTP/"
	for i := range min(len(prefix), len(line)) {
		if line[i] != prefix[i] {
			return ReasonBadStatusLine, i
		}
	}
	return ReasonNone, 0
}

// startLine judges a status line (RFC 9112 4). The space after the status is required,
// the reason phrase is not.
func (h *ResponseHead) startLine(line []byte, limits *Limits) {
	const statusStart, phraseStart = len("HTTP/1.1 "), len("HTTP/1.1 200 ")
	if len(line) < statusStart || line[statusStart-1] != ' ' {
		h.failStart(line, min(len(line), statusStart-1), ReasonBadStatusLine)
		return
	}
	version, reason := parseVersion(line[:statusStart-1])
	if reason != ReasonNone {
		h.fail(reason, h.line)
		return
	}
	if len(line) < phraseStart || line[phraseStart-1] != ' ' {
		h.failStart(line, min(len(line), phraseStart-1), ReasonBadStatusLine)
		return
	}
	status := 0
	for i := statusStart; i < phraseStart-1; i++ {
		if charClass[line[i]]&charDigit == 0 {
			h.failStart(line, i, ReasonBadStatusLine)
			return
		}
		status = status*10 + int(line[i]-'0')
	}
	if status < 100 || status > 599 {
		h.fail(ReasonBadStatus, h.line+statusStart)
		return
	}
	if bad := indexNotText(line[phraseStart:]); bad >= 0 {
		h.failStart(line, phraseStart+bad, ReasonBadHeaderValue)
		return
	}
	h.version, h.status = version, status
	h.phrase = span{uint32(h.line + phraseStart), uint32(h.line + len(line))}
	h.beginFields(limits)
}

func (h *ResponseHead) field(int) {}

func (h *ResponseHead) end() {}

// Status returns the status code, 100 to 599.
func (h *ResponseHead) Status() int { return h.status }

// Phrase returns the reason phrase, which may be empty. Borrowed.
func (h *ResponseHead) Phrase() []byte { return h.bytes(h.phrase) }

// Interim reports whether another response to the same request follows: any 1xx but 101
// (RFC 9110 15.2).
func (h *ResponseHead) Interim() bool { return h.status < 200 && h.status != 101 }

// Body returns how the body of the response to a request with this method is framed
// and, for BodyLength, how many bytes it has (RFC 9112 6.3).
func (h *ResponseHead) Body(requestMethod []byte) (kind BodyKind, length int64) {
	switch {
	case h.status < 200, h.status == 204, h.status == 304, string(requestMethod) == "HEAD":
		return BodyNone, 0
	case h.chunked:
		return BodyChunked, 0
	case !h.Has(FieldContentLength):
		return BodyUntilClose, 0
	case h.length > 0:
		return BodyLength, h.length
	}
	return BodyNone, 0
}

// forbidsLength reports whether the status must not have a Content-Length (RFC 9110 8.6).
func (h *ResponseHead) forbidsLength() bool { return h.status < 200 || h.status == 204 }
