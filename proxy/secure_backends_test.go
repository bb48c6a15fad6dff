package proxy_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/proxytest"
	"culvert/proxy/proxytest/authority"
)

// Backends that are spoken to by HTTPS.

// backendName is what their certificates hold.
const backendName = "backend.example"

// secureBackend is a server by crypto/tls, which answers every request by its own name.
type secureBackend struct {
	*proxytest.Backend
	ca     *authority.Authority
	config *tls.Config
	answer func(c *tls.Conn, r *http.Request) bool // nil: 200 with a body; false ends the connection

	mu         sync.Mutex
	handshakes []tls.ConnectionState // that have succeeded
	prefaces   []string              // lines in front of them
	failures   []error
}

// newSecureBackend makes a backend whose certificate is what the leaf says. It serves once serve is called.
func newSecureBackend(t testing.TB, leaf authority.Leaf) *secureBackend {
	t.Helper()
	b := &secureBackend{Backend: proxytest.NewBackend(t), ca: authority.New(t, "Backends")}
	pair := b.ca.Issue(leaf)
	certificate, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	b.config = &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}}
	return b
}

// serve accepts; preface says that a line comes in front of TLS.
func (b *secureBackend) serve(preface bool) *secureBackend {
	b.Serve(func(raw *proxytest.Conn) {
		_ = raw.Stream().SetDeadline(authority.Now().Add(proxytest.Patience))
		if preface {
			line := make([]byte, 0, 107)
			for !strings.HasSuffix(string(line), "\r\n") {
				one := make([]byte, 1)
				if _, err := io.ReadFull(raw.Stream(), one); err != nil {
					return
				}
				line = append(line, one...)
			}
			b.mu.Lock()
			b.prefaces = append(b.prefaces, string(line))
			b.mu.Unlock()
		}
		b.speak(tls.Server(raw.Stream(), b.config))
	})
	return b
}

func (b *secureBackend) speak(c *tls.Conn) {
	err := c.Handshake()
	b.mu.Lock()
	if err != nil {
		b.failures = append(b.failures, err)
	} else {
		b.handshakes = append(b.handshakes, c.ConnectionState())
	}
	b.mu.Unlock()
	requests := bufio.NewReader(c)
	for err == nil {
		var r *http.Request
		if r, err = http.ReadRequest(requests); err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if b.answer != nil {
			if !b.answer(c, r) {
				return
			}
			continue
		}
		_, err = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Seen: %s\r\n\r\nsafe", r.Header.Get("X-Forwarded-Proto"))
	}
}

// seen returns the handshakes that have succeeded.
func (b *secureBackend) seen() []tls.ConnectionState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]tls.ConnectionState(nil), b.handshakes...)
}

// trusting is how it is spoken to by those who trust it.
func (b *secureBackend) trusting() *proxy.BackendTLS {
	return &proxy.BackendTLS{ServerName: backendName, CA: b.ca.File}
}

// startBefore starts a plain proxy before backends that are spoken to so.
func startBefore(t testing.TB, change func(*proxy.Config), backends ...proxy.BackendConfig) *proxytest.Proxy {
	t.Helper()
	return proxytest.Start(t, proxytest.Options{Config: func(c *proxy.Config) {
		for i := range backends {
			backends[i].Name, backends[i].Weight = fmt.Sprintf("b%d", i), 1
		}
		c.Groups[0].Backends = backends
		if change != nil {
			change(c)
		}
	}})
}

// get sends an ordinary request and returns the whole answer.
func get(t testing.TB, p *proxytest.Proxy) string {
	t.Helper()
	client := p.Dial(t)
	client.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	return client.ReadUntilEOF()
}

const safeAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Seen: http\r\nConnection: close\r\n\r\nsafe"

