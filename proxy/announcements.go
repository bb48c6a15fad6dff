package proxy

import (
	"net/netip"

	"culvert/proxy/http1"
)

// viaName is what we are called in Via: a pseudonym, which says nothing about hosts (RFC 9110 7.6.3).
const viaName = "1.1 culvert"

// appendAnnouncements appends the headers of a request that are written only where asked for.
func appendAnnouncements(dst []byte, head *http1.RequestHead, facts *forwardedFacts) []byte {
	a := facts.announce
	if a == nil {
		return dst
	}
	if a.Forwarded {
		dst = append(dst, "Forwarded: for="...)
		dst = appendNode(dst, facts.peer.Addr())
		dst = append(append(dst, ";proto="...), schemes[facts.overTLS]...)
		if host := head.Host(); host != nil {
			dst = append(append(append(dst, ";host=\""...), host...), '"') // a host has no quotes in it
		}
		dst = append(dst, "\r\n"...)
	}
	if _, count := head.Lookup("X-Request-Id"); a.RequestID && (!facts.trusted || count == 0) {
		dst = append(dst, "X-Request-Id: "...)
		dst = appendID(dst, facts.id)
		dst = append(dst, "\r\n"...)
	}
	if a.Via {
		dst = http1.AppendHeader(dst, "Via", viaName)
	}
	if a.SLBID != "" {
		dst = http1.AppendHeader(dst, "SLB-ID", a.SLBID)
		dst = append(dst, "SLB-IP: "...)
		dst = facts.asked.Addr().AppendTo(dst)
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// appendNode appends an address as RFC 7239 6 wants it: IPv6 in brackets and quotes.
func appendNode(dst []byte, a netip.Addr) []byte {
	if a.Is4() {
		return a.AppendTo(dst)
	}
	dst = append(dst, "\"["...)
	dst = a.WithZone("").AppendTo(dst)
	return append(dst, "]\""...)
}

// dropAnnounced tells whether an untrusted client's header is one that we write: a request's id.
func dropAnnounced(f http1.Field) bool {
	const name = "x-request-id"
	if f.ID != http1.FieldOther || len(f.Name) != len(name) {
		return false
	}
	for i, c := range f.Name {
		if oddSeparator(rune(c)) {
			c = '-' // as a backend reads it that maps names to variables
		}
		if c|0x20 != name[i]|0x20 {
			return false
		}
	}
	return true
}
