package proxy_test

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// What the tests of balancing have in common.

// teller is a backend that says by X-Teller which one it is, in an answer to an ordinary request and in a 101.
type teller struct {
	*proxytest.Backend
	name string
	// more are header lines of an answer to a request with this head, and the status line in place of that of a 200.
	more func(head string) (status string, fields []string)

	mu    sync.Mutex
	heads []string
}

// newTellers starts backends of these names.
func newTellers(t testing.TB, names ...string) (all []*teller) {
	t.Helper()
	for _, name := range names {
		all = append(all, newTeller(t, name, nil))
	}
	return all
}

func newTeller(t testing.TB, name string, more func(head string) (status string, fields []string)) *teller {
	t.Helper()
	return tell(proxytest.NewBackendWith(t, proxytest.BackendOptions{Name: name}), name, more)
}

func tell(b *proxytest.Backend, name string, more func(head string) (status string, fields []string)) *teller {
	s := &teller{Backend: b, name: name, more: more}
	s.Serve(s.serve)
	return s
}

func (s *teller) serve(c *proxytest.Conn) {
	for at := 0; c.TryReadHead(); {
		head, _, _ := strings.Cut(c.Received()[at:], "\r\n\r\n")
		if length, _ := strconv.Atoi(proxytest.Field(head, "Content-Length")); length > 0 {
			c.ReadExactly(length)
		}
		at = len(c.Received())
		s.mu.Lock()
		s.heads = append(s.heads, head)
		s.mu.Unlock()
		status, fields := "HTTP/1.1 200 OK", []string(nil)
		if s.more != nil {
			status, fields = s.more(head)
		}
		fields = append(fields, "X-Teller: "+s.name)
		answer := proxytest.Head(append([]string{status, "Content-Length: 0"}, fields...)...)
		if proxytest.Field(head, "Upgrade") != "" && strings.HasPrefix(status, "HTTP/1.1 200 ") {
			answer = proxytest.SwitchingProtocols(head, fields...)
		}
		if c.TrySend(answer) != nil {
			return
		}
	}
}

// requests returns the heads of all requests so far.
func (s *teller) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.heads...)
}

// last returns the head of the last request.
func (s *teller) last() string {
	all := s.requests()
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// startTellers starts a proxy of several loops before tellers, which are its one group. Connections live on on both sides.
func startTellers(t testing.TB, tellers []*teller, change func(*proxy.Config, *proxy.GroupConfig)) *proxytest.Proxy {
	t.Helper()
	var backends []*proxytest.Backend
	for _, s := range tellers {
		backends = append(backends, s.Backend)
	}
	return proxytest.Start(t, proxytest.Options{Backends: backends, Config: func(c *proxy.Config) {
		c.Loops = 3
		c.KeepAliveRequests, c.BackendIdle = 1000, 100
		if change != nil {
			change(c, &c.Groups[0])
		}
	}})
}

// inquiry is a request of a test.
type inquiry struct {
	path    string // "": "/"
	fields  []string
	upgrade bool
}

func (q inquiry) head() string {
	path := q.path
	if path == "" {
		path = "/"
	}
	lines := []string{"GET " + path + " HTTP/1.1", "Host: example.com"}
	if q.upgrade {
		lines = append(lines, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: "+proxytest.Key)
	}
	return proxytest.Head(append(lines, q.fields...)...)
}

// on sends the request on a connection and returns the answer's head, which must be of status want.
func (q inquiry) on(t testing.TB, c *proxytest.Conn, want int) string {
	t.Helper()
	c.Send(q.head())
	head := c.ReadHead()
	if !strings.HasPrefix(head, fmt.Sprintf("HTTP/1.1 %d ", want)) {
		t.Fatalf("the answer to %q is %q; want status %d", q.head(), head, want)
	}
	return head
}

// of sends the request on a connection of its own, as one that asks for a WebSocket if upgrade is set.
func (q inquiry) of(t testing.TB, p *proxytest.Proxy, o proxytest.ConnOptions) string {
	t.Helper()
	c := p.DialWith(t, o)
	defer c.Close()
	want := 200
	if q.upgrade {
		want = 101
	}
	return q.on(t, c, want)
}

// who returns the name of the teller that answered.
func who(head string) string { return proxytest.Field(head, "X-Teller") }

// waitEntered waits until every loop has entered the servers that Backends tells of: no reload is under way any more when an
// order was refused.
func waitEntered(p *proxytest.Proxy) { _ = p.Server().UndrainBackend(proxy.DefaultGroup, "nobody") }

// replace writes a file as editors and agents do: whole, under another name first.
func replace(t testing.TB, file, text string) {
	t.Helper()
	next := file + ".next"
	if err := errors.Join(os.WriteFile(next, []byte(text), 0o600), os.Rename(next, file)); err != nil {
		t.Fatal(err)
	}
}

// try sends the request on a connection of its own, and returns the head of whatever answers.
func (q inquiry) try(t testing.TB, p *proxytest.Proxy) string {
	t.Helper()
	c := p.Dial(t)
	defer c.Close()
	c.Send(q.head())
	return c.ReadHead()
}
