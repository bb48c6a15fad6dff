package apps

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"culvert/proxy/proxytest/authority"

	"github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

// securedName is the name, and 127.0.0.1 the address, that the program's certificate holds.
const securedName = "a.example"

// tlsVersions are those that the default policy accepts, as curl and openssl name them.
var tlsVersions = []string{"1.2", "1.3"}

// startSecure runs the program with an HTTPS listener beside its plain one.
func startSecure(t *testing.T, backends []string, settings ...string) (*culvert, *authority.Authority) {
	t.Helper()
	ca := authority.New(t, "Servers")
	pair := ca.Issue(authority.Leaf{Names: []string{securedName}, Addresses: []string{"127.0.0.1"}})
	settings = append(slices.Clone(settings), "--tls-listen", "127.0.0.1:0", "--tls-cert", pair.CertFile, "--tls-key", pair.KeyFile)
	return startCulvert(t, backends, settings...), ca
}

// secureURL is an address on the HTTPS listener.
func (c *culvert) secureURL(scheme, path string) string {
	_, port, _ := strings.Cut(c.secure, ":")
	return scheme + "://" + securedName + ":" + port + path
}

// secureLines waits for lines of the access log about connections of a version of TLS.
func (c *culvert) secureLines(n int, version string) []logLine {
	c.t.Helper()
	return c.lines(n, func(l logLine) bool { return l["tls_version"] == "TLS "+version && l["event"] != "tunnel-end" })
}

// runSecureCurl runs curl with one version of TLS, and returns what it wrote.
func runSecureCurl(t *testing.T, c *culvert, ca *authority.Authority, version string, arguments ...string) string {
	t.Helper()
	var out shortAnswer
	_, port, _ := strings.Cut(c.secure, ":")
	runCurl(t, nil, &out, append([]string{
		"--cacert", ca.File, "--resolve", securedName + ":" + port + ":127.0.0.1", "--tlsv" + version, "--tls-max", version,
	}, arguments...)...)
	return string(out)
}

func TestCurlByHTTPS(t *testing.T) {
	findCurl(t)
	server := newGosServer(t, http.HandlerFunc(sized))
	c, ca := startSecure(t, []string{server.address()})
	const size = 1 << 20
	file := filepath.Join(t.TempDir(), "upload")
	if err := os.WriteFile(file, payload(7, size), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, version := range tlsVersions {
		t.Run(version, func(t *testing.T) {
			got := runSecureCurl(t, c, ca, version, c.secureURL("https", fmt.Sprintf("/length?seed=3&size=%d", size)))
			if digestOf([]byte(got)) != digestOf(payload(3, size)) {
				t.Errorf("curl received %d other bytes", len(got))
			}
			got = runSecureCurl(t, c, ca, version, "--data-binary", "@"+file, "--dump-header", "-", "--output", os.DevNull, c.secureURL("https", "/length?size=0"))
			if want := fmt.Sprint("X-Received: ", digestOf(payload(7, size))); !strings.Contains(got, want) {
				t.Errorf("curl uploaded, and was answered %q, want %q", got, want)
			}
			// Several requests, of which the first alone connects. HTTP/2 is offered by curl, and not spoken.
			url := c.secureURL("https", "/chunked?seed=1&size=100")
			got = runSecureCurl(t, c, ca, version, "--write-out", "%{num_connects} %{http_version} %{http_code} ", "--output", os.DevNull,
				"--output", os.DevNull, "--output", os.DevNull, url, url, url)
			if got != "1 1.1 200 0 1.1 200 0 1.1 200 " {
				t.Errorf("curl says %q", got)
			}
			if got = runSecureCurl(t, c, ca, version, "--head", c.secureURL("https", "/length?size=5")); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
				t.Errorf("curl was answered %q", got)
			}
			for _, line := range c.secureLines(6, version) {
				if line["reason"] != "complete" || line["scheme"] != "https" || line["tls_name"] != securedName {
					t.Errorf("the log says %v", line)
				}
			}
		})
	}
}

