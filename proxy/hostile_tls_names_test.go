package proxy_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"culvert/proxy"
	"culvert/proxy/proxytest"
	"culvert/proxy/proxytest/authority"
)

// T05: what one name was given is of no use for another.

// oneSession is a cache that has the same session for every name, as no honest client does.
type oneSession struct{ session *tls.ClientSessionState }

func (o *oneSession) Get(string) (*tls.ClientSessionState, bool) { return o.session, o.session != nil }

func (o *oneSession) Put(_ string, session *tls.ClientSessionState) {
	if session != nil {
		o.session = session
	}
}

// ticket gets a ticket, with one ordinary request: in TLS 1.3 it comes behind the handshake.
func (s *secured) ticket(config *tls.Config) {
	s.t.Helper()
	c := s.client(config).shake()
	s.ask(c, securedName)
	_ = c.Close()
	s.WaitEnd(s.t)
}

// ask sends a request that the backend answers, and wants the answer.
func (s *secured) ask(c *secureClient, host string) {
	s.t.Helper()
	c.send("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
	backend := s.backend.Accept()
	backend.ReadHead()
	backend.Send("HTTP/1.1 204 No Content\r\n\r\n")
	if head := c.readHead(); !strings.HasPrefix(head, "HTTP/1.1 204 ") {
		s.t.Errorf("the client gets %q", head)
	}
	backend.Close()
}

// ticketsOfAnotherName: the session of a name is taken up for that name alone, though one certificate holds both.
func ticketsOfAnotherName(t *testing.T, version uint16) {
	s := startSecured(t, nil)
	config := s.config(version)
	config.InsecureSkipVerify = true // else crypto/tls would not offer the session for another name
	for _, one := range []struct {
		first, second string
		resumed       bool
	}{
		{securedName, securedName, true}, {securedName, otherName, false}, {otherName, securedName, false}, {securedName, "", false},
		{"", securedName, false}, {"", "", true}, {securedName, "A.EXAMPLE", false},
	} {
		config.ClientSessionCache = &oneSession{}
		config.ServerName = one.first
		s.ticket(config)
		config.ServerName = one.second
		c := s.client(config).shake()
		if got := c.ConnectionState().DidResume; got != one.resumed && !strings.EqualFold(one.first, one.second) {
			t.Errorf("a session of %q is resumed for %q: %v, want %v", one.first, one.second, got, one.resumed)
		}
		s.ask(c, securedName)
		_ = c.Close()
		if line := s.WaitEnd(t); line["tls_resumed"] != c.ConnectionState().DidResume || line.Text("tls_name") != strings.ToLower(one.second) && line.Text("tls_name") != one.second {
			t.Errorf("the log says %v of a session of %q that is offered for %q", line, one.first, one.second)
		}
	}
}

// hostCases are hosts that are asked for on a connection for a name, and how the request is answered.
var hostCases = []struct {
	name, host string
	status     string
}{
	{securedName, securedName, "204"},
	{securedName, "A.eXample", "204"},
	{securedName, "a.example.", "204"},
	{securedName, "a.example:443", "204"},
	{securedName, "a.example.:8443", "204"},
	{securedName, otherName, "421"},
	{securedName, "a.example..", "400"},
	{securedName, ".a.example", "400"},
	{securedName, "xa.example", "421"},
	{securedName, "a.exampl", "421"},
	{securedName, "a.example.evil", "421"},
	{securedName, "a-example", "421"},
	{securedName, "a\x0eexample", "400"}, // a dot without a bit
	{securedName, "127.0.0.1", "421"},
	{securedName, "[::1]:443", "421"},
	{securedName, "b.example:443", "421"},
	{otherName, securedName, "421"},
	{otherName, otherName, "204"},
	{"", securedName, "204"}, // who asks for no name has shown its certificate to whomever it gets
	{"", otherName, "204"},
}

// otherHost is a request for another host than the one that a client has shown its certificate to.
func otherHost(t *testing.T, version uint16) {
	var clients *authority.Authority
	s := startSecured(t, func(c *proxy.Config) {
		clients = authority.New(t, "Clients")
		c.Listeners[0].TLS.ClientCA = clients.File
		c.KeepAliveRequests = 100
	})
	pair := clients.Issue(authority.Leaf{})
	certificate, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	s.backend.Serve(func(c *proxytest.Conn) {
		for c.TryReadHead() {
			c.Send("HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
	config := s.config(version)
	config.Certificates, config.InsecureSkipVerify = []tls.Certificate{certificate}, true
	for _, one := range hostCases {
		for _, request := range []string{
			"GET / HTTP/1.1\r\nHost: " + one.host + "\r\n\r\n", "GET http://" + one.host + "/ HTTP/1.1\r\nHost: ignored\r\n\r\n",
		} {
			config.ServerName = one.name
			c := s.client(config).shake()
			c.send(request)
			if head := c.readHead(); !strings.HasPrefix(head, "HTTP/1.1 "+one.status+" ") {
				t.Errorf("%q on a connection for %q is answered by %q, want %s", request, one.name, head, one.status)
			}
			_ = c.Close()
		}
	}
	if line := s.WaitLog(t, func(l proxytest.Line) bool { return l.Number("status") == 421 }); line.Text("reason") != "misdirected" {
		t.Errorf("the log says %v", line)
	}
}

// otherHostLater: the second request of a connection, and an upgrade.
func otherHostLater(t *testing.T, version uint16) {
	s := startSecured(t, func(c *proxy.Config) {
		c.Listeners[0].TLS.ClientCA = authority.New(t, "Clients").File
		c.Listeners[0].TLS.ClientOptional = true
		c.KeepAliveRequests = 100
	})
	c := s.connect(version)
	s.ask(c, securedName)
	c.send(strings.Replace(proxytest.UpgradeRequest(), "example.com", otherName, 1))
	if head := c.readHead(); !strings.HasPrefix(head, "HTTP/1.1 421 ") {
		t.Errorf("an upgrade is answered by %q", head)
	}
	_, end := c.rest()
	if end != "close_notify" {
		t.Errorf("the connection is ended by %s", end)
	}
	c.raw.Close()
	wantLog(t, s.Proxy, "request 204 complete backend", "request 421 misdirected client")
	s.wantNothingLeft()
}

// anyHost: where no certificate is asked for, the name that is asked for says nothing of requests.
func anyHost(t *testing.T, version uint16) {
	s := startSecured(t, nil)
	c := s.connect(version)
	s.ask(c, "something.else")
}

// namesRefused: names that nobody has a certificate for, where that is asked for, and that are no names.
func namesRefused(t *testing.T, version uint16) {
	s := startSecured(t, func(c *proxy.Config) { c.Listeners[0].TLS.Certificates.Strict = true })
	config := s.config(version)
	config.InsecureSkipVerify = true
	for name, end := range map[string]string{"c.example": "unrecognized name", "": "unrecognized name", "a.example": ""} {
		config.ServerName = name
		c := s.client(config)
		err := c.Handshake()
		if end == "" && err != nil || end != "" && (err == nil || endOf(t, err) != end) {
			t.Errorf("%q: %v, want %s", name, err, end)
		}
		_ = c.Close()
	}
}

func nameTests() []hostileTest {
	var tests []hostileTest
	for name, run := range map[string]func(*testing.T, uint16){
		"ticket": ticketsOfAnotherName, "host": otherHost, "host-later": otherHostLater, "host-without-mtls": anyHost, "strict": namesRefused,
	} {
		for version, number := range bothVersions {
			tests = append(tests, hostileTest{"T05/" + name + "/" + version, func(t *proxytest.T) { run(t.T, number) }})
		}
	}
	return tests
}
