//go:build linux

package clientauth

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"culvert/tls/authorities"
	"culvert/tls/internal/tlstest"
)

var now = tlstest.Now

func parse(t testing.TB, issuers ...*tlstest.Authority) *authorities.Bundle {
	t.Helper()
	var text []byte
	for _, a := range issuers {
		text = append(text, tlstest.PEM(a.Certificate.Raw)...)
	}
	b, err := authorities.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestWhoIsLetIn performs handshakes with every kind of client.
func TestWhoIsLetIn(t *testing.T) {
	ours, theirs, servers := tlstest.NewAuthority("Ours"), tlstest.NewAuthority("Theirs"), tlstest.NewAuthority("Servers")
	ours2 := ours.Intermediate("Ours, below")
	server := servers.Issue(tlstest.Leaf{Names: []string{"a.example"}})
	long := pkix.Name{CommonName: "x"}
	for range 40 {
		long.OrganizationalUnit = append(long.OrganizationalUnit, strings.Repeat("o", 60))
	}
	for _, c := range []struct {
		name              string
		client            *tlstest.Pair
		require, optional string // the result, or none: refused
	}{
		{"ours", ours.Issue(tlstest.Leaf{}), Success, Success},
		{"ours, through an intermediate", ours2.Issue(tlstest.Leaf{}), Success, Success},
		{"no certificate", nil, "", None},
		{"theirs", theirs.Issue(tlstest.Leaf{}), "", ""},
		{"expired", ours.Issue(tlstest.Leaf{NotAfter: now.Add(-time.Minute)}), "", ""},
		{"for servers only", ours.Issue(tlstest.Leaf{Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}), "", ""},
		{"with a name too long to tell", ours.Issue(tlstest.Leaf{Subject: long}), "", ""},
	} {
		for mode, want := range map[Mode]string{Require: c.require, Optional: c.optional} {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				config := &tls.Config{Certificates: []tls.Certificate{server.TLS}, Time: tlstest.Clock}
				Apply(config, parse(t, ours), mode)
				client := &tls.Config{ServerName: "a.example", RootCAs: servers.Pool(), Time: tlstest.Clock, MaxVersion: version}
				if c.client != nil { // sent whatever the server asks for
					client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.client.TLS, nil }
				}
				outcome := tlstest.Handshake(config, client)
				if outcome.Accepted() != (want != "") {
					t.Errorf("%s, mode %d: accepted %v: %v", c.name, mode, outcome.Accepted(), outcome.Err())
				}
				if want != "" {
					checkIdentity(t, c.name, IdentifyChain(outcome.Server.PeerCertificates, len(outcome.Server.VerifiedChains) > 0), want, c.client)
				}
			}
		}
	}
}

func checkIdentity(t *testing.T, name string, got Identity, verify string, client *tlstest.Pair) {
	t.Helper()
	want := Identity{Verify: verify}
	if client != nil {
		hash := sha256.Sum256(client.Certificate.Raw)
		want.Fingerprint = hex.EncodeToString(hash[:])
		want.Subject = "CN=leaf"
		want.Issuer = "CN=" + strings.ReplaceAll(client.Certificate.Issuer.CommonName, ",", `\,`)
	}
	if got != want {
		t.Errorf("%s: %+v, want %+v", name, got, want)
	}
	if n := len(got.Headers()); (client == nil && n != 1) || (client != nil && n != 4) {
		t.Errorf("%s: %d headers", name, n)
	}
}

func TestACertificateThatNobodyVerifiedIsNoSuccess(t *testing.T) {
	p := tlstest.NewAuthority("CA").Issue(tlstest.Leaf{})
	got := IdentifyChain([]*x509.Certificate{p.Certificate}, false)
	if got.Verify != Failed || got.Subject != "CN=leaf" {
		t.Errorf("%+v", got)
	}
}

