//go:build linux

package listener

import (
	"bytes"
	standard "crypto/tls"
	"fmt"
	"testing"
	"time"

	"culvert/tls/certs"
	"culvert/tls/internal/tlstest"
	"culvert/tls/tickets"
)

// contexts are all combinations of two names of listeners, two certificates, three client CAs and two policies.
func contexts(f folder) map[string]Options {
	first, _ := f.pair("a", tlstest.Leaf{Names: []string{"a.example"}})
	second, _ := f.pair("b", tlstest.Leaf{Names: []string{"a.example"}})
	cas := map[string]string{
		"no client CA": "",
		"client CA A":  f.put("A.pem", tlstest.PEM(clientA.Certificate.Raw)),
		"client CA B":  f.put("B.pem", tlstest.PEM(clientB.Certificate.Raw)),
	}
	all := map[string]Options{}
	for _, name := range []string{"192.0.2.1:443", "192.0.2.1:8443"} {
		for i, p := range []certs.Pair{first, second} {
			for which, ca := range cas {
				for _, policy := range []string{"intermediate", "tls_cipher_policy_1_2_strict_with_1_3"} {
					all[fmt.Sprintf("%s, certificate %d, %s, %s", name, i, which, policy)] =
						Options{Name: name, Certificates: source(p), ClientCA: ca, Policy: policy}
				}
			}
		}
	}
	return all
}

// keyFile writes ticket keys that two processes share.
func keyFile(f folder, name string) string {
	text, err := tickets.NextFile("", now.Add(-time.Hour))
	if err != nil {
		f.t.Fatal(err)
	}
	return f.put(name, []byte(text))
}

// TestATicketResumesUnderItsOwnContextOnly offers the ticket of each listener to all of another process with the same
// key file, to itself, and to its twin in a process with other keys.
func TestATicketResumesUnderItsOwnContextOnly(t *testing.T) {
	f, h := newFolder(t), newHouse(t)
	shared := keyFile(f, "keys")
	here, _ := newRing(t, shared)
	there, _ := newRing(t, shared)
	elsewhere, _ := newRing(t, keyFile(f, "others"))
	all := contexts(f)
	if len(all) != 24 {
		t.Fatalf("%d contexts, want 24", len(all))
	}
	ours, theirs, strangers := map[string]*Listener{}, map[string]*Listener{}, map[string]*Listener{}
	for name, o := range all {
		ours[name], theirs[name], strangers[name] = open(t, o, here), open(t, o, there), open(t, o, elsewhere)
	}
	certificates := []standard.Certificate{clientA.Issue(tlstest.Leaf{}).TLS, clientB.Issue(tlstest.Leaf{}).TLS}
	for spelled, number := range version {
		for from, first := range ours {
			s, client := &session{}, anyone("a.example")
			client.MaxVersion, client.ClientSessionCache, client.Certificates = number, s, certificates
			if v := h.visit(first, client); !v.accepted() || v.server.Resumed || s.state == nil {
				t.Fatalf("TLS %s, %s: no ticket, %v", spelled, from, v.err())
			}
			s.frozen = true
			for to, second := range theirs {
				if v := h.visit(second, client); !v.accepted() || v.server.Resumed != (from == to) {
					t.Errorf("TLS %s, a ticket of %q at %q: resumed %v, %v", spelled, from, to, v.server.Resumed, v.err())
				}
			}
			if v := h.visit(first, client); !v.server.Resumed {
				t.Errorf("TLS %s, %s: not resumed where it is from, %v", spelled, from, v.err())
			}
			if v := h.visit(strangers[from], client); !v.accepted() || v.server.Resumed {
				t.Errorf("TLS %s, %s: resumed without its keys, %v", spelled, from, v.err())
			}
		}
	}
}

// names are asked of one listener with four sets of certificates. "" is no name.
var names = []string{"a.example", "A.example", "b.example", "c.example", "x.w.example", "y.w.example", "z.y.w.example", "unknown.example", ""}

// several writes certificates: one of two names, two of one name with different keys, a wildcard, an address.
func several(f folder) (s certs.Source, shown map[string]*tlstest.Pair) {
	one, first := f.pair("1", tlstest.Leaf{Names: []string{"a.example", "b.example"}})
	two, second := f.pair("2", tlstest.Leaf{Names: []string{"c.example"}})
	rsa, _ := f.pair("2-rsa", tlstest.Leaf{Names: []string{"c.example"}, Key: tlstest.RSA2048})
	wild, third := f.pair("3", tlstest.Leaf{Names: []string{"*.w.example"}})
	address, fourth := f.pair("4", tlstest.Leaf{IPs: []string{"192.0.2.4", "2001:db8::4"}})
	return source(one, two, rsa, wild, address), map[string]*tlstest.Pair{
		"a.example": first, "A.example": first, "b.example": first, "c.example": second, "x.w.example": third, "y.w.example": third,
		"z.y.w.example": third, "unknown.example": first, "": first, "192.0.2.4:443": fourth, "[2001:db8::4]:443": fourth,
	}
}

