package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// Bodies of requests, pipelined requests, and connections that live on: H05 to H07, H18 to H21, B06, B07.

const (
	postChunks     = "POST / HTTP/1.1¶Host: a¶Transfer-Encoding: chunked¶¶"
	postForwarded  = "POST / HTTP/1.1¶Host: a¶{forwarded}Transfer-Encoding: chunked¶Connection: close¶¶"
	longerThan4KiB = 5 << 10
)

// badBody is a request whose chunks are malformed: valid bytes of them reach the backend, which is reset then.
func badBody(name, valid, bad, detail string) hostileCase {
	return hostileCase{
		name: name, send: postChunks + valid + bad, backend: postForwarded + valid, backendEnd: "reset", client: "{400}",
		log: []string{"request 400 bad-request client " + detail},
	}
}

var bodyCases = []hostileCase{
	badBody("H05/bare-lf", "", "5\nhello¶0¶¶", "bare-lf"),
	badBody("H05/sign", "", "+5¶hello¶0¶¶", "bad-chunk-size"),
	badBody("H05/hexadecimal", "", "0x5¶hello¶0¶¶", "bad-chunk-size"),
	badBody("H05/17-digits", "", "00000000000000005¶hello¶0¶¶", "chunk-too-large"),
	badBody("H05/empty", "", "¶hello¶0¶¶", "bad-chunk-size"),
	badBody("H05/bare-cr", "", "5\rhello¶0¶¶", "bare-cr"),
	badBody("H05/second-chunk", "5¶hello¶", "-1¶x¶0¶¶", "bad-chunk-size"),
	badBody("H05/endless-extension", "5", ";"+strings.Repeat("x", longerThan4KiB)+"¶hello¶0¶¶", "chunk-extension-too-long").with(justWhole),
	badBody("H05/extensions-without-payload", strings.Repeat("1¶x¶", 4)+"1", "", "chunk-overhead-too-large").with(func(c *hostileCase) {
		c.send = postChunks + strings.Repeat("1;"+strings.Repeat("e", 3999)+"¶x¶", 5) + "0¶¶"
		c.onlyWhole = true
	}),
	badBody("H06/too-long", "5¶hello", "world¶0¶¶", "bad-chunk-end"),
	badBody("H06/bare-lf", "5¶hello", "\n0¶¶", "bad-chunk-end"),
	passed("H07/trailers", postChunks+"5¶hello¶0¶Content-Length: 5¶Transfer-Encoding: chunked¶HOST: evil¶Authorization: x¶X-Ok: 1¶¶",
		postForwarded+"5¶hello¶0¶X-Ok: 1¶¶"),
	passed("H07/extension", postChunks+"5;a=b¶hello¶0;c¶¶", postForwarded+"5¶hello¶0¶¶"),
	passed("H21/get", "GET / HTTP/1.1¶Host: a¶Content-Length: 5¶¶hello", "GET / HTTP/1.1¶Host: a¶Content-Length: 5¶{forwarded}Connection: close¶¶hello"),
	passed("H21/delete", "DELETE / HTTP/1.1¶Host: a¶Content-Length: 5¶¶hello", "DELETE / HTTP/1.1¶Host: a¶Content-Length: 5¶{forwarded}Connection: close¶¶hello"),
}

func bodyTests() []hostileTest {
	return []hostileTest{
		{"H18/limit", func(t *proxytest.T) { testPipelined(t, 100) }},
		{"H18/many", func(t *proxytest.T) { testPipelined(t, 2_500) }},
		{"H18/upgrade-behind", testUpgradeBehindRequests},
		{"H19/continue", testExpectContinue},
		{"H19/refused", testExpectRefused},
		{"H19/body-comes-anyway", testExpectUnanswered},
		{"H20/slow", testSlowBody},
		{"H20/endless", testEndlessBody},
		{"B06/small", func(t *proxytest.T) { testAnswerBeforeTheBody(t, 10) }},
		{"B06/large", func(t *proxytest.T) { testAnswerBeforeTheBody(t, 4<<20) }},
		{"B07/safe", testPooledDies},
		{"B07/unsafe", testPooledDiesUnderPost},
		{"U01/kept", testUnknownUpgradeKept},
	}
}

// livesOnBothSides lets connections live on, with the documented bounds.
func livesOnBothSides(c *proxy.Config) { c.KeepAliveRequests, c.BackendIdle = 0, 0 }

