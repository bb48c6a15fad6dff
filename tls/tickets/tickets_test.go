//go:build linux

package tickets

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"slices"
	"testing"
	"time"

	"culvert/tls/authorities"
	"culvert/tls/clientauth"
	"culvert/tls/internal/tlstest"
	"culvert/tls/policy"
)

// clock is virtual.
type clock struct{ now time.Time }

func (c *clock) tell() time.Time { return c.now }

func newRing(t testing.TB, o Options) (*Ring, *clock) {
	t.Helper()
	c := &clock{tlstest.Now}
	o.Clock = c.tell
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

// session is a client's memory of one session: it keeps the newest and offers it everywhere, whatever the name.
type session struct {
	state  *tls.ClientSessionState
	frozen bool
}

func (s *session) Get(string) (*tls.ClientSessionState, bool) { return s.state, s.state != nil }

func (s *session) Put(_ string, state *tls.ClientSessionState) {
	if state != nil && !s.frozen {
		s.state = state
	}
}

var (
	authority = tlstest.NewAuthority("Servers")
	pair      = authority.Issue(tlstest.Leaf{Names: []string{"a.example", "b.example"}})
	versions  = []uint16{tls.VersionTLS12, tls.VersionTLS13}
)

// visit performs a handshake and reports whether it resumed a session.
func visit(t *testing.T, server *tls.Config, c *clock, s *session, name string, version uint16) bool {
	t.Helper()
	outcome := tlstest.Handshake(server, &tls.Config{ServerName: name, RootCAs: authority.Pool(), Time: c.tell, MaxVersion: version, ClientSessionCache: s})
	if !outcome.Accepted() {
		t.Fatal(outcome.Err())
	}
	return outcome.Server.DidResume
}

func listener(c *clock) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{pair.TLS}, Time: c.tell}
}

// contexts are all combinations of two listeners, two certificates, three client CAs and two policies.
func contexts(t *testing.T, ring *Ring, c *clock) map[string]*tls.Config {
	t.Helper()
	all := map[string]*tls.Config{}
	cas := map[string]*authorities.Bundle{"no client CA": nil}
	for name, a := range clientAuthorities {
		parsed, err := authorities.Parse(tlstest.PEM(a.Certificate.Raw))
		if err != nil {
			t.Fatal(err)
		}
		cas[name] = parsed
	}
	certificates := []*tlstest.Pair{pair, authority.Issue(tlstest.Leaf{Names: []string{"a.example"}})}
	for _, where := range []string{"192.0.2.1:443", "192.0.2.1:8443"} {
		for i, certificate := range certificates {
			for caName, ca := range cas {
				for _, named := range []string{"intermediate", "tls_cipher_policy_1_2_strict_with_1_3"} {
					config := &tls.Config{Certificates: []tls.Certificate{certificate.TLS}, Time: c.tell}
					context := Context{Listener: where, Certificates: sha256.Sum256(certificate.Certificate.Raw), Policy: named}
					p, err := policy.Lookup(named)
					if err != nil {
						t.Fatal(err)
					}
					p.Apply(config)
					if ca != nil {
						clientauth.Apply(config, ca, clientauth.Require)
						context.ClientCA = ca.ID
					}
					ring.Bind(config, context)
					all[fmt.Sprintf("%s, certificate %d, %s, %s", where, i, caName, named)] = config
				}
			}
		}
	}
	return all
}

var clientAuthorities = map[string]*tlstest.Authority{"client CA A": tlstest.NewAuthority("A"), "client CA B": tlstest.NewAuthority("B")}

// TestATicketResumesUnderItsOwnContextOnly offers the ticket of each context to every other.
func TestATicketResumesUnderItsOwnContextOnly(t *testing.T) {
	ring, c := newRing(t, Options{})
	all := contexts(t, ring, c)
	if len(all) != 24 {
		t.Fatalf("%d contexts, want 24", len(all))
	}
	var clients []tls.Certificate
	for _, a := range clientAuthorities {
		clients = append(clients, a.Issue(tlstest.Leaf{}).TLS)
	}
	for _, version := range versions {
		for from, first := range all {
			s := &session{}
			client := &tls.Config{ServerName: "a.example", RootCAs: authority.Pool(), Time: c.tell, MaxVersion: version, ClientSessionCache: s, Certificates: clients}
			if outcome := tlstest.Handshake(first, client); !outcome.Accepted() || outcome.Server.DidResume || s.state == nil {
				t.Fatalf("%s: no ticket: %v", from, outcome.Err())
			}
			s.frozen = true
			for to, second := range all {
				outcome := tlstest.Handshake(second, client)
				if !outcome.Accepted() || outcome.Server.DidResume != (from == to) {
					t.Errorf("TLS %x, a ticket of %q at %q: resumed %v, %v", version, from, to, outcome.Server.DidResume, outcome.Err())
				}
			}
		}
	}
}

