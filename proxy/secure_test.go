package proxy_test

import (
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"culvert/proxy"
	"culvert/proxy/proxytest"
	"culvert/proxy/proxytest/authority"
	"culvert/tls/certs"
)

// An HTTPS listener under test, and clients that do to it what crypto/tls alone would not.

// securedName is a name that the listener's certificate holds; otherName is another.
const (
	securedName = "a.example"
	otherName   = "b.example"
)

// bothVersions are those that the default policy accepts.
var bothVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// secured is a proxy with an HTTPS listener, and a backend behind it.
type secured struct {
	*proxytest.Proxy
	t       testing.TB
	ca      *authority.Authority
	backend *proxytest.Backend
}

// certificatesOf returns what a configuration says of these pairs.
func certificatesOf(pairs ...authority.Pair) (s certs.Source) {
	for _, p := range pairs {
		s.Pairs = append(s.Pairs, certs.Pair{CertFile: p.CertFile, KeyFile: p.KeyFile})
	}
	return s
}

// secure makes the first listener an HTTPS one.
func secure(t testing.TB, c *proxy.Config) *authority.Authority {
	t.Helper()
	ca := authority.New(t, "Servers")
	c.Listeners[0].TLS = &proxy.ListenerTLS{Certificates: certificatesOf(ca.Issue(authority.Leaf{Names: []string{securedName, otherName}}))}
	return ca
}

// startSecured starts a proxy with an HTTPS listener; change may change the rest.
func startSecured(t testing.TB, change func(*proxy.Config)) *secured {
	t.Helper()
	s := &secured{t: t, backend: proxytest.NewBackend(t)}
	s.Proxy = proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{s.backend}, Config: func(c *proxy.Config) {
		s.ca = secure(t, c)
		if change != nil {
			change(c)
		}
	}})
	return s
}

// config is that of a client which trusts the listener. It agrees on suites that a forger knows.
func (s *secured) config(version uint16) *tls.Config {
	return &tls.Config{
		ServerName: securedName, RootCAs: s.ca.Pool(), MinVersion: version, MaxVersion: version,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, CurvePreferences: []tls.CurveID{tls.X25519},
	}
}

// secureClient is a client that speaks TLS over a connection of its test. Its methods fail the test with a sentence.
type secureClient struct {
	*tls.Conn
	t    testing.TB
	raw  *proxytest.Conn
	wire *wire
	keys *strings.Builder // what a forger needs
}

// client connects a client, which has not begun its handshake.
func (s *secured) client(config *tls.Config) *secureClient {
	s.t.Helper()
	return newSecureClient(s.t, s.Dial(s.t), config)
}

func newSecureClient(t testing.TB, raw *proxytest.Conn, config *tls.Config) *secureClient {
	t.Helper()
	c := &secureClient{t: t, raw: raw, keys: new(strings.Builder)}
	c.wire = &wire{TCPConn: raw.Stream().(*net.TCPConn)}
	config = config.Clone()
	config.KeyLogWriter = c.keys
	c.Conn = tls.Client(c.wire, config)
	_ = c.SetDeadline(authority.Now().Add(proxytest.Patience))
	return c
}

// connect connects a client and does its handshake.
func (s *secured) connect(version uint16) *secureClient {
	s.t.Helper()
	return s.client(s.config(version)).shake()
}

// shake does the handshake.
func (c *secureClient) shake() *secureClient {
	c.t.Helper()
	if err := c.Handshake(); err != nil {
		c.t.Fatalf("the handshake fails: %v", err)
	}
	return c
}

// send sends all of text.
func (c *secureClient) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.t.Fatalf("the client cannot send %d bytes: %v", len(text), err)
	}
}

// want reads as many bytes as text has and compares them.
func (c *secureClient) want(text string) {
	c.t.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(c.Conn, got); err != nil {
		c.t.Fatalf("the client wants %d bytes (%s), but got %s: %v", len(text), proxytest.Excerpt(text), proxytest.Excerpt(string(got[:n])), err)
	}
	if string(got) != text {
		c.t.Fatalf("the client wants other bytes: %s", proxytest.Difference(string(got), text))
	}
}

