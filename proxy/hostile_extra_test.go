package proxy_test

import (
	"fmt"
	"strings"

	"culvert/proxy"
	"culvert/proxy/proxytest"

	gobwas "github.com/gobwas/ws"
)

// X: further inputs, found while looking for them. What each is stands in docs/hostile.md.

// opened is an upgrade that succeeds.
func opened(name, send, backend, answer, client string) hostileCase {
	return hostileCase{
		name: name, send: send, backend: backend, answer: answer, client: client, tunnel: true,
		log: []string{"tunnel-open 101", "tunnel-end 101 closed client"},
	}
}

// offered spells an upgrade with further lines, and what the backend gets of it.
func offered(lines string) (send, backend string) {
	return handshake(upgradeLines + versionLine + keyLine + lines),
		"GET / HTTP/1.1¶Host: a¶" + versionLine + keyLine + lines + "{forwarded}Connection: Upgrade¶Upgrade: websocket¶¶"
}

// agreed is an upgrade with further lines in the request and the answer that succeeds; failed one that does not.
func agreed(name, request, answer string) hostileCase {
	send, backend := offered(request)
	return opened(name, send, backend, strings.TrimSuffix(switching, "¶")+answer+"¶",
		switchLine+"Sec-WebSocket-Accept: {accept}¶"+answer+"Connection: Upgrade¶Upgrade: websocket¶¶")
}

func failed(name, request, answer, detail string) hostileCase {
	send, backend := offered(request)
	return hostileCase{
		name: name, send: send, backend: backend, answer: strings.TrimSuffix(switching, "¶") + answer + "¶",
		backendEnd: "reset", client: "{502}", log: []string{"request 502 bad-upgrade-answer backend " + detail},
	}
}

// hosted is an ordinary request to a host that is unusual, and right.
func hosted(name, host string) hostileCase {
	return passed("X10/"+name, "GET / HTTP/1.1¶Host: "+host+"¶¶", "GET / HTTP/1.1¶Host: "+host+"¶{forwarded}Connection: close¶¶")
}

func badHost(name, host string) hostileCase {
	return bad("X10/"+name, "GET / HTTP/1.1¶Host: "+host+"¶¶", "bad-host")
}

// manySubprotocols are more names than are remembered one by one.
var manySubprotocols = func() string {
	names := make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprint("protocol-", i)
	}
	return "Sec-WebSocket-Protocol: " + strings.Join(names, ", ") + "¶"
}()

const deflate = "Sec-WebSocket-Extensions: permessage-deflate¶"

