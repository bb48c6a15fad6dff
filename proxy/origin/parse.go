package origin

import "bytes"

const (
	maxHostBytes   = 255 // a name in the DNS has at most 253, and a dot at its end
	maxSchemeBytes = 32
	maxOriginBytes = maxSchemeBytes + len("://") + maxHostBytes + len(":65535")
)

// serialised is an origin in parts, which refer to the bytes that it was read from.
type serialised struct {
	scheme, host []byte
	port         int // the scheme's own where none is given; 0: it has none
}

// schemePort returns the port that a scheme stands for, 0 if it does not stand for one.
func schemePort(scheme []byte) int {
	switch {
	case equalFold(scheme, "https"):
		return portHTTPS
	case equalFold(scheme, "http"):
		return portHTTP
	}
	return 0
}

const (
	portHTTP  = 80
	portHTTPS = 443
)

// parse reads a serialised origin (RFC 6454 section 6.2): scheme "://" host [ ":" port ], and nothing else. So "null",
// a list, a path and a user are no origins.
func parse(b []byte) (o serialised, ok bool) {
	if len(b) > maxOriginBytes {
		return o, false
	}
	end := bytes.IndexByte(b, ':')
	if end < 1 || end > maxSchemeBytes || !isScheme(b[:end]) || !bytes.HasPrefix(b[end:], []byte("://")) {
		return o, false
	}
	o.scheme = b[:end]
	if o.host, o.port, ok = splitHost(b[end+len("://"):]); !ok {
		return serialised{}, false
	}
	if o.port == 0 {
		o.port = schemePort(o.scheme)
	}
	return o, true
}

// isHost tells whether the origin is that of a page from the host that a request is for.
func (o serialised) isHost(requested []byte, secure bool) bool {
	own := schemePort(o.scheme)
	if own == 0 || secure && own != portHTTPS {
		return false
	}
	host, port, ok := splitHost(requested)
	if port == 0 {
		port = portHTTP
		if secure {
			port = portHTTPS
		}
	}
	return ok && port == o.port && bytes.EqualFold(host, o.host)
}

// appendKey appends what two origins share if they are the same: all in lower case, with the port as two bytes.
func (o serialised) appendKey(dst []byte) []byte {
	for _, c := range o.scheme {
		dst = append(dst, lower(c))
	}
	dst = append(dst, byte(o.port>>8), byte(o.port))
	for _, c := range o.host {
		dst = append(dst, lower(c))
	}
	return dst
}

// splitHost reads a host and a port of 1 to 65535, which is 0 if it is not given. A host is a name of letters, digits,
// hyphens and underscores with single dots between, and perhaps one at its end; or an IPv6 address in brackets.
func splitHost(b []byte) (host []byte, port int, ok bool) {
	end := 0
	if len(b) > 0 && b[0] == '[' {
		end = bytes.IndexByte(b, ']') + 1
		if end == 0 || !isIPv6(b[1:end-1]) {
			return nil, 0, false
		}
	} else {
		for end < len(b) && b[end] != ':' {
			dot := b[end] == '.'
			if !dot && !isLabelByte(b[end]) || dot && (end == 0 || b[end-1] == '.') {
				return nil, 0, false
			}
			end++
		}
	}
	if end == 0 || end > maxHostBytes {
		return nil, 0, false
	}
	if end == len(b) {
		return b, 0, true
	}
	if port, ok = parsePort(b[end:]); !ok {
		return nil, 0, false
	}
	return b[:end], port, true
}

// parsePort reads a colon and 1 to 65535 without leading zeros.
func parsePort(b []byte) (port int, ok bool) {
	if len(b) < 2 || len(b) > len(":65535") || b[0] != ':' || b[1] == '0' {
		return 0, false
	}
	for _, c := range b[1:] {
		if c < '0' || c > '9' {
			return 0, false
		}
		port = port*10 + int(c-'0')
	}
	return port, port <= 65535
}

// isIPv6 tells whether a text is an IPv6 address as browsers write it: in hexadecimal groups, without a zone.
func isIPv6(b []byte) bool {
	const all = 8
	groups, gap, i := 0, false, 0
	if bytes.HasPrefix(b, []byte("::")) {
		gap, i = true, 2
	}
	for i < len(b) {
		digits := 0
		for i < len(b) && isHex(b[i]) {
			digits++
			i++
		}
		if digits < 1 || digits > 4 {
			return false
		}
		groups++
		if i == len(b) {
			break
		}
		if b[i] != ':' || i+1 == len(b) {
			return false
		}
		if i++; b[i] == ':' {
			if gap {
				return false
			}
			gap = true
			i++
		}
	}
	return groups == all && !gap || groups < all && gap
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || lower(c) >= 'a' && lower(c) <= 'f' }

// isScheme judges RFC 3986 section 3.1.
func isScheme(b []byte) bool {
	for i, c := range b {
		letter := lower(c) >= 'a' && lower(c) <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return true
}

func isLabelByte(c byte) bool {
	return lower(c) >= 'a' && lower(c) <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// equalFold compares ASCII with a text in lower case.
func equalFold(b []byte, text string) bool {
	if len(b) != len(text) {
		return false
	}
	for i, c := range b {
		if lower(c) != text[i] {
			return false
		}
	}
	return true
}
