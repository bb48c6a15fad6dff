//go:build linux

package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culvert/tls/internal/tlstest"
)

func clientFor(name string, pool *x509.CertPool) *tls.Config {
	return &tls.Config{ServerName: name, RootCAs: pool}
}

// street is a store of several names: the first is the default.
func street(t testing.TB, strict bool) *Store {
	f := newFolder(t)
	var pairs []Pair
	for _, c := range []struct {
		file string
		leaf tlstest.Leaf
	}{
		{"default", tlstest.Leaf{Names: []string{"default.example"}}},
		{"exact", tlstest.Leaf{Names: []string{"a.b.example", "Shop.Example"}}},
		{"narrow", tlstest.Leaf{Names: []string{"*.b.example"}}},
		{"wide", tlstest.Leaf{Names: []string{"*.example"}}},
		{"address", tlstest.Leaf{IPs: []string{"192.0.2.1", "2001:db8::1"}}},
	} {
		pairs = append(pairs, f.pair(c.file, root.Issue(c.leaf)))
	}
	return load(t, Source{Pairs: pairs, Strict: strict})
}

// names are what clients ask for, and what they must be shown. In a strict store, all but Exact and Narrow are refused.
var names = []struct {
	name, file string
	match      Match
}{
	{"a.b.example", "exact", Exact},
	{"A.B.eXample", "exact", Exact},
	{"shop.example", "exact", Exact},
	{"x.b.example", "narrow", Narrow},
	{"X.B.EXAMPLE", "narrow", Narrow},
	{"b.example", "wide", Narrow},
	{"other.example", "wide", Narrow},
	{"y.x.b.example", "narrow", Wide},
	{"z.y.example", "wide", Wide},
	{"example", "default", Fallback},
	{"default.example", "default", Exact},
	{"elsewhere.test", "default", Fallback},
	{"192.0.2.1", "address", Exact},
	{"2001:db8::1", "address", Exact},
	{"192.0.2.2", "default", Fallback},
	{"*.b.example", "default", Fallback},
	{"..example", "default", Fallback},
	{".example", "default", Fallback},
	{"a..example", "default", Fallback},
	{"a.b.example.", "default", Fallback},
	{"a\x00.b.example", "default", Fallback},
	{"ä.example", "default", Fallback},
	{strings.Repeat("a", 63) + ".example", "wide", Narrow},
	{strings.Repeat("a", 64) + ".example", "default", Fallback},
	{strings.Repeat("a.", 123) + "example", "wide", Wide},
	{strings.Repeat("a.", 124) + "example", "default", Fallback},
	{strings.Repeat("x", 70_000), "default", Fallback},
	{"", "default", Fallback},
}

func fileOf(c *Certificate) string { return strings.TrimSuffix(filepath.Base(c.File), ".crt") }

func TestLookup(t *testing.T) {
	for _, strict := range []bool{false, true} {
		s := street(t, strict)
		for _, c := range names {
			set, match := s.Lookup(c.name)
			if fileOf(set.Certificates[0]) != c.file || match != c.match {
				t.Errorf("%.70q: %s by %d, want %s by %d", c.name, fileOf(set.Certificates[0]), match, c.file, c.match)
			}
			selected, match := s.Select(&tls.ClientHelloInfo{ServerName: c.name})
			switch refused := strict && c.match > Narrow; {
			case refused && (selected != nil || match != Refused):
				t.Errorf("%.70q is not refused", c.name)
			case !refused && (selected != set || match != c.match):
				t.Errorf("%.70q: selected %v by %d", c.name, selected, match)
			}
		}
	}
}

// TestNamesInHandshakes asks real handshakes for every name that a client of crypto/tls can send.
func TestNamesInHandshakes(t *testing.T) {
	for _, strict := range []bool{false, true} {
		s := street(t, strict)
		for _, c := range names {
			_, notAddress := netip.ParseAddr(c.name)
			if len(c.name) > 255 || notAddress == nil || strings.HasSuffix(c.name, ".") {
				continue
			}
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				client := clientFor(c.name, root.Pool())
				client.MaxVersion = version
				client.InsecureSkipVerify = true // the choice is looked at, not its merit
				file, outcome := shown(s, client)
				if !strict || c.match <= Narrow {
					if file != c.file {
						t.Errorf("%.70q: shown %q, want %q: %v", c.name, file, c.file, outcome.Err())
					}
					continue
				}
				if err := outcome.ClientErr; err == nil || err.Error() != "remote error: tls: unrecognized name" {
					t.Errorf("%.70q: the client sees %v, want the alert unrecognized_name", c.name, err)
				}
			}
		}
	}
}

// TestWhatMatchesPassesTheClientsOwnVerification: the standard library is the judge of RFC 6125.
func TestWhatMatchesPassesTheClientsOwnVerification(t *testing.T) {
	s := street(t, false)
	for _, c := range names {
		if set, match := s.Lookup(c.name); c.name != "" {
			err := set.Certificates[0].Leaf.VerifyHostname(c.name)
			if (err == nil) != (match <= Narrow) {
				t.Errorf("%.70q: match %d, but verification says %v", c.name, match, err)
			}
		}
	}
}