// readHead reads up to the empty line that ends a head.
func (c *secureClient) readHead() string {
	c.t.Helper()
	var head []byte
	for !strings.HasSuffix(string(head), "\r\n\r\n") {
		one := make([]byte, 1)
		if _, err := io.ReadFull(c.Conn, one); err != nil {
			c.t.Fatalf("the client wants a head, but got %s: %v", proxytest.Excerpt(string(head)), err)
		}
		head = append(head, one[0])
	}
	return string(head)
}

// rest reads all that comes, and what ended it: "close_notify", "FIN", "reset", or an alert by its name. Behind an alert
// there must be a FIN: a reset may overtake it.
func (c *secureClient) rest() (text, end string) {
	c.t.Helper()
	all, err := io.ReadAll(c.Conn)
	end = endOf(c.t, err)
	switch {
	case end == "close_notify" && !c.wire.closed():
		end = "FIN"
	case end != "reset":
		if _, reset := c.raw.ReadUntilGone(); reset {
			end += ", reset"
		}
	}
	return string(all), end
}

// wantEnd wants that what was told ends the stream, and that nothing comes before it.
func (c *secureClient) wantEnd(end string) {
	c.t.Helper()
	if text, got := c.rest(); text != "" || got != end {
		c.t.Errorf("the client is ended by %s after %s, want %s after nothing", got, proxytest.Excerpt(text), end)
	}
}

// endOf names what ended a stream.
func endOf(t testing.TB, err error) string {
	t.Helper()
	var failed *net.OpError
	switch {
	case err == nil:
		return "close_notify"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "FIN"
	case errors.As(err, &failed) && failed.Op == "remote error":
		return strings.TrimPrefix(failed.Err.Error(), "tls: ")
	case isReset(err):
		return "reset"
	}
	t.Errorf("the client's stream ended by %v", err)
	return "?"
}

func isReset(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "connection reset") || strings.Contains(err.Error(), "broken pipe"))
}

// tunnel opens a tunnel and returns the backend's end.
func (s *secured) tunnel(c *secureClient) *proxytest.Conn {
	s.t.Helper()
	c.send(proxytest.UpgradeRequest())
	return s.switched(c)
}

// switched has the backend accept a tunnel whose request is on its way.
func (s *secured) switched(c *secureClient) *proxytest.Conn {
	s.t.Helper()
	backend := s.backend.Accept()
	backend.Send(proxytest.SwitchingProtocols(backend.ReadHead()))
	if head := c.readHead(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		s.t.Fatalf("the client wants a 101, but it got %q", head)
	}
	return backend
}

// wantNothingLeft waits until the proxy, whose clients are gone, has given everything back.
func (s *secured) wantNothingLeft() {
	s.t.Helper()
	for _, name := range []string{
		"culvert_buffer_bytes", "culvert_tls_handshakes_active", "culvert_tls_handshakes_waiting", "culvert_client_connections_active",
		"culvert_timers", "culvert_exchanges_active",
	} {
		s.WaitMetric(s.t, 0, name)
	}
}

// wire is the connection below a client's TLS. It keeps what came, and passes writes on as the test wants it.
type wire struct {
	*net.TCPConn
	write func(p []byte) error // nil: at once

	mu       sync.Mutex
	received []byte
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.TCPConn.Read(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.received = append(w.received, p[:n]...)
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	if w.write == nil {
		return w.TCPConn.Write(p)
	}
	if err := w.write(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// closed tells whether the last record that came may be close_notify, which crypto/tls does not tell from a bare FIN: by
// its type, or, where that is hidden, its length.
func (w *wire) closed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	kind, length := byte(0), 0
	for rest := w.received; len(rest) >= 5; rest = rest[min(len(rest), 5+length):] {
		kind, length = rest[0], int(rest[3])<<8|int(rest[4])
	}
	const hidden = 2 + 1 + 16 // the alert, its type, the tag
	return kind == typeAlert || kind == typeData && length == hidden
}

// secrets returns what the key log has under a label.
func (c *secureClient) secrets(label string) []byte {
	c.t.Helper()
	for line := range strings.Lines(c.keys.String()) {
		if words := strings.Fields(line); words[0] == label {
			secret, err := hex.DecodeString(words[2])
			if err != nil {
				c.t.Fatal(err)
			}
			return secret
		}
	}
	c.t.Fatalf("the key log has no %s", label)
	return nil
}
