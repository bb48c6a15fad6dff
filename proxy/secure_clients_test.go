package proxy_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/netip"
	"strings"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/proxytest"
	"culvert/proxy/proxytest/authority"
	"culvert/proxy/route"
)

// Certificates of clients, and what backends are told of them.

// identified is a proxy whose HTTPS listener asks for certificates.
type identified struct {
	*secured
	clients *authority.Authority
}

func startIdentified(t testing.TB, change func(*proxy.Config)) *identified {
	t.Helper()
	i := &identified{clients: authority.New(t, "Clients, Inc.")}
	i.secured = startSecured(t, func(c *proxy.Config) {
		c.Listeners[0].TLS.ClientCA = i.clients.File
		c.KeepAliveRequests = 10
		if change != nil {
			change(c)
		}
	})
	return i
}

// shown returns the configuration of a client that shows a certificate, whatever the listener asks for.
func (i *identified) shown(version uint16, pair authority.Pair) *tls.Config {
	i.t.Helper()
	certificate, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
	if err != nil {
		i.t.Fatal(err)
	}
	config := i.config(version)
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
	return config
}

// forged are headers that claim to tell of a certificate.
var forged = []string{
	"X-Forwarded-Clientcert-Clientverify: SUCCESS", "X-Forwarded-ClientCert-SubjectDN: CN=admin", "X_Forwarded_Clientcert_Issuerdn: CN=admin",
	"x-forwarded-clientcert_fingerprint: 00", "X.Forwarded.Clientcert.Clientverify: SUCCESS", "X-FORWARDED-CLIENTCERT-OTHER: 1",
	"X-Forwarded_Clientcert-Subjectdn: CN=admin",
}

// identity returns the lines of a head that tell of a certificate, in whatever spelling.
func identity(head string) (lines []string) {
	for line := range strings.SplitSeq(head, "\r\n") {
		if strings.HasPrefix(strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(line)), "x-forwarded-clientcert") {
			lines = append(lines, line)
		}
	}
	return lines
}

// identityOf are the lines for a certificate.
func (i *identified) identityOf(pair authority.Pair, subject string) []string {
	return []string{
		"X-Forwarded-Clientcert-Clientverify: SUCCESS", "X-Forwarded-Clientcert-Subjectdn: " + subject,
		`X-Forwarded-Clientcert-Issuerdn: CN=Clients\, Inc.`, "X-Forwarded-Clientcert-Fingerprint: " + pair.Fingerprint(),
	}
}