// TestNoNameMeansTheAddress: tlstest's server is 127.0.0.1.
func TestNoNameMeansTheAddress(t *testing.T) {
	f := newFolder(t)
	pairs := []Pair{
		f.pair("first", issue(tlstest.ECDSA256, "a.example")),
		f.pair("local", root.Issue(tlstest.Leaf{IPs: []string{"127.0.0.1"}})),
	}
	for _, strict := range []bool{false, true} {
		file, outcome := shown(load(t, Source{Pairs: pairs, Strict: strict}), clientFor("127.0.0.1", root.Pool()))
		if file != "local" {
			t.Errorf("shown %q: %v", file, outcome.Err())
		}
	}
}

func TestSeveralKindsForOneName(t *testing.T) {
	f := newFolder(t)
	kinds := map[string]tlstest.Key{"rsa": tlstest.RSA2048, "p521": tlstest.ECDSA521, "p384": tlstest.ECDSA384, "ed": tlstest.Ed25519, "p256": tlstest.ECDSA256}
	var pairs []Pair
	for _, name := range []string{"rsa", "p521", "p384", "ed", "p256"} {
		pairs = append(pairs, f.pair(name, issue(kinds[name], "a.example")))
	}
	s := load(t, Source{Pairs: pairs})
	wantWarning(t, s.Warnings(), "")
	rsaSuite, ecdsaSuite := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	for _, c := range []struct {
		name, want string
		sni        string
		suites     []uint16
		curves     []tls.CurveID
	}{
		{"all supported", "p256", "a.example", nil, nil},
		{"RSA suites only", "rsa", "a.example", rsaSuite, nil},
		{"RSA suites only, no such name", "rsa", "b.example", rsaSuite, nil},
		{"RSA suites only, no name", "rsa", "", rsaSuite, nil},
		{"not P-256", "ed", "a.example", ecdsaSuite, []tls.CurveID{tls.CurveP384}},
	} {
		client := clientFor(c.sni, root.Pool())
		client.MaxVersion, client.CipherSuites, client.CurvePreferences, client.InsecureSkipVerify = tls.VersionTLS12, c.suites, c.curves, true
		if file, outcome := shown(s, client); file != c.want {
			t.Errorf("%s: shown %q, want %q: %v", c.name, file, c.want, outcome.Err())
		}
	}
	only := load(t, Source{Pairs: pairs[4:]})
	client := clientFor("a.example", root.Pool())
	client.MaxVersion, client.CipherSuites = tls.VersionTLS12, rsaSuite
	if _, outcome := shown(only, client); outcome.Accepted() {
		t.Error("ECDSA was shown to a client of RSA")
	}
}

func TestOfTheSameKindTheOneThatLastsLonger(t *testing.T) {
	f := newFolder(t)
	short := f.pair("short", root.Issue(tlstest.Leaf{Names: []string{"a.example", "b.example"}, NotAfter: now.Add(time.Hour)}))
	long := f.pair("long", issue(tlstest.ECDSA256, "a.example", "b.example"))
	for _, pairs := range [][]Pair{{short, long}, {long, short}} {
		s := load(t, Source{Pairs: pairs})
		wantWarning(t, s.Warnings(), "short.crt: it is not used for a.example")
		for _, name := range []string{"a.example", "b.example", "none.example"} {
			if set, _ := s.Lookup(name); len(set.Certificates) != 1 || fileOf(set.Certificates[0]) != "long" {
				t.Errorf("%s: shown %s", name, fileOf(set.Certificates[0]))
			}
		}
	}
}

// TestSetsAreKnownByTheirMembers: a ticket of one set must not resume under another, and must under the same.
func TestSetsAreKnownByTheirMembers(t *testing.T) {
	f := newFolder(t)
	pairs := []Pair{
		f.pair("both", issue(tlstest.ECDSA256, "a.example", "b.example")),
		f.pair("second", issue(tlstest.RSA2048, "b.example", "c.example")),
	}
	one, again := load(t, Source{Pairs: pairs}), load(t, Source{Pairs: []Pair{pairs[1], pairs[0]}})
	ids := map[string]bool{}
	for _, name := range []string{"a.example", "b.example", "c.example"} {
		x, _ := one.Lookup(name)
		y, _ := again.Lookup(name)
		if x.ID != y.ID {
			t.Errorf("%s: the order of the files changes the set", name)
		}
		ids[string(x.ID[:])] = true
	}
	if len(ids) != 3 {
		t.Errorf("%d sets, want 3", len(ids))
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	s := street(t, true)
	for _, name := range []string{"a.b.example", "A.B.EXAMPLE", "x.b.example", "y.x.b.example", "elsewhere.test"} {
		hello := &tls.ClientHelloInfo{ServerName: name}
		if n := testing.AllocsPerRun(100, func() { _, _ = s.GetCertificate(hello) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	s := street(b, false)
	for _, name := range []string{"a.b.example", "A.B.EXAMPLE", "x.b.example", "elsewhere.test"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			hello := &tls.ClientHelloInfo{ServerName: name}
			for b.Loop() {
				if _, err := s.GetCertificate(hello); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestMatchesAreOrdered(t *testing.T) {
	if got := fmt.Sprint(Exact, Narrow, Wide, Fallback, Refused); got != "1 2 3 4 5" {
		t.Fatal(got)
	}
}
