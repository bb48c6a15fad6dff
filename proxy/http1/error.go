package http1

import "strconv"

// Side says which peer sent the message that is parsed, and so whose fault an error is.
type Side uint8

// The two sides of a proxy.
const (
	FromClient  Side = iota // a request: errors carry the status to answer with
	FromBackend             // a response: every error is a 502
)

// String returns "client" or "backend".
func (s Side) String() string {
	if s == FromBackend {
		return "backend"
	}
	return "client"
}

// Reason says which rule a message broke. Its String is stable: logs, metrics and
// tests may rely on it.
type Reason uint8

// The reasons, in the order in which a message can break the rules.
const (
	ReasonNone Reason = iota
	ReasonBadRequestLine
	ReasonBadMethod
	ReasonMethodNotAllowed
	ReasonBadTarget
	ReasonBadVersion
	ReasonUnsupportedVersion
	ReasonBadStatusLine
	ReasonBadStatus
	ReasonEmptyLines
	ReasonStartLineTooLong
	ReasonHeadTooLarge
	ReasonTooManyHeaders
	ReasonHeaderNameTooLong
	ReasonBareLF
	ReasonBareCR
	ReasonLeadingSpace
	ReasonObsFold
	ReasonMissingColon
	ReasonSpaceBeforeColon
	ReasonBadHeaderName
	ReasonBadHeaderValue
	ReasonMissingHost
	ReasonDuplicateHost
	ReasonBadHost
	ReasonBadLength
	ReasonConflictingLength
	ReasonLengthWithCoding
	ReasonBadCoding
	ReasonUnknownCoding
	ReasonCodingOnHTTP10
	ReasonTooManyOptions
	ReasonBadChunkSize
	ReasonChunkTooLarge
	ReasonBadChunkExtension
	ReasonChunkExtensionTooLong
	ReasonChunkOverheadTooLarge
	ReasonBadChunkEnd
	ReasonTrailersTooLarge
	ReasonTooManyTrailers
	reasonCount
)

