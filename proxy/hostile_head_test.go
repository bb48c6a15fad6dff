package proxy_test

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// H: request heads. What a parser makes of each is shown in package http1; here it is what client and backend see.

// plain spells an ordinary request whose lines behind Host are given.
func plain(lines string) string { return "GET / HTTP/1.1¶Host: a¶" + lines + "¶" }

// bad is a head that is refused with 400.
func bad(name, send, detail string) hostileCase {
	return refused(name, send, "400", "bad-request client "+detail)
}

// badLine is a head with one bad line.
func badLine(name, line, detail string) hostileCase { return bad(name, plain(line), detail) }

// passed is an ordinary request of which the backend gets what is given.
func passed(name, send, backend string) hostileCase {
	return hostileCase{name: name, send: send, answer: okAnswer, backend: backend, client: okClient, log: []string{okLog}}
}

// headers spells n header lines.
func headers(n int) string {
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, "X-%d: v¶", i)
	}
	return lines.String()
}

// padded spells a request whose head has n bytes.
func padded(n int) string {
	const lines = "X: ¶"
	return plain("X: " + strings.Repeat("v", n-len(strings.ReplaceAll(plain(lines), "¶", "\r\n"))) + "¶")
}

var headCases = []hostileCase{
	badLine("H08/nul-in-value", "X: a\x00b¶", "bad-header-value"),
	badLine("H08/nul-in-name", "X\x00: a¶", "bad-header-name"),
	badLine("H08/bare-cr", "X: a\rb¶", "bare-cr"),
	badLine("H08/bare-cr-then-line-end", "X: a\r¶", "bare-cr"),
	badLine("H08/bare-lf", "X: a\nTransfer-Encoding: chunked¶", "bare-lf"),
	badLine("H08/space-before-colon", "Content-Length : 5¶", "space-before-colon"),
	badLine("H08/empty-name", ": a¶", "bad-header-name"),
	badLine("H08/folding", "X: a¶ b¶", "obs-fold"),
	badLine("H08/no-colon", "X¶", "missing-colon"),
	bad("H08/leading-space", "GET / HTTP/1.1¶ Host: a¶Host: a¶¶", "leading-space"),
	badLine("H08/control-in-name", "X\x01Y: a¶", "bad-header-name"),
	badLine("H08/non-ascii-in-name", "X\xe9: a¶", "bad-header-name"),
	badLine("H08/utf-8-in-name", "X-né: a¶", "bad-header-name"),
	refused("H09/name-of-300-bytes", plain(strings.Repeat("n", 300)+": v¶"), "431", "head-too-large client header-name-too-long"),
	refused("H09/10000-headers", plain(headers(10_000)), "431", "head-too-large client too-many-headers").with(justWhole),
	refused("H09/header-of-1-MB", plain("X: "+strings.Repeat("v", 1<<20)+"¶"), "431", "head-too-large client head-too-large").with(justWhole),
	refused("H09/one-byte-over", padded(32<<10+1), "431", "head-too-large client head-too-large"),
	passed("H09/at-the-limit", padded(32<<10), strings.TrimSuffix(padded(32<<10), "¶")+"{forwarded}Connection: close¶¶"),
	refused("H10/100-KB", "GET /"+strings.Repeat("p", 100<<10)+" HTTP/1.1¶Host: a¶¶", "414", "target-too-long client start-line-too-long"),
	refused("H10/endless-method", strings.Repeat("G", 100<<10), "414", "target-too-long client start-line-too-long").with(justWhole),
	bad("H11/none", "GET / HTTP/1.1¶¶", "missing-host"),
	bad("H11/two", "GET / HTTP/1.1¶Host: a¶Host: b¶¶", "duplicate-host"),
	bad("H11/the-same-twice", "GET / HTTP/1.1¶Host: a¶host: a¶¶", "duplicate-host"),
	bad("H11/space", "GET / HTTP/1.1¶Host: a b¶¶", "bad-host"),
	bad("H11/at", "GET / HTTP/1.1¶Host: u@a¶¶", "bad-host"),
	bad("H11/slash", "GET / HTTP/1.1¶Host: a/b¶¶", "bad-host"),
	bad("H11/port-word", "GET / HTTP/1.1¶Host: a:http¶¶", "bad-host"),
	bad("H11/port-65536", "GET / HTTP/1.1¶Host: a:65536¶¶", "bad-host"),
	bad("H11/port-empty", "GET / HTTP/1.1¶Host: a:¶¶", "bad-host"),
	bad("H11/empty", "GET / HTTP/1.1¶Host:¶¶", "bad-host"),
	passed("H11/none-on-http-1.0", "GET / HTTP/1.0¶¶", "GET / HTTP/1.1¶Host: {backend}¶{forwarded}Connection: close¶¶"),
	passed("H12/authority-wins", "GET http://real/ HTTP/1.1¶X: 1¶Host: forged¶¶", "GET / HTTP/1.1¶X: 1¶Host: real¶{forwarded}Connection: close¶¶"),
	passed("H12/port-and-query", "GET HTTP://Real:81?a=http://b/ HTTP/1.1¶Host: forged¶¶", "GET /?a=http://b/ HTTP/1.1¶Host: Real:81¶{forwarded}Connection: close¶¶"),
	passed("H12/http-1.0-without-host", "GET http://real/p HTTP/1.0¶X: 1¶¶", "GET /p HTTP/1.1¶Host: real¶X: 1¶{forwarded}Connection: close¶¶"),
	passed("H12/options", "OPTIONS http://real HTTP/1.1¶Host: forged¶¶", "OPTIONS * HTTP/1.1¶Host: real¶{forwarded}Connection: close¶¶"),
	bad("H12/user-information", "GET http://u:p@real/ HTTP/1.1¶Host: real¶¶", "bad-target"),
	bad("H13/two-spaces", "GET  / HTTP/1.1¶Host: a¶¶", "bad-request-line"),
	bad("H13/two-spaces-behind", "GET /  HTTP/1.1¶Host: a¶¶", "bad-version"),
	bad("H13/tab", "GET\t/ HTTP/1.1¶Host: a¶¶", "bad-method"),
	bad("H13/lower-case-version", "GET / http/1.1¶Host: a¶¶", "bad-version"),
	refused("H13/http-2.0", "GET / HTTP/2.0¶Host: a¶¶", "505", "version-refused client unsupported-version"),
	refused("H13/http-2-preface", "PRI * HTTP/2.0¶¶SM¶¶", "505", "version-refused client unsupported-version"),
	bad("H13/http-1.19", "GET / HTTP/1.19¶Host: a¶¶", "bad-version"),
	bad("H13/no-version", "GET /¶Host: a¶¶", "bad-request-line"),
	bad("H13/control-in-target", "GET /\x01 HTTP/1.1¶Host: a¶¶", "bad-target"),
	bad("H13/space-in-target", "GET /a b HTTP/1.1¶Host: a¶¶", "bad-version"),
	bad("H13/non-ascii-target", "GET /\xe9 HTTP/1.1¶Host: a¶¶", "bad-target"),
	bad("H13/method", "G@T / HTTP/1.1¶Host: a¶¶", "bad-method"),
	bad("H13/tls-record", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "bad-method"),
	refused("H14/trace", "TRACE / HTTP/1.1¶Host: a¶¶", "405", "method-refused client method-not-allowed"),
	refused("H14/connect-with-data", "CONNECT a:443 HTTP/1.1¶Host: a¶¶\x16\x03\x01", "405", "method-refused client method-not-allowed"),
	bad("H22/throughout", "GET / HTTP/1.1\nHost: a\n\n", "bare-lf"),
	bad("H22/in-the-headers", "GET / HTTP/1.1¶Host: a\n\n", "bare-lf"),
}

