//go:build linux

package certs

import (
	"crypto/tls"
	"os"
	"slices"
	"sync"
	"testing"

	"culvert/tls/internal/tlstest"
)

// shownTo returns the file of the certificate that a store shows for a.example.
func shownBy(l *Live) *Certificate {
	set, _ := l.Store().Lookup("a.example")
	return set.Certificates[0]
}

// TestReload follows a deployment: files are replaced one after the other, and once wrongly.
func TestReload(t *testing.T) {
	f := newFolder(t)
	old, next := issue(tlstest.ECDSA256, "a.example"), issue(tlstest.RSA2048, "a.example")
	pair := f.pair("a", old)
	l, err := Open(Source{Pairs: []Pair{pair}}, now)
	if err != nil {
		t.Fatal(err)
	}
	first := l.Store()
	due := func(want bool) {
		t.Helper()
		if l.Due(now) != want {
			t.Fatalf("due is %v", !want)
		}
	}
	due(false)
	f.put("a.crt", next.CertPEM)
	due(false) // not settled
	due(true)
	wantError(t, l.Reload(now), "stay as they are", "a.crt", "does not match")
	if l.Store() != first {
		t.Fatal("a broken file has replaced the store")
	}
	due(false) // the failure is told once
	f.put("a.key", next.KeyPEM)
	due(false)
	due(true)
	if err := l.Reload(now); err != nil {
		t.Fatal(err)
	}
	if shownBy(l).Kind != "RSA 2048" {
		t.Fatalf("shown is %s", shownBy(l).Kind)
	}
	if set, _ := first.Lookup("a.example"); set.Certificates[0].Kind != "ECDSA P-256" {
		t.Fatal("the old store has changed under those who use it")
	}
	if err := os.Remove(pair.KeyFile); err != nil {
		t.Fatal(err)
	}
	due(false)
	due(false)
	wantError(t, l.Reload(now), "a.key does not exist") // whoever asks for it is told
}

func TestReloadOfAFolder(t *testing.T) {
	f := newFolder(t)
	f.pair("z", issue(tlstest.ECDSA256, "z.example"))
	l, err := Open(Source{Folders: []string{f.path}}, now)
	if err != nil {
		t.Fatal(err)
	}
	f.pair("a", issue(tlstest.ECDSA256, "a.example"))
	if l.Due(now) || !l.Due(now) {
		t.Fatal("a new pair is not noticed")
	}
	if err := l.Reload(now); err != nil || !slices.Equal(shownBy(l).Names, []string{"a.example"}) {
		t.Fatal(err)
	}
}

// TestReloadUnderHandshakes is for the race detector.
func TestReloadUnderHandshakes(t *testing.T) {
	f := newFolder(t)
	l, err := Open(Source{Pairs: []Pair{f.pair("a", issue(tlstest.ECDSA256, "a.example"))}}, now)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 25 {
				server := &tls.Config{GetCertificate: l.GetCertificate, Time: tlstest.Clock}
				client := clientFor("a.example", root.Pool())
				client.Time = tlstest.Clock
				if outcome := tlstest.Handshake(server, client); !outcome.Accepted() {
					t.Error(outcome.Err())
				}
			}
		})
	}
	for range 50 {
		f.pair("a", issue(tlstest.ECDSA256, "a.example"))
		if err := l.Reload(now); err != nil {
			t.Error(err)
		}
	}
	wait.Wait()
}
