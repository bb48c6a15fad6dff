package http1

// FieldID names a header that a proxy has to do with; FieldOther is any other.
type FieldID uint8

// The known headers, in the order of knownNames.
const (
	FieldOther FieldID = iota
	FieldHost
	FieldContentLength
	FieldTransferEncoding
	FieldConnection
	FieldKeepAlive
	FieldProxyConnection
	FieldTE
	FieldUpgrade
	FieldHTTP2Settings
	FieldTrailer
	FieldExpect
	FieldSecWebSocketKey
	FieldSecWebSocketVersion
	FieldSecWebSocketProtocol
	FieldSecWebSocketExtensions
	FieldSecWebSocketAccept
	FieldOrigin
	FieldUserAgent
	FieldReferer
	FieldCookie
	FieldSetCookie
	FieldAuthorization
	FieldProxyAuthorization
	FieldProxyAuthenticate
	FieldWWWAuthenticate
	FieldForwarded
	FieldXForwardedFor
	FieldXForwardedProto
	FieldXForwardedPort
	FieldXForwardedHost
	FieldXRealIP
	FieldVia
	FieldDate
	FieldServer
	FieldLocation
	FieldContentType
	FieldContentEncoding
	FieldContentRange
	FieldAcceptEncoding
	FieldCacheControl
	FieldETag
	FieldVary
	FieldAge
	FieldExpires
	FieldMaxForwards
	FieldPragma
	FieldRange
	FieldRetryAfter
	FieldWarning
	FieldIfMatch
	FieldIfNoneMatch
	FieldIfModifiedSince
	FieldIfUnmodifiedSince
	FieldIfRange
	fieldIDCount
)

// Class says, as a set of bits, why a header may not be copied to the other side.
type Class uint8

// The classes.
const (
	// ClassHopByHop: speaks to the next peer only (RFC 9110 7.6.1), by its own name.
	ClassHopByHop Class = 1 << iota
	// ClassNamed: the message's Connection header names it.
	ClassNamed
	// ClassForwarded: claims who the client is (see IsForwarded).
	ClassForwarded
	// ClassWebSocket: Sec-WebSocket-*, of no use outside an upgrade.
	ClassWebSocket
	// classNoTrailer: has no business in a trailer section (RFC 9110 6.5.1).
	classNoTrailer
)

// knownName is one row of the table of known headers.
type knownName struct {
	name  string
	class Class
}

