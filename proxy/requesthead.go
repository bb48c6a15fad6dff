package proxy

import (
	"bytes"
	"net/netip"
	"strconv"

	"culvert/proxy/http1"
)

// The head that goes to the backend: the client's, in its order and spelling, without what speaks to us alone and
// without what it may not claim, then our own lines.

// headerClientPort carries the client's port, which X-Forwarded-For has no place for.
const headerClientPort = "X-Forwarded-Client-Srcport"

// forwardedFacts are what the forwarded headers say.
type forwardedFacts struct {
	requestFacts
	rule     *rule
	peer     netip.AddrPort // who is connected to us
	listener netip.AddrPort // where
	trusted  bool           // whether the peer's own forwarded headers stay

	announce *Announcements
	asked    netip.AddrPort // the address that the client asked for; only with an SLB-ID

	lastOnConnection bool // the backend's connection will not be used again

	cookies  []byte // Cookie lines in place of the client's; nil: those
	overTLS  bool   // the peer has come to us over TLS
	identity string // header lines about its certificate, where one is asked for
}

// appendRequestHead appends the head of the request to a backend. scratch is for a path that is rewritten.
func appendRequestHead(dst []byte, head *http1.RequestHead, facts *forwardedFacts, backend netip.AddrPort, upgrade bool, scratch *[]byte) []byte {
	var edits *headEdits
	keepsHost := true
	if r := facts.rule; r != nil {
		edits, keepsHost = r.request, r.host == nil
	}
	dst = appendRequestStart(dst, head, facts, scratch)
	if !keepsHost || head.Host() == nil {
		dst = appendOwnHost(dst, facts, backend)
	}
	drop := http1.ClassHopByHop | http1.ClassNamed
	if !upgrade {
		drop |= http1.ClassWebSocket
	}
	keep := keepUntrusted
	switch {
	case facts.trusted:
		keep = keepTrusted
	case facts.announce != nil && facts.announce.RequestID:
		keep = keepButRequestID
		fallthrough
	default:
		drop |= http1.ClassForwarded
	}
	if facts.cookies != nil {
		all := keep
		keep = func(f http1.Field) bool { return f.ID != http1.FieldCookie && all(f) }
	}
	if facts.identity != "" {
		all := keep
		keep = func(f http1.Field) bool { return !aboutClientCertificate(f) && all(f) }
	}
	if _, ok := maxForwards(head); ok {
		all := keep
		keep = func(f http1.Field) bool { return f.ID != http1.FieldMaxForwards && all(f) }
	}
	if edits != nil || !keepsHost {
		all := keep
		keep = func(f http1.Field) bool {
			return all(f) && !edits.dropsAlike(f) && (keepsHost || f.ID != http1.FieldHost)
		}
	}
	dst = head.AppendHeaders(dst, drop, keep)
	if kind, _ := head.Body(); kind != http1.BodyNone && head.Expect() == http1.ExpectContinue {
		dst = append(dst, "Expect: 100-continue\r\n"...)
	}
	if hops, ok := maxForwards(head); ok {
		dst = appendNumber(dst, "Max-Forwards: ", hops-1) // not 0: that is answered here
	}
	dst = append(dst, facts.cookies...)
	dst = edits.append(dst, &facts.requestFacts)
	dst = appendForwarded(dst, head, facts)
	dst = appendAnnouncements(dst, head, facts)
	if head.Chunked() {
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	switch {
	case upgrade:
		dst = append(dst, "Connection: Upgrade\r\nUpgrade: websocket\r\n"...)
	case facts.lastOnConnection:
		dst = append(dst, "Connection: close\r\n"...)
	}
	return http1.AppendEnd(dst)
}

// appendRequestStart appends the request line.
func appendRequestStart(dst []byte, head *http1.RequestHead, facts *forwardedFacts, scratch *[]byte) []byte {
	dst = append(append(dst, head.Method()...), ' ')
	if r := facts.rule; r != nil && r.rewrite != nil {
		dst = r.rewrite.append(dst, head, scratch)
	} else {
		dst = append(dst, requestTarget(head)...)
	}
	return append(dst, " HTTP/1.1\r\n"...)
}

// appendOwnHost appends a Host that is the rule's, or, where the client has none, the backend's.
func appendOwnHost(dst []byte, facts *forwardedFacts, backend netip.AddrPort) []byte {
	dst = append(dst, "Host: "...)
	switch {
	case facts.rule != nil && facts.rule.host != nil:
		dst = facts.rule.host.append(dst, &facts.requestFacts)
	case backend.IsValid():
		dst = backend.AppendTo(dst)
	default:
		dst = append(dst, "localhost"...) // a Unix socket has no name of its own
	}
	return append(dst, "\r\n"...)
}

// requestTarget returns the target in the form that an origin server wants: as it came, unless it was absolute.
func requestTarget(head *http1.RequestHead) []byte {
	if head.Form() != http1.AbsoluteForm {
		return head.Target()
	}
	return head.AppendTarget(nil)
}

// keepUntrusted leaves out Expect, which is written anew in front of a body that may be waited for.
func keepUntrusted(f http1.Field) bool { return f.ID != http1.FieldExpect }

// keepButRequestID also leaves out the id that an untrusted client gave its request.
func keepButRequestID(f http1.Field) bool { return keepUntrusted(f) && !dropAnnounced(f) }

// keepTrusted also leaves out the headers that are written anew, with the trusted peer's value in them, and those spelled
// with another separator than '-': no proxy writes them so, but one may let them pass from its client, and a backend that
// maps names to variables cannot tell them from the right ones (RFC 3875 4.1.18).
func keepTrusted(f http1.Field) bool {
	if f.Class&http1.ClassForwarded != 0 && bytes.ContainsFunc(f.Name, oddSeparator) {
		return false
	}
	return f.ID != http1.FieldExpect && f.ID != http1.FieldXForwardedFor
}

// aboutClientCertificate tells whether a header is one of those that tell of a client's certificate.
func aboutClientCertificate(f http1.Field) bool {
	const prefix = "x-forwarded-clientcert-"
	return len(f.Name) >= len(prefix) && bytes.EqualFold(f.Name[:len(prefix)], []byte(prefix))
}

func oddSeparator(r rune) bool {
	return r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// appendForwarded appends our forwarded headers. A trusted proxy's X-Forwarded-For is continued, and what it says of
// the client's protocol and port stands.
func appendForwarded(dst []byte, head *http1.RequestHead, facts *forwardedFacts) []byte {
	dst = append(dst, "X-Forwarded-For: "...)
	if facts.trusted {
		for i := range head.Len() {
			if f := head.At(i); f.ID == http1.FieldXForwardedFor && len(f.Value) > 0 {
				dst = append(dst, f.Value...)
				dst = append(dst, ", "...)
			}
		}
	}
	dst = facts.peer.Addr().AppendTo(dst)
	dst = append(dst, "\r\n"...)
	if !facts.trusted || !head.Has(http1.FieldXForwardedProto) {
		dst = append(append(append(dst, "X-Forwarded-Proto: "...), schemes[facts.overTLS]...), "\r\n"...)
	}
	if !facts.trusted || !head.Has(http1.FieldXForwardedPort) {
		dst = appendNumber(dst, "X-Forwarded-Port: ", uint64(facts.listener.Port()))
	}
	if _, count := head.Lookup(headerClientPort); !facts.trusted || count == 0 {
		dst = appendNumber(dst, headerClientPort+": ", uint64(facts.peer.Port()))
	}
	return append(dst, facts.identity...)
}

func appendNumber(dst []byte, name string, value uint64) []byte {
	dst = append(dst, name...)
	dst = strconv.AppendUint(dst, value, 10)
	return append(dst, "\r\n"...)
}
