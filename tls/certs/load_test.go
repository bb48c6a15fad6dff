//go:build linux

package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/tls/internal/tlstest"
)

var (
	root         = tlstest.NewAuthority("Root")
	intermediate = root.Intermediate("Intermediate")
)

func issue(key tlstest.Key, names ...string) *tlstest.Pair {
	return root.Issue(tlstest.Leaf{Names: names, Key: key})
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestEveryKindOfKeyIsLoaded(t *testing.T) {
	for kind, key := range map[string]tlstest.Key{
		"RSA 2048": tlstest.RSA2048, "RSA 4096": tlstest.RSA4096, "ECDSA P-256": tlstest.ECDSA256,
		"ECDSA P-384": tlstest.ECDSA384, "ECDSA P-521": tlstest.ECDSA521, "Ed25519": tlstest.Ed25519,
	} {
		f := newFolder(t)
		s := load(t, Source{Pairs: []Pair{f.pair("a", issue(key, "a.example"))}})
		wantWarning(t, s.Warnings(), "")
		if got := s.Certificates()[0]; got.Kind != kind || !slices.Equal(got.Names, []string{"a.example"}) {
			t.Errorf("%s: loaded as %s for %v", kind, got.Kind, got.Names)
		}
		client := root.Pool()
		if _, outcome := shown(s, clientFor("a.example", client)); !outcome.Accepted() {
			t.Errorf("%s: %v", kind, outcome.Err())
		}
	}
}

func TestEveryFormOfKeyIsRead(t *testing.T) {
	elliptic, ron := issue(tlstest.ECDSA256, "a.example"), issue(tlstest.RSA2048, "a.example")
	sec1, err := x509.MarshalECPrivateKey(elliptic.Key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := x509.MarshalPKCS1PrivateKey(ron.Key.(*rsa.PrivateKey))
	f := newFolder(t)
	for name, c := range map[string]struct {
		pair *tlstest.Pair
		key  []byte
	}{
		"SEC 1":                   {elliptic, block("EC PRIVATE KEY", sec1)},
		"SEC 1 behind parameters": {elliptic, append(block("EC PARAMETERS", []byte{6, 1, 1}), block("EC PRIVATE KEY", sec1)...)},
		"PKCS #1":                 {ron, block("RSA PRIVATE KEY", pkcs1)},
		"a wrong label":           {ron, block("PRIVATE KEY", pkcs1)},
		"text around it":          {elliptic, append([]byte("Bag Attributes\n"), elliptic.KeyPEM...)},
	} {
		t.Run(name, func(t *testing.T) {
			load(t, Source{Pairs: []Pair{{f.put("a.crt", c.pair.CertPEM), f.put("a.key", c.key)}}})
		})
	}
}

// TestErrorsAreForPeople: each names the file and says what is wrong and, where there is a choice, what is allowed.
func TestErrorsAreForPeople(t *testing.T) {
	good, other := issue(tlstest.ECDSA256, "a.example"), issue(tlstest.ECDSA256, "b.example")
	chained := intermediate.Issue(tlstest.Leaf{Names: []string{"c.example"}})
	two := intermediate.Intermediate("Second").Issue(tlstest.Leaf{Names: []string{"d.example"}})
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte{1}})
	interDER := intermediate.Certificate.Raw
	early := root.Issue(tlstest.Leaf{Names: []string{"a.example"}, NotBefore: now.Add(time.Hour)})
	weak, odd := issue(tlstest.RSA1024, "a.example"), issue(tlstest.ECDSA224, "a.example")
	for _, c := range []struct {
		name      string
		cert, key []byte
		words     []string
	}{
		{"a key of another certificate", good.CertPEM, other.KeyPEM, []string{"a.crt", "a.key", "does not match", `"a.example"`}},
		{"not yet valid", early.CertPEM, early.KeyPEM, []string{"a.crt", "not yet valid", "2026-06-01 13:00", "now it is"}},
		{"weak RSA", weak.CertPEM, weak.KeyPEM, []string{"a.crt", "1024", "too weak", "2048", "P-256"}},
		{"another curve", odd.CertPEM, odd.KeyPEM, []string{"a.crt", "P-224 is not supported", "P-521"}},
		{"an encrypted key, PKCS #8", good.CertPEM, block("ENCRYPTED PRIVATE KEY", []byte{1}), []string{"a.key", "encrypted", "openssl pkey"}},
		{"an encrypted key, old form", good.CertPEM, encrypted, []string{"a.key", "encrypted"}},
		{"swapped", good.KeyPEM, good.CertPEM, []string{"a.crt", "no certificate", "swapped"}},
		{"no certificate", block("EC PARAMETERS", []byte{6}), good.KeyPEM, []string{"a.crt", "holds no certificate"}},
		{"no key", good.CertPEM, other.CertPEM, []string{"a.key", "holds no private key"}},
		{"two keys", good.CertPEM, slices.Concat(good.KeyPEM, other.KeyPEM), []string{"a.key", "2 private keys"}},
		{"empty", nil, good.KeyPEM, []string{"a.crt", "no PEM"}},
		{"DER", good.Certificate.Raw, good.KeyPEM, []string{"a.crt", "DER", "openssl x509"}},
		{"a damaged block", bytes.Replace(good.CertPEM, []byte("\nMII"), []byte("\n!!!"), 1), good.KeyPEM, []string{"a.crt", "damaged"}},
		{"a cut block", good.CertPEM[:len(good.CertPEM)/2], good.KeyPEM, []string{"a.crt", "damaged"}},
		{"damaged DER", block("CERTIFICATE", good.Certificate.Raw[:100]), good.KeyPEM, []string{"a.crt", "certificate 1 cannot be read"}},
		{"a damaged key", good.CertPEM, block("PRIVATE KEY", []byte{48, 0}), []string{"a.key", "cannot be read"}},
		{"OpenSSL's own format", block("TRUSTED CERTIFICATE", good.Certificate.Raw), good.KeyPEM, []string{"a.crt", "convert"}},
		{"the issuer first", tlstest.PEM(interDER, chained.Certificate.Raw), chained.KeyPEM, []string{"a.crt", "wrong order", "certificate 2", `"c.example"`, "first"}},
		{"issuers in the wrong order", tlstest.PEM(two.TLS.Certificate[0], interDER, two.TLS.Certificate[1]), two.KeyPEM, []string{"a.crt", "wrong order", `"d.example" must be followed by its issuer, "CN=Second"`}},
		{"an endless chain", bytes.Repeat(good.CertPEM, maxChain+1), good.KeyPEM, []string{"a.crt", "more than 10"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFolder(t)
			_, err := Load(Source{Pairs: []Pair{{f.put("a.crt", c.cert), f.put("a.key", c.key)}}}, now)
			wantError(t, err, c.words...)
		})
	}
}

