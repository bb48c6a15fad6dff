package proxy_test

import (
	"strings"
	"time"

	"culvert/engine"
	"culvert/proxy"
	"culvert/proxy/proxytest"

	gobwas "github.com/gobwas/ws"
)

// U: what is no upgrade, or none that is valid.

// handshake spells an upgrade request whose lines behind Host are given.
func handshake(lines string) string { return "GET / HTTP/1.1¶Host: a¶" + lines + "¶" }

const (
	upgradeLines = "Connection: Upgrade¶Upgrade: websocket¶"
	keyLine      = "Sec-WebSocket-Key: {key}¶"
	versionLine  = "Sec-WebSocket-Version: 13¶"
)

// ordinary is a request of which the upgrade is dropped.
func ordinary(name, send string) hostileCase {
	return hostileCase{name: name, send: send, answer: okAnswer, backend: ordinaryForwarded, client: okClient, log: []string{okLog}}
}

// refused is a request that never reaches a backend.
func refused(name, send string, status, log string) hostileCase {
	return hostileCase{name: name, send: send, client: "{" + status + "}", log: []string{"request " + status + " " + log}}
}

// badKey is an upgrade whose key lines are given.
func badKey(name, keyLines, detail string) hostileCase {
	return refused("U11/"+name, handshake(upgradeLines+versionLine+keyLines), "400", "bad-upgrade client "+detail)
}

// badVersion is an upgrade whose version lines are given.
func badVersion(name, versionLines string) hostileCase {
	return refused("U10/"+name, handshake(upgradeLines+keyLine+versionLines), "426", "upgrade-version client version-unsupported")
}

// notSwitched is a valid upgrade whose answer is an ordinary one.
func notSwitched(name, answer, client string) hostileCase {
	return hostileCase{
		name: name, send: chatRequest, answer: answer, backend: chatForwarded, client: client,
		later: "GET /second HTTP/1.1¶Host: a¶¶",
	}
}

// badSwitch is a 101 to a valid upgrade that opens no tunnel.
func badSwitch(name, answer, detail string) hostileCase {
	return hostileCase{
		name: name, send: chatRequest, answer: answer, backend: chatForwarded, backendEnd: "reset",
		client: "{502}", log: []string{"request 502 bad-upgrade-answer backend " + detail},
	}
}

// with returns a copy of the case, changed.
func (c hostileCase) with(change func(*hostileCase)) hostileCase {
	change(&c)
	return c
}

const switchLine = "HTTP/1.1 101 Switching Protocols¶"