var extraCases = []hostileCase{
	opened("X02/101-with-length-0", chatRequest, chatForwarded, strings.TrimSuffix(switching, "¶")+"Content-Length: 0¶¶", switchedClient),
	failed("X02/101-with-length-5", "", "Content-Length: 5¶", "switching-with-body"),
	failed("X02/101-with-chunks", "", "Transfer-Encoding: chunked¶", "switching-with-body"),
	badSwitch("X02/101-on-http-1.0", strings.Replace(switching, "HTTP/1.1", "HTTP/1.0", 1), "switching-on-http10"),
	badSwitch("X07/two-upgrades", switchLine+upgradeLines+"Upgrade: websocket¶Sec-WebSocket-Accept: {accept}¶¶", "upgrade-not-websocket"),
	badSwitch("X07/h2c-first", switchLine+"Upgrade: h2c¶"+upgradeLines+"Sec-WebSocket-Accept: {accept}¶¶", "upgrade-not-websocket"),
	malformed("X08/non-ascii-name", "HTTP/1.1 200 OK¶X-n\xc3\xa9: 1¶Content-Length: 2¶¶ok", "bad-header-name"),
	malformed("X08/non-ascii-name-in-103", "HTTP/1.1 103 Hints¶X-\xff: 1¶¶"+okAnswer, "bad-header-name"),
	relayed("X08/non-ascii-value", "HTTP/1.1 200 \xc3\xa9¶X: \xe9¶Content-Length: 2¶¶ok", "HTTP/1.1 200 \xc3\xa9¶X: \xe9¶Content-Length: 2¶Connection: close¶¶ok", "200 complete backend"),
	opened("X09/close-and-upgrade", strings.Replace(chatRequest, "Connection: Upgrade", "Connection: close, upgrade", 1), chatForwarded, switching, switchedClient),
	opened("X09/upgrade-in-two-lines", strings.Replace(chatRequest, "Connection: Upgrade", "Connection: keep-alive¶Connection: , upgrade ,", 1), chatForwarded, switching, switchedClient),
	opened("X09/101-that-closes", chatRequest, chatForwarded, strings.Replace(switching, "Connection: Upgrade", "Connection: close, upgrade", 1), switchedClient),
	hosted("ipv6", "[::1]"), hosted("ipv6-with-port", "[2001:DB8::1]:8080"), hosted("mapped", "[::ffff:1.2.3.4]"), hosted("root-dot", "a.example."),
	hosted("underscore", "a_b"), hosted("port-with-zeros", "a:00080"), hosted("punycode", "xn--bcher-kva.example"),
	badHost("leading-dot", ".a"), badHost("two-dots", "a..b"), badHost("half-a-bracket", "[::1"), badHost("bracketed-ipv4", "[1.2.3.4]"),
	badHost("zone", "[fe80::1%25lo]"), badHost("percent", "%61"), badHost("asterisk", "*"), badHost("comma", "a, b"), badHost("non-ascii", "b\xc3\xbccher"),
	badHost("too-long", strings.Repeat("a", 300)), badHost("ipv6-without-brackets", "::1"), badHost("query", "a?b"), badHost("fragment", "a#b"),
	badHost("backslash", "a\\b"), badHost("quoted", "\"a\""), badHost("scheme", "http://a"),
	agreed("X11/last-of-1000-subprotocols", manySubprotocols, "Sec-WebSocket-Protocol: protocol-999¶"),
	agreed("X11/16-in-two-lines", "Sec-WebSocket-Protocol: a, b, c, d, e, f, g, h¶Sec-WebSocket-Protocol: i,j,k,l,m,n,o,p¶", "Sec-WebSocket-Protocol: p¶"),
	failed("X11/17th-of-16", "Sec-WebSocket-Protocol: a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p¶", "Sec-WebSocket-Protocol: q¶", "subprotocol-not-offered"),
	failed("X11/two-chosen", "Sec-WebSocket-Protocol: a, b¶", "Sec-WebSocket-Protocol: a, b¶", "subprotocol-repeated"),
	failed("X11/two-lines-chosen", "Sec-WebSocket-Protocol: a, b¶", "Sec-WebSocket-Protocol: a¶Sec-WebSocket-Protocol: a¶", "subprotocol-repeated"),
	failed("X11/empty-chosen", "Sec-WebSocket-Protocol: a, b¶", "Sec-WebSocket-Protocol:¶", "subprotocol-not-offered"),
	failed("X11/extension-not-offered", "", deflate, "extension-not-offered"),
	passed("X12/30-kb-of-forwarded", plain("X-Forwarded-For: "+manyAddresses+"¶"), "GET / HTTP/1.1¶Host: a¶X-Forwarded-For: "+manyAddresses+
		", 127.0.0.1¶X-Forwarded-Proto: {proto}¶X-Forwarded-Port: {port}¶X-Forwarded-Client-Srcport: {client-port}¶Connection: close¶¶").with(trusted),
	refused("X14/head-refused", "HEAD / HTTP/1.1¶Host: a¶X : 1¶¶", "400", "bad-request client space-before-colon").with(headOnly),
	passed("X14/head-with-length", "HEAD / HTTP/1.1¶Host: a¶Content-Length: 5¶¶hello",
		"HEAD / HTTP/1.1¶Host: a¶Content-Length: 5¶{forwarded}Connection: close¶¶hello").with(func(c *hostileCase) {
		c.answer, c.client = "HTTP/1.1 200 OK¶Content-Length: 2¶¶", "HTTP/1.1 200 OK¶Content-Length: 2¶Connection: close¶¶"
	}),
	passed("X16/trusted-peer-lets-underscores-pass", plain("X_Forwarded_For: 6.6.6.6¶X-Forwarded_Proto: https¶SLB.ID: x¶X-Forwarded-Host: b¶SLB-IP: y¶"),
		"GET / HTTP/1.1¶Host: a¶X-Forwarded-Host: b¶SLB-IP: y¶{forwarded}Connection: close¶¶").with(trusted),
	passed("X17/empty-line-before", "¶"+plain(""), ordinaryForwarded),
	bad("X17/two-empty-lines-before", "¶¶"+plain(""), "too-many-empty-lines"),
	passed("X18/max-forwards", "OPTIONS * HTTP/1.1¶Host: a¶Max-Forwards: 3¶¶", "OPTIONS * HTTP/1.1¶Host: a¶Max-Forwards: 2¶{forwarded}Connection: close¶¶"),
	passed("X18/max-forwards-elsewhere", "GET / HTTP/1.1¶Host: a¶Max-Forwards: 0¶¶", "GET / HTTP/1.1¶Host: a¶Max-Forwards: 0¶{forwarded}Connection: close¶¶"),
	refused("X18/max-forwards-0", "OPTIONS / HTTP/1.1¶Host: a¶Max-Forwards: 0¶¶", "200", "max-forwards proxy"),
	refused("X18/unknown-expectation", plain("Expect: 200-maybe¶"), "417", "expectation-failed client"),
	passed("X18/expect-twice", plain("Expect: 100-continue¶EXPECT: 100-continue¶"), ordinaryForwarded),
	refused("X20/10000-options", plain("Connection: "+strings.Repeat("a,", 10_000)+"¶"), "431", "head-too-large client too-many-connection-options"),
	{
		name: "X21/connection-names-the-key", send: handshake("Connection: Upgrade, Sec-WebSocket-Key, Cookie¶Upgrade: websocket¶Cookie: a=b¶" + versionLine + keyLine),
		backend: "GET / HTTP/1.1¶Host: a¶" + versionLine + keyLine + "{forwarded}Connection: Upgrade¶Upgrade: websocket¶¶",
		answer:  "HTTP/1.1 400 No¶Content-Length: 0¶¶", client: "HTTP/1.1 400 No¶Content-Length: 0¶Connection: close¶¶", log: []string{"request 400 complete backend"},
	},
	{
		name: "X23/101-then-reset", send: chatRequest, backend: chatForwarded, answer: switching + worldFrames, client: switchedClient + worldFrames,
		then: "reset", backendEnd: "the backend", clientReset: true, noTrailing: true, log: []string{"tunnel-open 101", "tunnel-end 101 backend-reset backend"},
	},
	opened("X26/small-read-buffer", strings.Replace(chatRequest, "Host: a¶", "Host: a¶"+longLines, 1)+manyFrames,
		strings.Replace(chatForwarded, "Host: a¶", "Host: a¶"+longLines, 1)+manyFrames,
		strings.Replace(switching, "¶¶", "¶"+longLines+"¶", 1)+manyMessages,
		strings.Replace(switchedClient, "Connection: ", longLines+"Connection: ", 1)+manyMessages).
		with(func(c *hostileCase) { c.change = func(config *proxy.Config) { config.ReadBuffer = 4 << 10 } }),
	{
		name: "X27/early-frames-then-200", send: chatRequest + manyFrames, answer: okAnswer, backend: chatForwarded, client: okClient, log: []string{okLog},
	},
	{
		name: "X27/early-frames-then-wrong-101", send: chatRequest + manyFrames, answer: switchLine + upgradeLines + "¶", backend: chatForwarded, backendEnd: "reset",
		client: "{502}", log: []string{"request 502 bad-upgrade-answer backend accept-missing"},
	},
	{
		name: "X27/early-frames-then-error", send: chatRequest + manyFrames, answer: chunkedHead + "3¶bad¶0¶¶", backend: chatForwarded,
		client: chunkedClient + "3¶bad¶0¶¶", log: []string{okLog},
	},
	relayed("X31/trailers", chunkedHead+"2¶ok¶0¶X-T: 1¶Content-Length: 5¶Transfer-Encoding: x¶Host: b¶Authorization: c¶X-U: 2¶¶",
		chunkedClient+"2¶ok¶0¶X-T: 1¶X-U: 2¶¶", "200 complete backend"),
}

// headOnly drops the body of the answer that the case wants.
func headOnly(c *hostileCase) { c.client = strings.Replace(c.client, "}", " head}", 1) }

// manyAddresses fill most of a head.
var manyAddresses = strings.TrimSuffix(strings.Repeat("192.0.2.1, 2001:db8::1, ", 1300), ", ")

// longLines are 20 KB of headers; manyFrames and manyMessages some 40 KB of small frames.
var (
	longLines    = strings.Repeat("X-Long: "+strings.Repeat("v", 990)+"¶", 20)
	manyFrames   = strings.Repeat(helloFrames+proxytest.ClientText(strings.Repeat("early", 20)), 300)
	manyMessages = strings.Repeat(worldFrames+proxytest.ServerFrame(gobwas.OpBinary, strings.Repeat("early", 20)), 300)
)
