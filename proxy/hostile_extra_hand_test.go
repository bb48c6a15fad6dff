package proxy_test

import (
	"fmt"
	"strings"
	"time"

	"culvert/proxy"
	"culvert/proxy/proxytest"

	gobwas "github.com/gobwas/ws"
)

// X: those that need a hand on both sides at once.

func extraTests() []hostileTest {
	tests := []hostileTest{
		{"X01/cut-at-every-byte", testCutSwitch},
		{"X03/101-before-the-request", testEarlySwitch},
		{"X03/answer-before-the-request", testEarlyAnswer},
		{"X04/answer-against-early-frames", testAnswerAgainstEarlyFrames},
		{"X05/1-MiB-then-FIN", testEarlyFramesThenFinish},
		{"X05/70-KiB-then-FIN", testEarlyFramesThenLeave},
		{"X06/1xx-to-a-client-that-does-not-read", testInterimFlood},
		{"X28/bytes-behind-an-ordinary-request", testBytesBehindRequest},
		{"X29/urgent-bytes", testUrgentBytes},
		{"X32/secrets-in-the-log", testLogKeepsSecrets},
		{"X32/hostile-text-in-the-log", testLogEscapes},
	}
	for _, c := range forwardedChains {
		tests = append(tests, hostileTest{"X13/" + c.name, func(t *proxytest.T) { testForwardedChain(t, c.lines, c.client) }})
	}
	for _, c := range deflateCases() {
		tests = append(tests, hostileTest{c.name, func(t *proxytest.T) { c.runAgreed(t, deflate) }})
	}
	return tests
}

// testCutSwitch: the 101 and frames behind it come in two reads, cut at each byte.
func testCutSwitch(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}})
	whole := strings.NewReplacer("¶", "\r\n", "{accept}", proxytest.Accept(proxytest.Key)).Replace(switching) + worldFrames
	want := strings.NewReplacer("¶", "\r\n", "{accept}", proxytest.Accept(proxytest.Key)).Replace(switchedClient) + worldFrames
	for cut := 1; cut < len(whole); cut++ {
		client := p.Dial(t)
		client.Send(proxytest.UpgradeRequest())
		conn := b.Accept()
		conn.ReadHead()
		conn.Send(whole[:cut])
		if !conn.UntilRead() {
			t.Fatalf("the proxy did not read %d bytes of the answer", cut)
		}
		conn.Send(whole[cut:])
		client.Want(want)
		client.Close()
		conn.WantEOF()
		conn.Close()
		p.WaitEnd(t).Want(t, "closed", 101, "client")
	}
}

// startSlowBackend starts a proxy before a backend that takes only a part of a long head, and sends one. It returns
// once the proxy has sent what went.
func startSlowBackend(t *proxytest.T) (p *proxytest.Proxy, client, conn *proxytest.Conn, expand func(string) string) {
	t.Helper()
	b := proxytest.NewBackendWith(t, proxytest.BackendOptions{ReceiveBuffer: 1 << 10})
	p = proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) { c.NotSentLowat = 4 << 10 }})
	client = p.Dial(t)
	expand = expander(p, client, b.Address())
	client.Send(expand(strings.Replace(chatRequest, "Host: a¶", "Host: a¶"+longLines+longLines[:len(longLines)/2], 1) + helloFrames))
	return p, client, b.Accept(), expand
}

// testEarlySwitch: a 101 while a part of the request is still on its way would let frames pass for the rest of it.
func testEarlySwitch(t *proxytest.T) {
	p, client, conn, expand := startSlowBackend(t)
	conn.Send(expand(switching))
	client.Want(expand("{502}"))
	client.WantEOF()
	client.Close()
	if got, _ := conn.ReadUntilGone(); strings.Contains(got, "\r\n\r\n") {
		t.Errorf("the request was sent whole: %s", proxytest.Excerpt(got))
	}
	wantLog(t, p, "request 502 bad-upgrade-answer backend switching-early")
}

