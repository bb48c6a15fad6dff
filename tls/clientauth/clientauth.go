//go:build linux

// Package clientauth asks clients for certificates (mutual TLS), and says in headers to the backend what came of it.
//
//	bundle, err := authorities.Load("clients.pem")
//	clientauth.Apply(config, bundle, clientauth.Require)
//	...
//	identity := clientauth.IdentifyChain(info.PeerCertificates, info.Verified)
//	for _, h := range identity.Headers() { ... }
//
// Verification is crypto/tls's own, inside the handshake: a client whose certificate is not from one of the authorities
// never gets to send a request. So what a backend sees is SUCCESS or, where a certificate is optional, NONE.
package clientauth

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"

	"culvert/tls/authorities"
)

// Mode says what becomes of clients without a certificate. One with a certificate that cannot be verified is refused in
// either case.
type Mode int

// A CA file turns Require on.
const (
	Require  Mode = iota // they are refused
	Optional             // they are let in, and their requests say NONE
)

// maxDN bounds, in bytes, a distinguished name as it is sent to backends; a client whose certificate has a longer one is
// refused, because a shortened name may be somebody else's.
const maxDN = 2048

// Apply makes a configuration ask for certificates that the authorities have issued.
func Apply(c *tls.Config, issuers *authorities.Bundle, mode Mode) {
	c.ClientCAs = issuers.Pool()
	c.ClientAuth = tls.RequireAndVerifyClientCert
	if mode == Optional {
		c.ClientAuth = tls.VerifyClientCertIfGiven
	}
	c.VerifyConnection = checkNames
}

// checkNames refuses certificates whose names cannot be told to a backend. It runs for resumed sessions too.
func checkNames(state tls.ConnectionState) error {
	for _, c := range state.PeerCertificates[:min(1, len(state.PeerCertificates))] {
		for _, raw := range [][]byte{c.RawSubject, c.RawIssuer} {
			if name, err := DN(raw); err != nil {
				return fmt.Errorf("a name in the client's certificate cannot be read: %w", err)
			} else if len(name) > maxDN {
				return fmt.Errorf("a name in the client's certificate has %d bytes, over %d", len(name), maxDN)
			}
		}
	}
	return nil
}

// Headers under which a backend is told; they stay away where there is nothing to say. All begin with X-Forwarded, so that
// what a client sends under such names is removed.
const (
	HeaderVerify      = "X-Forwarded-Clientcert-Clientverify" // SUCCESS, NONE or FAILED
	HeaderSubject     = "X-Forwarded-Clientcert-Subjectdn"
	HeaderIssuer      = "X-Forwarded-Clientcert-Issuerdn"
	HeaderFingerprint = "X-Forwarded-Clientcert-Fingerprint" // SHA-256 of the certificate, 64 hexadecimal digits
)

// What verification came to, as backends are told.
const (
	Success = "SUCCESS"
	None    = "NONE"
	Failed  = "FAILED" // there is a certificate, and nobody has verified it
)

// An Identity is what a client's certificate says. All of it is printable ASCII.
type Identity struct {
	Verify, Subject, Issuer, Fingerprint string
}

// IdentifyChain reads what a client has shown in a handshake, its own certificate first, and whether that was verified:
// PeerCertificates and Verified of the connection's tls.Info.
func IdentifyChain(chain []*x509.Certificate, verified bool) Identity {
	if len(chain) == 0 {
		return Identity{Verify: None}
	}
	c := chain[0]
	hash := sha256.Sum256(c.Raw)
	id := Identity{Verify: Failed, Fingerprint: hex.EncodeToString(hash[:])}
	if verified {
		id.Verify = Success
	}
	id.Subject, _ = DN(c.RawSubject) // checkNames has read both
	id.Issuer, _ = DN(c.RawIssuer)
	return id
}

// A Header is a header for the backend.
type Header struct{ Name, Value string }

// Headers returns those to set; the other names are to be removed.
func (id Identity) Headers() []Header {
	headers := []Header{{HeaderVerify, id.Verify}}
	for _, h := range []Header{{HeaderSubject, id.Subject}, {HeaderIssuer, id.Issuer}, {HeaderFingerprint, id.Fingerprint}} {
		if h.Value != "" {
			headers = append(headers, h)
		}
	}
	return headers
}
