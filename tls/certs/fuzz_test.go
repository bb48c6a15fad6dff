//go:build linux

package certs

import (
	"bytes"
	"encoding/pem"
	"strings"
	"testing"

	"culvert/tls/internal/tlstest"
)

// FuzzPEM feeds files that hold both: nothing panics, an error says something, and what is accepted is usable.
func FuzzPEM(f *testing.F) {
	p := root.Issue(tlstest.Leaf{Names: []string{"a.example", "*.b.example"}, IPs: []string{"192.0.2.1"}})
	f.Add(append(p.KeyPEM, p.CertPEM...))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\n\nAA==\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		held, err := parsePEM(data)
		if err != nil && err.Error() == "" {
			t.Fatal("an error without words")
		}
		if err == nil && len(held.chain) > 0 && len(held.keys) == 1 {
			usable(t, held)
		}
	})
}

// usable: what add takes can be looked up by each of its names.
func usable(t *testing.T, held contents) {
	b := &builder{now: now}
	if b.add(Pair{}, held) != nil {
		return
	}
	s := b.build()
	for _, name := range s.all[0].Names {
		if set, match := s.Lookup(strings.Replace(name, "*", "x", 1)); match > Narrow || set != s.first {
			t.Fatalf("%q is not found: %d", name, match)
		}
	}
}

// FuzzCertificate feeds the DER of certificates, which fuzzing cannot reach through base 64.
func FuzzCertificate(f *testing.F) {
	p := issue(tlstest.ECDSA256, "a.example")
	f.Add(p.Certificate.Raw)
	f.Add(intermediate.Certificate.Raw)
	f.Fuzz(func(t *testing.T, der []byte) {
		held, err := parsePEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		if err != nil {
			return
		}
		names, _ := namesOf(held.chain[0])
		for _, name := range names {
			if again, ok := normalise(name); ok && again != name {
				t.Fatalf("%q becomes %q", name, again)
			}
		}
		_, _, _ = kindOf(held.chain[0].PublicKey)
		_, _ = checkChain(append(held.chain, intermediate.Certificate))
		_ = oddities(held.chain[0])
	})
}

// FuzzStaple: only what the issuer signed is taken.
func FuzzStaple(f *testing.F) {
	p := intermediate.Issue(tlstest.Leaf{Names: []string{"a.example"}})
	held, err := parsePEM(p.CertPEM)
	if err != nil {
		f.Fatal(err)
	}
	good := signed(f, answer(p), intermediate, nil)
	f.Add(good)
	f.Fuzz(func(t *testing.T, der []byte) {
		if until, err := checkStaple(der, held.chain, now); err == nil && !until.After(now) {
			t.Fatalf("taken until %v", until)
		}
	})
}

// FuzzName: every spelling of a name leads to the same, and what is no name to the default.
func FuzzName(f *testing.F) {
	s := street(f, false)
	for _, c := range names {
		f.Add(c.name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		set, match := s.Lookup(name)
		if set == nil || match < Exact || match > Fallback {
			t.Fatalf("%q: %v by %d", name, set, match)
		}
		if upper, _ := s.Lookup(string(bytes.ToUpper([]byte(name)))); isHost(name) && upper != set {
			t.Fatalf("%q: the case of letters matters", name)
		}
	})
}

// isHost leaves out what has no upper case of its own, and addresses, which are only known in their shortest form.
func isHost(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 127 || r == ':' }) < 0
}