// wantIdentity asks, with forged headers, and wants the backend to be told exactly this.
func (i *identified) wantIdentity(c *secureClient, request string, want []string) {
	i.t.Helper()
	c.send(strings.Replace(request, "\r\n\r\n", "\r\n"+strings.Join(forged, "\r\n")+"\r\n\r\n", 1))
	backend := i.backend.Accept()
	head := backend.ReadHead()
	if got := identity(head); strings.Join(got, "\n") != strings.Join(want, "\n") {
		i.t.Errorf("the backend is told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if proxytest.Field(head, "X-Forwarded-Proto") != "https" {
		i.t.Errorf("the backend is told the protocol %q", proxytest.Field(head, "X-Forwarded-Proto"))
	}
	backend.Send("HTTP/1.1 204 No Content\r\n\r\n")
	c.readHead()
	backend.Close()
}

const getSecured = "GET / HTTP/1.1\r\nHost: " + securedName + "\r\n\r\n"

// TestBackendsAreToldOfCertificates: exactly what the certificate says, in each request of a connection, in an upgrade, and
// when the session is resumed; nothing that the client claims, whoever it is.
func TestBackendsAreToldOfCertificates(t *testing.T) {
	t.Parallel()
	for peer, trusted := range map[string][]netip.Prefix{"from anybody": nil, "from a trusted proxy": {loopback}} {
		t.Run(peer, func(t *testing.T) {
			forBothVersions(t, func(t *testing.T, version uint16) {
				i := startIdentified(t, func(c *proxy.Config) { c.TrustedProxies = trusted })
				subject := pkix.Name{CommonName: "Müller\r\nX-Admin: 1", Organization: []string{`a+b, "c"`}}
				pair := i.clients.Issue(authority.Leaf{Subject: subject})
				want := i.identityOf(pair, `CN=M\C3\BCller\0D\0AX-Admin: 1,O=a\+b\, \"c\"`)
				config := i.shown(version, pair)
				config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
				for _, resumed := range []bool{false, true} {
					c := i.client(config).shake()
					if got := c.ConnectionState().DidResume; got != resumed {
						t.Errorf("resumed: %v, want %v", got, resumed)
					}
					i.wantIdentity(c, getSecured, want)
					i.wantIdentity(c, strings.Replace(getSecured, "GET", "DELETE", 1), want)
					i.wantIdentity(c, strings.Replace(proxytest.UpgradeRequest(), "example.com", securedName, 1), want)
					_ = c.Close()
				}
			})
		})
	}
}

// TestACertificateMayBeOptional: who shows none is told of as NONE, who shows a wrong one is refused.
func TestACertificateMayBeOptional(t *testing.T) {
	t.Parallel()
	forBothVersions(t, func(t *testing.T, version uint16) {
		i := startIdentified(t, func(c *proxy.Config) {
			c.Listeners[0].TLS.ClientOptional = true
			c.TrustedProxies = []netip.Prefix{loopback}
		})
		i.wantIdentity(i.connect(version), getSecured, []string{"X-Forwarded-Clientcert-Clientverify: NONE"})
		pair := i.clients.Issue(authority.Leaf{})
		i.wantIdentity(i.client(i.shown(version, pair)).shake(), getSecured, i.identityOf(pair, "CN=leaf"))
		stranger := authority.New(t, "Strangers").Issue(authority.Leaf{})
		i.wantRefused(version, i.shown(version, stranger), "unknown certificate authority")
	})
}

// TestForgedCertificatesWhereNoneIsAskedFor: nobody's word counts but that of a trusted proxy, which may have asked.
func TestForgedCertificatesWhereNoneIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, trusted := range []bool{false, true} {
		i := &identified{secured: startSecured(t, func(c *proxy.Config) {
			if trusted {
				c.TrustedProxies = []netip.Prefix{loopback}
			}
		})}
		var want []string
		if trusted {
			for _, line := range forged {
				if name, _, _ := strings.Cut(line, ":"); !strings.ContainsAny(name, "_.") {
					want = append(want, line)
				}
			}
		}
		i.wantIdentity(i.connect(tls.VersionTLS13), getSecured, want)
	}
}

// wantRefused wants a handshake to be refused by an alert that client and log name.
func (i *identified) wantRefused(version uint16, config *tls.Config, alert string) {
	i.t.Helper()
	c := i.client(config)
	err := c.Handshake()
	if version == tls.VersionTLS13 && err == nil { // it is over for the client before the server has looked
		_, err = c.Read(make([]byte, 1))
	}
	if err == nil {
		i.t.Fatal("the client is let in")
	}
	if got := endOf(i.t, err); got != alert {
		i.t.Errorf("the client is told %q, want %q", got, alert)
	}
	_ = c.Close()
	line := i.WaitLog(i.t, func(l proxytest.Line) bool { return l.Text("detail") == "alert sent: "+alert })
	line.Want(i.t, "tls-handshake", 0, "client")
}