// testEarlyAnswer: any other answer is relayed, and the rest of the request dropped.
func testEarlyAnswer(t *proxytest.T) {
	p, client, conn, expand := startSlowBackend(t)
	conn.Send(expand("HTTP/1.1 431 Too Large¶Content-Length: 0¶¶"))
	client.Want(expand("HTTP/1.1 431 Too Large¶Content-Length: 0¶Connection: close¶¶"))
	client.WantEOF()
	client.Close()
	// What is encrypted already cannot be dropped without breaking the stream for whatever follows it.
	if got, _ := conn.ReadUntilGone(); strings.Contains(got, "\r\n\r\n") && t.Way().Backend == proxytest.Plain {
		t.Errorf("the request was sent whole: %s", proxytest.Excerpt(got))
	}
	wantLog(t, p, "request 431 complete backend")
}

// mebibyte is a MiB of frames.
var mebibyte = strings.Repeat(proxytest.ClientFrame(gobwas.OpBinary, strings.Repeat("early", 13<<10)), 16)

// testAnswerAgainstEarlyFrames: the client goes on sending frames while its upgrade is turned down. It can read the
// answer whole, and nobody gets the frames.
func testAnswerAgainstEarlyFrames(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		c.Timeouts.Linger = 2 * time.Second
	}})
	client := p.Dial(t)
	expand := expander(p, client, b.Address())
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = client.TrySend(expand(chatRequest) + strings.Repeat(mebibyte, 16))
	}()
	conn := b.Accept()
	conn.Want(expand(chatForwarded))
	conn.Send(expand("HTTP/1.1 403 No¶Content-Length: 6¶¶answer"))
	conn.CloseWrite()
	conn.WantEOF()
	conn.Close()
	client.Want(expand("HTTP/1.1 403 No¶Content-Length: 6¶Connection: close¶¶answer"))
	client.WantEOF()
	wantLog(t, p, "request 403 complete backend")
	client.Close()
	<-sent
}

// testEarlyFramesThenFinish: the client's FIN stands behind more than is read before the 101. All of it arrives.
func testEarlyFramesThenFinish(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}})
	client := p.Dial(t)
	expand := expander(p, client, b.Address())
	frames := strings.Repeat(mebibyte, 8) // more than the kernel takes from a proxy that reads 64 KiB
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = client.TrySend(expand(chatRequest) + frames)
		client.CloseWrite()
	}()
	conn := b.Accept()
	conn.Want(expand(chatForwarded))
	proxytest.Eventually(t, "the client cannot send any more", func() bool {
		unsent, unread := client.Queues()
		return unsent > 0 && unread > 0
	})
	conn.Send(expand(switching))
	conn.Want(frames)
	conn.WantEOF()
	<-sent
	conn.Close()
	client.Want(expand(switchedClient))
	client.WantEOF()
	wantLog(t, p, "tunnel-open 101", "tunnel-end 101 closed client")
}

// testEarlyFramesThenLeave: the client's FIN is known before the 101, though not all in front of it was read: it left.
func testEarlyFramesThenLeave(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}})
	client := p.Dial(t)
	expand := expander(p, client, b.Address())
	client.Send(expand(chatRequest))
	conn := b.Accept()
	conn.Want(expand(chatForwarded))
	client.Send(mebibyte[:70<<10])
	client.CloseWrite()
	if got, _ := conn.ReadUntilGone(); got != "" {
		t.Errorf("the backend got frames before its 101: %s", proxytest.Excerpt(got))
	}
	client.ReadUntilGone()
	wantLog(t, p, "request 499 client-left client")
}

// testInterimFlood: large 1xx answers for a client that does not read are held up to a bound; it can read whole ones
// and the 502 later.
func testInterimFlood(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}})
	client := p.DialWith(t, proxytest.ConnOptions{ReceiveBuffer: 1 << 10})
	expand := expander(p, client, b.Address())
	client.Send(expand(plain("")))
	conn := b.Accept()
	conn.Want(expand(ordinaryForwarded))
	hint := expand("HTTP/1.1 103 Hints¶" + longLines + "¶")
	_ = conn.TrySend(strings.Repeat(hint, 1000))
	conn.ReadUntilGone()
	wantLog(t, p, "request 502 too-many-interim backend")
	got := client.ReadUntilEOF()
	hints, rest := 0, got
	for ok := true; ok; hints++ {
		rest, ok = strings.CutPrefix(rest, hint)
	}
	if hints--; hints > 16 || rest != expand("{502}") {
		t.Errorf("the client got %d hints, and then %s", hints, proxytest.Excerpt(rest))
	}
}

