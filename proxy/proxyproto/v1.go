package proxyproto

import (
	"net/netip"
	"unsafe"
)

// maxAddressText is the longest text of an address: IPv6 with IPv4 at its end.
const maxAddressText = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")

// line reads version 1 from the left. After an error, or where bytes are missing, it reads on no more.
type line struct {
	rest    []byte
	missing bool
	err     error
}

func (l *line) stopped() bool { return l.missing || l.err != nil }

// text takes a text, or refuses for the reason.
func (l *line) text(text string, otherwise Reason) {
	if l.stopped() {
		return
	}
	switch begins(l.rest, text) {
	case wrong:
		l.err = refuse(otherwise)
	case partial:
		l.missing = true
	case whole:
		l.rest = l.rest[len(text):]
	}
}

// address takes an address of the family and the space behind it.
func (l *line) address(is4 bool) netip.Addr {
	if l.stopped() {
		return netip.Addr{}
	}
	n := 0
	for n < len(l.rest) && n <= maxAddressText && addressByte(l.rest[n], is4) {
		n++
	}
	switch {
	case n > maxAddressText || n < len(l.rest) && l.rest[n] != ' ':
		l.err = refuse(BadAddress)
		return netip.Addr{}
	case n == len(l.rest):
		l.missing = true
		return netip.Addr{}
	}
	a, ok := parseAddress(l.rest[:n])
	if !ok || a.Is4() != is4 {
		l.err = refuse(BadAddress)
		return netip.Addr{}
	}
	l.rest = l.rest[n+1:]
	return a.Unmap()
}

// addressByte tells whether a byte occurs in addresses.
func addressByte(c byte, is4 bool) bool {
	if c >= '0' && c <= '9' || c == '.' {
		return true
	}
	return !is4 && (c == ':' || c|0x20 >= 'a' && c|0x20 <= 'f')
}

// parseAddress reads an address from a text of addressBytes, without a copy: an address without a zone keeps nothing of
// its text, and the error, which would, is dropped.
func parseAddress(text []byte) (netip.Addr, bool) {
	if len(text) == 0 {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(unsafe.String(&text[0], len(text)))
	return a, err == nil
}

// port takes a port and the text behind it, of which the first byte ends the port.
func (l *line) port(end string, otherwise Reason) uint16 {
	if l.stopped() {
		return 0
	}
	port, n, ok := digits(l.rest)
	switch {
	case !ok || n == 0 && len(l.rest) > 0:
		l.err = refuse(BadPort)
	case n == len(l.rest):
		l.missing = true
	case l.rest[n] != end[0]:
		l.err = refuse(portEnd(l.rest[n]))
	default:
		l.rest = l.rest[n:]
		l.text(end, otherwise)
	}
	return port
}

// portEnd says what is wrong with a port that does not end as it should.
func portEnd(c byte) Reason {
	if c == '\n' || c == '\r' {
		return BadLineEnd
	}
	return BadPort
}

// parse1 reads a line that begins with the signature of version 1.
func parse1(p []byte) (n int, h Header, err error) {
	l := line{rest: p[len(signature1):min(len(p), MaxV1)]}
	within := len(p[:min(len(p), MaxV1)])
	h.Version = 1
	switch {
	case begins(l.rest, "TCP4 ") != wrong:
		l.ends(&h, "TCP4 ", true)
	case begins(l.rest, "TCP6 ") != wrong:
		l.ends(&h, "TCP6 ", false)
	default:
		h.Local = true
		l.unknown()
	}
	switch {
	case l.err != nil:
		return 0, Header{}, l.err
	case l.missing && len(p) >= MaxV1:
		return 0, Header{}, refuse(TooLong)
	case l.missing:
		return 0, Header{}, nil
	}
	return within - len(l.rest), h, nil
}

// ends takes the rest of a line that names both ends.
func (l *line) ends(h *Header, family string, is4 bool) {
	l.text(family, BadFamily)
	source, destination := l.address(is4), l.address(is4)
	sourcePort := l.port(" ", BadPort)
	destinationPort := l.port("\r\n", BadLineEnd)
	if !l.stopped() {
		h.Source, h.Destination = netip.AddrPortFrom(source, sourcePort), netip.AddrPortFrom(destination, destinationPort)
	}
}

// unknown takes the rest of a line of an unknown family: whatever stands before its end says nothing.
func (l *line) unknown() {
	l.text("UNKNOWN", BadFamily)
	if l.stopped() {
		return
	}
	if len(l.rest) > 0 && l.rest[0] != ' ' && l.rest[0] != '\r' && l.rest[0] != '\n' {
		l.err = refuse(BadFamily)
		return
	}
	n := 0
	for n < len(l.rest) && l.rest[n] != '\r' && l.rest[n] != '\n' {
		n++
	}
	l.rest = l.rest[n:]
	l.text("\r\n", BadLineEnd)
}