// showIdentity answers by what a backend is told of its client's certificate.
func showIdentity(w http.ResponseWriter, r *http.Request) {
	for _, name := range []string{"Clientverify", "Subjectdn", "Issuerdn", "Fingerprint"} {
		_, _ = fmt.Fprintf(w, "%s %q\n", name, r.Header["X-Forwarded-Clientcert-"+name])
	}
}

func TestCurlShowsItsCertificate(t *testing.T) {
	findCurl(t)
	clients := authority.New(t, "Clients")
	server := newGosServer(t, http.HandlerFunc(showIdentity))
	c, ca := startSecure(t, []string{server.address()}, "--tls-client-ca", clients.File)
	pair := clients.Issue(authority.Leaf{})
	stranger := authority.New(t, "Strangers").Issue(authority.Leaf{})
	for _, version := range tlsVersions {
		got := runSecureCurl(t, c, ca, version, "--cert", pair.CertFile, "--key", pair.KeyFile, c.secureURL("https", "/"))
		want := "Clientverify [\"SUCCESS\"]\nSubjectdn [\"CN=leaf\"]\nIssuerdn [\"CN=Clients\"]\nFingerprint [\"" + pair.Fingerprint() + "\"]\n"
		if got != want {
			t.Errorf("the backend was told %q, want %q", got, want)
		}
		for name, arguments := range map[string][]string{"none": nil, "of a stranger": {"--cert", stranger.CertFile, "--key", stranger.KeyFile}} {
			got = runSecureCurlThatFails(t, c, ca, version, append(arguments, c.secureURL("https", "/"))...)
			if !strings.Contains(got, "alert") {
				t.Errorf("with a certificate %s curl says %q", name, got)
			}
		}
	}
	for _, detail := range []string{"alert sent: certificate required", "alert sent: handshake failure", "alert sent: unknown certificate authority"} {
		c.lines(1, func(l logLine) bool {
			return l["reason"] == "tls-handshake" && l["detail"] == detail
		})
	}
}

// echoOrSized echoes over WebSockets, and else answers as sized does.
func echoOrSized(w http.ResponseWriter, r *http.Request) {
	if !gorilla.IsWebSocketUpgrade(r) {
		sized(w, r)
		return
	}
	upgrader := gorilla.Upgrader{EnableCompression: true}
	s, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = s.Close() }()
	for {
		kind, message, err := s.ReadMessage()
		if err != nil || s.WriteMessage(kind, message) != nil {
			return
		}
	}
}

// TestGosClientsByTLS: two libraries and net/http, through the program to a backend that is spoken to by HTTPS as well.
func TestGosClientsByTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(echoOrSized))
	backends := authority.New(t, "Backends")
	pair := backends.Issue(authority.Leaf{Names: []string{"backend.example"}})
	certificate, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	t.Cleanup(server.Close)
	c, ca := startSecure(t, []string{"https://" + server.Listener.Addr().String()}, "--backend-ca", backends.File, "--backend-server-name", "backend.example")
	config := &tls.Config{RootCAs: ca.Pool()}
	t.Run("gorilla", func(t *testing.T) { gorillaByTLS(t, c, config) })
	t.Run("coder", func(t *testing.T) { coderByTLS(t, c, config) })
	t.Run("net/http", func(t *testing.T) {
		client := newGosClient(t)
		client.Transport.(*http.Transport).TLSClientConfig = config
		for i := range 20 {
			r := sizedRequest{method: "POST", path: "/chunked", seed: uint64(i), asked: 10_000 * i, sent: 10_000 * i, chunked: i%2 == 0}
			if err := r.send(client, "https://"+c.secure); err != nil {
				t.Fatal(err)
			}
		}
		if n := client.dials.Load(); n != 1 {
			t.Errorf("the client dialed %d times", n)
		}
	})
}