// testBytesBehindRequest: a client that sends on behind an ordinary request can read the answer whole.
func testBytesBehindRequest(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		c.Timeouts.Linger = 2 * time.Second
	}})
	client := p.Dial(t)
	expand := expander(p, client, b.Address())
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = client.TrySend(expand(plain("")) + strings.Repeat(expand(trailingRequest), 100_000))
	}()
	conn := b.Accept()
	conn.Want(expand(ordinaryForwarded))
	body := strings.Repeat("body", 64<<10)
	conn.Send(expand(fmt.Sprintf("HTTP/1.1 200 OK¶Content-Length: %d¶¶", len(body))) + body)
	client.Want(expand(fmt.Sprintf("HTTP/1.1 200 OK¶Content-Length: %d¶Connection: close¶¶", len(body))) + body)
	client.WantEOF()
	conn.WantEOF()
	conn.Close()
	client.Close()
	<-sent
	wantLog(t, p, okLog)
}

// testUrgentBytes: TCP's urgent data is no part of the stream: it neither reaches the backend nor stops the tunnel.
func testUrgentBytes(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}})
	client, conn := p.Tunnel(t)
	message := proxytest.ClientText("urgent")
	for cut := range len(message) {
		client.Send(message[:cut])
		if err := client.SendUrgent('!'); err != nil {
			t.Fatal(err)
		}
		if !client.UntilRead() { // else the next urgent byte would make this one an ordinary one
			t.Fatal("the proxy does not read on")
		}
		client.Send(message[cut:])
		conn.Want(message)
	}
	client.CloseWrite()
	conn.WantEOF()
	conn.Close()
	client.WantEOF()
	wantLog(t, p, "tunnel-open 101", "tunnel-end 101 closed client")
}

// forwardedChains: who the client is, on the word of trusted proxies.
var forwardedChains = []struct{ name, lines, client string }{
	{"none", "", "127.0.0.1"},
	{"one", "X-Forwarded-For: 192.0.2.7¶", "192.0.2.7"},
	{"ipv6-through-ipv6", "X-Forwarded-For: 198.51.100.1, 2001:db8::1, fd00::2, 10.0.0.3¶", "2001:db8::1"},
	{"several-lines", "X-Forwarded-For: 198.51.100.1¶X-Forwarded-For: 192.0.2.7¶X-Forwarded-For: 10.0.0.1,fd00::9¶", "192.0.2.7"},
	{"brackets-and-port", "X-Forwarded-For: [2001:db8::1]:443¶", "2001:db8::1"},
	{"brackets", "X-Forwarded-For: [2001:DB8:0:0::1]¶", "2001:db8::1"},
	{"port", "X-Forwarded-For: 192.0.2.7:55, 10.0.0.1:80¶", "192.0.2.7"},
	{"mapped", "X-Forwarded-For: 192.0.2.7, ::ffff:10.0.0.1¶", "192.0.2.7"},
	{"mapped-client", "X-Forwarded-For: ::ffff:192.0.2.7¶", "192.0.2.7"},
	{"zone", "X-Forwarded-For: fe80::1%lo¶", "fe80::1"},
	{"garbage-ends-the-search", "X-Forwarded-For: 192.0.2.7, unknown, 10.0.0.1¶", "10.0.0.1"},
	{"empty-ends-the-search", "X-Forwarded-For: 192.0.2.7, , 10.0.0.1¶", "10.0.0.1"},
	{"all-trusted", "X-Forwarded-For: 10.0.0.9, fd00::1, 127.0.0.2¶", "10.0.0.9"},
	{"octal-looking", "X-Forwarded-For: 192.0.2.7, 010.0.0.1¶", "127.0.0.1"},
	{"underscores-are-not-it", "X_Forwarded_For: 192.0.2.7¶", "127.0.0.1"},
}

func testForwardedChain(t *proxytest.T, lines, want string) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: trustLoopback})
	client := p.Dial(t)
	expand := expander(p, client, b.Address())
	client.Send(expand(plain(lines)))
	conn := b.Accept()
	conn.ReadHead()
	conn.Send(expand(okAnswer))
	client.Want(expand(okClient))
	line := p.WaitEnd(t)
	if got := line.Text("client"); got != want {
		t.Errorf("the client is %s, want %s", got, want)
	}
	if got := line.Text("peer"); got != client.Local().String() {
		t.Errorf("the peer is %s, want %s", got, client.Local())
	}
}

