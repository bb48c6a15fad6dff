package http1

import "bytes"

// maxHostBytes bounds a host with its port: a DNS name has at most 253 bytes.
const maxHostBytes = 260

// splitHost judges uri-host [ ":" port ] (RFC 9110 7.2) and returns where the host ends
// and the port, 0 when none is given. It is narrower than RFC 3986: a registered name
// is letters, digits, '-', '_' and '.', without empty labels but for the root's; so
// user information, percent-encoding, commas (two Hosts joined into one) and all that a
// router, a log or a backend could read in two ways are refused. So is an empty port.
func splitHost(b []byte) (hostEnd, port int, ok bool) {
	if len(b) == 0 || len(b) > maxHostBytes {
		return 0, 0, false
	}
	if b[0] == '[' {
		closing := bytes.IndexByte(b, ']')
		if closing < 0 || !isIPv6(b[1:closing]) {
			return 0, 0, false
		}
		hostEnd = closing + 1
	} else {
		for hostEnd < len(b) && charClass[b[hostEnd]]&charHost != 0 {
			if b[hostEnd] == '.' && (hostEnd == 0 || b[hostEnd-1] == '.') {
				return 0, 0, false
			}
			hostEnd++
		}
		if hostEnd == 0 {
			return 0, 0, false
		}
	}
	if hostEnd == len(b) {
		return hostEnd, 0, true
	}
	if b[hostEnd] != ':' {
		return 0, 0, false
	}
	port, ok = parsePort(b[hostEnd+1:])
	return hostEnd, port, ok
}

// parsePort reads 1 to 65535.
func parsePort(b []byte) (int, bool) {
	if len(b) == 0 || len(b) > len("65535") {
		return 0, false
	}
	port := 0
	for _, c := range b {
		if charClass[c]&charDigit == 0 {
			return 0, false
		}
		port = port*10 + int(c-'0')
	}
	return port, port >= 1 && port <= 65535
}

// isIPv6 reports whether b is an IPv6address (RFC 3986 3.2.2), without a zone.
func isIPv6(b []byte) bool {
	const groupsWanted = 8
	groups, compressed := 0, false
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		compressed = true
		b = b[2:]
	}
	for len(b) > 0 {
		digits := 0
		for digits < len(b) && charClass[b[digits]]&charHex != 0 {
			digits++
		}
		if digits < len(b) && b[digits] == '.' {
			groups += 2
			return isIPv4(b) && groupsComplete(groups, groupsWanted, compressed)
		}
		if digits == 0 || digits > 4 {
			return false
		}
		groups++
		b = b[digits:]
		switch {
		case len(b) == 0:
		case len(b) == 1 || b[0] != ':':
			return false
		case b[1] != ':':
			b = b[1:]
		case compressed:
			return false
		default:
			compressed = true
			b = b[2:]
		}
	}
	return groupsComplete(groups, groupsWanted, compressed)
}

// groupsComplete reports whether the groups fill an address; "::" stands for at least one.
func groupsComplete(groups, wanted int, compressed bool) bool {
	if compressed {
		return groups < wanted
	}
	return groups == wanted
}

// isIPv4 reports whether b is four decimal octets without leading zeros.
func isIPv4(b []byte) bool {
	for octet := 0; octet < 4; octet++ {
		digits, value := 0, 0
		for digits < len(b) && digits < 4 && charClass[b[digits]]&charDigit != 0 {
			value = value*10 + int(b[digits]-'0')
			digits++
		}
		if digits == 0 || digits > 3 || value > 255 || digits > 1 && b[0] == '0' {
			return false
		}
		b = b[digits:]
		if octet == 3 {
			return len(b) == 0
		}
		if len(b) == 0 || b[0] != '.' {
			return false
		}
		b = b[1:]
	}
	return false
}