// rdn is the DER of a name whose parts are given as type, tag and bytes, each a part of its own.
func rdn(t testing.TB, parts ...any) []byte {
	t.Helper()
	var sequence []relativeNameSET
	for i := 0; i < len(parts); i += 3 {
		sequence = append(sequence, relativeNameSET{{parts[i].(asn1.ObjectIdentifier), asn1.RawValue{Tag: parts[i+1].(int), Bytes: []byte(parts[i+2].(string))}}})
	}
	der, err := asn1.Marshal(sequence)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

var cn, o, email, unknown = asn1.ObjectIdentifier{2, 5, 4, 3}, asn1.ObjectIdentifier{2, 5, 4, 10}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, asn1.ObjectIdentifier{1, 2, 3, 4}

// spellings are names and what RFC 4514 makes of them.
func spellings(t testing.TB) map[string][]byte {
	both, err := asn1.Marshal([]relativeNameSET{{{cn, asn1.RawValue{Tag: 12, Bytes: []byte("a")}}, {o, asn1.RawValue{Tag: 12, Bytes: []byte("b")}}}})
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		`CN=a,O=b`:                             rdn(t, o, 12, "b", cn, 12, "a"),
		`O=b+CN=a`:                             both,
		`CN=\#a`:                               rdn(t, cn, 12, "#a"),
		`CN=\ a\ `:                             rdn(t, cn, 12, " a "),
		`CN=\ `:                                rdn(t, cn, 12, " "),
		`CN=a  b#`:                             rdn(t, cn, 12, "a  b#"),
		`CN=\,\+\"\\\<\>\;=`:                   rdn(t, cn, 12, `,+"\<>;=`),
		`CN=a\0D\0AX-Admin: 1\00\7F`:           rdn(t, cn, 12, "a\r\nX-Admin: 1\x00\x7f"),
		`CN=M\C3\BCller`:                       rdn(t, cn, 12, "Müller"),
		`O=M\C3\BC`:                            rdn(t, o, 20, "M\xfc"),
		`O=\C3\BC\F0\9F\98\80`:                 rdn(t, o, 30, "\x00\xfc\xd8\x3d\xde\x00"),
		`emailAddress=a@b.example`:             rdn(t, email, 22, "a@b.example"),
		`1.2.3.4=#0C0161,CN=a`:                 rdn(t, cn, 19, "a", unknown, 12, "a"),
		`CN=`:                                  rdn(t, cn, 12, ""),
		``:                                     {0x30, 0},
		`CN=#0403610062`:                       rdn(t, cn, 4, "a\x00b"),
		`CN=#0C01FF`:                           rdn(t, cn, 12, "\xff"),
		`CN=` + strings.Repeat("x", 100_000):   rdn(t, cn, 12, strings.Repeat("x", 100_000)),
		`CN=SUCCESS\0Ax-forwarded-for: ::1\09`: rdn(t, cn, 19, "SUCCESS\nx-forwarded-for: ::1\t"),
	}
}

func TestNamesAreSpelledAsRFC4514Says(t *testing.T) {
	for want, der := range spellings(t) {
		if got, err := DN(der); err != nil || got != want {
			t.Errorf("%.200q, want %.200q: %v", got, want, err)
		}
	}
	for _, der := range [][]byte{nil, {0x30}, {0x30, 0, 0}, {0x31, 0}, {0x30, 2, 0x31, 0x80}, []byte("CN=a")} {
		if got, err := DN(der); err == nil {
			t.Errorf("% x: no error but %q", der, got)
		}
	}
}

const requireOpenSSL = "CULVERT_REQUIRE_OPENSSL"

// TestNamesAreSpelledAsOpenSSLDoes: nginx and others give OpenSSL's spelling to backends, which compare it.
func TestNamesAreSpelledAsOpenSSLDoes(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv(requireOpenSSL) != "" {
			t.Fatal(err)
		}
		t.Skip("no openssl")
	}
	authority := tlstest.NewAuthority("CA")
	for _, want := range []string{
		`CN=a,O=b`, `O=b+CN=a`, `CN=\#a`, `CN=\ a\ `, `CN=a  b#`, `CN=\,\+\"\\\<\>\;=`, `CN=a\0D\0AX-Admin: 1\00\7F`, `CN=M\C3\BCller`,
		`O=M\C3\BC`, `emailAddress=a@b.example`, `1.2.3.4=#0C0161,CN=a`,
	} {
		pair := authority.Issue(tlstest.Leaf{RawName: spellings(t)[want]})
		cmd := exec.Command(openssl, "x509", "-noout", "-subject", "-nameopt", "RFC2253")
		cmd.Stdin = strings.NewReader(string(pair.CertPEM))
		out, err := cmd.Output()
		if got := strings.TrimPrefix(strings.TrimRight(string(out), "\n"), "subject="); err != nil || got != want {
			t.Errorf("OpenSSL says %q, want %q: %v", got, want, err)
		}
	}
}

// FuzzDN: nothing panics, and the result is safe in a header.
func FuzzDN(f *testing.F) {
	for _, der := range spellings(f) {
		if len(der) < 1000 {
			f.Add(der)
		}
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		name, err := DN(der)
		if err != nil {
			return
		}
		for i := range len(name) {
			if name[i] < ' ' || name[i] > '~' {
				t.Fatalf("% x: %q", der, name)
			}
		}
	})
}
