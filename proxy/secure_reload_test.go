package proxy_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/proxytest"
	"culvert/proxy/proxytest/authority"
	"culvert/tls/certs"
)

// Certificates that change while tunnels live.

// renewed is a proxy whose certificate lies in files that change.
type renewed struct {
	*secured
	certFile, keyFile string
}

func startRenewed(t testing.TB, first authority.Pair, ca *authority.Authority) *renewed {
	t.Helper()
	folder := t.TempDir()
	r := &renewed{certFile: filepath.Join(folder, "a.crt"), keyFile: filepath.Join(folder, "a.key")}
	first.CopyTo(t, r.certFile, r.keyFile)
	r.secured = startSecured(t, func(c *proxy.Config) {
		c.Listeners[0].Name = "secure"
		c.Listeners[0].TLS = &proxy.ListenerTLS{Certificates: certs.Source{Pairs: []certs.Pair{{CertFile: r.certFile, KeyFile: r.keyFile}}}}
	})
	r.ca = ca
	return r
}

// wantShown wants new connections to be shown a certificate, now or soon.
func (r *renewed) wantShown(pair authority.Pair, soon bool) {
	r.t.Helper()
	shown := func() bool {
		c := r.connect(tls.VersionTLS13)
		defer func() { _ = c.Close() }()
		return c.ConnectionState().PeerCertificates[0].Equal(pair.Certificate)
	}
	if soon {
		proxytest.Eventually(r.t, "the new certificate is shown", shown)
	} else if !shown() {
		r.t.Error("another certificate is shown")
	}
}

// wantEcho wants a tunnel to be alive.
func wantEcho(c *secureClient, backend *proxytest.Conn) {
	c.t.Helper()
	c.send(proxytest.ClientText("still there?"))
	backend.Want(proxytest.ClientText("still there?"))
	backend.Send(proxytest.ServerText("yes"))
	c.want(proxytest.ServerText("yes"))
}

// errorLine waits for a line of the error log that has all these texts.
func (r *renewed) errorLine(texts ...string) {
	r.t.Helper()
	proxytest.Eventually(r.t, "the error log says "+strings.Join(texts, ", "), func() bool {
	lines:
		for line := range strings.Lines(r.ErrorLog()) {
			for _, text := range texts {
				if !strings.Contains(line, text) {
					continue lines
				}
			}
			return true
		}
		return false
	})
}

// TestAChangedCertificateIsShown: files that change are taken, files that are broken are not, and tunnels know nothing of
// it.
func TestAChangedCertificateIsShown(t *testing.T) {
	t.Parallel()
	ca := authority.New(t, "Servers")
	leaf := authority.Leaf{Names: []string{securedName}}
	first, second, third := ca.Issue(leaf), ca.Issue(leaf), ca.Issue(leaf)
	r := startRenewed(t, first, ca)
	c := r.connect(tls.VersionTLS13)
	backend := r.tunnel(c)
	r.wantShown(first, false)

	second.CopyTo(t, r.certFile, r.keyFile)
	r.wantShown(second, true)
	r.errorLine("the certificates have changed and are taken over", "secure")
	wantEcho(c, backend)

	if err := os.WriteFile(r.keyFile, first.KeyPEM, 0o600); err != nil { // that of another
		t.Fatal(err)
	}
	r.errorLine("the certificates have changed and are not taken over", "secure", r.certFile)
	r.wantShown(second, false)
	wantEcho(c, backend)

	third.CopyTo(t, r.certFile, r.keyFile)
	r.wantShown(third, true)
	wantEcho(c, backend)
	c.raw.Reset()
	backend.WantReset()
}

