//go:build linux

package authorities

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culvert/tls/internal/tlstest"
)

var now = tlstest.Now

func parse(t testing.TB, issuers ...*tlstest.Authority) *Bundle {
	t.Helper()
	var text []byte
	for _, a := range issuers {
		text = append(text, tlstest.PEM(a.Certificate.Raw)...)
	}
	b, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLoad(t *testing.T) {
	a, b := tlstest.NewAuthority("A"), tlstest.NewAuthority("B")
	leaf := a.Issue(tlstest.Leaf{Names: []string{"a.example"}})
	pemA := tlstest.PEM(a.Certificate.Raw)
	name := filepath.Join(t.TempDir(), "ca.pem")
	for _, c := range []struct {
		what, text, problem, warning string
		at                           time.Time
	}{
		{"one", string(pemA), "", "", now},
		{"with text around", "A\n" + string(pemA) + "B\n", "", "", now},
		{"expired", string(pemA), "", `the authority "CN=A" has expired on 2035-06-01`, now.AddDate(10, 0, 0)},
		{"a leaf", string(leaf.CertPEM), "", `"CN=leaf" is no authority`, now},
		{"empty", "", "no certificate", "", now},
		{"a key", string(leaf.KeyPEM), "holds a PRIVATE KEY", "", now},
		{"damaged", string(pemA) + string(pemA[:100]), "damaged", "", now},
		{"damaged DER", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate.Raw[:50]})), "certificate 1 cannot be read", "", now},
	} {
		if err := os.WriteFile(name, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		bundle, err := Load(name)
		var warnings []string
		if err == nil {
			warnings = bundle.Warnings(c.at)
		}
		if (err != nil) != (c.problem != "") || err != nil && !(strings.Contains(err.Error(), c.problem) && strings.HasPrefix(err.Error(), name)) {
			t.Errorf("%s: %v, want %q", c.what, err, c.problem)
		}
		if got := strings.Join(warnings, "|"); (got == "") != (c.warning == "") || !strings.Contains(got, c.warning) {
			t.Errorf("%s: warnings %q, want %q", c.what, got, c.warning)
		}
	}
	if _, err := Load(name + "x"); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Error(err)
	}
	if parse(t, a, b).ID != parse(t, b, a, b).ID || parse(t, a).ID == parse(t, b).ID || parse(t, a).ID == parse(t, a, b).ID {
		t.Error("the ID does not tell sets of authorities apart")
	}
}

// FuzzParse: nothing panics, and what is accepted has members.
func FuzzParse(f *testing.F) {
	f.Add(tlstest.PEM(tlstest.NewAuthority("A").Certificate.Raw))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if a, err := Parse(data); err == nil && len(a.all) == 0 {
			t.Fatal("a bundle without certificates")
		}
	})
}
