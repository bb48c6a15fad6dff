package tls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"sync"
	"testing"
	"time"
)

// serverName is the name in the certificate of the tests.
const serverName = "culvert.test"

// credentials are a certificate that is its own authority.
type credentials struct {
	chain, key  []byte
	certificate Certificate
	authorities *x509.CertPool
}

// ours are made once: a key on P-256.
var ours = sync.OnceValue(func() credentials {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: serverName}, DNSNames: []string{serverName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	c := credentials{
		chain:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		authorities: x509.NewCertPool(),
	}
	if c.certificate, err = ParseCertificate(c.chain, c.key); err != nil {
		panic(err)
	}
	c.authorities.AppendCertsFromPEM(c.chain)
	return c
})

// configOf returns our configuration for a role and one version.
func configOf(t testing.TB, server bool, version Version) *Config {
	t.Helper()
	var c *Config
	var err error
	if server {
		c, err = NewServerConfig(ServerOptions{
			Certificates: []Certificate{ours().certificate}, MinVersion: version, MaxVersion: version,
			Protocols: []string{"http/1.1"},
		})
	} else {
		c, err = NewClientConfig(ClientOptions{
			ServerName: serverName, Authorities: ours().authorities, MinVersion: version, MaxVersion: version,
			Protocols: []string{"http/1.1"},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// peerConfig returns a configuration for the peer, which is crypto/tls itself, in either role.
func peerConfig() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{ours().certificate.standard},
		RootCAs:      ours().authorities, ServerName: serverName, NextProtos: []string{"http/1.1"},
	}
}

// startWorkers starts workers that end with the test, and checks that nothing is in flight by then.
func startWorkers(t testing.TB, o WorkersOptions) *Workers {
	w := NewWorkers(o)
	t.Cleanup(func() {
		w.Stop()
		if s := w.Stats(); s.InFlight != 0 || s.Queued != 0 {
			t.Errorf("in the end %d handshakes are in flight, %d queued", s.InFlight, s.Queued)
		}
	})
	return w
}

// owner is the goroutine of a test: what is posted runs when it waits.
type owner struct {
	t       testing.TB
	tasks   chan func()
	pool    Pool
	workers *Workers
	conns   []*Conn
}

func newOwner(t testing.TB) *owner {
	o := &owner{t: t, tasks: make(chan func(), 4096), workers: startWorkers(t, WorkersOptions{Threads: 2})}
	t.Cleanup(func() {
		for _, c := range o.conns {
			c.Abandon()
		}
		if o.pool.Held() != 0 {
			t.Errorf("in the end %d bytes of buffers are lent", o.pool.Held())
		}
	})
	return o
}

func (o *owner) post(task func()) bool {
	o.tasks <- task
	return true
}

// Stepped implements Observer.
func (o *owner) Stepped(*Conn) {}

// open returns a new connection.
func (o *owner) open(config *Config) *Conn {
	c := New(Options{Config: config, Workers: o.workers, Buffers: &o.pool, Post: o.post, Observer: o})
	o.conns = append(o.conns, c)
	return c
}

// wait runs what is posted until done holds.
func (o *owner) wait(what string, done func() bool) {
	o.t.Helper()
	late := time.After(patience)
	for !done() {
		select {
		case task := <-o.tasks:
			task()
		case <-time.After(time.Millisecond): // counters change without a task
		case <-late:
			o.t.Fatalf("did not happen: %s", what)
		}
	}
}

// feed gives c a copy of b that is overwritten as soon as c may not look at it any more, and returns its plaintext.
func feed(c *Conn, b []byte, room int) (plain []byte, status Status) {
	borrowed := bytes.Clone(b)
	c.Feed(borrowed)
	plain, status = drain(c, room)
	for i := range borrowed {
		borrowed[i] = 0xDB
	}
	return plain, status
}

// drain reads plaintext in pieces of up to room bytes.
func drain(c *Conn, room int) (plain []byte, status Status) {
	p := make([]byte, room)
	for {
		n, status := c.Plain(p)
		plain = append(plain, p[:n]...)
		if status != StatusReady {
			return plain, status
		}
	}
}

// take returns what c wants to send.
func take(c *Conn) []byte {
	b := bytes.Clone(c.Pending())
	c.Advance(len(b))
	return b
}

// pair returns two established connections of ours that talk to one another.
func pair(o *owner, version Version) (server, client *Conn) {
	o.t.Helper()
	server, client = o.open(configOf(o.t, true, version)), o.open(configOf(o.t, false, version))
	shuttle(o, server, client)
	return server, client
}

// shuttle moves the bytes of a handshake until both sides are done.
func shuttle(o *owner, server, client *Conn) {
	o.t.Helper()
	o.wait("a handshake between two of ours", func() bool {
		server.Feed(take(client))
		client.Feed(take(server))
		if server.Err() != nil || client.Err() != nil {
			o.t.Fatalf("server: %v, client: %v", server.Err(), client.Err())
		}
		return server.Established() && client.Established() && len(server.Pending())+len(client.Pending()) == 0
	})
	for _, c := range []*Conn{server, client} {
		if plain, status := drain(c, 1024); len(plain) != 0 || status != StatusBlocked {
			o.t.Fatalf("after the handshake: %q, status %v", plain, status)
		}
	}
}
