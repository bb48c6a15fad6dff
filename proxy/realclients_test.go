package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

// pair is a client and a backend by libraries that nobody here wrote, and a proxy between them.
type pair struct {
	client  library
	proxy   *proxyProcess
	options socketOptions
	backend *echoBackend
	path    string // says whose tunnel it is in the log
}

// echoBackend answers every message by the same, but for a few commands.
type echoBackend struct {
	library library
	options socketOptions
	server  *httptest.Server
	ends    chan error // how each tunnel ended, as its handler saw it
}

// Commands to an echo backend, in text messages.
const (
	commandPing   = "ping"   // send a ping, then echo
	commandPonged = "ponged" // answer whether its pong came: true or false
	commandClose  = "close " // close with the code behind it
)

func newEchoBackend(t *testing.T, l library, o socketOptions) *echoBackend {
	t.Helper()
	b := &echoBackend{library: l, options: o, ends: make(chan error, 16)}
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := l.upgrade(w, r, o)
		if err == nil {
			err = b.serve(s)
			s.drop()
		}
		b.ends <- err
	}))
	t.Cleanup(b.server.Close)
	return b
}

// serve returns what ended the tunnel: the client's close frame, as an error; nil after a close frame of its own.
func (b *echoBackend) serve(s socket) error {
	for {
		text, payload, err := s.receive()
		if err != nil {
			return err
		}
		switch command := string(payload[:min(len(payload), 32)]); {
		case !text:
		case command == commandPing:
			if err := s.ping(); err != nil {
				return err
			}
		case command == commandPonged:
			payload = strconv.AppendBool(nil, s.ponged())
		case strings.HasPrefix(command, commandClose):
			code, err := strconv.Atoi(command[len(commandClose):])
			if err != nil {
				return err
			}
			got, err := s.close(code, "as you wish")
			if err == nil && got != code {
				err = fmt.Errorf("a close with %d was answered by %d", code, got)
			}
			return err
		}
		if err := s.send(text, payload, 1+len(payload)%3); err != nil {
			return err
		}
	}
}

// proxyTo starts a proxy in front of a backend.
func (b *echoBackend) proxyTo(t *testing.T) *proxyProcess {
	t.Helper()
	address := netip.MustParseAddrPort(b.server.Listener.Addr().String())
	return startProxy(t, childSettings{Backends: []netip.AddrPort{address}, Loops: 1, AccessLog: true})
}

// forAllPairs runs a test with every client against every backend, in tunnels with the same options.
func forAllPairs(t *testing.T, o socketOptions, test func(t *testing.T, p *pair)) {
	for _, server := range libraries {
		if o.deflate && !server.deflates {
			continue
		}
		backend := newEchoBackend(t, server, o)
		p := backend.proxyTo(t)
		for _, client := range libraries {
			if o.deflate && !client.deflates {
				continue
			}
			t.Run(client.name+" to "+server.name, func(t *testing.T) {
				test(t, &pair{client: client, proxy: p, options: o, backend: backend, path: "/" + client.name})
			})
		}
	}
}

func (p *pair) dial(t *testing.T) socket {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), volumePatience)
	t.Cleanup(cancel)
	s, err := p.client.dial(ctx, "ws://"+p.proxy.address.String()+p.path, p.options)
	if err != nil {
		t.Fatalf("no tunnel: %v", err)
	}
	t.Cleanup(s.drop)
	return s
}

// end is the line of the access log at the end of this pair's tunnel.
func (p *pair) end() logLine {
	p.proxy.t.Helper()
	return p.proxy.waitLine("the end of the tunnel", func(l logLine) bool { return l["event"] == "tunnel-end" && l["uri"] == p.path })
}

// side returns what a line says of the bytes from one side.
func (l logLine) side(name string) logLine {
	inner, _ := l["from_"+name].(map[string]any)
	return inner
}

// exchange sends a message and wants it back.
func exchange(t *testing.T, s socket, text bool, payload []byte, parts int) {
	t.Helper()
	sent := make(chan error, 1)
	go func() { sent <- s.send(text, payload, parts) }() // a large one fills all buffers before the echo is read
	gotText, got, err := s.receive()
	if err := errors.Join(err, <-sent); err != nil {
		t.Fatalf("%d bytes in %d parts: %v", len(payload), parts, err)
	}
	if gotText != text || !bytes.Equal(got, payload) {
		t.Fatalf("%d bytes (text: %v) came back as %d others (text: %v)", len(payload), text, len(got), gotText)
	}
}

// message returns a payload that is text, and repeats itself.
func message(size int) []byte {
	return bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog. "), size/45+1)[:size]
}

