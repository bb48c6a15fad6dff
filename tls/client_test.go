package tls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"culvert/tls/internal/tlstest"
)

// meet performs a handshake between two of ours and returns what became of the client.
func meet(o *owner, server, client *Config) (info Info, err *Error) {
	o.t.Helper()
	s, c := o.open(server), o.open(client)
	o.wait("the end of the handshake", func() bool {
		s.Feed(take(c))
		c.Feed(take(s))
		return c.Err() != nil || s.Err() != nil || c.Established() && s.Established()
	})
	return c.Info(), c.Err()
}

// TestBackendsAreVerified by their name or address, unless any certificate will do.
func TestBackendsAreVerified(t *testing.T) {
	authority, other := tlstest.NewAuthority("Backends"), tlstest.NewAuthority("Others")
	leaf := authority.Issue(tlstest.Leaf{Names: []string{"b.example"}, IPs: []string{"192.0.2.7", "2001:db8::7"}})
	asked := ""
	server := FromStandard(&tls.Config{
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			asked = hello.ServerName
			return &leaf.TLS, nil
		},
		NextProtos: []string{"http/1.1"},
	}, true)
	later := func() time.Time { return tlstest.Now.AddDate(1, 0, 0) }
	for name, c := range map[string]struct {
		options ClientOptions
		sni     string
		good    bool
	}{
		"by name":            {ClientOptions{ServerName: "b.example", Authorities: authority.Pool(), Clock: tlstest.Clock}, "b.example", true},
		"by address":         {ClientOptions{ServerName: "192.0.2.7", Authorities: authority.Pool(), Clock: tlstest.Clock}, "", true},
		"by address, IPv6":   {ClientOptions{ServerName: "2001:db8::7", Authorities: authority.Pool(), Clock: tlstest.Clock}, "", true},
		"another name":       {ClientOptions{ServerName: "c.example", Authorities: authority.Pool(), Clock: tlstest.Clock}, "c.example", false},
		"another address":    {ClientOptions{ServerName: "192.0.2.8", Authorities: authority.Pool(), Clock: tlstest.Clock}, "", false},
		"another authority":  {ClientOptions{ServerName: "b.example", Authorities: other.Pool(), Clock: tlstest.Clock}, "b.example", false},
		"the system's":       {ClientOptions{ServerName: "b.example", Clock: tlstest.Clock}, "b.example", false},
		"expired":            {ClientOptions{ServerName: "b.example", Authorities: authority.Pool(), Clock: later}, "b.example", false},
		"any":                {ClientOptions{AnyCertificate: true, Clock: later}, "", true},
		"any, under a name":  {ClientOptions{AnyCertificate: true, ServerName: "c.example", Authorities: other.Pool()}, "c.example", true},
		"with its protocols": {ClientOptions{AnyCertificate: true, Protocols: []string{"h2", "http/1.1"}}, "", true},
	} {
		config, err := NewClientConfig(c.options)
		if err != nil {
			t.Fatal(err)
		}
		asked = ""
		info, failed := meet(newOwner(t), server, config)
		if asked != c.sni || (failed == nil) != c.good {
			t.Errorf("%s: %q was asked for, want %q; %v", name, asked, c.sni, failed)
		}
		if failed != nil {
			if _, wrong := errors.AsType[x509.HostnameError](failed); failed.Cause != CauseAlertSent || wrong != (c.options.ServerName != "b.example") {
				t.Errorf("%s: %v", name, failed)
			}
			continue
		}
		if info.Verified == c.options.AnyCertificate {
			t.Errorf("%s: verified %v", name, info.Verified)
		}
		if want := len(c.options.Protocols) > 0; (info.Protocol == "http/1.1") != want {
			t.Errorf("%s: the protocol is %q", name, info.Protocol)
		}
	}
}
