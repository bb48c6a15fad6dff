package http1

import "bytes"

// TargetForm is the form of a request target (RFC 9112 3.2). The authority form exists
// for CONNECT only, which is refused: it has no name here.
type TargetForm uint8

// The forms.
const (
	OriginForm   TargetForm = iota + 1 // /path?query
	AbsoluteForm                       // http://authority/path?query, https too
	AsteriskForm                       // *, for OPTIONS only
)

// String returns a word for logs.
func (f TargetForm) String() string {
	switch f {
	case OriginForm:
		return "origin"
	case AbsoluteForm:
		return "absolute"
	case AsteriskForm:
		return "asterisk"
	}
	return "unknown"
}

var (
	slash    = []byte("/")
	asterisk = []byte("*")
)

// parseTarget judges the request target, made of target characters, at offset at, and
// records its form and parts. One that is refused is not kept: it may hold a password.
func (h *RequestHead) parseTarget(method, target []byte, at int) {
	whole := span{uint32(at), uint32(at + len(target))}
	ok := true
	switch {
	case target[0] == '/':
		h.form = OriginForm
		ok = h.splitPath(target, at)
	case len(target) == 1 && target[0] == '*' && string(method) == "OPTIONS":
		h.form = AsteriskForm
		h.path = whole
	case string(method) == "CONNECT":
		ok = h.setHost(target, at)
	default:
		h.form = AbsoluteForm
		ok = h.parseAbsolute(target, at)
	}
	if ok {
		h.target = whole
	}
}

// parseAbsolute judges an absolute-form target. Schemes other than http and https, an
// empty authority and user information are refused (RFC 9110 4.2.1, 4.2.4).
func (h *RequestHead) parseAbsolute(target []byte, at int) bool {
	authorityStart := 0
	for _, scheme := range [...]string{"http://", "https://"} {
		if len(target) > len(scheme) && EqualFold(target[:len(scheme)], scheme) {
			authorityStart = len(scheme)
		}
	}
	if authorityStart == 0 {
		h.fail(ReasonBadTarget, at)
		return false
	}
	rest := target[authorityStart:]
	end := bytes.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	if !h.setHost(rest[:end], at+authorityStart) {
		h.fail(ReasonBadTarget, at+authorityStart)
		return false
	}
	return h.splitPath(rest[end:], at+authorityStart+end)
}

// splitPath records path and query and judges the path's percent-encoding: routes are
// chosen by the path, so it must not have two readings. The query passes as it is.
func (h *RequestHead) splitPath(b []byte, at int) bool {
	pathEnd := bytes.IndexByte(b, '?')
	if pathEnd < 0 {
		pathEnd = len(b)
	} else {
		h.hasQuery = true
		h.query = span{uint32(at + pathEnd + 1), uint32(at + len(b))}
	}
	h.path = span{uint32(at), uint32(at + pathEnd)}
	path := b[:pathEnd]
	for i := bytes.IndexByte(path, '%'); i >= 0; {
		if i+2 >= len(path) || charClass[path[i+1]]&charHex == 0 || charClass[path[i+2]]&charHex == 0 {
			h.fail(ReasonBadTarget, at+i)
			return false
		}
		next := bytes.IndexByte(path[i+3:], '%')
		if next < 0 {
			return true
		}
		i += 3 + next
	}
	return true
}

// setHost judges host and optional port at offset at and takes them as the request's.
func (h *RequestHead) setHost(b []byte, at int) bool {
	hostEnd, port, ok := splitHost(b)
	if !ok {
		return false
	}
	h.authority = span{uint32(at), uint32(at + len(b))}
	h.hostEnd = uint32(at + hostEnd)
	h.port = port
	return true
}