// closing ends a tunnel from the client's side, and checks what both sides and the log saw.
func (p *pair) closing(t *testing.T, s socket, code int) logLine {
	t.Helper()
	if got, err := s.close(code, "good bye"); err != nil || got != code {
		t.Errorf("a close with %d was answered by %d: %v", code, got, err)
	}
	if err := <-p.backend.ends; err != (closedError{code, "good bye"}) {
		t.Errorf("the backend saw the end as: %v", err)
	}
	line := p.end()
	for _, name := range sideNames {
		if got := line.side(name)["close_code"]; got != float64(code) {
			t.Errorf("the log says that the %s closed with %v, want %d", name, got, code)
		}
	}
	if line["reason"] != "closed" {
		t.Errorf("the log says that the tunnel ended for %v", line["reason"])
	}
	return line
}

func TestRealLibrariesTalkThroughTheProxy(t *testing.T) {
	forAllPairs(t, socketOptions{}, func(t *testing.T, p *pair) {
		s := p.dial(t)
		sizes := []int{0, 1, 125, 126, 65535, 65536, largestMessage / 4, largestMessage}
		count := map[bool]int{}
		for _, size := range sizes {
			for _, text := range []bool{true, false} {
				for _, parts := range []int{1, 3} {
					exchange(t, s, text, message(size), parts)
					count[text]++
				}
			}
		}
		line := p.closing(t, s, 1000)
		for _, name := range sideNames {
			seen := line.side(name)
			if seen["text"] != float64(count[true]) || seen["binary"] != float64(count[false]) {
				t.Errorf("from the %s the log counts %v text and %v binary messages, sent were %d and %d",
					name, seen["text"], seen["binary"], count[true], count[false])
			}
		}
	})
}

func TestRealLibrariesSeePingsAndPongs(t *testing.T) {
	forAllPairs(t, socketOptions{}, func(t *testing.T, p *pair) {
		s := p.dial(t)
		if err := s.ping(); err != nil {
			t.Fatal(err)
		}
		exchange(t, s, true, []byte(commandPing), 1)
		ours, theirs := false, false
		for deadline := time.Now().Add(volumePatience); !ours || !theirs; {
			if time.Now().After(deadline) {
				t.Fatalf("no pong: the client's ping was answered: %v, the backend's: %v", ours, theirs)
			}
			exchange(t, s, false, []byte("wait"), 1)
			ours = ours || s.ponged()
			if err := s.send(true, []byte(commandPonged), 1); err != nil {
				t.Fatal(err)
			}
			_, answer, err := s.receive()
			if err != nil {
				t.Fatal(err)
			}
			theirs = theirs || string(answer) == "true"
		}
		line := p.closing(t, s, 1000)
		for _, name := range sideNames {
			if seen := line.side(name); seen["ping"] != 1.0 || seen["pong"] != 1.0 {
				t.Errorf("from the %s the log counts %v pings and %v pongs", name, seen["ping"], seen["pong"])
			}
		}
	})
}

func TestRealLibrariesCloseWithTheirCodes(t *testing.T) {
	for name, code := range map[string]int{"going away": 1001, "one of the application": 4321} {
		t.Run("the client, "+name, func(t *testing.T) {
			forAllPairs(t, socketOptions{}, func(t *testing.T, p *pair) { p.closing(t, p.dial(t), code) })
		})
	}
	t.Run("the backend", func(t *testing.T) {
		const code = 4322
		forAllPairs(t, socketOptions{}, func(t *testing.T, p *pair) {
			s := p.dial(t)
			if err := s.send(true, []byte(commandClose+strconv.Itoa(code)), 1); err != nil {
				t.Fatal(err)
			}
			if _, _, err := s.receive(); err != (closedError{code, "as you wish"}) {
				t.Errorf("the client saw the end as: %v", err)
			}
			s.drop()
			if err := <-p.backend.ends; err != nil {
				t.Errorf("the backend saw the end as: %v", err)
			}
			line := p.end()
			for _, name := range sideNames {
				if got := line.side(name)["close_code"]; got != float64(code) {
					t.Errorf("the log says that the %s closed with %v, want %d", name, got, code)
				}
			}
		})
	})
}

func TestRealLibrariesAgreeOnASubprotocol(t *testing.T) {
	forAllPairs(t, socketOptions{subprotocols: []string{"chat.v2", "chat.v1"}}, func(t *testing.T, p *pair) {
		s := p.dial(t)
		if got := s.subprotocol(); got != "chat.v2" {
			t.Errorf("the client was told the subprotocol %q", got)
		}
		exchange(t, s, true, []byte("hello"), 1)
		p.closing(t, s, 1000)
	})
}

func TestRealLibrariesCompressThroughTheProxy(t *testing.T) {
	forAllPairs(t, socketOptions{deflate: true}, func(t *testing.T, p *pair) {
		s := p.dial(t)
		total := 0
		for _, size := range []int{10, 1000, 100_000, 1 << 20} {
			for _, text := range []bool{true, false} {
				exchange(t, s, text, message(size), 1)
				total += size
			}
		}
		line := p.closing(t, s, 1000)
		for _, name := range sideNames {
			if bytes, _ := line.side(name)["bytes"].(float64); bytes > float64(total)/10 {
				t.Errorf("%d bytes from the %s took %.0f on the wire: they were not compressed", total, name, bytes)
			}
		}
	})
}
