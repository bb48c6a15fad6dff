//go:build linux

package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"time"
)

// selfSignedDays is how long a demonstration's certificate lasts.
const selfSignedDays = 7

// SelfSigned makes a store of one new certificate for localhost, 127.0.0.1 and ::1, that nobody has reason to trust: for
// demonstrations. Its key is nowhere but in this process.
func SelfSigned(now time.Time) (*Store, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "localhost", Organization: []string{"Culvert demonstration"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, selfSignedDays),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	b := &builder{now: now}
	if err := b.add(Pair{}, contents{chain: []*x509.Certificate{leaf}, keys: []crypto.Signer{key}}); err != nil {
		return nil, err
	}
	return b.build(), nil
}