func gorillaByTLS(t *testing.T, c *culvert, config *tls.Config) {
	dialer := gorilla.Dialer{TLSClientConfig: config, EnableCompression: true, HandshakeTimeout: patience}
	s, _, err := dialer.Dial("wss://"+c.secure+"/gorilla", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, size := range []int{0, 1, 125, 126, 65536, 2 << 20} {
		sent := make(chan error, 1)
		go func() { sent <- s.WriteMessage(gorilla.BinaryMessage, payload(5, size)) }()
		_, got, err := s.ReadMessage()
		if err != nil || <-sent != nil || !bytes.Equal(got, payload(5, size)) {
			t.Fatalf("%d bytes came back as %d: %v", size, len(got), err)
		}
	}
}

func coderByTLS(t *testing.T, c *culvert, config *tls.Config) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	s, _, err := websocket.Dial(ctx, "wss://"+c.secure+"/coder", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	s.SetReadLimit(-1)
	for _, size := range []int{0, 1, 125, 126, 65536, 200_000} {
		if err := s.Write(ctx, websocket.MessageBinary, payload(6, size)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := s.Read(ctx); err != nil || !bytes.Equal(got, payload(6, size)) {
			t.Fatalf("%d bytes came back as %d: %v", size, len(got), err)
		}
	}
	if err := s.CloseNow(); err != nil {
		t.Error(err)
	}
}

// runSecureCurlThatFails is runSecureCurl that has to fail, and returns what curl says of it.
func runSecureCurlThatFails(t *testing.T, c *culvert, ca *authority.Authority, version string, arguments ...string) string {
	t.Helper()
	_, port, _ := strings.Cut(c.secure, ":")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return failingCurl(ctx, t, append([]string{
		"--silent", "--show-error", "--noproxy", "*", "--cacert", ca.File, "--resolve", securedName + ":" + port + ":127.0.0.1",
		"--tlsv" + version, "--tls-max", version,
	}, arguments...)...)
}

// trustedByNode has the scripts of this test trust an authority.
func trustedByNode(t *testing.T, ca *authority.Authority) {
	t.Helper()
	t.Setenv("NODE_EXTRA_CA_CERTS", ca.File)
}

func TestWSByTLS(t *testing.T) {
	server, address := runServer(t, "ws-server.js")
	c, ca := startSecure(t, []string{address})
	trustedByNode(t, ca)
	for _, name := range []string{"text", "binary", "fragments", "pings"} {
		s := runScript(t, "ws-client.js", "wss://"+c.secure+"/"+name, name)
		var client, ended wsResult
		s.read(&client)
		server.read(&ended)
		s.end()
		if want := (wsResult{Messages: client.Messages, Code: 1000, Reason: "done"}); client != want || client.Messages == 0 {
			t.Errorf("the client says %+v, want %+v", client, want)
		}
	}
	c.wantMetric(4, "culvert_tunnels_ended_total", `reason="closed"`)
	for _, line := range c.lines(4, func(l logLine) bool { return l["event"] == "tunnel-end" }) {
		if line.side("client")["tls_truncated"] != nil {
			t.Errorf("the log says that the stream was truncated: %v", line)
		}
	}
}

func TestSocketIOByTLS(t *testing.T) {
	_, address := runServer(t, "socketio-server.js")
	c, ca := startSecure(t, []string{address})
	trustedByNode(t, ca)
	client := runScript(t, "socketio-client.js", "https://"+c.secure+"/", fmt.Sprint(socketMessages), "close", "polling", "websocket")
	var result socketResult
	client.read(&result)
	client.end()
	if result.Transport != "websocket" || len(result.Phases) != 2 || result.Phases[0]["polling"] != socketMessages || result.Phases[1]["websocket"] != socketMessages {
		t.Errorf("the client says %+v", result)
	}
	c.wantMetric(1, "culvert_tunnels_ended_total", `reason="closed"`)
}
