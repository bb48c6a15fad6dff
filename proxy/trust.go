package proxy

import (
	"net/netip"
	"strings"

	"culvert/proxy/http1"
)

// trustedProxies are the peers whose forwarded headers are believed. Immutable.
type trustedProxies []netip.Prefix

func (t trustedProxies) contains(a netip.Addr) bool {
	a = a.Unmap()
	for _, p := range t {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// clientAddress returns the address that limits, hashing and the log go by: the rightmost untrusted entry of
// X-Forwarded-For when the peer is trusted, else the peer's own. An entry that is no address ends the search at the
// trusted one to its right: what stands left of it cannot be vouched for.
func (t trustedProxies) clientAddress(peer netip.Addr, head *http1.RequestHead) netip.Addr {
	if len(t) == 0 || !t.contains(peer) {
		return peer
	}
	client := peer
	for i := head.Len() - 1; i >= 0; i-- {
		field := head.At(i)
		if field.ID != http1.FieldXForwardedFor {
			continue
		}
		for value := string(field.Value); value != ""; {
			entry := value
			if comma := strings.LastIndexByte(value, ','); comma >= 0 {
				value, entry = value[:comma], value[comma+1:]
			} else {
				value = ""
			}
			address, ok := parseForwardedAddress(strings.TrimSpace(entry))
			if !ok {
				return client
			}
			client = address
			if !t.contains(client) {
				return client
			}
		}
	}
	return client
}

// parseForwardedAddress reads an entry of X-Forwarded-For: an address, at times with a port, at times in brackets.
func parseForwardedAddress(entry string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.Trim(entry, "[]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(entry); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}
