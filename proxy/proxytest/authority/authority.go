// Package authority issues certificates for tests, as files for the proxy and as PEM for whoever talks to it.
//
//	ca := authority.New(t, "Test CA")
//	pair := ca.Issue(authority.Leaf{Names: []string{"a.example"}})
//	listener.TLS = &proxy.ListenerTLS{Certificates: certs.Source{Pairs: []certs.Pair{{CertFile: pair.CertFile, KeyFile: pair.KeyFile}}}}
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"culvert/engine"
)

// Authority issues certificates. Its methods belong to one goroutine.
type Authority struct {
	// File holds its certificate, in PEM.
	File string
	// Certificate is the same.
	Certificate *x509.Certificate

	t      testing.TB
	folder string
	key    *ecdsa.PrivateKey
}

// Leaf says what a certificate holds; zero values are sensible.
type Leaf struct {
	// Names and Addresses are those that it is for.
	Names, Addresses []string
	// Subject has the common name "leaf" where it is empty.
	Subject pkix.Name
	// NotBefore and NotAfter are an hour ago and in 90 days.
	NotBefore, NotAfter time.Time
	// Usage is both sides.
	Usage []x509.ExtKeyUsage
}

// Pair is a certificate with its key.
type Pair struct {
	CertFile, KeyFile string
	CertPEM, KeyPEM   []byte
	Certificate       *x509.Certificate
}

// serials number all certificates of a process.
var serials atomic.Int64

// Now is the time that certificates go by.
func Now() time.Time { return engine.WallTime(engine.Monotonic()) }

// New makes an authority whose files last as long as the test.
func New(t testing.TB, name string) *Authority {
	t.Helper()
	a := &Authority{t: t, folder: t.TempDir(), key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serials.Add(1)), Subject: pkix.Name{CommonName: name},
		NotBefore: Now().Add(-time.Hour), NotAfter: Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.Certificate = sign(t, template, template, a.key, a.key)
	a.File = filepath.Join(a.folder, "ca.pem")
	write(t, a.File, pemOf("CERTIFICATE", a.Certificate.Raw))
	return a
}

// Pool returns a pool that trusts the authority alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate)
	return pool
}

// Issue makes a certificate, and files of it.
func (a *Authority) Issue(l Leaf) Pair {
	a.t.Helper()
	serial := serials.Add(1)
	if l.NotBefore.IsZero() {
		l.NotBefore = Now().Add(-time.Hour)
	}
	if l.NotAfter.IsZero() {
		l.NotAfter = Now().AddDate(0, 0, 90)
	}
	if l.Usage == nil {
		l.Usage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	if len(l.Subject.ToRDNSequence()) == 0 {
		l.Subject.CommonName = "leaf"
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: l.Subject, DNSNames: l.Names, NotBefore: l.NotBefore, NotAfter: l.NotAfter,
		ExtKeyUsage: l.Usage, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	for _, address := range l.Addresses {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(address))
	}
	key := newKey(a.t)
	p := Pair{
		CertFile:    filepath.Join(a.folder, fmt.Sprintf("%d.crt", serial)),
		KeyFile:     filepath.Join(a.folder, fmt.Sprintf("%d.key", serial)),
		Certificate: sign(a.t, template, a.Certificate, key, a.key),
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatalf("spell a key: %v", err)
	}
	p.CertPEM, p.KeyPEM = pemOf("CERTIFICATE", p.Certificate.Raw), pemOf("PRIVATE KEY", der)
	p.CopyTo(a.t, p.CertFile, p.KeyFile)
	return p
}

// CopyTo writes the pair to other files too.
func (p Pair) CopyTo(t testing.TB, certFile, keyFile string) {
	t.Helper()
	write(t, certFile, p.CertPEM)
	write(t, keyFile, p.KeyPEM)
}

// Fingerprint is the SHA-256 of the certificate, in hexadecimal digits.
func (p Pair) Fingerprint() string {
	hash := sha256.Sum256(p.Certificate.Raw)
	return hex.EncodeToString(hash[:])
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("make a key: %v", err)
	}
	return key
}

// sign has the issuer's key sign a certificate for the other one.
func sign(t testing.TB, template, issuer *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), by)
	if err != nil {
		t.Fatalf("sign a certificate: %v", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("read a certificate: %v", err)
	}
	return certificate
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// write replaces a file whole, as whoever renews certificates does.
func write(t testing.TB, name string, text []byte) {
	t.Helper()
	fresh := name + ".new"
	err := os.WriteFile(fresh, text, 0o600)
	if err == nil {
		err = os.Rename(fresh, name)
	}
	if err != nil {
		t.Fatalf("write a certificate: %v", err)
	}
}
