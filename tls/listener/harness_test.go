//go:build linux

package listener

import (
	"bytes"
	standard "crypto/tls"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culvert/tls"
	"culvert/tls/certs"
	"culvert/tls/internal/tlstest"
	"culvert/tls/tickets"
)

// patience is how long what must happen may take on a busy machine.
const patience = 20 * time.Second

var (
	now     = tlstest.Now
	root    = tlstest.NewAuthority("Servers")
	clientA = tlstest.NewAuthority("Clients A")
	clientB = tlstest.NewAuthority("Clients B")
	version = map[string]uint16{"1.2": standard.VersionTLS12, "1.3": standard.VersionTLS13}
)

// house is where the connections of a test live: the test's goroutine owns them.
type house struct {
	t       testing.TB
	tasks   chan func()
	pool    tls.Pool
	workers *tls.Workers
}

func newHouse(t testing.TB) *house {
	h := &house{t: t, tasks: make(chan func(), 64), workers: tls.NewWorkers(tls.WorkersOptions{})}
	t.Cleanup(func() {
		h.workers.Stop()
		if h.pool.Held() != 0 {
			t.Errorf("in the end %d bytes of buffers are lent", h.pool.Held())
		}
	})
	return h
}

// Stepped implements tls.Observer.
func (h *house) Stepped(*tls.Conn) {}

func (h *house) open(config *tls.Config, local netip.AddrPort) *tls.Conn {
	post := func(task func()) bool {
		h.tasks <- task
		return true
	}
	return tls.New(tls.Options{Config: config, Workers: h.workers, Buffers: &h.pool, Post: post, Observer: h, Local: local})
}

// visit is what came of a handshake.
type visit struct {
	server, client       tls.Info
	serverErr, clientErr *tls.Error
}

// accepted reports whether both sides are content.
func (v visit) accepted() bool { return v.serverErr == nil && v.clientErr == nil }

func (v visit) err() error {
	var all []error
	for _, e := range []*tls.Error{v.serverErr, v.clientErr} {
		if e != nil {
			all = append(all, e)
		}
	}
	return errors.Join(all...)
}

// leaf returns what the client was shown.
func (v visit) leaf() []byte {
	if len(v.client.PeerCertificates) == 0 {
		return nil
	}
	return v.client.PeerCertificates[0].Raw
}

// pair is two connections that talk to one another.
type pair struct {
	house          *house
	server, client *tls.Conn
}

// begin opens both ends.
func (h *house) begin(l *Listener, client *standard.Config, local string) *pair {
	var address netip.AddrPort
	if local != "" {
		address = netip.MustParseAddrPort(local)
	}
	return &pair{h, h.open(l.Config(), address), h.open(tls.FromStandard(client, false), netip.AddrPort{})}
}

// until moves bytes until done holds.
func (p *pair) until(what string, done func() bool) {
	p.house.t.Helper()
	late := time.After(patience)
	for !done() {
		moved := transfer(p.client, p.server)
		moved = transfer(p.server, p.client) || moved
		if moved {
			continue
		}
		select {
		case task := <-p.house.tasks:
			task()
		case <-late:
			p.house.t.Fatalf("did not happen: %s (server %v, client %v)", what, p.server.Err(), p.client.Err())
		}
	}
}

// transfer moves what one end has to send, and has the other read it: tickets and late alerts come behind the
// handshake.
func transfer(from, to *tls.Conn) bool {
	sent := bytes.Clone(from.Pending())
	from.Advance(len(sent))
	to.Feed(sent)
	var room [64]byte
	for {
		if _, status := to.Plain(room[:]); status != tls.StatusReady {
			return len(sent) > 0
		}
	}
}

// finish completes the handshake, or has both ends know that it has failed.
func (p *pair) finish() visit {
	p.until("the end of the handshake", func() bool {
		quiet := len(p.server.Pending())+len(p.client.Pending()) == 0
		return quiet && (p.server.Err() != nil || p.client.Err() != nil || p.server.Established() && p.client.Established())
	})
	v := visit{p.server.Info(), p.client.Info(), p.server.Err(), p.client.Err()}
	p.server.Abandon()
	p.client.Abandon()
	return v
}

// visit performs a handshake.
func (h *house) visit(l *Listener, client *standard.Config) visit {
	h.t.Helper()
	return h.begin(l, client, "").finish()
}

// anyone returns a client that believes everything.
func anyone(name string) *standard.Config {
	return &standard.Config{ServerName: name, InsecureSkipVerify: true, Time: tlstest.Clock, NextProtos: []string{"http/1.1"}}
}

// session is a client's memory of one session, offered everywhere and, once frozen, never replaced.
type session struct {
	state  *standard.ClientSessionState
	frozen bool
}

func (s *session) Get(string) (*standard.ClientSessionState, bool) { return s.state, s.state != nil }

func (s *session) Put(_ string, state *standard.ClientSessionState) {
	if state != nil && !s.frozen {
		s.state = state
	}
}

// folder is a folder of a test, for certificates and such.
type folder struct {
	t    testing.TB
	path string
}

func newFolder(t testing.TB) folder { return folder{t, t.TempDir()} }

// put writes a file and returns its name.
func (f folder) put(name string, parts ...[]byte) string {
	f.t.Helper()
	full := filepath.Join(f.path, name)
	if err := os.WriteFile(full, bytes.Join(parts, nil), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return full
}

// pair issues a certificate and writes its files.
func (f folder) pair(name string, leaf tlstest.Leaf) (certs.Pair, *tlstest.Pair) {
	f.t.Helper()
	p := root.Issue(leaf)
	return f.write(name, p), p
}

func (f folder) write(name string, p *tlstest.Pair) certs.Pair {
	f.t.Helper()
	return certs.Pair{CertFile: f.put(name+".crt", p.CertPEM), KeyFile: f.put(name+".key", p.KeyPEM)}
}

func source(pairs ...certs.Pair) certs.Source { return certs.Source{Pairs: pairs} }

// clock is virtual.
type clock struct{ now time.Time }

func (c *clock) tell() time.Time { return c.now }

func newRing(t testing.TB, file string) (*tickets.Ring, *clock) {
	t.Helper()
	c := &clock{now}
	r, err := tickets.New(tickets.Options{Clock: c.tell, File: file})
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

func open(t testing.TB, o Options, ring *tickets.Ring) *Listener {
	t.Helper()
	l, err := Open(o, ring, now)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// reload loads and adopts.
func reload(t testing.TB, l *Listener) {
	t.Helper()
	loaded, err := l.Load(now)
	if err != nil {
		t.Fatal(err)
	}
	l.Adopt(loaded)
}

// due asks as often as a change takes to be noticed.
func due(l *Listener) bool {
	early := l.Due(now)
	return l.Due(now) || early
}

// alertOf returns the alert by which the server has refused.
func alertOf(v visit) string {
	if v.serverErr == nil || v.serverErr.Cause != tls.CauseAlertSent {
		return ""
	}
	return v.serverErr.Alert.String()
}

func contains(warnings []certs.Warning, file, text string) bool {
	for _, w := range warnings {
		if w.File == file && strings.Contains(w.Text, text) {
			return true
		}
	}
	return false
}