func TestAllProblemsAreToldAtOnce(t *testing.T) {
	f := newFolder(t)
	_, err := Load(Source{Pairs: []Pair{{f.path + "/x.crt", f.path + "/x.key"}, {f.put("y.crt"), f.put("y.key")}}, Folders: []string{f.path + "/none"}}, now)
	wantError(t, err, "x.crt does not exist", "y.crt: holds no PEM", "none does not exist")
	_, err = Load(Source{}, now)
	wantError(t, err, "at least one")
}

func TestWarnings(t *testing.T) {
	named := func(cn string) tlstest.Leaf { return tlstest.Leaf{Subject: pkix.Name{CommonName: cn}} }
	for _, c := range []struct {
		name string
		leaf tlstest.Leaf
		want string
	}{
		{"nothing odd", tlstest.Leaf{Names: []string{"a.example"}, IPs: []string{"192.0.2.1"}}, ""},
		{"common name only", named("a.example"), "no subject alternative names"},
		{"common name is an address", named("192.0.2.1"), "no subject alternative names"},
		{"a wildcard in the middle", tlstest.Leaf{Names: []string{"a.example", "a.*.example"}}, `"a.*.example" cannot be asked for`},
		{"part of a label", tlstest.Leaf{Names: []string{"a.example", "f*.example"}}, "left out"},
		{"a dot at the end", tlstest.Leaf{Names: []string{"a.example", "b.example."}}, "left out"},
		{"everything", tlstest.Leaf{Names: []string{"a.example", "*"}}, `"*" cannot`},
		{"for clients", tlstest.Leaf{Names: []string{"a.example"}, Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, "not meant for servers"},
		{"SHA-1", tlstest.Leaf{Names: []string{"a.example"}, Weak: x509.ECDSAWithSHA1}, "signed with ECDSA-SHA1"},
		{"a moment ahead", tlstest.Leaf{Names: []string{"a.example"}, NotBefore: now.Add(clockSkew)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFolder(t)
			wantWarning(t, load(t, Source{Pairs: []Pair{f.pair("a", root.Issue(c.leaf))}}).Warnings(), c.want)
		})
	}
	t.Run("a stranger in the chain", func(t *testing.T) {
		f, p := newFolder(t), issue(tlstest.ECDSA256, "a.example")
		pair := f.pair("a", p)
		f.put("a.crt", p.CertPEM, tlstest.PEM(intermediate.Certificate.Raw))
		wantWarning(t, load(t, Source{Pairs: []Pair{pair}}).Warnings(), `"CN=Intermediate" has not issued`)
	})
	t.Run("a key that everybody may read", func(t *testing.T) {
		f := newFolder(t)
		pair := f.pair("a", issue(tlstest.ECDSA256, "a.example"))
		if err := os.Chmod(pair.KeyFile, 0o644); err != nil {
			t.Fatal(err)
		}
		wantWarning(t, load(t, Source{Pairs: []Pair{pair}}).Warnings(), "a.key: every user of this machine may read")
	})
}

func TestFolders(t *testing.T) {
	one, two, three := issue(tlstest.ECDSA256, "1.example"), issue(tlstest.ECDSA256, "2.example"), issue(tlstest.ECDSA256, "3.example")
	f := newFolder(t)
	f.pair("b", one)
	f.put("c.pem", two.CertPEM, two.KeyPEM)
	f.put("a.pem", three.CertPEM)
	f.put("a.key", three.KeyPEM)
	f.put(".hidden.crt", nil)
	f.put("README", nil)
	s := load(t, Source{Folders: []string{f.path}})
	var names []string
	for _, c := range s.Certificates() {
		names = append(names, c.Names...)
	}
	if got := strings.Join(names, " "); got != "3.example 1.example 2.example" {
		t.Errorf("loaded %s, want them in the order of the files", got)
	}
	for name, c := range map[string]struct{ file, words string }{
		"a key alone":         {"x.key", "x.key has no certificate beside it"},
		"a certificate alone": {"x.crt", "x.crt holds no private key"},
		"two of a name":       {"b.pem", "b.pem lies beside b.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			full := f.put(c.file, map[bool][]byte{true: one.KeyPEM, false: one.CertPEM}[strings.HasSuffix(c.file, ".key")])
			defer os.Remove(full)
			_, err := Load(Source{Folders: []string{f.path}}, now)
			wantError(t, err, c.words)
		})
	}
	_, err := Load(Source{Folders: []string{t.TempDir()}}, now)
	wantError(t, err, "holds no certificate")
}

