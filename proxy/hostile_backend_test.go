package proxy_test

import (
	"net/netip"
	"strings"
	"time"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// B: what backends do.

// badAnswer is an answer that is replaced by a 502.
func badAnswer(name, answer, log string) hostileCase {
	return hostileCase{
		name: name, send: plain(""), answer: answer, backend: ordinaryForwarded, backendEnd: "reset",
		client: "{502}", log: []string{"request 502 " + log},
	}
}

func malformed(name, answer, detail string) hostileCase {
	return badAnswer(name, answer, "bad-answer backend "+detail)
}

// relayed is an answer of which the client gets what is given.
func relayed(name, answer, client, log string) hostileCase {
	return hostileCase{name: name, send: plain(""), answer: answer, backend: ordinaryForwarded, client: client, log: []string{"request " + log}}
}

// then says what the backend does after its answer.
func then(what string) func(*hostileCase) {
	return func(c *hostileCase) {
		c.then = what
		if what == "reset" {
			c.backendEnd = "the backend"
		}
	}
}

// from10 has an HTTP/1.0 client ask, for whom chunks are no framing.
func from10(c *hostileCase) { c.send = "GET / HTTP/1.0¶Host: a¶¶" }

func clientReset(c *hostileCase) { c.clientReset = true }

const lengthHead, lengthClient = "HTTP/1.1 200 OK¶Content-Length: 5¶¶", "HTTP/1.1 200 OK¶Content-Length: 5¶Connection: close¶¶"

const (
	chunkedHead   = "HTTP/1.1 200 OK¶Transfer-Encoding: chunked¶¶"
	chunkedClient = "HTTP/1.1 200 OK¶Transfer-Encoding: chunked¶Connection: close¶¶"
	closeClient   = "HTTP/1.1 200 OK¶Connection: close¶¶"
	secondAnswer  = "HTTP/1.1 200 OK¶Content-Length: 6¶¶second"
)

var backendCases = []hostileCase{
	malformed("B01/head-of-1-MB", "HTTP/1.1 200 OK¶X: "+strings.Repeat("v", 1<<20)+"¶¶", "head-too-large").with(justWhole),
	malformed("B01/garbage", "\x00\x01\x02", "bad-status-line"),
	malformed("B01/other-protocol", "SSH-2.0-OpenSSH_9.7¶", "bad-status-line"),
	malformed("B01/http-0.9", "<html>hello</html>", "bad-status-line"),
	malformed("B01/line-feeds", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "bare-lf"),
	malformed("B01/folding", "HTTP/1.1 200 OK¶X: a¶ b¶¶", "obs-fold"),
	badAnswer("B01/nothing-then-close", "", "backend-closed backend").with(then("finish")),
	badAnswer("B01/half-a-head-then-close", "HTTP/1.1 200 OK¶Content-Le", "backend-closed backend").with(then("finish")),
	badAnswer("B01/reset-before-the-head", "", "backend-reset backend").with(then("reset")),
	badAnswer("B01/reset-in-the-head", "HTTP/1.1 200 OK¶Content-Le", "backend-reset backend").with(then("reset")),
	malformed("B02/both-framings", "HTTP/1.1 200 OK¶Content-Length: 5¶Transfer-Encoding: chunked¶¶0¶¶", "length-with-coding"),
	malformed("B02/both-framings-swapped", "HTTP/1.1 200 OK¶Transfer-Encoding: chunked¶Content-Length: 5¶¶0¶¶", "length-with-coding"),
	malformed("B02/two-lengths", "HTTP/1.1 200 OK¶Content-Length: 5¶Content-Length: 6¶¶hello", "conflicting-length"),
	malformed("B02/negative", "HTTP/1.1 200 OK¶Content-Length: -5¶¶", "bad-content-length"),
	malformed("B02/unknown-coding", "HTTP/1.1 200 OK¶Transfer-Encoding: gzip¶¶", "unknown-transfer-coding"),
	relayed("B02/equal-lengths", "HTTP/1.1 200 OK¶Content-Length: 2¶Content-Length: 2¶¶ok", okClient, "200 complete backend"),
	relayed("B03/length", lengthHead+"abc", lengthClient+"abc", "200 answer-cut backend").with(then("finish")),
	relayed("B03/length-nothing", lengthHead, lengthClient, "200 answer-cut backend").with(then("finish")),
	relayed("B03/length-reset", lengthHead+"abc", lengthClient+"abc", "200 backend-reset backend").with(then("reset")).with(clientReset),
	relayed("B03/chunked", chunkedHead+"3¶abc¶", chunkedClient+"3¶abc¶", "200 answer-cut backend").with(then("finish")),
	relayed("B03/chunked-in-the-size", chunkedHead+"3¶abc¶5", chunkedClient+"3¶abc¶", "200 answer-cut backend").with(then("finish")),
	relayed("B03/chunked-before-the-end", chunkedHead+"3¶abc¶0¶", chunkedClient+"3¶abc¶0¶", "200 answer-cut backend").with(then("finish")),
	relayed("B03/chunked-reset", chunkedHead+"3¶abc¶", chunkedClient+"3¶abc¶", "200 backend-reset backend").with(then("reset")).with(clientReset),
	relayed("B03/until-close-reset", "HTTP/1.1 200 OK¶¶abc", closeClient+"abc", "200 backend-reset backend").with(then("reset")).with(clientReset),
	relayed("B03/chunked-for-http-1.0", chunkedHead+"3¶abc¶", closeClient+"abc", "200 answer-cut backend").
		with(then("finish")).with(from10).with(clientReset).with(func(c *hostileCase) { c.backendEnd = "reset" }),
	relayed("B03/chunks-malformed", chunkedHead+"3¶abcXX", chunkedClient+"3¶abc", "200 bad-answer-body backend bad-chunk-end"),
	relayed("B03/chunk-size-malformed", chunkedHead+"3¶abc¶0x1¶x¶0¶¶", chunkedClient+"3¶abc¶", "200 bad-answer-body backend bad-chunk-size"),
	relayed("B03/chunk-size-of-17-digits", chunkedHead+"00000000000000001¶x¶0¶¶", chunkedClient, "200 bad-answer-body backend chunk-too-large"),
	relayed("B03/chunk-size-line-feed", chunkedHead+"1\nx¶0¶¶", chunkedClient, "200 bad-answer-body backend bare-lf"),
	relayed("B03/chunks-malformed-for-http-1.0", chunkedHead+"3¶abcXX", closeClient+"abc", "200 bad-answer-body backend bad-chunk-end").
		with(from10).with(clientReset).with(func(c *hostileCase) { c.backendEnd = "reset" }),
	relayed("B04/length", lengthHead+"hello"+secondAnswer, lengthClient+"hello", "200 complete backend"),
	relayed("B04/length-0", "HTTP/1.1 200 OK¶Content-Length: 0¶¶"+secondAnswer, "HTTP/1.1 200 OK¶Content-Length: 0¶Connection: close¶¶", "200 complete backend"),
	relayed("B04/chunked", chunkedHead+"5¶hello¶0¶¶"+secondAnswer, chunkedClient+"5¶hello¶0¶¶", "200 complete backend"),
	relayed("B04/chunked-for-http-1.0", chunkedHead+"5;x=y¶hello¶0¶X: 1¶¶"+secondAnswer, closeClient+"hello", "200 complete backend").with(from10),
	relayed("B04/204", "HTTP/1.1 204 No Content¶Content-Length: 5¶¶hello"+secondAnswer, "HTTP/1.1 204 No Content¶Connection: close¶¶", "204 complete backend"),
	relayed("B04/204-chunked", "HTTP/1.1 204 No Content¶Transfer-Encoding: chunked¶¶5¶hello¶0¶¶", "HTTP/1.1 204 No Content¶Connection: close¶¶", "204 complete backend"),
	relayed("B04/304", "HTTP/1.1 304 Not Modified¶Content-Length: 5¶ETag: \"a\"¶¶hello", "HTTP/1.1 304 Not Modified¶Content-Length: 5¶ETag: \"a\"¶Connection: close¶¶", "304 complete backend"),
	relayed("B04/head", lengthHead+"hello", lengthClient, "200 complete backend").with(func(c *hostileCase) {
		c.send, c.backend = "HEAD / HTTP/1.1¶Host: a¶¶", "HEAD / HTTP/1.1¶Host: a¶{forwarded}Connection: close¶¶"
	}),
	badAnswer("B05/endless", strings.Repeat(earlyHints, 100), "too-many-interim backend").with(func(c *hostileCase) {
		c.client = strings.Repeat(earlyHints, 16) + "{502}"
	}),
	badAnswer("B05/for-http-1.0", strings.Repeat(earlyHints, 100), "too-many-interim backend").with(from10),
	relayed("B05/as-many-as-allowed", strings.Repeat(earlyHints, 16)+okAnswer, strings.Repeat(earlyHints, 16)+okClient, "200 complete backend"),
	relayed("B05/not-for-http-1.0", strings.Repeat(earlyHints, 16)+okAnswer, okClient, "200 complete backend").with(from10),
}

const earlyHints = "HTTP/1.1 103 Early Hints¶Link: </a>¶¶"

// answerCases: what of an answer's head reaches the client.
var answerCases = []hostileCase{
	relayed("B02/hop-by-hop", "HTTP/1.1 200 Fine By Me¶connection: keep-alive, x-hop, Content-Length¶Keep-Alive: timeout=5¶X-Hop: 1¶x-a:1¶Trailer: X¶"+
		"Proxy-Connection: x¶Upgrade: h2c¶Content-Length: 2¶SET-COOKIE: b=c¶Set-Cookie: d=e¶¶ok",
		"HTTP/1.1 200 Fine By Me¶x-a:1¶Trailer: X¶Content-Length: 2¶SET-COOKIE: b=c¶Set-Cookie: d=e¶Connection: close¶¶ok", "200 complete backend"),
	relayed("B02/http-1.0", "HTTP/1.0 200 OK¶X: 1¶¶to the end", "HTTP/1.1 200 OK¶X: 1¶Connection: close¶¶to the end", "200 complete backend").with(then("finish")),
}

// backendTests: B08, backends that cannot be reached, by hand.
func backendTests() []hostileTest {
	return []hostileTest{
		{"B08/refuses", func(t *proxytest.T) { testNextBackend(t, proxytest.Refuses(t)) }},
		{"B08/unroutable", func(t *proxytest.T) { testNextBackend(t, unroutable) }},
		{"B08/silent", func(t *proxytest.T) { testNextBackend(t, proxytest.NeverAnswers(t)) }},
		{"B08/all-refuse", func(t *proxytest.T) {
			testNoBackend(t, "{502}", "request 502 connect-failed backend refused", 3, proxytest.Refuses(t), proxytest.Refuses(t), proxytest.Refuses(t), proxytest.Refuses(t))
		}},
		{"B08/all-unroutable", func(t *proxytest.T) {
			testNoBackend(t, "{502}", "request 502 connect-failed backend unreachable", 2, unroutable, netip.AddrPortFrom(unroutable.Addr(), 81))
		}},
		{"B08/all-silent", func(t *proxytest.T) { // three tries of the short time for one
			testNoBackend(t, "{504}", "request 504 connect-timeout backend timeout", 3, proxytest.NeverAnswers(t), proxytest.NeverAnswers(t), proxytest.NeverAnswers(t), proxytest.NeverAnswers(t))
		}},
		{"B08/silent-for-too-long", testConnectTotal},
		{"B08/refuses-then-silent", func(t *proxytest.T) {
			testNoBackend(t, "{504}", "request 504 connect-timeout backend timeout", 2, proxytest.Refuses(t), proxytest.NeverAnswers(t))
		}},
		{"B08/accepts-and-resets", testAcceptsAndResets},
	}
}

// unroutable is the broadcast address, which no TCP connection can be made to: the kernel sends nothing.
var unroutable = netip.MustParseAddrPort("255.255.255.255:80")

// startUnreachable starts a proxy whose backends in front of the one given cannot be reached.
func startUnreachable(t *proxytest.T, backend *proxytest.Backend, addresses ...netip.AddrPort) *proxytest.Proxy {
	t.Helper()
	var backends []*proxytest.Backend
	if backend != nil {
		backends = append(backends, backend)
	}
	return proxytest.Start(t, proxytest.Options{Backends: backends, Addresses: addresses, Config: func(c *proxy.Config) {
		c.Timeouts.Connect, c.Timeouts.ConnectTotal = 100*time.Millisecond, proxytest.Patience
		if backend != nil && t.Way().Backend != proxytest.Plain {
			c.Timeouts.Connect = time.Second // the handshake with the one that can be reached is part of it
		}
		if backend != nil { // it comes last
			c.Groups[0].Backends = append(c.Groups[0].Backends[1:len(c.Groups[0].Backends):len(c.Groups[0].Backends)], c.Groups[0].Backends[0])
		}
	}})
}

// testNextBackend: nothing was sent yet, so the next backend gets the request, and what came early, whole.
func testNextBackend(t *proxytest.T, address netip.AddrPort) {
	backend := proxytest.NewBackend(t)
	p := startUnreachable(t, backend, address)
	client := p.Dial(t)
	expand := expander(p, client, backend.Address())
	client.Send(expand(chatRequest) + helloFrames)
	conn := backend.Accept()
	conn.Want(expand(chatForwarded))
	conn.Send(expand(switching))
	conn.Want(helloFrames)
	client.Want(expand(switchedClient))
	client.CloseWrite()
	conn.WantEOF()
	conn.Close()
	client.WantEOF()
	wantLog(t, p, "tunnel-open 101", "tunnel-end 101 closed client")
	if tries := p.Log()[0].Number("tries"); tries != 2 {
		t.Errorf("the log says %v tries, want 2", tries)
	}
}

// testNoBackend: none can be reached, and the number of tries is bounded.
func testNoBackend(t *proxytest.T, answer, log string, tries int, addresses ...netip.AddrPort) {
	wantNoBackend(t, startUnreachable(t, nil, addresses...), addresses[0], answer, log, tries)
}

// testConnectTotal: the time for all tries together is over during the first.
func testConnectTotal(t *proxytest.T) {
	addresses := []netip.AddrPort{proxytest.NeverAnswers(t), proxytest.NeverAnswers(t)}
	p := proxytest.Start(t, proxytest.Options{Addresses: addresses, Config: func(c *proxy.Config) {
		c.Timeouts.Connect, c.Timeouts.ConnectTotal = proxytest.Patience, 100*time.Millisecond
	}})
	wantNoBackend(t, p, addresses[0], "{504}", "request 504 connect-timeout backend timeout", 1)
}

func wantNoBackend(t *proxytest.T, p *proxytest.Proxy, address netip.AddrPort, answer, log string, tries int) {
	t.Helper()
	client := p.Dial(t)
	expand := expander(p, client, address)
	client.Send(expand(chatRequest) + helloFrames)
	client.Want(expand(answer))
	client.WantEOF()
	client.Close()
	wantLog(t, p, log)
	if got := p.Log()[0].Number("tries"); got != float64(tries) {
		t.Errorf("the log says %v tries, want %d", got, tries)
	}
}

// testAcceptsAndResets: the request was sent, so it is not sent to another.
func testAcceptsAndResets(t *proxytest.T) {
	first, second := proxytest.NewBackend(t), proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{first, second}})
	client := p.Dial(t)
	expand := expander(p, client, first.Address())
	client.Send(expand(chatRequest))
	conn := first.Accept()
	conn.Want(expand(chatForwarded))
	conn.Reset()
	client.Want(expand("{502}"))
	client.WantEOF()
	client.Close()
	wantLog(t, p, "request 502 backend-reset backend")
	wantNobody(t, second)
}