// answering serves requests on a backend's connection, each answered by what the path asks: its own name.
func answering(t testing.TB, b *proxytest.Backend) {
	t.Helper()
	b.Serve(func(c *proxytest.Conn) {
		requests := bufio.NewReader(c.Stream())
		for {
			r, err := http.ReadRequest(requests)
			if err != nil {
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			text := r.URL.Path + string(body)
			if _, err := fmt.Fprintf(c.Stream(), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text); err != nil {
				return
			}
		}
	})
}

// testPipelined: 10,000 requests come in one segment. As many as one connection may carry are answered, in their order.
func testPipelined(t *proxytest.T, allowed int) {
	const all = 10_000
	b := proxytest.NewBackend(t)
	answering(t, b)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		livesOnBothSides(c)
		c.KeepAliveRequests = allowed
	}})
	client := p.Dial(t)
	var requests strings.Builder
	for i := range all {
		fmt.Fprintf(&requests, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i)
	}
	go func() { _ = client.TrySend(requests.String()) }()
	answers := bufio.NewReader(client.Stream())
	for i := range allowed {
		last := ""
		if i == allowed-1 {
			last = "Connection: close\r\n"
		}
		text := fmt.Sprintf("/%d", i)
		want := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s", len(text), last, text)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(answers, got); err != nil || string(got) != want {
			t.Fatalf("answer %d: got %q, %v, want %q", i, got, err, want)
		}
	}
	if rest, err := io.ReadAll(answers); err != nil || len(rest) > 0 {
		t.Errorf("%d bytes behind the last answer, %v", len(rest), err)
	}
	if n := len(b.Connections()); n != 1 {
		t.Errorf("%d connections to the backend", n)
	}
	reads := float64(4 * 64 << 10) // what is waiting, twice while it grows, and what is being read
	if t.Way().Client != proxytest.Plain {
		reads += 64 << 10 // a part of a record, twice while it grows, and what is encrypted for the client
	}
	if held := p.Metric(t, "culvert_buffer_peak_bytes"); held > reads {
		t.Errorf("up to %v bytes were held", held)
	}
}

// testUpgradeBehindRequests: an upgrade is pipelined behind two requests, frames behind it.
func testUpgradeBehindRequests(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: livesOnBothSides})
	client := p.Dial(t)
	ask := "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
	client.Send(ask + ask + proxytest.UpgradeRequest() + proxytest.ClientText("hello"))
	first := b.Accept()
	for range 2 {
		first.ReadHead()
		first.Send(shortAnswer5)
		client.ReadHead()
		client.Want("hello")
	}
	conn := b.Accept() // an upgrade has a connection of its own
	conn.Send(proxytest.SwitchingProtocols(conn.ReadHead()))
	if head := client.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Fatalf("got %q", head)
	}
	conn.Want(proxytest.ClientText("hello"))
	conn.Send(proxytest.ServerText("world"))
	client.Want(proxytest.ServerText("world"))
}

const expecting = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"

// expectation brings a request that expects 100-continue to the backend.
func expectation(t *proxytest.T) (p *proxytest.Proxy, client, conn *proxytest.Conn) {
	t.Helper()
	b := proxytest.NewBackend(t)
	p = proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: livesOnBothSides})
	client = p.Dial(t)
	client.Send(expecting + "\r\n")
	conn = b.Accept()
	if head := conn.ReadHead(); !strings.Contains(head, "Expect: 100-continue\r\n") {
		t.Errorf("the backend is not told of the expectation: %q", head)
	}
	return p, client, conn
}

func testExpectContinue(t *proxytest.T) {
	p, client, conn := expectation(t)
	conn.Send("HTTP/1.1 100 Continue\r\n\r\n")
	client.Want("HTTP/1.1 100 Continue\r\n\r\n")
	client.Send("hello")
	conn.Want("hello")
	conn.Send(shortAnswer5)
	client.Want(shortAnswer5)
	client.CloseWrite()
	client.WantEOF()
	wantLog(t, p, okLog)
}

// testExpectRefused: the final answer comes at once; whether the client sends the body or not, this connection ends.
func testExpectRefused(t *proxytest.T) {
	p, client, conn := expectation(t)
	conn.Send("HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno")
	client.Want("HTTP/1.1 401 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
	client.WantEOF()
	conn.WantReset()
	wantLog(t, p, "request 401 complete backend")
}

func testExpectUnanswered(t *proxytest.T) {
	p, client, conn := expectation(t)
	client.Send("hello")
	conn.Want("hello")
	conn.Send(shortAnswer5)
	client.Want(shortAnswer5)
	client.CloseWrite()
	client.WantEOF()
	wantLog(t, p, okLog)
}

// testSlowBody: the body comes slower than it must, and the client can read the answer whole.
func testSlowBody(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	b.Serve(func(c *proxytest.Conn) { c.ReadUntilGone() })
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		c.MinBodyRate, c.Timeouts.BodyRate = 1<<20, 500*time.Millisecond
	}})
	client := p.Dial(t)
	expand := expander(p, client, b.Address())
	client.Send(expand("POST / HTTP/1.1¶Host: a¶Content-Length: 5000¶¶"))
	stop := make(chan struct{})
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for client.TrySend("x") == nil {
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	client.Want(expand("{408}"))
	close(stop)
	client.WantEOF()
	wantLog(t, p, "request 408 request-timeout client slow-body")
}

