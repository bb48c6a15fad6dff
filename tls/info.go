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

// KeyExchange is how the secret of a connection is agreed upon, by its IANA number (RFC 8446 section 4.2.7).
type KeyExchange uint16

// Key exchanges that are asked for by name.
const (
	X25519         = KeyExchange(tls.X25519)
	X25519MLKEM768 = KeyExchange(tls.X25519MLKEM768)
)

// String returns the key exchange's IANA name, more or less: "X25519", "CurveP256".
func (k KeyExchange) String() string { return tls.CurveID(k).String() }

// Info describes a connection whose handshake is over. After one that has failed it holds what was known by then.
type Info struct {
	// Version and Suite are what was agreed upon.
	Version Version
	Suite   Suite
	// KeyExchange is that of the handshake; 0 where there was none: RSA, or a session of TLS 1.2 that was resumed.
	KeyExchange KeyExchange
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