func TestExpiry(t *testing.T) {
	f := newFolder(t)
	var pairs []Pair
	for name, end := range map[string]time.Duration{"gone": 0, "soon": expiryWarning, "later": expiryWarning + time.Second} {
		pairs = append(pairs, f.pair(name, root.Issue(tlstest.Leaf{Names: []string{name + ".example"}, NotAfter: now.Add(end)})))
	}
	s := load(t, Source{Pairs: pairs})
	wantWarning(t, s.Warnings(), "")
	var texts []string
	for _, w := range s.Expiring(now) {
		texts = append(texts, w.String())
	}
	slices.Sort(texts)
	if len(texts) != 2 || !strings.Contains(texts[0], `"gone.example" has expired on 2026-06-01 12:00 UTC`) ||
		!strings.Contains(texts[1], `"soon.example" expires in 30 days, on 2026-07-01 12:00 UTC`) {
		t.Error(texts)
	}
	for i, e := range s.Expiry() {
		if c := s.Certificates()[i]; e.Name != c.Names[0] || e.File != c.File || !e.NotAfter.Equal(c.Leaf.NotAfter) || e.Kind != "ECDSA P-256" {
			t.Errorf("%+v", e)
		}
	}
}

func TestSelfSigned(t *testing.T) {
	s, err := SelfSigned(now)
	if err != nil {
		t.Fatal(err)
	}
	wantWarning(t, s.Warnings(), "")
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.Certificates()[0].PEM()) {
		t.Fatal("not PEM")
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		if _, outcome := shown(s, clientFor(name, pool)); !outcome.Accepted() {
			t.Errorf("%s: %v", name, outcome.Err())
		}
	}
	if left := s.Expiry()[0].NotAfter.Sub(now); left <= 0 || left > 8*24*time.Hour {
		t.Errorf("valid for %v", left)
	}
}
