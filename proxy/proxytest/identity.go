package proxytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"culvert/engine"
	"culvert/proxy"
	"culvert/tls/certs"
)

// ServerName is in the certificates of proxies and of backends, and what clients and proxies ask for. Certificates hold
// 127.0.0.1 too.
const ServerName = "example.com"

// identity is an authority, and a certificate of it for everybody, also as files.
type identity struct {
	pool        *x509.CertPool
	certificate tls.Certificate
	folder      string // of the files, until the process ends
}

// theIdentity is made when it is first asked for, and removed by Main.
var theIdentity = sync.OnceValue(func() *identity {
	root, rootKey := issue("Test CA", nil, nil)
	leaf, leafKey := issue(ServerName, root, rootKey)
	i := &identity{
		pool:        x509.NewCertPool(),
		certificate: tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: leafKey, Leaf: leaf},
		folder:      must(os.MkdirTemp("", "proxytest")),
	}
	identityFolder.Store(&i.folder)
	i.pool.AddCert(root)
	i.write("authority.crt", "CERTIFICATE", root.Raw)
	i.write("server.crt", "CERTIFICATE", leaf.Raw)
	i.write("server.key", "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(leafKey)))
	return i
})

// identityFolder is that of theIdentity, nil as long as nobody has asked for it.
var identityFolder atomic.Pointer[string]

func removeIdentity() {
	if folder := identityFolder.Load(); folder != nil {
		_ = os.RemoveAll(*folder)
	}
}

func (i *identity) path(name string) string { return filepath.Join(i.folder, name) }

func (i *identity) write(name, kind string, der []byte) {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(i.path(name), text, 0o600); err != nil {
		panic("proxytest: " + err.Error())
	}
}

// issue makes a certificate, by itself where there is no issuer.
func issue(name string, issuer *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	now := engine.WallTime(engine.Monotonic())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(engine.Monotonic()), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, 90), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if issuer == nil {
		issuer, by = template, key
		template.IsCA, template.KeyUsage = true, template.KeyUsage|x509.KeyUsageCertSign
	}
	der := must(x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), by))
	return must(x509.ParseCertificate(der)), key
}

func must[V any](v V, err error) V {
	if err != nil {
		panic("proxytest: " + err.Error())
	}
	return v
}

// ListenerTLS is the TLS side of a listener whose certificate is for ServerName, by an authority that clients trust.
func ListenerTLS() *proxy.ListenerTLS {
	i := theIdentity()
	pair := certs.Pair{CertFile: i.path("server.crt"), KeyFile: i.path("server.key")}
	return &proxy.ListenerTLS{Certificates: certs.Source{Pairs: []certs.Pair{pair}}}
}

// BackendTLS has the certificates of backends verified.
func BackendTLS() *proxy.BackendTLS {
	return &proxy.BackendTLS{ServerName: ServerName, CA: theIdentity().path("authority.crt")}
}

// ClientConfig is what clients of a version speak.
func ClientConfig(v Version) *tls.Config {
	return &tls.Config{MinVersion: uint16(v), MaxVersion: uint16(v), ServerName: ServerName, RootCAs: theIdentity().pool}
}

// ServerConfig is what backends of a version speak.
func ServerConfig(v Version) *tls.Config {
	return &tls.Config{MinVersion: uint16(v), MaxVersion: uint16(v), Certificates: []tls.Certificate{theIdentity().certificate}}
}