// testLogKeepsSecrets: tokens in a query, in a page's address and in headers are nobody's to read in a log.
func testLogKeepsSecrets(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}})
	for _, request := range []string{
		strings.Replace(chatRequest, "/chat", "/chat?token=secret", 1),
		strings.Replace(chatRequest, "/chat", "http://a/chat?token=secret", 1),
		strings.Replace(chatRequest, "Host: a¶", "Host: a¶Referer: http://a/?token=secret¶Cookie: c=secret¶Authorization: Bearer secret¶Sec-WebSocket-Protocol: secret¶", 1),
		"GET /?token=secret HTTP/1.1¶Host: a¶X : secret¶¶",
		"GET /?token=secret HTTP/1.1¶Host: a¶Transfer-Encoding: secret¶¶",
	} {
		client := p.Dial(t)
		expand := expander(p, client, b.Address())
		client.Send(expand(request))
		if strings.HasPrefix(request, "GET /?") {
			client.ReadUntilEOF()
			client.Close()
			p.WaitEnd(t)
			continue
		}
		conn := b.Accept()
		conn.ReadHead()
		conn.Send(expand(switching))
		client.Want(expand(switchedClient))
		client.CloseWrite()
		conn.WantEOF()
		conn.Close()
		client.WantEOF()
		p.WaitEnd(t)
	}
	for _, line := range p.Log() {
		if text := fmt.Sprint(line); strings.Contains(text, "secret") {
			t.Errorf("the log tells a secret: %s", text)
		}
	}
}

// testLogEscapes: whatever a client puts into what is logged, each line stays one JSON object.
func testLogEscapes(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: trustLoopback})
	client := p.Dial(t)
	expand := expander(p, client, b.Address())
	agent := "a\"},{\\\t\xff\xc3\x28 \u2028é"
	client.Send(expand("GET /\"'<>\\{} HTTP/1.1¶Host: a¶User-Agent: " + agent + "¶Referer: \x80¶X-Forwarded-For: \"evil\"\xfe¶¶"))
	conn := b.Accept()
	conn.ReadHead()
	conn.Send(expand(okAnswer))
	client.Want(expand(okClient))
	line := p.WaitEnd(t)
	line.Want(t, "complete", 200, "backend")
	want := strings.ToValidUTF8(agent, "\ufffd")
	if got := line.Text("user_agent"); got != want && got != strings.Replace(want, "\ufffd(", "\ufffd\ufffd(", 1) {
		t.Errorf("the user agent is %q in the log, want %q", got, want)
	}
	if got := line.Text("uri"); got != `/"'<>\{}` {
		t.Errorf("the URI is %q in the log", got)
	}
}

// deflateCases: what an agreed permessage-deflate changes.
func deflateCases() []frameCase {
	cases := []frameCase{
		{name: "X15/compressed-message/from-client", send: masked("\xc1\x02") + "hi", passes: -1},
		{name: "X15/compressed-fragments/from-client", send: masked("\x42\x02") + "hi" + masked("\x80\x01") + "!", passes: -1},
		{name: "X15/compressed-message/from-backend", fromBackend: true, send: "\xc2\x02hi", passes: -1},
	}
	for _, v := range []struct {
		name, header string
		fragment     bool
	}{{"rsv1-on-a-continuation", "\xc0\x01", true}, {"rsv1-on-a-ping", "\xc9\x00", false}, {"rsv2", "\xe1\x00", false}} {
		cases = append(cases, either("X15/"+v.name, "reserved-bit", something, v.fragment, v.header, "!")...)
	}
	return cases
}

// runAgreed plays the case in a tunnel whose two sides have agreed on what the lines say.
func (c frameCase) runAgreed(t *proxytest.T, lines string) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}})
	client := p.Dial(t)
	field := strings.TrimSuffix(lines, "¶")
	client.Send(proxytest.UpgradeRequest(field))
	conn := b.Accept()
	conn.Send(proxytest.SwitchingProtocols(conn.ReadHead(), field))
	client.ReadHead()
	if c.fromBackend {
		conn.Send(c.send)
	} else {
		client.Send(c.send)
	}
	c.finish(t, p, client, conn)
}