// justWhole is for inputs that are too long to be fed otherwise. Of such a client not everything is read.
func justWhole(c *hostileCase) {
	c.onlyWhole = true
	c.change = func(config *proxy.Config) { config.Timeouts.Linger = 2 * time.Second }
}

// H01 to H04: what frames a body.
var framingCases = []hostileCase{
	badLine("H01/length-first", "Content-Length: 5¶Transfer-Encoding: chunked¶", "length-with-coding"),
	badLine("H01/coding-first", "Transfer-Encoding: chunked¶Content-Length: 5¶", "length-with-coding"),
	badLine("H01/length-0", "Content-Length: 0¶Transfer-Encoding: chunked¶", "length-with-coding"),
	passed("H02/equal", plain("content-length: 0¶X: 1¶Content-Length: 0¶"), "GET / HTTP/1.1¶Host: a¶content-length: 0¶X: 1¶{forwarded}Connection: close¶¶"),
	badLine("H02/different", "Content-Length: 0¶Content-Length: 5¶", "conflicting-length"),
	badLine("H03/plus", "Content-Length: +5¶", "bad-content-length"),
	badLine("H03/minus", "Content-Length: -1¶", "bad-content-length"),
	badLine("H03/hexadecimal", "Content-Length: 0x5¶", "bad-content-length"),
	passed("H03/list", plain("Content-Length: 0,0¶"), "GET / HTTP/1.1¶Host: a¶Content-Length: 0¶{forwarded}Connection: close¶¶"),
	badLine("H03/list-of-two", "Content-Length: 0,5¶", "conflicting-length"),
	badLine("H03/space", "Content-Length: 5 5¶", "bad-content-length"),
	badLine("H03/empty", "Content-Length:¶", "bad-content-length"),
	badLine("H03/two-to-the-63", "Content-Length: 9223372036854775808¶", "bad-content-length"),
	badLine("H03/20-digits", "Content-Length: 00000000000000000005¶", "bad-content-length"),
	passed("H03/body", plain("Content-Length: 5¶")+"hello", "GET / HTTP/1.1¶Host: a¶Content-Length: 5¶{forwarded}Connection: close¶¶hello"),
	unknownCoding("identity", "identity"),
	unknownCoding("xchunked", "xchunked"),
	badLine("H04/trailing-comma", "Transfer-Encoding: chunked,¶", "bad-transfer-encoding"),
	badLine("H04/chunked-identity", "Transfer-Encoding: chunked, identity¶", "bad-transfer-encoding"),
	badLine("H04/empty", "Transfer-Encoding:¶", "bad-transfer-encoding"),
	badLine("H04/quoted", "Transfer-Encoding: \"chunked\"¶", "bad-transfer-encoding"),
	badLine("H04/vertical-tab", "Transfer-Encoding: \x0bchunked¶", "bad-header-value"),
	badLine("H04/twice", "Transfer-Encoding: chunked¶Transfer-Encoding: chunked¶", "bad-transfer-encoding"),
	bad("H04/http-1.0", "GET / HTTP/1.0¶Host: a¶Transfer-Encoding: chunked¶¶", "transfer-encoding-on-http10"),
	passed("H04/body", plain("Transfer-Encoding: chunked¶")+"5¶hello¶0¶¶",
		"GET / HTTP/1.1¶Host: a¶{forwarded}Transfer-Encoding: chunked¶Connection: close¶¶5¶hello¶0¶¶"),
}