var upgradeCases = []hostileCase{
	{
		name: "U01/token-dropped",
		send: "GET / HTTP/1.1¶Host: a¶Connection: Upgrade¶Upgrade: foo¶¶GET /admin HTTP/1.1¶Host: a¶¶", answer: okAnswer,
		backend: ordinaryForwarded, client: okClient, log: []string{okLog},
	},
	notSwitched("U02/400", "HTTP/1.1 400 Bad Request¶Content-Length: 3¶¶bad", "HTTP/1.1 400 Bad Request¶Content-Length: 3¶Connection: close¶¶bad").
		with(func(c *hostileCase) { c.log = []string{"request 400 complete backend"} }),
	notSwitched("U02/426-with-headers", "HTTP/1.1 426 Upgrade Required¶Connection: Upgrade¶Upgrade: websocket¶Sec-WebSocket-Version: 13¶Content-Length: 0¶¶",
		"HTTP/1.1 426 Upgrade Required¶Content-Length: 0¶Connection: close¶¶").
		with(func(c *hostileCase) { c.log = []string{"request 426 complete backend"} }),
	notSwitched("U03/302", "HTTP/1.1 302 Found¶Location: /elsewhere¶Content-Length: 0¶¶", "HTTP/1.1 302 Found¶Location: /elsewhere¶Content-Length: 0¶Connection: close¶¶").
		with(func(c *hostileCase) { c.log = []string{"request 302 complete backend"} }),
	notSwitched("U04/200-says-upgrade", "HTTP/1.1 200 OK¶Connection: upgrade¶Upgrade: websocket¶¶tail", "HTTP/1.1 200 OK¶Connection: close¶¶tail").
		with(func(c *hostileCase) {
			c.then = "finish"
			c.log = []string{okLog}
		}),
	notSwitched("U04/200-with-accept", "HTTP/1.1 200 OK¶Connection: upgrade¶Upgrade: websocket¶Sec-WebSocket-Accept: {accept}¶Content-Length: 0¶¶",
		"HTTP/1.1 200 OK¶Content-Length: 0¶Connection: close¶¶").
		with(func(c *hostileCase) { c.log = []string{okLog} }),
	badSwitch("U05/wrong-accept", switchLine+upgradeLines+"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=¶¶", "accept-wrong"),
	badSwitch("U05/accept-in-other-case", switchLine+upgradeLines+"Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=¶¶", "accept-wrong"),
	badSwitch("U06/no-accept", switchLine+upgradeLines+"¶", "accept-missing"),
	badSwitch("U06/empty-accept", switchLine+upgradeLines+"Sec-WebSocket-Accept:¶¶", "accept-wrong"),
	badSwitch("U06/two-accepts", switchLine+upgradeLines+"Sec-WebSocket-Accept: {accept}¶Sec-WebSocket-Accept: {accept}¶¶", "accept-repeated"),
	badSwitch("U07/h2c", switchLine+"Connection: Upgrade¶Upgrade: h2c¶Sec-WebSocket-Accept: {accept}¶¶", "upgrade-not-websocket"),
	badSwitch("U07/none", switchLine+"Connection: Upgrade¶Sec-WebSocket-Accept: {accept}¶¶", "upgrade-not-websocket"),
	badSwitch("U07/both", switchLine+"Connection: Upgrade¶Upgrade: websocket, h2c¶Sec-WebSocket-Accept: {accept}¶¶", "upgrade-not-websocket"),
	badSwitch("U07/not-in-connection", switchLine+"Upgrade: websocket¶Sec-WebSocket-Accept: {accept}¶¶", "connection-not-upgrade"),
	{
		name: "U08/not-asked", send: "GET / HTTP/1.1¶Host: a¶¶", answer: switching, backend: ordinaryForwarded, backendEnd: "reset",
		client: "{502}", log: []string{"request 502 bad-upgrade-answer backend upgrade-not-requested"},
	},
	badSwitch("U09/subprotocol", switchLine+upgradeLines+"Sec-WebSocket-Accept: {accept}¶Sec-WebSocket-Protocol: chat¶¶", "subprotocol-not-offered"),
	badSwitch("U09/other-case", switchLine+upgradeLines+"Sec-WebSocket-Accept: {accept}¶Sec-WebSocket-Protocol: Chat¶¶", "subprotocol-not-offered").
		with(func(c *hostileCase) {
			c.send = handshake(upgradeLines + versionLine + keyLine + "Sec-WebSocket-Protocol: chat¶")
			c.backend = "GET / HTTP/1.1¶Host: a¶" + versionLine + keyLine + "Sec-WebSocket-Protocol: chat¶{forwarded}Connection: Upgrade¶Upgrade: websocket¶¶"
		}),
	badVersion("1337", "Sec-WebSocket-Version: 1337¶"),
	badVersion("none", ""),
	badVersion("list", "Sec-WebSocket-Version: 13, 8¶"),
	badVersion("two", versionLine+versionLine),
	badVersion("padded", "Sec-WebSocket-Version: 013¶"),
	badKey("15-bytes", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA¶", "key-malformed"),
	badKey("17-bytes", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=¶", "key-malformed"),
	badKey("not-base64", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==¶", "key-malformed"),
	badKey("two", keyLine+keyLine, "key-repeated"),
	badKey("two-in-a-list", "Sec-WebSocket-Key: {key}, {key}¶", "key-malformed"),
	badKey("empty", "Sec-WebSocket-Key:¶", "key-malformed"),
	badKey("none", "", "key-missing"),
	ordinary("U12/no-connection", handshake("Upgrade: websocket¶"+versionLine+keyLine)),
	ordinary("U12/other-option", handshake("Connection: keep-alive¶Upgrade: websocket¶"+versionLine+keyLine)),
	ordinary("U12/part-of-a-token", handshake("Connection: upgraded, x-upgrade¶Upgrade: websocket¶"+versionLine+keyLine)),
	ordinary("U13/http-1.0", "GET / HTTP/1.0¶Host: a¶"+upgradeLines+versionLine+keyLine+"¶"),
	refused("U14/post", "POST / HTTP/1.1¶Host: a¶"+upgradeLines+versionLine+keyLine+"¶", "400", "bad-upgrade client method-not-get"),
	refused("U14/lower-case-get", "get / HTTP/1.1¶Host: a¶"+upgradeLines+versionLine+keyLine+"¶", "400", "bad-upgrade client method-not-get"),
	{
		name: "U14/head", send: "HEAD / HTTP/1.1¶Host: a¶" + upgradeLines + versionLine + keyLine + "¶",
		client: "{400 head}", log: []string{"request 400 bad-upgrade client method-not-get"},
	},
	refused("U15/length", handshake(upgradeLines+versionLine+keyLine+"Content-Length: 5¶")+"hello", "400", "bad-upgrade client body-present"),
	refused("U16/chunked", handshake(upgradeLines+versionLine+keyLine+"Transfer-Encoding: chunked¶")+"5¶hello¶0¶¶", "400", "bad-upgrade client body-present"),
	ordinary("U17/h2c", handshake("Connection: Upgrade, HTTP2-Settings¶Upgrade: h2c¶HTTP2-Settings: AAMAAABkAAQAAP__¶")),
	ordinary("U17/not-named", handshake("Connection: Upgrade¶Upgrade: h2c¶HTTP2-Settings: AAMAAABkAAQAAP__¶")),
	ordinary("U18/others", handshake("Connection: Upgrade¶Upgrade: foo, h2c¶Upgrade: bar¶")),
	ordinary("U18/part-of-a-token", handshake("Connection: Upgrade¶Upgrade: websocket2, web-socket¶"+versionLine+keyLine)),
	{
		name: "U25/ordinary-answer", send: handshake("Expect: 100-continue¶" + upgradeLines + versionLine + keyLine), answer: okAnswer,
		backend: "GET / HTTP/1.1¶Host: a¶" + versionLine + keyLine + "{forwarded}Connection: Upgrade¶Upgrade: websocket¶¶",
		client:  okClient, log: []string{okLog},
	},
	{
		name: "U26/resets", send: chatRequest, then: "reset", backend: chatForwarded, backendEnd: "the backend",
		client: "{502}", log: []string{"request 502 backend-reset backend"},
	},
	{
		name: "U26/finishes", send: chatRequest, then: "finish", backend: chatForwarded, backendEnd: "reset",
		client: "{502}", log: []string{"request 502 backend-closed backend"},
	},
	{
		name: "U26/never-answers", send: chatRequest, backend: chatForwarded, backendEnd: "reset",
		client: "{504}", log: []string{"request 504 answer-timeout backend"}, change: shortAnswer,
	},
	{
		name: "U26/half-an-answer", send: chatRequest, answer: strings.TrimSuffix(switching, "¶"), backend: chatForwarded, backendEnd: "reset",
		client: "{504}", log: []string{"request 504 answer-timeout backend"}, change: shortAnswer,
	},
}

// shortAnswer makes backends late at once.
func shortAnswer(c *proxy.Config) { c.Timeouts.Answer = 200 * time.Millisecond }

// tunnelCases are upgrades that succeed.
var tunnelCases = []hostileCase{
	{
		name: "U19/websocket-and-h2c", send: handshake("Connection: Upgrade¶Upgrade: websocket, h2c¶" + versionLine + keyLine), answer: switching,
		backend: "GET / HTTP/1.1¶Host: a¶" + versionLine + keyLine + "{forwarded}Connection: Upgrade¶Upgrade: websocket¶¶",
	},
	{
		name: "U19/h2c-and-websocket", send: handshake("Connection: Upgrade¶Upgrade: h2c¶Upgrade: websocket¶" + versionLine + keyLine), answer: switching,
		backend: "GET / HTTP/1.1¶Host: a¶" + versionLine + keyLine + "{forwarded}Connection: Upgrade¶Upgrade: websocket¶¶",
	},
	{
		name: "U20/odd-case",
		send: "GET /%7Eu?q=1&r HTTP/1.1¶x-b:2¶sec-websocket-KEY:  {key}\t¶connection: keep-alive, UPGRADE¶UPGRADE: WebSocket¶" +
			"X-A: 1¶hOsT: Example.ORG:80¶SEC-WEBSOCKET-VERSION: 13¶x-b: 3¶¶",
		answer: "HTTP/1.1 101 ¶x-z: 1¶UPGRADE: WebSocket¶connection: UPGRADE¶sec-websocket-ACCEPT:{accept}¶X-a:2¶¶",
		backend: "GET /%7Eu?q=1&r HTTP/1.1¶x-b:2¶sec-websocket-KEY:  {key}\t¶X-A: 1¶hOsT: Example.ORG:80¶SEC-WEBSOCKET-VERSION: 13¶x-b: 3¶" +
			"{forwarded}Connection: Upgrade¶Upgrade: websocket¶¶",
		client: "HTTP/1.1 101 ¶x-z: 1¶sec-websocket-ACCEPT:{accept}¶X-a:2¶Connection: Upgrade¶Upgrade: websocket¶¶",
	},
	{
		name: "U21/frame-with-the-request", send: chatRequest + helloFrames, answer: switching, backend: chatForwarded + helloFrames,
	},
	{
		name: "U22/frame-with-the-answer", send: chatRequest, answer: switching + worldFrames, backend: chatForwarded,
		client: switchedClient + worldFrames,
	},
	{
		name: "U24/103", send: chatRequest, answer: "HTTP/1.1 103 Early Hints¶Link: </a.css>¶¶" + switching, backend: chatForwarded,
		client: "HTTP/1.1 103 Early Hints¶Link: </a.css>¶¶" + switchedClient,
	},
	{
		name: "U24/100-and-103", send: chatRequest, answer: "HTTP/1.1 100 Continue¶¶HTTP/1.1 103 ¶Connection: x-hop¶x-hop: 1¶Link: </b>¶¶" + switching,
		backend: chatForwarded, client: "HTTP/1.1 100 Continue¶¶HTTP/1.1 103 ¶Link: </b>¶¶" + switchedClient,
	},
	{
		name: "U25/tunnel", send: handshake("Expect: 100-continue¶" + upgradeLines + versionLine + keyLine), answer: switching,
		backend: "GET / HTTP/1.1¶Host: a¶" + versionLine + keyLine + "{forwarded}Connection: Upgrade¶Upgrade: websocket¶¶",
	},
}

// Frames that follow a handshake: a message in three fragments with a ping in between; empty ones.
var (
	helloFrames = clientFragment(gobwas.OpText, "hel") + proxytest.ClientFrame(gobwas.OpPing, "p") +
		clientFragment(gobwas.OpContinuation, "") + proxytest.ClientFrame(gobwas.OpContinuation, "lo")
	worldFrames = proxytest.ServerFrame(gobwas.OpBinary, "") + proxytest.ServerText("world") + proxytest.ServerFrame(gobwas.OpPong, "")
)

// clientFragment is a frame of which more follow.
func clientFragment(op gobwas.OpCode, payload string) string {
	f := gobwas.MaskFrameWith(gobwas.NewFrame(op, false, []byte(payload)), proxytest.ClientMask)
	return string(gobwas.MustCompileFrame(f))
}

func init() {
	for i := range tunnelCases {
		c := &tunnelCases[i]
		c.tunnel = true
		c.client = or(c.client, switchedClient)
		c.log = []string{"tunnel-open 101", "tunnel-end 101 closed client"}
	}
}

// upgradeTests are those that need a hand on both sides at once.
func upgradeTests() []hostileTest {
	return []hostileTest{
		{"U23/held", testManyEarlyFrames},
		{"U26/answers-late", testLateSwitch},
	}
}

// testManyEarlyFrames: 1 MiB of frames before the 101 is taken up to one read buffer, and delivered after it.
func testManyEarlyFrames(t *proxytest.T) {
	backend := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{backend}})
	client := p.Dial(t)
	expand := expander(p, client, backend.Address())
	frames := strings.Repeat(proxytest.ClientFrame(gobwas.OpBinary, strings.Repeat("early", 13<<10)), 16)
	early := make(chan int, 1)
	go func() {
		_ = client.TrySend(expand(chatRequest) + frames)
		close(early)
	}()
	conn := backend.Accept()
	conn.Want(expand(chatForwarded))
	// What the client has got rid of is in the kernel's queues or with the proxy, which leaves the queue as it is.
	full := func() bool {
		unsent, unread := client.Queues()
		return unsent > 0 && unread > 0
	}
	proxytest.Eventually(t, "the proxy stops reading", full)
	_, before := client.Queues()
	other := p.Dial(t) // the same loop had its turns when this one is answered
	other.Send(expand("BAD¶¶"))
	other.ReadUntilEOF()
	proxytest.Eventually(t, "the rest stays where it is", full)
	if _, after := client.Queues(); after < before {
		t.Errorf("the proxy goes on reading: %d bytes were unread, now %d", before, after)
	}
	conn.Send(expand(switching))
	conn.Want(frames)
	<-early
	client.Want(expand(switchedClient))
	client.CloseWrite()
	conn.WantEOF()
	conn.Close()
	client.WantEOF()
	wantLog(t, p, "request 400 bad-request client bad-request-line", "tunnel-open 101", "tunnel-end 101 closed client")
	if held := p.Metric(t, "culvert_relay_pending_peak_bytes"); held > engine.DefaultReadBuffer+engine.HoldMax {
		t.Errorf("up to %v bytes were held, want at most one read", held)
	}
}

// testLateSwitch: a valid 101 behind the timeout opens nothing.
func testLateSwitch(t *proxytest.T) {
	backend := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{backend}, Config: shortAnswer})
	client := p.Dial(t)
	expand := expander(p, client, backend.Address())
	client.Send(expand(chatRequest) + helloFrames)
	conn := backend.Accept()
	client.Want(expand("{504}"))
	client.WantEOF()
	_ = conn.TrySend(expand(switching) + worldFrames)
	if got, _ := conn.ReadUntilGone(); got != expand(chatForwarded) {
		t.Errorf("the backend got other bytes: %s", proxytest.Difference(got, expand(chatForwarded)))
	}
	wantLog(t, p, "request 504 answer-timeout backend")
}
