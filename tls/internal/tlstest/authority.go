package tlstest

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"sync/atomic"
	"time"
)

// An Authority issues certificates. It is safe for concurrent use.
type Authority struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// A Leaf says what a certificate is to hold; zero values are sensible.
type Leaf struct {
	Names     []string // DNS
	IPs       []string
	Subject   pkix.Name // with the common name "leaf" where it is empty
	RawName   []byte    // the DER of a subject that pkix.Name cannot say
	Key       Key       // ECDSA256
	NotBefore time.Time // an hour ago
	NotAfter  time.Time // in 90 days
	Usage     []x509.ExtKeyUsage
	Weak      x509.SignatureAlgorithm // of the signature, if not what the issuer's key suggests
}

// A Pair is an issued certificate with its key.
type Pair struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
	TLS         tls.Certificate // with the certificate of an intermediate authority behind the leaf
	CertPEM     []byte          // the same chain
	KeyPEM      []byte          // PKCS #8
}

var serial atomic.Int64

// NewAuthority makes a root.
func NewAuthority(name string) *Authority {
	key := ECDSA256()
	template := authorityTemplate(name)
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return &Authority{must(x509.ParseCertificate(der)), key}
}

// Intermediate makes an authority below a.
func (a *Authority) Intermediate(name string) *Authority {
	key := ECDSA256()
	der := must(x509.CreateCertificate(rand.Reader, authorityTemplate(name), a.Certificate, key.Public(), a.Key))
	return &Authority{must(x509.ParseCertificate(der)), key}
}

func authorityTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: name},
		NotBefore: Now.AddDate(-1, 0, 0), NotAfter: Now.AddDate(9, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// Issue makes a certificate. If a is not a root, it stands in the chain.
func (a *Authority) Issue(l Leaf) *Pair {
	if l.Key == nil {
		l.Key = ECDSA256
	}
	if l.NotBefore.IsZero() {
		l.NotBefore = Now.Add(-time.Hour)
	}
	if l.NotAfter.IsZero() {
		l.NotAfter = Now.AddDate(0, 0, 90)
	}
	if l.Usage == nil {
		l.Usage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	if l.Subject.String() == "" {
		l.Subject.CommonName = "leaf"
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), Subject: l.Subject, RawSubject: l.RawName, DNSNames: l.Names,
		NotBefore: l.NotBefore, NotAfter: l.NotAfter, ExtKeyUsage: l.Usage, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, SignatureAlgorithm: l.Weak,
	}
	for _, ip := range l.IPs {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
	}
	key := l.Key()
	der := must(x509.CreateCertificate(rand.Reader, template, a.Certificate, key.Public(), a.Key))
	p := &Pair{Certificate: must(x509.ParseCertificate(der)), Key: key, KeyPEM: KeyPEM(key)}
	chain := [][]byte{der}
	if string(a.Certificate.RawIssuer) != string(a.Certificate.RawSubject) {
		chain = append(chain, a.Certificate.Raw)
	}
	p.TLS = tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: p.Certificate}
	p.CertPEM = PEM(chain...)
	return p
}

// Pool returns a pool that trusts a.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate)
	return pool
}

// PEM spells certificates.
func PEM(chain ...[]byte) []byte {
	var out []byte
	for _, der := range chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

// KeyPEM spells a key as PKCS #8.
func KeyPEM(key crypto.Signer) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})
}
