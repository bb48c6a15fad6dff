//go:build linux

package certs

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"strings"
)

// maxName and maxLabel bound a name and each of its labels, in bytes (RFC 1035, section 2.3.4).
const maxName, maxLabel = 253, 63

// namesOf returns the names that a certificate is for, and warnings. The common name counts only where there is no
// subject alternative name at all (RFC 6125, section 6.4.4), and clients of today do not look at it.
func namesOf(c *x509.Certificate) (names, warnings []string) {
	add := func(name string) {
		if normal, ok := normalise(name); ok {
			names = append(names, normal)
		} else {
			warnings = append(warnings, fmt.Sprintf("the name %.80q cannot be asked for and is left out", name))
		}
	}
	for _, name := range c.DNSNames {
		add(name)
	}
	for _, ip := range c.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			names = append(names, a.Unmap().String())
		}
	}
	if len(c.DNSNames)+len(c.IPAddresses) == 0 && c.Subject.CommonName != "" {
		warnings = append(warnings, "the certificate has no subject alternative names: clients of today refuse it")
		if a, err := netip.ParseAddr(c.Subject.CommonName); err == nil {
			names = append(names, a.Unmap().WithZone("").String())
		} else {
			add(c.Subject.CommonName)
		}
	}
	if len(names) == 0 {
		warnings = append(warnings, "the certificate holds no name: it can only be the default")
	}
	return names, warnings
}

// normalise returns a certificate's DNS name in lower case. Wildcards stand for a whole first
// label, below at least one more.
func normalise(name string) (string, bool) {
	var buffer [maxName]byte
	bare, wild := strings.CutPrefix(name, "*.")
	n, ok := fold(&buffer, bare)
	if !ok {
		return "", false
	}
	if wild {
		return "*." + string(buffer[:n]), n+2 <= maxName
	}
	return string(buffer[:n]), true
}

// fold writes a host name in lower case into the buffer and returns its length; false if it is no host name.
func fold(buffer *[maxName]byte, name string) (int, bool) {
	if len(name) == 0 || len(name) > maxName {
		return 0, false
	}
	label := 0
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '.':
			if label == 0 {
				return 0, false
			}
			label = -1
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return 0, false
		}
		if label++; label > maxLabel {
			return 0, false
		}
		buffer[i] = c
	}
	return len(name), label > 0
}

// numeric reports whether the last label is a number: then the name is an address, for which no wildcard stands.
func numeric(name []byte) bool {
	for i := len(name) - 1; i >= 0 && name[i] != '.'; i-- {
		if name[i] < '0' || name[i] > '9' {
			return false
		}
	}
	return true
}
