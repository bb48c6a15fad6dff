//go:build linux

// Package clientauth asks clients for certificates (mutual TLS), and says in headers to the backend what came of it.
//
//	authority, warnings, err := clientauth.Load("clients.pem", now)
//	authority.Apply(config, clientauth.Require)
//	...
//	identity := clientauth.Identify(&state)
//	for _, h := range identity.Headers() { ... }
//
// Verification is crypto/tls's own, inside the handshake: a client whose certificate is not from one of the authorities
// never gets to send a request. So what a backend sees is SUCCESS or, where a certificate is optional, NONE.
package clientauth

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"culvert/tls/internal/files"
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

// An Authority is the set of those who may issue clients' certificates. It is immutable.
type Authority struct {
	ID   [sha256.Size]byte // a hash of the certificates, whatever their order: part of the context of session tickets
	pool *x509.CertPool
	all  []*x509.Certificate
}

// Load reads a PEM file of certificates of authorities. Warnings are about those that have expired or issue nothing.
func Load(name string, now time.Time) (a *Authority, warnings []string, err error) {
	data, _, err := files.Read(name)
	if err != nil {
		return nil, nil, err
	}
	if a, err = Parse(data); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, c := range a.all {
		subject, _ := DN(c.RawSubject)
		if now.After(c.NotAfter) {
			warnings = append(warnings, fmt.Sprintf("%s: the authority %s has expired on %s", name, subject, c.NotAfter.UTC().Format(time.DateOnly)))
		}
		if c.BasicConstraintsValid && !c.IsCA {
			warnings = append(warnings, fmt.Sprintf("%s: %s is no authority: only itself can be shown by a client", name, subject))
		}
	}
	return a, warnings, nil
}

// Parse reads certificates of authorities.
func Parse(data []byte) (*Authority, error) {
	a := &Authority{pool: x509.NewCertPool()}
	blocks := 0
	for rest := data; ; blocks++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("holds a %s: only certificates of authorities belong there", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", blocks+1, err)
		}
		if !slices.ContainsFunc(a.all, c.Equal) {
			a.all = append(a.all, c)
			a.pool.AddCert(c)
		}
	}
	if begun := bytes.Count(data, []byte("-----BEGIN ")); begun != blocks {
		return nil, fmt.Errorf("has a damaged block: %d begin, %d can be read", begun, blocks)
	}
	if len(a.all) == 0 {
		return nil, errors.New("holds no certificate in PEM: no client could be let in")
	}
	var hashes [][]byte
	for _, c := range a.all {
		hash := sha256.Sum256(c.Raw)
		hashes = append(hashes, hash[:])
	}
	slices.SortFunc(hashes, bytes.Compare)
	a.ID = sha256.Sum256(bytes.Join(hashes, nil))
	return a, nil
}

// Apply makes a configuration ask for certificates of the authorities.
func (a *Authority) Apply(c *tls.Config, mode Mode) {
	c.ClientCAs = a.pool
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

// Identify reads the outcome of a handshake.
func Identify(state *tls.ConnectionState) Identity {
	if len(state.PeerCertificates) == 0 {
		return Identity{Verify: None}
	}
	c := state.PeerCertificates[0]
	hash := sha256.Sum256(c.Raw)
	id := Identity{Verify: Failed, Fingerprint: hex.EncodeToString(hash[:])}
	if len(state.VerifiedChains) > 0 {
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