func TestContextsAreSpelledApart(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range []Context{{}, {Listener: "a"}, {Policy: "a"}, {Listener: "ab"}, {Listener: "a", Policy: "b"}, {Certificates: [32]byte{1}}, {ClientCA: [32]byte{1}}, {Listener: "\x00"}} {
		if seen[c.info()] {
			t.Errorf("%+v is spelled like another", c)
		}
		seen[c.info()] = true
	}
}

// TestAnotherNameMeansAFullHandshake: T05, also where one certificate holds both names.
func TestAnotherNameMeansAFullHandshake(t *testing.T) {
	for _, version := range versions {
		ring, c := newRing(t, Options{})
		server, s := listener(c), &session{}
		ring.Bind(server, Context{})
		for i, step := range []struct {
			name    string
			resumes bool
		}{{"a.example", false}, {"a.example", true}, {"b.example", false}, {"b.example", true}, {"a.example", false}} {
			if got := visit(t, server, c, s, step.name, version); got != step.resumes {
				t.Errorf("TLS %x, step %d, %s: resumed %v", version, i, step.name, got)
			}
		}
	}
}

// TestASessionEnds: in TLS 1.2 all tickets of a session count from its full handshake, in TLS 1.3 each resumption is new.
func TestASessionEnds(t *testing.T) {
	for _, version := range versions {
		ring, c := newRing(t, Options{})
		server, s := listener(c), &session{}
		ring.Bind(server, Context{})
		visit(t, server, c, s, "a.example", version)
		for i, step := range []struct {
			after      time.Duration
			in12, in13 bool
		}{{200 * time.Second, true, true}, {100 * time.Second, true, true}, {time.Second, false, true}, {300 * time.Second, true, true}, {301 * time.Second, false, false}} {
			c.now = c.now.Add(step.after)
			want := step.in13
			if version == tls.VersionTLS12 {
				want = step.in12
			}
			if got := visit(t, server, c, s, "a.example", version); got != want {
				t.Errorf("TLS %x, step %d: resumed %v", version, i, got)
			}
		}
	}
}

// TestRotation: the key changes, those who have a ticket of the last one do not notice, and it is forgotten soon.
func TestRotation(t *testing.T) {
	for _, version := range versions {
		ring, c := newRing(t, Options{})
		server, s := listener(c), &session{}
		binding := ring.Bind(server, Context{Listener: "l"})
		advance := func(d time.Duration) [][32]byte {
			c.now = c.now.Add(d)
			if err := ring.Advance(); err != nil {
				t.Fatal(err)
			}
			binding.Refresh()
			return ring.Keys(Context{Listener: "l"})
		}
		first := ring.Keys(Context{Listener: "l"})
		if keys := advance(DefaultRotation - time.Second); !slices.Equal(keys, first) {
			t.Fatal("rotated early")
		}
		visit(t, server, c, s, "a.example", version)
		keys := advance(time.Second)
		if len(keys) != 2 || keys[0] == first[0] || keys[1] != first[0] {
			t.Fatal("not rotated")
		}
		if !visit(t, server, c, s, "a.example", version) {
			t.Error("a ticket of the last key is not resumed")
		}
		if got := advance(DefaultLifetime + clockSkew); !slices.Equal(got, keys) {
			t.Error("the last key is forgotten early")
		}
		if got := advance(time.Second); len(got) != 1 || got[0] != keys[0] {
			t.Error("the last key is not forgotten")
		}
		if len(ring.all) != 1 {
			t.Error("its secret is still there")
		}
	}
}

func TestRefreshDoesNothingWithoutANewKey(t *testing.T) {
	ring, c := newRing(t, Options{})
	binding := ring.Bind(listener(c), Context{})
	if n := testing.AllocsPerRun(100, binding.Refresh); n != 0 {
		t.Errorf("%v allocations", n)
	}
	before := ring.present.Load()
	c.now = c.now.Add(time.Hour)
	if err := ring.Advance(); err != nil || ring.present.Load() != before {
		t.Error("another generation of the same keys", err)
	}
}

func TestARingNeedsAClock(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Fatal("no error")
	}
}

// FuzzTicket: what the ring has not made leads to a full handshake, never to an error.
func FuzzTicket(f *testing.F) {
	ring, c := newRing(f, Options{})
	binding := ring.Bind(listener(c), Context{})
	f.Add([]byte{})
	f.Add(make([]byte, 200))
	f.Fuzz(func(t *testing.T, ticket []byte) {
		if s, err := binding.unwrap(ticket, tls.ConnectionState{}); s != nil || err != nil {
			t.Fatal(s, err)
		}
	})
}