// testEndlessBody: a body without end is refused at its bound, and the client, which goes on sending, can read the answer
// whole.
func testEndlessBody(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	b.Serve(func(c *proxytest.Conn) { c.ReadUntilGone() })
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		c.MaxBody, c.Timeouts.Linger = 1<<20, 2*time.Second
	}})
	client := p.Dial(t)
	expand := expander(p, client, b.Address())
	client.Send(expand(postChunks))
	go func() {
		chunk := expand("1000¶" + strings.Repeat("x", 0x1000) + "¶")
		for range 1000 {
			if client.TrySend(chunk) != nil {
				return
			}
		}
	}()
	client.Want(expand("{413}"))
	wantLog(t, p, "request 413 body-too-large client")
}

// testAnswerBeforeTheBody: the backend answers when it has seen the head. The client gets the answer whole, however much of its
// body is on its way.
func testAnswerBeforeTheBody(t *proxytest.T, size int) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		livesOnBothSides(c)
		c.Timeouts.Linger = 2 * time.Second
	}})
	client := p.Dial(t)
	client.Send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size))
	conn := b.Accept()
	conn.ReadHead()
	go func() { _ = client.TrySend(strings.Repeat("x", size-1)) }()
	conn.ReadExactly(min(size-1, 5))
	conn.Send(strings.Replace(shortAnswer5, "200 OK", "403 No", 1))
	client.Want("HTTP/1.1 403 No\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
	wantLog(t, p, "request 403 complete backend")
	client.Close()
}

// testPooledDies: a kept connection is closed just as a request is sent on it, which is sent once more, elsewhere.
func testPooledDies(t *proxytest.T) {
	for _, method := range []string{"GET", "PUT", "DELETE", "OPTIONS"} {
		p, client, conn, b := pooled(t)
		client.Send(method + " /2 HTTP/1.1\r\nHost: a\r\n\r\n")
		conn.ReadHead()
		conn.Reset()
		again := b.Accept()
		again.ReadHead()
		again.Send(shortAnswer5)
		client.Want(shortAnswer5)
		p.WaitMetric(t, 1, "culvert_requests_resent_total")
	}
}

// testPooledDiesUnderPost: what must not be done twice is not sent twice (RFC 9110 9.2.2), nor is a body.
func testPooledDiesUnderPost(t *proxytest.T) {
	for _, request := range []string{"POST /2 HTTP/1.1¶Host: a¶¶", "PUT /2 HTTP/1.1¶Host: a¶Content-Length: 1¶¶x"} {
		p, client, conn, b := pooled(t)
		expand := expander(p, client, b.Address())
		client.Send(expand(request))
		conn.ReadHead()
		conn.Reset()
		client.Want(expand("{502}"))
		if n := len(b.Connections()); n != 1 {
			t.Errorf("%d connections to the backend", n)
		}
	}
}

// pooled leaves a client and a backend whose connections have served one exchange.
func pooled(t *proxytest.T) (p *proxytest.Proxy, client, conn *proxytest.Conn, b *proxytest.Backend) {
	t.Helper()
	b = proxytest.NewBackend(t)
	p = proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: livesOnBothSides})
	client = p.Dial(t)
	client.Send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	conn = b.Accept()
	conn.ReadHead()
	conn.Send(shortAnswer5)
	client.Want(shortAnswer5)
	p.WaitEnd(t)
	return p, client, conn, b
}

// testUnknownUpgradeKept: an upgrade to something unknown is an ordinary request, and what follows it is a request of its
// own: parsed, logged, and with a head of ours in front of the backend.
func testUnknownUpgradeKept(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: livesOnBothSides})
	client := p.Dial(t)
	client.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n")
	conn := b.Accept()
	for _, path := range []string{"/", "/admin"} {
		head := conn.ReadHead()
		if !strings.HasPrefix(head, "GET "+path+" ") || strings.Contains(head, "pgrade") || !strings.Contains(head, "X-Forwarded-For") {
			t.Errorf("the backend got %q", head)
		}
		conn.Send(shortAnswer5)
		client.Want(shortAnswer5)
	}
	client.CloseWrite()
	client.WantEOF()
	wantLog(t, p, okLog, okLog)
}
