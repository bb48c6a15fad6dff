package tls

import (
	"crypto/tls"
	"crypto/x509"
)

// Version is a protocol version as on the wire: 0x0303 is TLS 1.2, 0x0304 is TLS 1.3.
type Version uint16

// Versions that this package speaks. The older two are off unless asked for (RFC 8996).
const (
	Version10 Version = tls.VersionTLS10
	Version11 Version = tls.VersionTLS11
	Version12 Version = tls.VersionTLS12
	Version13 Version = tls.VersionTLS13
)

// String returns the version's name, such as "TLS 1.3".
func (v Version) String() string { return tls.VersionName(uint16(v)) }

// Suite is a cipher suite by its IANA number.
type Suite uint16

// String returns the suite's IANA name.
func (s Suite) String() string { return tls.CipherSuiteName(uint16(s)) }

// Info describes a connection whose handshake is over. After one that has failed it holds what was known by then.
type Info struct {
	// Version and Suite are what was agreed upon.
	Version Version
	Suite   Suite
	// Protocol is what ALPN (RFC 7301) has chosen, "" for nothing.
	Protocol string
	// ServerName is the name that the client asked for (SNI, RFC 6066 section 3), "" for none.
	ServerName string
	// Resumed says that an earlier session was taken up again.
	Resumed bool
	// PeerCertificates is the chain that the peer showed, its own first. They are shared: read only.
	PeerCertificates []*x509.Certificate
	// Verified says that PeerCertificates were verified against authorities.
	Verified bool
}
