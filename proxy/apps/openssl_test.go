package apps

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"net/http"

	"culvert/proxy/proxytest"
	"culvert/proxy/proxytest/authority"
)

// requireOpenSSL is set where a missing openssl is a failure.
const requireOpenSSL = "CULVERT_REQUIRE_OPENSSL"

// findOpenSSL skips the test, or fails it as requireOpenSSL says, where there is no openssl.
func findOpenSSL(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err == nil {
		return path
	}
	if os.Getenv(requireOpenSSL) != "" {
		t.Fatalf("there is no openssl, and %s is set: %v", requireOpenSSL, err)
	}
	t.Skipf("skipped: there is no openssl: %v", err)
	return ""
}

// typed is a running openssl: it is typed to, and what it prints is waited for.
type typed struct {
	t     *testing.T
	stdin io.WriteCloser

	mu     sync.Mutex
	output strings.Builder
}

// Write keeps what the program prints.
func (p *typed) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(text)
}

func (p *typed) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// runSClient connects openssl to the program's HTTPS listener, and ends it with the test.
func runSClient(t *testing.T, c *culvert, ca *authority.Authority, arguments ...string) *typed {
	t.Helper()
	p := &typed{t: t}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	command := exec.CommandContext(ctx, findOpenSSL(t), append([]string{
		"s_client", "-connect", c.secure, "-CAfile", ca.File, "-verify_return_error", "-alpn", "h2,http/1.1",
	}, arguments...)...)
	command.Stdout, command.Stderr = p, p
	var err error
	if p.stdin, err = command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.stdin.Close()
		_ = command.Process.Kill()
		_ = command.Wait()
		cancel()
		if t.Failed() {
			t.Logf("openssl %v said:\n%s", arguments, p.said())
		}
	})
	return p
}

// types sends text, which openssl takes for a command where it begins with one of its letters.
func (p *typed) types(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, text); err != nil {
		p.t.Error(err)
	}
}

// wants waits until the program has said something, so often.
func (p *typed) wants(text string, times int) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for strings.Count(p.said(), text) < times {
		if time.Now().After(deadline) {
			p.t.Fatalf("openssl never said %q %d times", text, times)
		}
		<-time.After(time.Millisecond)
	}
}

const simpleRequest = "GET /length?size=0 HTTP/1.1\r\nHost: " + securedName + "\r\n\r\n"

// TestOpenSSLResumesItsSession saves a session and takes it up in another process, with the request in the first segment
// that may hold it.
func TestOpenSSLResumesItsSession(t *testing.T) {
	findOpenSSL(t)
	server := newGosServer(t, http.HandlerFunc(sized))
	c, ca := startSecure(t, []string{server.address()})
	for _, version := range tlsVersions {
		session := filepath.Join(t.TempDir(), "session")
		choice := "-tls" + strings.ReplaceAll(version, ".", "_")
		for i, arguments := range [][]string{{"-sess_out", session}, {"-sess_in", session, "-sess_out", session}, {"-sess_in", session}} {
			p := runSClient(t, c, ca, append([]string{choice, "-servername", securedName}, arguments...)...)
			p.types(simpleRequest)
			p.wants("HTTP/1.1 200 OK", 1)
			p.types("Q")
			line := c.secureLines(i+1, version)[i]
			if line["tls_resumed"] != (i > 0) || line["tls_name"] != securedName || line["reason"] != "complete" {
				t.Errorf("connection %d: the log says %v", i, line)
			}
			if !strings.Contains(p.said(), "ALPN protocol: http/1.1") {
				t.Errorf("connection %d: no protocol was agreed upon", i)
			}
		}
		// A session of one name is not taken up for another, nor with a name that the certificate does not hold.
		p := runSClient(t, c, ca, choice, "-servername", "other.example", "-sess_in", session)
		p.types(simpleRequest)
		p.wants("HTTP/1.1 200 OK", 1)
		if line := c.secureLines(4, version)[3]; line["tls_resumed"] != false || line["tls_name"] != "other.example" {
			t.Errorf("the log says %v", line)
		}
	}
}

