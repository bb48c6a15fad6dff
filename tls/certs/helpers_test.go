//go:build linux

package certs

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"culvert/tls/internal/tlstest"
)

var now = tlstest.Now

// folder is where a test's files are.
type folder struct {
	t    testing.TB
	path string
}

func newFolder(t testing.TB) folder { return folder{t, t.TempDir()} }

// put writes a file of the parts, readable by its owner only, and returns its name.
func (f folder) put(name string, parts ...[]byte) string {
	f.t.Helper()
	full := filepath.Join(f.path, name)
	if err := os.WriteFile(full, slices.Concat(parts...), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return full
}

// pair writes name.crt and name.key.
func (f folder) pair(name string, p *tlstest.Pair) Pair {
	return Pair{CertFile: f.put(name+".crt", p.CertPEM), KeyFile: f.put(name+".key", p.KeyPEM)}
}

// load expects a store.
func load(t testing.TB, source Source) *Store {
	t.Helper()
	s, err := Load(source, now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantError expects an error that contains all the words.
func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("error %v, want %q in it", err, w)
		}
	}
}

// wantWarning expects one warning that contains the text, or none at all if text is empty.
func wantWarning(t *testing.T, warnings []Warning, text string) {
	t.Helper()
	if text == "" && len(warnings) == 0 {
		return
	}
	if len(warnings) != 1 || text == "" || !strings.Contains(warnings[0].String(), text) {
		t.Errorf("warnings %v, want %q", warnings, text)
	}
}

// shown returns the certificate that a client of the configuration gets.
func shown(store *Store, client *tls.Config) (file string, outcome tlstest.Outcome) {
	server := &tls.Config{GetCertificate: store.GetCertificate, Time: tlstest.Clock}
	client.Time = tlstest.Clock
	outcome = tlstest.Handshake(server, client)
	if outcome.Accepted() {
		for _, c := range store.Certificates() {
			if string(c.Leaf.Raw) == string(outcome.Client.PeerCertificates[0].Raw) {
				file = strings.TrimSuffix(filepath.Base(c.File), ".crt")
			}
		}
	}
	return file, outcome
}