// TestClientsWithoutTheRightCertificateAreRefused: the client is told why, and so is the operator.
func TestClientsWithoutTheRightCertificateAreRefused(t *testing.T) {
	t.Parallel()
	forBothVersions(t, func(t *testing.T, version uint16) {
		i := startIdentified(t, nil)
		missing := "certificate required"
		if version == tls.VersionTLS12 {
			missing = "handshake failure"
		}
		i.wantRefused(version, i.config(version), missing)
		stranger := authority.New(t, "Strangers").Issue(authority.Leaf{})
		i.wantRefused(version, i.shown(version, stranger), "unknown certificate authority")
		past := authority.Leaf{NotBefore: authority.Now().AddDate(0, 0, -3), NotAfter: authority.Now().Add(-time.Hour)}
		i.wantRefused(version, i.shown(version, i.clients.Issue(past)), "expired certificate")
		server := authority.Leaf{Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		i.wantRefused(version, i.shown(version, i.clients.Issue(server)), "bad certificate")
		long := authority.Leaf{Subject: pkix.Name{OrganizationalUnit: []string{strings.Repeat("o", 3000)}}}
		i.wantRefused(version, i.shown(version, i.clients.Issue(long)), "bad certificate")
		wantNobody(t, i.backend)
		i.wantNothingLeft()
	})
}

// TestStrictTransportSecurity: every answer over TLS has the header once, ours in place of the backend's; no other has it.
func TestStrictTransportSecurity(t *testing.T) {
	t.Parallel()
	for subdomains, want := range map[bool]string{false: "max-age=86400", true: "max-age=86400; includeSubDomains"} {
		s := startSecured(t, func(c *proxy.Config) {
			c.Listeners[0].TLS.HSTS, c.Listeners[0].TLS.HSTSSubdomains = 24*time.Hour, subdomains
			c.Listeners[0].Rules = append(c.Listeners[0].Rules, fixedRules()...)
			c.KeepAliveRequests = 10
			c.Groups = append(c.Groups, proxy.GroupConfig{
				Name: "nobody", Backends: []proxy.BackendConfig{{Name: "n", Address: proxytest.Refuses(t), Weight: 1}},
			})
		})
		s.backend.Serve(func(c *proxytest.Conn) {
			if head := c.ReadHead(); strings.Contains(head, "Upgrade: websocket") {
				c.Send(proxytest.SwitchingProtocols(head, "Strict-Transport-Security: max-age=0"))
			} else {
				c.Send("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nstrict-transport-SECURITY: max-age=0\r\nContent-Length: 0\r\n\r\n")
			}
			c.ReadUntilGone()
		})
		for request, status := range map[string]string{
			getSecured: "200", proxytest.UpgradeRequest(): "101", "GET /down HTTP/1.1\r\nHost: a\r\n\r\n": "502", "GET /fixed HTTP/1.1\r\nHost: a\r\n\r\n": "404",
			"GET /moved HTTP/1.1\r\nHost: a\r\n\r\n": "302", "GET /own HTTP/1.1\r\nHost: a\r\n\r\n": "502", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n": "405",
			"nonsense\r\n\r\n": "400", "GET / HTTP/3.0\r\nHost: a\r\n\r\n": "505",
		} {
			c := s.connect(tls.VersionTLS13)
			c.send(request)
			head := c.readHead()
			if status == "200" {
				if strings.Contains(strings.ToLower(head), "strict-transport") {
					t.Logf("an interim answer has it: %q", head)
				}
				head = c.readHead()
			}
			if !strings.HasPrefix(head, "HTTP/1.1 "+status+" ") || proxytest.Field(head, "Strict-Transport-Security") != want ||
				strings.Count(strings.ToLower(head), "strict-transport-security") != 1 {
				t.Errorf("%q is answered by %q; want %s, and the header with %q once", request, head, status, want)
			}
			c.raw.Close()
		}
	}
}

// TestARuleMaySayOtherwise: what a rule sets is not ours to change, and without HSTS the backend's own passes.
func TestARuleMaySayOtherwise(t *testing.T) {
	t.Parallel()
	for hsts, want := range map[time.Duration]string{0: "max-age=7", time.Hour: "max-age=5"} {
		s := startSecured(t, func(c *proxy.Config) {
			c.Listeners[0].TLS.HSTS = hsts
			if hsts > 0 {
				c.Listeners[0].Rules = []proxy.RuleConfig{{
					Group: proxy.DefaultGroup, AnswerHeaders: []proxy.HeaderEdit{{Op: proxy.HeaderSet, Name: "strict-transport-security", Value: "max-age=5"}},
				}}
			}
		})
		c := s.connect(tls.VersionTLS13)
		c.send(getSecured)
		backend := s.backend.Accept()
		backend.ReadHead()
		backend.Send("HTTP/1.1 204 No Content\r\nStrict-Transport-Security: max-age=7\r\n\r\n")
		if got := proxytest.Field(c.readHead(), "Strict-Transport-Security"); got != want {
			t.Errorf("the client is told %q, want %q", got, want)
		}
	}
}

// fixedRules answer by themselves, and by a server that is not there.
func fixedRules() []proxy.RuleConfig {
	return []proxy.RuleConfig{
		{Match: route.Match{Path: "/down"}, Group: "nobody"},
		{Match: route.Match{Path: "/own"}, Group: "nobody", ErrorBodies: map[int]proxy.Body{502: {Bytes: []byte("own")}}},
		{Match: route.Match{Path: "/fixed"}, Answer: &proxy.AnswerConfig{Status: 404}},
		{Match: route.Match{Path: "/moved"}, Redirect: &proxy.RedirectConfig{Status: 302, Location: "/elsewhere"}},
	}
}

// TestRedirectsToHTTPS: each request of a plain listener is told where to come instead.
func TestRedirectsToHTTPS(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		to              proxy.HTTPSRedirect
		request, status string
		location        string // none: refused
	}{
		{proxy.HTTPSRedirect{}, "GET /a/b?c=d HTTP/1.1¶Host: a.example¶¶", "302 Found", "https://a.example/a/b?c=d"},
		{proxy.HTTPSRedirect{Status: 301}, "GET / HTTP/1.1¶Host: a.example:8080¶¶", "301 Moved Permanently", "https://a.example/"},
		{proxy.HTTPSRedirect{Status: 307, Port: 443}, "POST /up HTTP/1.1¶Host: A.example¶Content-Length: 2¶¶hi", "307 Temporary Redirect", "https://A.example/up"},
		{proxy.HTTPSRedirect{Status: 308, Port: 8443}, "PUT /up HTTP/1.1¶Host: a.example:80¶Content-Length: 0¶¶", "308 Permanent Redirect", "https://a.example:8443/up"},
		{proxy.HTTPSRedirect{Port: 8443}, "GET / HTTP/1.1¶Host: [2001:db8::1]:8080¶¶", "302 Found", "https://[2001:db8::1]:8443/"},
		{proxy.HTTPSRedirect{Port: 8443}, "GET / HTTP/1.1¶Host: 192.0.2.1¶¶", "302 Found", "https://192.0.2.1:8443/"},
		{proxy.HTTPSRedirect{}, "GET http://b.example:81/x?y HTTP/1.1¶Host: forged¶¶", "302 Found", "https://b.example/x?y"},
		{proxy.HTTPSRedirect{}, "GET //evil.example/ HTTP/1.1¶Host: a.example¶¶", "302 Found", "https://a.example//evil.example/"},
		{proxy.HTTPSRedirect{}, "HEAD / HTTP/1.1¶Host: a.example¶¶", "302 Found", "https://a.example/"},
		{proxy.HTTPSRedirect{}, chatRequest, "302 Found", "https://a/chat"},
		{proxy.HTTPSRedirect{}, "GET /x HTTP/1.0¶Host: a.example¶¶", "302 Found", "https://a.example/x"},
		{proxy.HTTPSRedirect{}, "GET / HTTP/1.0¶¶", "400 Bad Request", ""},
		{proxy.HTTPSRedirect{}, "OPTIONS * HTTP/1.1¶Host: a.example¶¶", "302 Found", "https://a.example/"},
		{proxy.HTTPSRedirect{}, "GET / HTTP/1.1¶Host: a.example@evil¶¶", "400 Bad Request", ""},
	} {
		backend := proxytest.NewBackend(t)
		p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{backend}, Config: func(c *proxy.Config) {
			c.Listeners[0].HTTPSRedirect = &one.to
			c.Listeners[0].Rules = fixedRules()[2:]
		}})
		client := p.Dial(t)
		client.Send(strings.NewReplacer("¶", "\r\n", "{key}", proxytest.Key).Replace(one.request))
		head := client.ReadHead()
		if !strings.HasPrefix(head, "HTTP/1.1 "+one.status+"\r\n") || proxytest.Field(head, "Location") != one.location {
			t.Errorf("%+v: %q is answered by %q, want %s and %s", one.to, one.request, head, one.status, one.location)
		}
		if strings.Contains(strings.ToLower(head), "strict-transport") {
			t.Errorf("Strict-Transport-Security in clear: %q", head)
		}
		client.Close()
		wantNobody(t, backend)
	}
}