func TestOpenSSLShowsItsCertificate(t *testing.T) {
	findOpenSSL(t)
	clients := authority.New(t, "Clients")
	server := newGosServer(t, http.HandlerFunc(showIdentity))
	c, ca := startSecure(t, []string{server.address()}, "--tls-client-ca", clients.File)
	pair := clients.Issue(authority.Leaf{})
	for _, version := range tlsVersions {
		p := runSClient(t, c, ca, "-tls"+strings.ReplaceAll(version, ".", "_"), "-servername", securedName, "-cert", pair.CertFile, "-key", pair.KeyFile)
		p.types(simpleRequest)
		p.wants(fmt.Sprintf("Fingerprint [%q]", pair.Fingerprint()), 1)
		p.wants(`Clientverify ["SUCCESS"]`, 1)
		p.wants("CN = Clients", 1) // among the acceptable authorities
	}
}

// TestOpenSSLUpdatesKeysAmidATunnel types a tunnel, with updates of its own keys (k) and of both sides' (K) between frames.
func TestOpenSSLUpdatesKeysAmidATunnel(t *testing.T) {
	findOpenSSL(t)
	_, address := runServer(t, "ws-server.js")
	c, ca := startSecure(t, []string{address})
	p := runSClient(t, c, ca, "-tls1_3", "-servername", securedName, "-msg")
	p.types(proxytest.UpgradeRequest())
	p.wants("HTTP/1.1 101 ", 1)
	for i, command := range []string{"k", "K", "K", "k"} {
		p.types(command + "\n")
		p.wants(">>> TLS 1.3, Handshake [length 0005], KeyUpdate", i+1)
		text := fmt.Sprintf("echo number %d", i)
		p.types(proxytest.ClientText(text))
		p.wants(proxytest.ServerText(text), 1)
	}
	if n := strings.Count(p.said(), "<<< TLS 1.3, Handshake [length 0005], KeyUpdate"); n != 2 {
		t.Errorf("the program has updated its keys %d times, and was asked to 2 times", n)
	}
	p.types("Q\n")
	c.lines(1, func(l logLine) bool {
		return l["event"] == "tunnel-end" && l.side("client")["text"] == 4.0 && l.side("client")["tls_truncated"] == nil
	})
}

// TestOpenSSLIsRefusedARenegotiation: it asks in a tunnel, and is told.
func TestOpenSSLIsRefusedARenegotiation(t *testing.T) {
	findOpenSSL(t)
	_, address := runServer(t, "ws-server.js")
	c, ca := startSecure(t, []string{address})
	p := runSClient(t, c, ca, "-tls1_2", "-servername", securedName)
	p.types(proxytest.UpgradeRequest())
	p.wants("HTTP/1.1 101 ", 1)
	p.types("R\n")
	p.wants("alert", 1)
	line := c.lines(1, func(l logLine) bool { return l["event"] == "tunnel-end" })[0]
	if line["reason"] != "client-transport" || !strings.HasPrefix(fmt.Sprint(line["detail"]), "alert sent: ") {
		t.Errorf("the log says %v", line)
	}
}

// TestOpenSSLOffersNoEarlyData: no ticket of ours allows it, so that it does not even try.
func TestOpenSSLOffersNoEarlyData(t *testing.T) {
	findOpenSSL(t)
	server := newGosServer(t, http.HandlerFunc(sized))
	c, ca := startSecure(t, []string{server.address()})
	folder := t.TempDir()
	session, early := filepath.Join(folder, "session"), filepath.Join(folder, "early")
	if err := os.WriteFile(early, []byte(simpleRequest), 0o600); err != nil {
		t.Fatal(err)
	}
	first := runSClient(t, c, ca, "-tls1_3", "-servername", securedName, "-sess_out", session)
	first.types(simpleRequest)
	first.wants("HTTP/1.1 200 OK", 1)
	first.types("Q")
	c.secureLines(1, "1.3")
	second := runSClient(t, c, ca, "-tls1_3", "-servername", securedName, "-sess_in", session, "-early_data", early)
	second.wants("Reused, TLSv1.3", 1)
	second.wants("Early data was not sent", 1)
}