func unknownCoding(name, coding string) hostileCase {
	return refused("H04/"+name, plain("Transfer-Encoding: "+coding+"¶"), "501", "not-implemented client unknown-transfer-coding")
}

// trustLoopback believes every peer of these tests.
func trustLoopback(c *proxy.Config) {
	c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
}

// forwardedCases: H17, what a client claims of itself.
var forwardedCases = []hostileCase{
	passed("H17/underscores", plain("X_Forwarded_Proto: https¶x_real_ip: 1.2.3.4¶X_Forwarded_For: 1.2.3.4¶SLB_ID: x¶Ssl_Client_Cert: y¶Client_Cert: z¶"), ordinaryForwarded),
	passed("H17/named-by-connection", plain("Connection: close, X-Forwarded-For¶X: 1¶"), "GET / HTTP/1.1¶Host: a¶X: 1¶{forwarded}Connection: close¶¶"),
	passed("H17/forged", plain("X-Forwarded-For: 1.2.3.4¶Forwarded: for=1.2.3.4¶X-Real-IP: 1.2.3.4¶X-Forwarded-Proto: https¶X-Forwarded-Port: 443¶"+
		"X-Forwarded-Host: b¶X-Forwarded-Client-Srcport: 1¶SLB-ID: x¶SLB-IP: y¶"), ordinaryForwarded),
	passed("H17/client-certificate", plain("X-Client-Cert: x¶X-SSL-Client-Verify: SUCCESS¶SSL-Client-Subject-DN: CN=root¶Client-Cert: :MIIB:¶Client-Cert-Chain: :MIIB:¶"), ordinaryForwarded),
	passed("H17/other-separators", plain("X.Forwarded.For: 1.2.3.4¶X-Forwarded_For: 1.2.3.4¶x~real~ip: 1.2.3.4¶"), ordinaryForwarded),
	passed("H17/close-names-ours", plain("Connection: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Port, X-Forwarded-Client-Srcport, Host, Content-Length¶Content-Length: 0¶"),
		"GET / HTTP/1.1¶Host: a¶Content-Length: 0¶{forwarded}Connection: close¶¶"),
	passed("H17/upgrade", handshake(upgradeLines+versionLine+keyLine+"X-Forwarded-For: 1.2.3.4¶"),
		"GET / HTTP/1.1¶Host: a¶"+versionLine+keyLine+"{forwarded}Connection: Upgrade¶Upgrade: websocket¶¶"),
	passed("H17/trusted", plain("X-Forwarded-For: 1.2.3.4¶X-Forwarded-Proto: https¶X-Forwarded-Port: 443¶X-Forwarded-Client-Srcport: 1¶X-Real-IP: 1.2.3.4¶"),
		"GET / HTTP/1.1¶Host: a¶X-Forwarded-Proto: https¶X-Forwarded-Port: 443¶X-Forwarded-Client-Srcport: 1¶X-Real-IP: 1.2.3.4¶"+
			"X-Forwarded-For: 1.2.3.4, 127.0.0.1¶Connection: close¶¶").with(trusted),
	passed("H17/trusted-says-nothing", plain(""), ordinaryForwarded).with(trusted),
	passed("H17/trusted-several-lines", plain("X-Forwarded-For: 1.2.3.4,5.6.7.8¶X: 1¶x-forwarded-for:¶X-Forwarded-For: ::1¶"),
		"GET / HTTP/1.1¶Host: a¶X: 1¶X-Forwarded-For: 1.2.3.4,5.6.7.8, ::1, 127.0.0.1¶X-Forwarded-Proto: {proto}¶X-Forwarded-Port: {port}¶"+
			"X-Forwarded-Client-Srcport: {client-port}¶Connection: close¶¶").with(trusted),
}