// TestABackendIsVerifiedAndItsSessionResumed: the name is asked for, http/1.1 is agreed upon, and the second connection
// is a resumed one.
func TestABackendIsVerifiedAndItsSessionResumed(t *testing.T) {
	t.Parallel()
	forBothVersions(t, func(t *testing.T, version uint16) {
		b := newSecureBackend(t, authority.Leaf{Names: []string{backendName}})
		b.config.MinVersion, b.config.MaxVersion = version, version
		b.serve(false)
		p := startBefore(t, nil, proxy.BackendConfig{Address: b.Address(), TLS: b.trusting()})
		for i := range 3 {
			if got := get(t, p); got != safeAnswer {
				t.Errorf("the client gets %q", got)
			}
			p.WaitEnd(t).Want(t, "complete", 200, "backend")
			seen := b.seen()
			if len(seen) != i+1 || seen[i].ServerName != backendName || seen[i].NegotiatedProtocol != "http/1.1" || seen[i].DidResume != (i > 0) || seen[i].Version != version {
				t.Errorf("handshake %d of %d: %+v", i, len(seen), seen[len(seen)-1])
			}
		}
		p.WaitMetric(t, 2, "culvert_tls_sessions_resumed_total")
		b.Close()
		p.WaitMetric(t, 0, "culvert_buffer_bytes")
	})
}

// TestConnectionsToBackendsByTLSLiveOn: tickets that come behind the handshake are no answer that nobody asked for.
func TestConnectionsToBackendsByTLSLiveOn(t *testing.T) {
	t.Parallel()
	forBothVersions(t, func(t *testing.T, version uint16) {
		b := newSecureBackend(t, authority.Leaf{Names: []string{backendName}})
		b.config.MaxVersion = version
		b.serve(false)
		p := startBefore(t, func(c *proxy.Config) { c.BackendIdle = 10 }, proxy.BackendConfig{Address: b.Address(), TLS: b.trusting()})
		for range 5 {
			if got := get(t, p); got != safeAnswer {
				t.Errorf("the client gets %q", got)
			}
			p.WaitEnd(t)
		}
		if n := len(b.seen()); n != 1 {
			t.Errorf("%d connections were made", n)
		}
		b.Close()
	})
}

