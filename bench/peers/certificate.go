package peers

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"culvert/engine"
)

// keyKind is what the key of a proxy's certificate is; "": it has none, and no HTTPS listener.
type keyKind string

const (
	noKey   keyKind = ""
	keyP256 keyKind = "p256" // ECDSA
	keyRSA  keyKind = "rsa"  // of 2048 bits
)

const (
	rsaBits = 2048
	// serverName is the name in every certificate, which clients ask for.
	serverName = "bench.test"
	// certificateDays is so long that nobody warns of the end.
	certificateDays = 90
)

// certificate names the files of one, made for this run: HAProxy wants chain and key in one file.
type certificate struct{ Chain, Key, Both string }

// certificate returns that of a kind, made when it is asked for first.
func (b *Bench) certificate(kind keyKind) (*certificate, error) {
	if made := b.certificates[kind]; made != nil {
		return made, nil
	}
	made, err := makeCertificate(b.folder, kind)
	if err == nil {
		b.certificates[kind] = made
	}
	return made, err
}

func newKey(kind keyKind) (crypto.Signer, error) {
	if kind == keyRSA {
		return rsa.GenerateKey(rand.Reader, rsaBits)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// makeCertificate makes a key and a certificate that it has signed itself, and writes both to a folder.
func makeCertificate(folder string, kind keyKind) (*certificate, error) {
	key, err := newKey(kind)
	if err != nil {
		return nil, err
	}
	now := engine.WallTime(engine.Monotonic())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: serverName}, DNSNames: []string{serverName}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, certificateDays),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	base := filepath.Join(folder, string(kind))
	c := &certificate{base + ".crt", base + ".key", base + ".pem"}
	for name, text := range map[string][]byte{c.Chain: chain, c.Key: private, c.Both: append(chain[:len(chain):len(chain)], private...)} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			return nil, err
		}
	}
	return c, nil
}