func trusted(c *hostileCase) { c.change = trustLoopback }

// shortHead makes clients late soon.
func shortHead(c *proxy.Config) { c.Timeouts.ClientHead = 500 * time.Millisecond }

// deadlineTests: H15 and H16, the absolute deadline of a request's head.
func deadlineTests() []hostileTest {
	return []hostileTest{
		{"H15/never-whole", testSlowHead},
		{"H15/too-late", testLateHead},
		{"H16/no-byte", testSilentClient},
		{"H16/finishes", testSilentFinish},
	}
}

// testSlowHead: a byte now and then does not move the deadline.
func testSlowHead(t *proxytest.T) {
	backend := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{backend}, Config: shortHead})
	client := p.Dial(t)
	answered := make(chan struct{})
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		head := "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("v", 1000)
		for i := range head {
			select {
			case <-answered:
				return
			case <-tick.C:
				_ = client.TrySend(head[i : i+1])
			}
		}
	}()
	client.Want(expander(p, client, backend.Address())("{408}"))
	client.WantEOF()
	close(answered)
	client.Close()
	wantLog(t, p, "request 408 request-timeout client")
	wantNobody(t, backend)
}

// testLateHead: the rest of a head behind the 408 is nobody's request.
func testLateHead(t *proxytest.T) {
	backend := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{backend}, Config: shortHead})
	client := p.Dial(t)
	client.Send("GET / HTTP/1.1\r\nHost: a\r\n\r")
	client.Want(expander(p, client, backend.Address())("{408}"))
	client.Send("\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n")
	client.WantEOF()
	client.Close()
	wantLog(t, p, "request 408 request-timeout client")
	wantNobody(t, backend)
}

// testSilentClient: whoever says nothing is told nothing, and is only counted.
func testSilentClient(t *proxytest.T) {
	backend := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{backend}, Config: shortHead})
	p.Dial(t).WantEOF()
	wantSilence(t, p, backend)
}

// testSilentFinish: the same when the client leaves without a word.
func testSilentFinish(t *proxytest.T) {
	backend := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{backend}})
	client := p.Dial(t)
	client.CloseWrite()
	client.WantEOF()
	wantSilence(t, p, backend)
}

func wantSilence(t *proxytest.T, p *proxytest.Proxy, backend *proxytest.Backend) {
	t.Helper()
	p.WaitMetric(t, 1, "culvert_exchanges_ended_total", "reason=silent")
	wantLog(t, p)
	wantNobody(t, backend)
}