// wrongBackends are backends that must not be spoken to, and what the log says of them.
func wrongBackends(t *testing.T) map[string]struct {
	backend proxy.BackendConfig
	detail  string
} {
	past := authority.Leaf{Names: []string{backendName}, NotBefore: authority.Now().AddDate(0, 0, -3), NotAfter: authority.Now().Add(-time.Hour)}
	client := authority.Leaf{Names: []string{backendName}, Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	otherwise := newSecureBackend(t, authority.Leaf{Names: []string{"other.example"}}).serve(false)
	expired, forClients := newSecureBackend(t, past).serve(false), newSecureBackend(t, client).serve(false)
	right := newSecureBackend(t, authority.Leaf{Names: []string{backendName}}).serve(false)
	nameless := newSecureBackend(t, authority.Leaf{Names: []string{backendName}}).serve(false)
	plain := proxytest.NewBackend(t)
	plain.Serve(func(c *proxytest.Conn) {
		c.ReadExactly(5)
		c.Send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
		c.CloseWrite()
		c.ReadUntilGone()
	})
	mute := proxytest.NewBackend(t)
	mute.Serve(func(c *proxytest.Conn) { c.ReadExactly(5) })
	old := newSecureBackend(t, authority.Leaf{Names: []string{backendName}})
	old.config.MaxVersion = tls.VersionTLS11
	old.serve(false)
	list := map[string]struct {
		backend proxy.BackendConfig
		detail  string
	}{}
	add := func(name string, address proxy.BackendConfig, detail string) {
		list[name] = struct {
			backend proxy.BackendConfig
			detail  string
		}{address, detail}
	}
	add("another name", proxy.BackendConfig{Address: otherwise.Address(), TLS: otherwise.trusting()}, "certificate is valid for other.example, not backend.example")
	add("expired", proxy.BackendConfig{Address: expired.Address(), TLS: expired.trusting()}, "certificate has expired")
	add("for clients only", proxy.BackendConfig{Address: forClients.Address(), TLS: forClients.trusting()}, "incompatible key usage")
	add("of a stranger", proxy.BackendConfig{Address: right.Address(), TLS: &proxy.BackendTLS{ServerName: backendName, CA: expired.ca.File}}, "certificate signed by unknown authority")
	add("that the system does not know", proxy.BackendConfig{Address: right.Address(), TLS: &proxy.BackendTLS{ServerName: backendName}}, "certificate signed by unknown authority")
	add("without the address", proxy.BackendConfig{Address: nameless.Address(), TLS: &proxy.BackendTLS{ServerName: "127.0.0.1", CA: nameless.ca.File}}, "127.0.0.1")
	add("plain", proxy.BackendConfig{Address: plain.Address(), TLS: right.trusting()}, "plain HTTP")
	add("mute", proxy.BackendConfig{Address: mute.Address(), TLS: right.trusting()}, "t")
	add("old", proxy.BackendConfig{Address: old.Address(), TLS: old.trusting()}, "protocol version not supported")
	return list
}

// TestWrongBackendsAreNotSpokenTo: the log says what is wrong, the client that it is our side's fault, and where there is
// another backend it is asked.
func TestWrongBackendsAreNotSpokenTo(t *testing.T) {
	t.Parallel()
	for name, wrong := range wrongBackends(t) {
		p := startBefore(t, nil, wrong.backend)
		if got := get(t, p); !strings.HasPrefix(got, "HTTP/1.1 502 ") || strings.Contains(got, "certificate") {
			t.Errorf("%s: the client gets %q", name, got)
		}
		line := p.WaitEnd(t)
		line.Want(t, "connect-failed", 502, "backend")
		if !strings.Contains(line.Text("detail"), wrong.detail) {
			t.Errorf("%s: the log says %q, want %q", name, line.Text("detail"), wrong.detail)
		}
		t.Logf("%s: %s", name, line.Text("detail"))
		if n := p.Metric(t, "culvert_backend_dial_failures_total", "backend=b0"); n != 1 {
			t.Errorf("%s: the metrics say %v", name, n)
		}
		p.WaitMetric(t, 0, "culvert_tls_handshakes_active")
		p.WaitMetric(t, 0, "culvert_buffer_bytes")

		right := newSecureBackend(t, authority.Leaf{Names: []string{backendName}}).serve(false)
		both := startBefore(t, nil, wrong.backend, proxy.BackendConfig{Address: right.Address(), TLS: right.trusting()})
		for range 2 {
			if got := get(t, both); got != safeAnswer {
				t.Errorf("%s, and one that is right: the client gets %q", name, got)
			}
			line := both.WaitEnd(t)
			if line.Want(t, "complete", 200, "backend"); line.Text("backend") != "b1" {
				t.Errorf("%s: the log says %v", name, line)
			}
		}
		right.Close()
	}
}

// TestAnyBackendWhereThatIsAskedFor: Insecure accepts what has expired and is for somebody else.
func TestAnyBackendWhereThatIsAskedFor(t *testing.T) {
	t.Parallel()
	b := newSecureBackend(t, authority.Leaf{
		Names: []string{"other.example"}, NotBefore: authority.Now().AddDate(0, 0, -3), NotAfter: authority.Now().Add(-time.Hour),
	}).serve(false)
	p := startBefore(t, nil, proxy.BackendConfig{Address: b.Address(), TLS: &proxy.BackendTLS{ServerName: backendName, Insecure: true}})
	if got := get(t, p); got != safeAnswer {
		t.Errorf("the client gets %q", got)
	}
	if seen := b.seen(); len(seen) != 1 || seen[0].ServerName != backendName {
		t.Errorf("the backend has seen %+v", seen)
	}
	b.Close()
}

// TestABackendKnownByItsAddress: an address is verified and not asked for (RFC 6066 section 3).
func TestABackendKnownByItsAddress(t *testing.T) {
	t.Parallel()
	b := newSecureBackend(t, authority.Leaf{Addresses: []string{"127.0.0.1"}}).serve(false)
	p := startBefore(t, nil, proxy.BackendConfig{Address: b.Address(), TLS: &proxy.BackendTLS{ServerName: "127.0.0.1", CA: b.ca.File}})
	if got := get(t, p); got != safeAnswer {
		t.Errorf("the client gets %q", got)
	}
	if seen := b.seen(); len(seen) != 1 || seen[0].ServerName != "" {
		t.Errorf("the backend has seen %+v", seen)
	}
	b.Close()
}

// TestABackendThatStallsInTheHandshake: the connect timeout counts, and the next backend is asked.
func TestABackendThatStallsInTheHandshake(t *testing.T) {
	t.Parallel()
	stalled := proxytest.NewBackend(t)
	stalled.Serve(func(c *proxytest.Conn) { c.ReadUntilGone() })
	right := newSecureBackend(t, authority.Leaf{Names: []string{backendName}}).serve(false)
	soon := func(c *proxy.Config) {
		c.Timeouts.Connect, c.Timeouts.ConnectTotal = 500*time.Millisecond, 5*time.Second
	}
	alone := startBefore(t, soon, proxy.BackendConfig{Address: stalled.Address(), TLS: right.trusting()})
	if got := get(t, alone); !strings.HasPrefix(got, "HTTP/1.1 504 ") {
		t.Errorf("the client gets %q", got)
	}
	line := alone.WaitEnd(t)
	if line.Want(t, "connect-timeout", 504, "backend"); line.Text("detail") != "timeout" {
		t.Errorf("the log says %v", line)
	}
	both := startBefore(t, soon, proxy.BackendConfig{Address: stalled.Address(), TLS: right.trusting()}, proxy.BackendConfig{Address: right.Address(), TLS: right.trusting()})
	for range 2 {
		if got := get(t, both); got != safeAnswer {
			t.Errorf("the client gets %q", got)
		}
		both.WaitEnd(t).Want(t, "complete", 200, "backend")
	}
	for _, p := range []*proxytest.Proxy{alone, both} {
		p.WaitMetric(t, 0, "culvert_tls_handshakes_active")
	}
	right.Close()
}

// TestAProxyHeaderInFrontOfTLS, towards backends.
func TestAProxyHeaderInFrontOfTLS(t *testing.T) {
	t.Parallel()
	b := newSecureBackend(t, authority.Leaf{Names: []string{backendName}}).serve(true)
	p := startBefore(t, func(c *proxy.Config) { c.Groups[0].SendProxy, c.BackendIdle = 1, 10 }, proxy.BackendConfig{Address: b.Address(), TLS: b.trusting()})
	for i := range 2 {
		client := p.Dial(t)
		client.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if got := client.ReadUntilEOF(); got != safeAnswer {
			t.Errorf("the client gets %q", got)
		}
		want := fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n", client.Local().Port(), p.Address().Port())
		b.mu.Lock()
		if len(b.prefaces) != i+1 || b.prefaces[i] != want {
			t.Errorf("the backend was sent %q, want %q", b.prefaces, want)
		}
		b.mu.Unlock()
	}
	b.Close()
}

// TestAProxyHeaderInFrontOfAHello, from clients: with the hello in one segment, and byte by byte.
func TestAProxyHeaderInFrontOfAHello(t *testing.T) {
	t.Parallel()
	forBothVersions(t, func(t *testing.T, version uint16) {
		s := startSecured(t, requiresProxy)
		for _, piece := range []int{1 << 20, 1, 50} {
			c := s.client(s.config(version))
			first := true
			c.wire.write = func(p []byte) error {
				text := string(p)
				if first {
					text = strings.ReplaceAll(proxyLine, "¶", "\r\n") + text
				}
				first = false
				return proxytest.Feed(c.raw, text, piece)
			}
			c.shake()
			c.send(getSecured)
			backend := s.backend.Accept()
			head := backend.ReadHead()
			if proxytest.Field(head, "X-Forwarded-For") != "192.0.2.1" || proxytest.Field(head, "X-Forwarded-Proto") != "https" {
				t.Errorf("the backend gets %q", head)
			}
			backend.Send("HTTP/1.1 204 No Content\r\n\r\n")
			c.readHead()
			_ = c.Close()
			backend.Close()
			if line := s.WaitEnd(t); line.Text("client") != "192.0.2.1" || line.Text("tls_name") != securedName {
				t.Errorf("the log says %v", line)
			}
		}
		without := s.client(s.config(version))
		if err := without.Handshake(); err == nil {
			t.Error("a client without a PROXY header is let in")
		}
		s.WaitEnd(t).Want(t, "bad-proxy-header", 0, "client")
	})
}

// TestABodyThatTheBackendsEndDelimits: with close_notify it is whole; with a FIN alone it may have been cut by anybody, and
// the client must see that.
func TestABodyThatTheBackendsEndDelimits(t *testing.T) {
	t.Parallel()
	forBothVersions(t, func(t *testing.T, version uint16) {
		for _, closed := range []bool{true, false} {
			b := newSecureBackend(t, authority.Leaf{Names: []string{backendName}})
			b.config.MaxVersion = version
			b.answer = func(c *tls.Conn, _ *http.Request) bool {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nup to the end")
				if closed {
					_ = c.CloseWrite()
				} else {
					_ = c.NetConn().(*net.TCPConn).CloseWrite()
				}
				_, _ = io.Copy(io.Discard, c.NetConn())
				return false
			}
			b.serve(false)
			p := startBefore(t, nil, proxy.BackendConfig{Address: b.Address(), TLS: b.trusting()})
			client := p.Dial(t)
			client.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			client.ReadHead()
			rest, reset := client.ReadUntilGone()
			if reset == closed || closed && rest != "up to the end" {
				t.Errorf("close_notify: %v; the client gets %q, and a reset: %v", closed, rest, reset)
			}
			p.WaitEnd(t).Want(t, map[bool]string{true: "complete", false: "answer-cut"}[closed], 200, "backend")
			b.Close()
		}
	})
}

// TestATunnelToABackendByTLS carries all sizes, a half-close each way, and a reset.
func TestATunnelToABackendByTLS(t *testing.T) {
	t.Parallel()
	forBothVersions(t, func(t *testing.T, version uint16) {
		b := newSecureBackend(t, authority.Leaf{Names: []string{backendName}})
		b.config.MaxVersion = version
		b.answer = func(c *tls.Conn, r *http.Request) bool {
			_, _ = io.WriteString(c, proxytest.Head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
				"Sec-WebSocket-Accept: "+proxytest.Accept(r.Header.Get("Sec-WebSocket-Key")))+proxytest.ServerText("hello"))
			_, _ = io.Copy(io.Discard, c)
			_, _ = io.WriteString(c, proxytest.ServerText("after your end"))
			_ = c.CloseWrite()
			return false
		}
		b.serve(false)
		p := startBefore(t, nil, proxy.BackendConfig{Address: b.Address(), TLS: b.trusting()})
		client := p.Dial(t)
		client.Send(proxytest.UpgradeRequest() + proxytest.ClientText("early"))
		client.ReadHead()
		client.Want(proxytest.ServerText("hello"))
		payload := strings.Repeat("0123456789abcdef", 1<<16)
		client.Send(proxytest.ClientHeader(int64(len(payload))) + payload)
		client.CloseWrite()
		client.Want(proxytest.ServerText("after your end"))
		client.WantEOF()
		line := p.WaitEnd(t)
		line.Want(t, "closed", 101, "client")
		if line.Inner("from_backend")["tls_truncated"] != nil {
			t.Errorf("the log says %v", line)
		}
		lost := p.Dial(t)
		lost.Send(proxytest.UpgradeRequest())
		lost.ReadHead()
		lost.Want(proxytest.ServerText("hello"))
		lost.Reset()
		p.WaitEnd(t).Want(t, "client-reset", 101, "client")
		b.Close()
	})
}
