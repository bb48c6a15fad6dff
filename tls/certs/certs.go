//go:build linux

// Package certs holds the certificates of a listener: it loads them with errors for people, and chooses one for each
// handshake. Package listener replaces them while handshakes go on.
//
//	store, err := certs.Load(certs.Source{Pairs: []certs.Pair{{CertFile: "a.crt", KeyFile: "a.key"}}}, now)
//	config.GetCertificate = store.GetCertificate
//
// # Which certificate
//
// The name that the client asks for (SNI) decides first: a certificate that holds the name itself, then one with a
// wildcard in place of the name's first label ("narrow"). Both match as RFC 6125, section 6.4.3 says: a wildcard stands
// for exactly one label. Where none matches, a strict store refuses with the alert unrecognized_name; others answer with
// the wildcard of the nearest domain above ("wide", which a client that verifies names does not take), and at last with
// the default, the certificate loaded first. A client that sends no name gets a certificate for the address that it
// connected to, if there is one, else counts as one whose name does not match.
//
// Several certificates may hold the same name, with keys of different kinds: then the first that the client supports is
// taken, in the order ECDSA P-256, Ed25519, P-384, P-521, RSA.
package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"time"
)

// A Pair names the files of a certificate (PEM, the server's own first, then its issuers) and of its private key (PEM,
// may be the same file). A staple may lie beside the certificate: "a.ocsp" (DER) for "a.crt".
type Pair struct {
	CertFile, KeyFile string
}

// A Source says where certificates come from. The first of the first pair, or else of the first folder, is the default.
type Source struct {
	Pairs   []Pair
	Folders []string // every pair in each: x.crt or x.pem with x.key, or a .pem or .crt that holds both
	Strict  bool     // refuse clients that ask for a name which no certificate holds
}

// Files names what decides about the certificates: files that must exist, others that need not, and folders of which
// every entry counts.
func (s Source) Files() (needed, optional, folders []string) {
	for _, p := range s.Pairs {
		needed = append(needed, p.CertFile, p.KeyFile)
		optional = append(optional, stapleOf(p.CertFile))
	}
	return needed, optional, s.Folders
}

// A Warning is something that people should know and that does not keep a certificate from being used.
type Warning struct {
	File, Text string
}

// String puts the file before the text.
func (w Warning) String() string { return w.File + ": " + w.Text }

// A Certificate is a loaded certificate with its key. It is immutable, and so is all it leads to.
type Certificate struct {
	File, KeyFile string            // empty if it was made here
	Names         []string          // in lower case; addresses in their shortest form; wildcards begin with "*."
	Kind          string            // of the key: "ECDSA P-256", "RSA 2048"
	Fingerprint   [sha256.Size]byte // SHA-256 of the certificate
	Leaf          *x509.Certificate

	tls         tls.Certificate
	rank        int       // of the kind: lower is preferred
	stapleUntil time.Time // zero without a staple
}

// TLS returns what crypto/tls needs. Do not change it.
func (c *Certificate) TLS() *tls.Certificate { return &c.tls }

// PEM spells the chain, as clients that are to trust it may be given it.
func (c *Certificate) PEM() []byte {
	var out []byte
	for _, der := range c.tls.Certificate {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}