// knownNames is indexed by FieldID and immutable.
var knownNames = [fieldIDCount]knownName{
	FieldHost:                   {"Host", classNoTrailer},
	FieldContentLength:          {"Content-Length", classNoTrailer},
	FieldTransferEncoding:       {"Transfer-Encoding", ClassHopByHop | classNoTrailer},
	FieldConnection:             {"Connection", ClassHopByHop | classNoTrailer},
	FieldKeepAlive:              {"Keep-Alive", ClassHopByHop | classNoTrailer},
	FieldProxyConnection:        {"Proxy-Connection", ClassHopByHop | classNoTrailer},
	FieldTE:                     {"TE", ClassHopByHop | classNoTrailer},
	FieldUpgrade:                {"Upgrade", ClassHopByHop | classNoTrailer},
	FieldHTTP2Settings:          {"HTTP2-Settings", ClassHopByHop | classNoTrailer},
	FieldTrailer:                {"Trailer", classNoTrailer},
	FieldExpect:                 {"Expect", classNoTrailer},
	FieldSecWebSocketKey:        {"Sec-WebSocket-Key", ClassWebSocket | classNoTrailer},
	FieldSecWebSocketVersion:    {"Sec-WebSocket-Version", ClassWebSocket | classNoTrailer},
	FieldSecWebSocketProtocol:   {"Sec-WebSocket-Protocol", ClassWebSocket | classNoTrailer},
	FieldSecWebSocketExtensions: {"Sec-WebSocket-Extensions", ClassWebSocket | classNoTrailer},
	FieldSecWebSocketAccept:     {"Sec-WebSocket-Accept", ClassWebSocket | classNoTrailer},
	FieldOrigin:                 {"Origin", classNoTrailer},
	FieldUserAgent:              {"User-Agent", 0},
	FieldReferer:                {"Referer", 0},
	FieldCookie:                 {"Cookie", classNoTrailer},
	FieldSetCookie:              {"Set-Cookie", classNoTrailer},
	FieldAuthorization:          {"Authorization", classNoTrailer},
	FieldProxyAuthorization:     {"Proxy-Authorization", classNoTrailer},
	FieldProxyAuthenticate:      {"Proxy-Authenticate", classNoTrailer},
	FieldWWWAuthenticate:        {"WWW-Authenticate", classNoTrailer},
	FieldForwarded:              {"Forwarded", ClassForwarded | classNoTrailer},
	FieldXForwardedFor:          {"X-Forwarded-For", ClassForwarded | classNoTrailer},
	FieldXForwardedProto:        {"X-Forwarded-Proto", ClassForwarded | classNoTrailer},
	FieldXForwardedPort:         {"X-Forwarded-Port", ClassForwarded | classNoTrailer},
	FieldXForwardedHost:         {"X-Forwarded-Host", ClassForwarded | classNoTrailer},
	FieldXRealIP:                {"X-Real-IP", ClassForwarded | classNoTrailer},
	FieldVia:                    {"Via", 0},
	FieldDate:                   {"Date", classNoTrailer},
	FieldServer:                 {"Server", 0},
	FieldLocation:               {"Location", classNoTrailer},
	FieldContentType:            {"Content-Type", classNoTrailer},
	FieldContentEncoding:        {"Content-Encoding", classNoTrailer},
	FieldContentRange:           {"Content-Range", classNoTrailer},
	FieldAcceptEncoding:         {"Accept-Encoding", 0},
	FieldCacheControl:           {"Cache-Control", classNoTrailer},
	FieldETag:                   {"ETag", 0},
	FieldVary:                   {"Vary", classNoTrailer},
	FieldAge:                    {"Age", classNoTrailer},
	FieldExpires:                {"Expires", classNoTrailer},
	FieldMaxForwards:            {"Max-Forwards", classNoTrailer},
	FieldPragma:                 {"Pragma", classNoTrailer},
	FieldRange:                  {"Range", classNoTrailer},
	FieldRetryAfter:             {"Retry-After", classNoTrailer},
	FieldWarning:                {"Warning", classNoTrailer},
	FieldIfMatch:                {"If-Match", classNoTrailer},
	FieldIfNoneMatch:            {"If-None-Match", classNoTrailer},
	FieldIfModifiedSince:        {"If-Modified-Since", classNoTrailer},
	FieldIfUnmodifiedSince:      {"If-Unmodified-Since", classNoTrailer},
	FieldIfRange:                {"If-Range", classNoTrailer},
}

// String returns the name as it is usually written, "" for FieldOther.
func (id FieldID) String() string {
	if id >= fieldIDCount {
		return ""
	}
	return knownNames[id].name
}

// nameCandidate is a known name in lower case, with the byte that tells most names of
// one length apart.
type nameCandidate struct {
	lower string
	last  byte
	id    FieldID
}

// candidatesByLength is immutable. Few names share a length, so a lookup compares at
// most one or two bytes before it knows.
var candidatesByLength = buildCandidates()

func buildCandidates() (table [32][]nameCandidate) {
	for id := FieldOther + 1; id < fieldIDCount; id++ {
		lower := string(AppendLower(nil, []byte(knownNames[id].name)))
		table[len(lower)] = append(table[len(lower)],
			nameCandidate{lower: lower, last: lower[len(lower)-1], id: id})
	}
	return table
}

// LookupField returns the id of a header name in any case, FieldOther when it is not a
// known one.
func LookupField(name []byte) FieldID {
	if len(name) == 0 || len(name) >= len(candidatesByLength) {
		return FieldOther
	}
	first, last := lowerByte[name[0]], lowerByte[name[len(name)-1]]
	for i := range candidatesByLength[len(name)] {
		candidate := &candidatesByLength[len(name)][i]
		if candidate.last == last && candidate.lower[0] == first && EqualFold(name, candidate.lower) {
			return candidate.id
		}
	}
	return FieldOther
}
