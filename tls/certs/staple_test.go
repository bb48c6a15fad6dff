//go:build linux

package certs

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"culvert/tls/internal/tlstest"

	"golang.org/x/crypto/ocsp"
)

// answer says good about a certificate, for an hour.
func answer(p *tlstest.Pair) ocsp.Response {
	return ocsp.Response{
		Status: ocsp.Good, SerialNumber: p.Certificate.SerialNumber,
		ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour),
	}
}

// signed is the answer signed by an authority, or by a certificate that it sends along.
func signed(t testing.TB, a ocsp.Response, by *tlstest.Authority, responder *tlstest.Pair) []byte {
	t.Helper()
	certificate, key := by.Certificate, by.Key
	if responder != nil {
		certificate, key, a.Certificate = responder.Certificate, responder.Key, responder.Certificate
	}
	der, err := ocsp.CreateResponse(by.Certificate, certificate, a, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestStaples(t *testing.T) {
	p, other := intermediate.Issue(tlstest.Leaf{Names: []string{"a.example"}}), intermediate.Issue(tlstest.Leaf{Names: []string{"b.example"}})
	changed := func(change func(*ocsp.Response)) []byte {
		a := answer(p)
		change(&a)
		return signed(t, a, intermediate, nil)
	}
	responder := intermediate.Issue(tlstest.Leaf{Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}})
	good := signed(t, answer(p), intermediate, nil)
	for _, c := range []struct {
		name   string
		staple []byte
		want   string // the warning; none means that the staple is used
	}{
		{"good", good, ""},
		{"by a responder of the issuer", signed(t, answer(p), intermediate, responder), ""},
		{"by another certificate of the issuer", signed(t, answer(p), intermediate, other), "may not sign such answers"},
		{"by another authority", signed(t, answer(p), root, nil), "signature"},
		{"about another certificate", signed(t, answer(other), intermediate, nil), "no response matching"},
		{"over", changed(func(a *ocsp.Response) { a.NextUpdate = now }), "it was valid until 2026-06-01 12:00 UTC"},
		{"from the future", changed(func(a *ocsp.Response) { a.ThisUpdate = now.Add(6 * time.Minute) }), "from the future"},
		{"without an end", changed(func(a *ocsp.Response) { a.NextUpdate = time.Time{} }), "how long"},
		{"revoked", changed(func(a *ocsp.Response) { a.Status, a.RevokedAt = ocsp.Revoked, now }), "revoked on 2026-06-01"},
		{"unknown", changed(func(a *ocsp.Response) { a.Status = ocsp.Unknown }), "not known"},
		{"damaged", good[:len(good)/2], "asn1"},
		{"empty", nil, "ignored"},
		{"text", []byte("-----BEGIN OCSP RESPONSE-----"), "ignored"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFolder(t)
			pair := f.pair("a", p)
			f.put("a.ocsp", c.staple)
			s := load(t, Source{Pairs: []Pair{pair}})
			wantWarning(t, s.Warnings(), c.want)
			_, outcome := shown(s, clientFor("a.example", root.Pool()))
			if got := outcome.Client.OCSPResponse; (len(got) > 0) != (c.want == "") || !outcome.Accepted() {
				t.Errorf("a staple of %d bytes is sent; %v", len(got), outcome.Err())
			}
		})
	}
	t.Run("without the issuer", func(t *testing.T) {
		f := newFolder(t)
		pair := f.pair("a", p)
		f.put("a.crt", tlstest.PEM(p.Certificate.Raw))
		f.put("a.ocsp", good)
		wantWarning(t, load(t, Source{Pairs: []Pair{pair}}).Warnings(), "the issuer's certificate is needed")
	})
}

// TestAStapleIsNotCurrentBeyondItsEnd: the rest of the store stays as it is.
func TestAStapleIsNotCurrentBeyondItsEnd(t *testing.T) {
	p := intermediate.Issue(tlstest.Leaf{Names: []string{"a.example"}})
	f := newFolder(t)
	pair := f.pair("a", p)
	f.put("a.ocsp", signed(t, answer(p), intermediate, nil))
	s := load(t, Source{Pairs: []Pair{pair, f.pair("b", issue(tlstest.ECDSA256, "b.example"))}, Strict: true})
	end := now.Add(time.Hour)
	if s.Current(end.Add(-time.Second)) != s {
		t.Error("it is let go of early")
	}
	next := s.Current(end)
	set, match := next.Lookup("a.example")
	if match != Exact || len(set.Certificates[0].TLS().OCSPStaple) > 0 || len(s.Default().Certificates[0].TLS().OCSPStaple) == 0 {
		t.Error("the staple is still there, or gone from the old store")
	}
	if set.ID != s.Default().ID || len(next.Sets()) != 2 || len(next.Certificates()) != 2 || next.Current(end) != next {
		t.Error("more has changed than the staple")
	}
	if set, _ := next.Select(&tls.ClientHelloInfo{ServerName: "c.example"}); set != nil {
		t.Error("it is not strict any more")
	}
}