// TestATicketResumesUnderItsOwnNameOnly offers the ticket of each name under each other.
func TestATicketResumesUnderItsOwnNameOnly(t *testing.T) {
	f, h := newFolder(t), newHouse(t)
	ring, _ := newRing(t, "")
	s, shown := several(f)
	l := open(t, Options{Name: "l", Certificates: s}, ring)
	for spelled, number := range version {
		for _, from := range names {
			memory, client := &session{}, anyone(from)
			client.MaxVersion, client.ClientSessionCache = number, memory
			if v := h.visit(l, client); !v.accepted() || !bytes.Equal(v.leaf(), shown[from].Certificate.Raw) {
				t.Fatalf("TLS %s, %q: the wrong certificate, %v", spelled, from, v.err())
			}
			memory.frozen = true
			for _, to := range names {
				client.ServerName = to
				if v := h.visit(l, client); !v.accepted() || v.server.Resumed != (from == to) {
					t.Errorf("TLS %s, a ticket of %q at %q: resumed %v, %v", spelled, from, to, v.server.Resumed, v.err())
				}
			}
		}
	}
}

func TestNoTicketsWithoutARing(t *testing.T) {
	f, h := newFolder(t), newHouse(t)
	p, _ := f.pair("a", tlstest.Leaf{Names: []string{"a.example"}})
	l := open(t, Options{Certificates: source(p)}, nil)
	for _, number := range version {
		s, client := &session{}, anyone("a.example")
		client.MaxVersion, client.ClientSessionCache = number, s
		for range 2 {
			if v := h.visit(l, client); !v.accepted() || v.server.Resumed || s.state != nil {
				t.Errorf("resumed %v, %v", v.server.Resumed, v.err())
			}
		}
	}
	l.Refresh()
}

// TestTheAddressChoosesForWhoAsksForNoName: an address that no certificate holds leads to the default.
func TestTheAddressChoosesForWhoAsksForNoName(t *testing.T) {
	f, h := newFolder(t), newHouse(t)
	s, shown := several(f)
	l := open(t, Options{Certificates: s}, nil)
	for local, want := range map[string]string{
		"192.0.2.4:443": "192.0.2.4:443", "[::ffff:192.0.2.4]:80": "192.0.2.4:443", "[2001:db8::4]:443": "[2001:db8::4]:443",
		"192.0.2.5:443": "", "": "",
	} {
		if v := h.begin(l, anyone(""), local).finish(); !v.accepted() || !bytes.Equal(v.leaf(), shown[want].Certificate.Raw) {
			t.Errorf("at %q: the wrong certificate, %v", local, v.err())
		}
		if v := h.begin(l, anyone("c.example"), local).finish(); !bytes.Equal(v.leaf(), shown["c.example"].Certificate.Raw) {
			t.Errorf("at %q the name does not count, %v", local, v.err())
		}
	}
}

// TestStrictNames: only names and addresses that a certificate holds.
func TestStrictNames(t *testing.T) {
	f, h := newFolder(t), newHouse(t)
	ring, _ := newRing(t, "")
	s, shown := several(f)
	s.Strict = true
	l := open(t, Options{Certificates: s}, ring)
	for _, number := range version {
		for name, local := range map[string]string{
			"a.example": "", "c.example": "", "x.w.example": "", "z.y.w.example": "", "unknown.example": "192.0.2.4:443",
			"": "", "192.0.2.5": "192.0.2.5:443", "192.0.2.4": "192.0.2.4:443",
		} {
			client := anyone(name) // crypto/tls does not ask for addresses
			client.MaxVersion = number
			v := h.begin(l, client, local).finish()
			refused := name == "" || name == "z.y.w.example" || name == "unknown.example" || name == "192.0.2.5"
			if v.accepted() == refused || refused && alertOf(v) != "unrecognized name" {
				t.Errorf("%q at %q: %v", name, local, v.err())
			}
			if name == "192.0.2.4" && !bytes.Equal(v.leaf(), shown[local].Certificate.Raw) {
				t.Error("not the certificate of the address")
			}
		}
	}
	old := anyone("unknown.example")
	old.MinVersion, old.MaxVersion = standard.VersionTLS10, standard.VersionTLS11
	if v := h.visit(l, old); alertOf(v) != "protocol version not supported" {
		t.Errorf("the policy does not come first: %v", v.err())
	}
}

// TestBothKindsOfKeysAreShown: a client that does not know ECDSA gets the certificate with RSA.
func TestBothKindsOfKeysAreShown(t *testing.T) {
	f, h := newFolder(t), newHouse(t)
	s, shown := several(f)
	l := open(t, Options{Certificates: s}, nil)
	client := anyone("c.example")
	client.MaxVersion = standard.VersionTLS12
	client.CipherSuites = []uint16{standard.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	if v := h.visit(l, client); !v.accepted() || bytes.Equal(v.leaf(), shown["c.example"].Certificate.Raw) {
		t.Errorf("%v", v.err())
	}
}