// TestAReloadTakesChangedCertificates, at once; a reload of which a certificate is broken changes nothing.
func TestAReloadTakesChangedCertificates(t *testing.T) {
	t.Parallel()
	ca := authority.New(t, "Servers")
	leaf := authority.Leaf{Names: []string{securedName}}
	first, second, third := ca.Issue(leaf), ca.Issue(leaf), ca.Issue(leaf)
	r := startRenewed(t, first, ca)
	c := r.connect(tls.VersionTLS13)
	backend := r.tunnel(c)

	second.CopyTo(t, r.certFile, r.keyFile)
	r.Reload(t, func(*proxy.Config) {})
	r.wantShown(second, false)
	wantEcho(c, backend)

	if err := os.WriteFile(r.certFile, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.TryReload(func(*proxy.Config) {}); err == nil || !strings.Contains(err.Error(), r.certFile) {
		t.Errorf("a reload with a broken certificate says %v", err)
	}
	r.wantShown(second, false)

	r.Reload(t, func(c *proxy.Config) { c.Listeners[0].TLS = &proxy.ListenerTLS{Certificates: certificatesOf(third)} })
	r.wantShown(third, false)
	wantEcho(c, backend)

	r.Reload(t, func(c *proxy.Config) { c.Listeners[0].TLS = nil })
	wantEcho(c, backend)
	plainly := r.Dial(t)
	plainly.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	next := r.backend.Accept()
	next.ReadHead()
	next.Send("HTTP/1.1 204 No Content\r\n\r\n")
	plainly.ReadHead()
	c.raw.Reset()
	backend.WantReset()
}

// TestAnEndingCertificateIsToldOf: by a metric, and by a warning.
func TestAnEndingCertificateIsToldOf(t *testing.T) {
	t.Parallel()
	ca := authority.New(t, "Servers")
	soon := authority.Now().Add(5 * 24 * time.Hour)
	r := startRenewed(t, ca.Issue(authority.Leaf{Names: []string{securedName}, NotAfter: soon}), ca)
	r.errorLine(`"level":"warn"`, "expires in 4 days", r.certFile, securedName)
	if got, want := r.Metric(t, "culvert_tls_certificate_not_after_seconds", "listener=secure", "file="+r.certFile), float64(soon.Unix()); got != want {
		t.Errorf("the metric says %v, want %v", got, want)
	}
	late := ca.Issue(authority.Leaf{Names: []string{securedName}})
	late.CopyTo(t, r.certFile, r.keyFile)
	r.WaitMetric(t, float64(late.Certificate.NotAfter.Unix()), "culvert_tls_certificate_not_after_seconds")
	past := ca.Issue(authority.Leaf{Names: []string{securedName}, NotBefore: soon.AddDate(0, -2, 0), NotAfter: authority.Now().Add(-time.Hour)})
	past.CopyTo(t, r.certFile, r.keyFile)
	r.errorLine(`"level":"warn"`, "expired", r.certFile)
	r.WaitMetric(t, float64(past.Certificate.NotAfter.Unix()), "culvert_tls_certificate_not_after_seconds")
}

// TestAReloadAsksForCertificates: connections from before were not asked, and are sent to a new one.
func TestAReloadAsksForCertificates(t *testing.T) {
	t.Parallel()
	s := startSecured(t, func(c *proxy.Config) { c.KeepAliveRequests = 10 })
	c := s.connect(tls.VersionTLS13)
	s.ask(c, securedName)
	clients := authority.New(t, "Clients")
	s.Reload(t, func(c *proxy.Config) {
		changed := *c.Listeners[0].TLS
		changed.ClientCA = clients.File
		c.Listeners[0].TLS = &changed
	})
	c.send(getSecured)
	if head := c.readHead(); !strings.HasPrefix(head, "HTTP/1.1 421 ") {
		t.Errorf("the client gets %q", head)
	}
	_ = c.Close()
	i := &identified{s, clients}
	i.wantRefused(tls.VersionTLS13, s.config(tls.VersionTLS13), "certificate required")
	pair := clients.Issue(authority.Leaf{})
	i.wantIdentity(s.client(i.shown(tls.VersionTLS13, pair)).shake(), getSecured, []string{
		"X-Forwarded-Clientcert-Clientverify: SUCCESS", "X-Forwarded-Clientcert-Subjectdn: CN=leaf",
		"X-Forwarded-Clientcert-Issuerdn: CN=Clients", "X-Forwarded-Clientcert-Fingerprint: " + pair.Fingerprint(),
	})
}
