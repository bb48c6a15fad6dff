package proxy_test

import (
	"strings"
	"sync"
	"testing"

	"culvert/proxy/proxytest"
)

// TestWhatComesWithTheConnectIsSeen: a backend that speaks, or finishes, as soon as it accepts is told of by the same
// event as the connection itself, if the loop is busy meanwhile. The event is the only one that tells.
func TestWhatComesWithTheConnectIsSeen(t *testing.T) { overWays(t, whatComesWithTheConnectIsSeen) }

func whatComesWithTheConnectIsSeen(t *proxytest.T) {
	for _, test := range []struct {
		name, answer, log string
		speak             func(*proxytest.Conn)
	}{
		{
			"an answer", "HTTP/1.1 503 ", "request 503 complete backend",
			func(c *proxytest.Conn) { c.Send("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy") },
		},
		{"a FIN", "HTTP/1.1 502 ", "request 502 backend-closed backend", func(c *proxytest.Conn) { c.CloseWrite() }},
		{"a reset", "HTTP/1.1 502 ", "request 502 connect-failed backend reset", func(c *proxytest.Conn) { c.Reset() }},
	} {
		t.Run(test.name, func(t *proxytest.T) {
			b := proxytest.NewBackend(t)
			p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}})
			client := p.Dial(t)
			p.Metric(t, "culvert_loop_turns_total") // the loop has accepted
			held, sent, spoken := make(chan struct{}), make(chan struct{}), make(chan struct{})
			speak := sync.OnceFunc(func() { close(spoken) })
			t.Cleanup(speak) // else a failure would hold the loop for ever
			server := p.Server()
			server.Post(func() {
				close(held)
				<-sent // the next wait finds the request first, then this task:
				server.Post(func() { <-spoken })
			})
			<-held
			client.Send("GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n")
			close(sent)
			test.speak(b.Accept())
			speak()
			if head := client.ReadHead(); !strings.HasPrefix(head, test.answer) {
				t.Errorf("the answer begins with %q, want %q", head, test.answer)
			}
			client.Close()
			wantLog(t, p, test.log)
		})
	}
}

// TestAWholeAnswerOutlivesAReset: an answer without a body is whole with its head. That its backend resets the connection
// behind it, told by the same event, does not reach the client.
func TestAWholeAnswerOutlivesAReset(t *testing.T) { overWays(t, aWholeAnswerOutlivesAReset) }

func aWholeAnswerOutlivesAReset(t *proxytest.T) {
	for _, test := range []struct{ name, method, answer, log string }{
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "request 204 complete backend"},
		{"a redirect", "GET", "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "request 302 complete backend"},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "request 200 complete backend"},
	} {
		t.Run(test.name, func(t *proxytest.T) {
			b := proxytest.NewBackend(t)
			p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}})
			client := p.Dial(t)
			client.Send(test.method + " / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n")
			conn := b.Accept()
			conn.ReadHead()
			said := make(chan struct{})
			p.Server().Post(func() { <-said })
			conn.Send(test.answer)
			conn.Reset()
			close(said)
			first, _, _ := strings.Cut(test.answer, "\r\n")
			if head := client.ReadHead(); !strings.HasPrefix(head, first) {
				t.Errorf("got %q", head)
			}
			client.WantEOF()
			wantLog(t, p, test.log)
		})
	}
}