// reasons holds, per Reason, its token, the status a client is answered with, and a
// sentence for people.
var reasons = [reasonCount]struct {
	token  string
	status int
	text   string
}{
	ReasonNone:                  {"none", 0, "no error"},
	ReasonBadRequestLine:        {"bad-request-line", 400, "the request line is not method, target and version with one space between"},
	ReasonBadMethod:             {"bad-method", 400, "the method is not a token"},
	ReasonMethodNotAllowed:      {"method-not-allowed", 405, "the method is TRACE or CONNECT"},
	ReasonBadTarget:             {"bad-target", 400, "the request target is malformed or has a form that the method does not allow"},
	ReasonBadVersion:            {"bad-version", 400, "the version is not HTTP/ with a digit, a dot and a digit"},
	ReasonUnsupportedVersion:    {"unsupported-version", 505, "the version is neither HTTP/1.0 nor HTTP/1.1"},
	ReasonBadStatusLine:         {"bad-status-line", 400, "the status line is not version, status and reason with one space between"},
	ReasonBadStatus:             {"bad-status", 400, "the status is not 100 to 599"},
	ReasonEmptyLines:            {"too-many-empty-lines", 400, "more than one empty line stands before the request line"},
	ReasonStartLineTooLong:      {"start-line-too-long", 414, "the request line or status line is over the limit"},
	ReasonHeadTooLarge:          {"head-too-large", 431, "the head is over the limit"},
	ReasonTooManyHeaders:        {"too-many-headers", 431, "there are more header lines than the limit"},
	ReasonHeaderNameTooLong:     {"header-name-too-long", 431, "a header name is over the limit"},
	ReasonBareLF:                {"bare-lf", 400, "a line ends with LF alone"},
	ReasonBareCR:                {"bare-cr", 400, "a CR is not followed by LF"},
	ReasonLeadingSpace:          {"leading-space", 400, "white space stands before the first header"},
	ReasonObsFold:               {"obs-fold", 400, "a header is folded over several lines"},
	ReasonMissingColon:          {"missing-colon", 400, "a header line has no colon"},
	ReasonSpaceBeforeColon:      {"space-before-colon", 400, "white space stands between a header name and its colon"},
	ReasonBadHeaderName:         {"bad-header-name", 400, "a header name is empty or not a token"},
	ReasonBadHeaderValue:        {"bad-header-value", 400, "a header value or reason phrase holds a control byte"},
	ReasonMissingHost:           {"missing-host", 400, "an HTTP/1.1 request has no Host"},
	ReasonDuplicateHost:         {"duplicate-host", 400, "there is more than one Host"},
	ReasonBadHost:               {"bad-host", 400, "a host is neither a name nor an address, or its port is not 1 to 65535"},
	ReasonBadLength:             {"bad-content-length", 400, "Content-Length is not a decimal number below 2^63"},
	ReasonConflictingLength:     {"conflicting-length", 400, "Content-Length is given with different values"},
	ReasonLengthWithCoding:      {"length-with-coding", 400, "Content-Length and Transfer-Encoding are both given"},
	ReasonBadCoding:             {"bad-transfer-encoding", 400, "Transfer-Encoding is not chunked exactly once"},
	ReasonUnknownCoding:         {"unknown-transfer-coding", 501, "Transfer-Encoding names a coding other than chunked"},
	ReasonCodingOnHTTP10:        {"transfer-encoding-on-http10", 400, "Transfer-Encoding is given with HTTP/1.0"},
	ReasonTooManyOptions:        {"too-many-connection-options", 431, "Connection lists more options than the limit"},
	ReasonBadChunkSize:          {"bad-chunk-size", 400, "a chunk size is not hexadecimal digits"},
	ReasonChunkTooLarge:         {"chunk-too-large", 400, "a chunk size has more than 16 digits or is 2^63 or more"},
	ReasonBadChunkExtension:     {"bad-chunk-extension", 400, "a chunk size is followed by something other than an extension"},
	ReasonChunkExtensionTooLong: {"chunk-extension-too-long", 400, "a chunk extension is over the limit"},
	ReasonChunkOverheadTooLarge: {"chunk-overhead-too-large", 400, "the lines of chunks are too long for what the chunks hold"},
	ReasonBadChunkEnd:           {"bad-chunk-end", 400, "chunk data is not followed by CRLF"},
	ReasonTrailersTooLarge:      {"trailers-too-large", 431, "the trailer section is over the limit"},
	ReasonTooManyTrailers:       {"too-many-trailers", 431, "there are more trailer lines than the limit"},
}

// String returns the reason's stable token, such as "duplicate-host".
func (r Reason) String() string {
	if r >= reasonCount {
		return "unknown"
	}
	return reasons[r].token
}

// Text returns a sentence for people. It holds nothing that the peer sent.
func (r Reason) Text() string {
	if r >= reasonCount {
		return "unknown reason"
	}
	return reasons[r].text
}

// Error says how a message broke the rules. It is immutable, refers to no buffer, and
// is the only thing that a parser allocates: 24 bytes, once, for a connection that is
// about to be closed.
type Error struct {
	// Offset is the position of the offending byte, counted from the first byte of the
	// head (RequestHead, ResponseHead) or of the body (BodyScanner).
	Offset int64
	// Status is the answer to the client: 400 to 505, always 502 for FromBackend.
	Status int
	Reason Reason
	Side   Side
}

// newError builds the error for a rule broken by side at offset.
func newError(side Side, reason Reason, offset int64) *Error {
	status := 502
	if side == FromClient {
		status = reasons[reason].status
	}
	return &Error{Offset: offset, Status: status, Reason: reason, Side: side}
}

// Error returns a sentence with side, reason and position.
func (e *Error) Error() string {
	return "http1: " + e.Side.String() + ": " + e.Reason.Text() +
		" (" + e.Reason.String() + " at byte " + strconv.FormatInt(e.Offset, 10) + ")"
}
