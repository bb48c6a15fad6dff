package proxy_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// hostileCase is one input whose course is: the client sends, the backend answers once it has a whole head, everything
// ends. Texts are templates, see expand.
type hostileCase struct {
	name string // the id, and a variant behind a slash

	send   string // what the client sends
	later  string // what it sends when it has got all of client
	answer string // what the backend answers
	then   string // what the backend does then: "" nothing until the proxy ends, "finish" or "reset"

	backend     string // the exact bytes that the backend gets; "": not even a connection
	backendEnd  string // who ended the backend's connection: "FIN" (or ""), "reset", "the backend"
	client      string // the exact bytes that the client gets
	clientReset bool   // the proxy ends the client's connection by a reset instead of a FIN
	log         []string

	tunnel     bool // a tunnel is opened: the client finishes when it has got all; what trails is a frame, and arrives
	onlyWhole  bool // feeding it otherwise would be another input, or another answer
	noTrailing bool // bytes behind it would be part of it
	change     func(*proxy.Config)
}

// hostileFeeds are the ways in which each case is fed.
var hostileFeeds = []string{"whole", "bytes", "trailing"}

// trailingRequest follows every input that is no tunnel: nobody may ever see it.
const trailingRequest = "GET /smuggled HTTP/1.1¶Host: evil¶¶"

// trailingFrame follows every upgrade: it arrives behind everything else.
var trailingFrame = proxytest.ClientText("trailing")

func (c hostileCase) tests() []hostileTest {
	var tests []hostileTest
	for _, feed := range hostileFeeds {
		if c.onlyWhole && feed != "whole" || c.noTrailing && feed == "trailing" {
			continue
		}
		tests = append(tests, hostileTest{c.name + "/" + feed, func(t *proxytest.T) { c.run(t, feed) }})
	}
	return tests
}

// run plays the case and compares everything.
func (c hostileCase) run(t *proxytest.T, feed string) {
	backend := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{backend}, Config: c.change})
	client := p.Dial(t)
	expand := expander(p, client, backend.Address())
	send, wantBackend := expand(c.send), expand(c.backend)
	if feed == "trailing" {
		if c.tunnel {
			send, wantBackend = send+trailingFrame, wantBackend+trailingFrame
		} else {
			send += expand(trailingRequest)
		}
	}
	ends := make(chan string, 1)
	_, body, _ := strings.Cut(expand(c.backend), "\r\n\r\n")
	backend.Serve(func(conn *proxytest.Conn) { c.serve(conn, body, expand(c.answer), feed, ends) })
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = feedAs(client, send, feed) // what the proxy did is seen by what it answers
	}()
	client.Want(expand(c.client))
	if c.tunnel || c.later != "" {
		<-sent
		_ = client.TrySend(expand(c.later))
	}
	if c.tunnel {
		client.CloseWrite()
	}
	if rest, reset := client.ReadUntilGone(); rest != "" || reset != c.clientReset {
		t.Errorf("the client was ended by a reset: %v, after %s; want %v after nothing more", reset, proxytest.Excerpt(rest), c.clientReset)
	}
	client.Close()
	<-sent
	if c.backend != "" {
		if end := <-ends; end != or(c.backendEnd, "FIN") {
			t.Errorf("the backend's connection was ended by %s, want %s", end, or(c.backendEnd, "FIN"))
		}
		if got := backend.Connections()[0].Received(); got != wantBackend {
			t.Errorf("the backend got other bytes: %s", proxytest.Difference(got, wantBackend))
		}
	}
	wantLog(t, p, c.log...)
	if n := backend.CloseAndCount(t); n > 1 || n == 1 && c.backend == "" {
		t.Errorf("the proxy made %d connections to the backend", n)
	}
}

// serve plays the backend until the proxy has ended its connection, and says how: by a FIN or a reset. It answers when it
// has the whole request.
func (c hostileCase) serve(conn *proxytest.Conn, body, answer, feed string, ends chan<- string) {
	conn.ReadHead()
	if answer != "" && !c.tunnel {
		conn.Want(body)
	}
	gone := feedAs(conn, answer, feed)
	switch c.then {
	case "finish":
		conn.CloseWrite()
	case "reset":
		conn.Reset()
		ends <- "the backend"
		return
	}
	end := "FIN"
	if _, reset := conn.ReadUntilGone(); reset || gone != nil { // a write may be the first to learn of it
		end = "reset"
	}
	ends <- end
}

// longInput is the length in bytes from which an input is fed in pieces of a few bytes instead of one.
const longInput = 4 << 10

// feedAs sends as the variant of the test says.
func feedAs(c *proxytest.Conn, text, feed string) error {
	piece := len(text)
	if feed == "bytes" {
		piece = 1 + 60*(len(text)/longInput)
	}
	return proxytest.Feed(c, text, piece)
}

// wantNobody checks that the proxy never connected to the backend, which it closes.
func wantNobody(t testing.TB, backend *proxytest.Backend) {
	t.Helper()
	backend.Serve(func(c *proxytest.Conn) { c.ReadUntilGone() })
	if n := backend.CloseAndCount(t); n != 0 {
		t.Errorf("the proxy made %d connections to the backend", n)
	}
}

// wantLog compares the whole access log with what is expected: one entry per line, as logSummary spells it.
func wantLog(t testing.TB, p *proxytest.Proxy, want ...string) {
	t.Helper()
	for _, line := range want {
		if !strings.HasPrefix(line, "tunnel-open") {
			p.WaitEnd(t)
		}
	}
	var got []string
	for _, line := range p.Log() {
		got = append(got, logSummary(line))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the access log says\n     %q\nwant %q", got, want)
	}
}

// logSummary spells what matters of a line of the access log: event, status, reason, by whom, detail, and the close
// codes that went by.
func logSummary(line proxytest.Line) string {
	words := []string{line.Text("event"), fmt.Sprint(line.Number("status"))}
	for _, key := range []string{"reason", "by", "detail"} {
		if text := line.Text(key); text != "" {
			words = append(words, text)
		}
	}
	for _, key := range []string{"from_client", "from_backend"} {
		inner := line.Inner(key)
		if code := inner.Number("close_code"); code != 0 {
			words = append(words, fmt.Sprint(key, " close ", code))
		}
		if inner["close_invalid"] == true {
			words = append(words, "invalid")
		}
	}
	return strings.Join(words, " ")
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// chatRequest is a valid upgrade, and what the backend gets of it; switching is a valid answer, and what the client
// gets of it.
const (
	chatRequest = "GET /chat HTTP/1.1¶Host: a¶Upgrade: websocket¶Connection: Upgrade¶" +
		"Sec-WebSocket-Key: {key}¶Sec-WebSocket-Version: 13¶¶"
	chatForwarded = "GET /chat HTTP/1.1¶Host: a¶Sec-WebSocket-Key: {key}¶Sec-WebSocket-Version: 13¶" +
		"{forwarded}Connection: Upgrade¶Upgrade: websocket¶¶"
	switching      = "HTTP/1.1 101 Switching Protocols¶Upgrade: websocket¶Connection: Upgrade¶Sec-WebSocket-Accept: {accept}¶¶"
	switchedClient = "HTTP/1.1 101 Switching Protocols¶Sec-WebSocket-Accept: {accept}¶Connection: Upgrade¶Upgrade: websocket¶¶"
)

// An ordinary request and its answer, with what arrives of them.
const (
	ordinaryForwarded = "GET / HTTP/1.1¶Host: a¶{forwarded}Connection: close¶¶"
	okAnswer          = "HTTP/1.1 200 OK¶Content-Length: 2¶¶ok"
	okClient          = "HTTP/1.1 200 OK¶Content-Length: 2¶Connection: close¶¶ok"
	okLog             = "request 200 complete backend"
)

// refusalBodies are the proxy's own answers: phrase, further headers, Connection, and the text.
var refusalBodies = map[int][4]string{
	200: {"OK", "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS¶", "close", ""},
	400: {"Bad Request", "", "close", "The request is malformed.\n"},
	405: {"Method Not Allowed", "Allow: GET, HEAD, OPTIONS¶", "close", "This method is not allowed here.\n"},
	408: {"Request Timeout", "", "close", "The request did not arrive in time.\n"},
	414: {"URI Too Long", "", "close", "The request line is too long.\n"},
	426: {"Upgrade Required", "Sec-WebSocket-Version: 13¶Upgrade: websocket¶", "upgrade, close", "WebSocket version 13 is required.\n"},
	431: {"Request Header Fields Too Large", "", "close", "The request's header is too large.\n"},
	501: {"Not Implemented", "", "close", "This kind of request is not supported.\n"},
	502: {"Bad Gateway", "", "close", "The server behind this address gave no valid answer.\n"},
	503: {"Service Unavailable", "", "close", "No server is available for this request.\n"},
	504: {"Gateway Timeout", "", "close", "The server behind this address did not answer in time.\n"},
	413: {"Content Too Large", "", "close", "The request's body is too large.\n"},
	403: {"Forbidden", "", "close", "This is not allowed from here.\n"},
	404: {"Not Found", "", "close", "There is nothing at this address.\n"},
	417: {"Expectation Failed", "", "close", "This expectation cannot be met.\n"},
	505: {"HTTP Version Not Supported", "", "close", "This version of HTTP is not supported.\n"},
}

// expander returns what turns a template into bytes: the pilcrow is CRLF; {forwarded} are the headers that the proxy
// adds for this client; {proto} is what clients come by, {client-port} is the client's port, {port} the listener's, {backend} the backend's address; {key}
// and {accept} belong together; {502} is the proxy's own answer with this status, {502 head} its head alone.
func expander(p *proxytest.Proxy, client *proxytest.Conn, backend netip.AddrPort) func(string) string {
	own, listener := fmt.Sprint(client.Local().Port()), fmt.Sprint(p.Address().Port())
	pairs := []string{
		"{forwarded}", "X-Forwarded-For: 127.0.0.1¶X-Forwarded-Proto: " + p.Scheme() + "¶X-Forwarded-Port: " + listener +
			"¶X-Forwarded-Client-Srcport: " + own + "¶",
		"{proto}", p.Scheme(), "{client-port}", own, "{port}", listener, "{key}", proxytest.Key, "{accept}", proxytest.Accept(proxytest.Key),
		"{backend}", backend.String(),
	}
	for status, r := range refusalBodies {
		head := fmt.Sprintf("HTTP/1.1 %d %s¶%sConnection: %s¶Content-Type: text/plain; charset=utf-8¶Content-Length: %d¶¶",
			status, r[0], r[1], r[2], len(r[3]))
		pairs = append(pairs, fmt.Sprintf("{%d}", status), head+r[3], fmt.Sprintf("{%d head}", status), head)
	}
	replacer, lines := strings.NewReplacer(pairs...), strings.NewReplacer("¶", "\r\n")
	return func(template string) string { return lines.Replace(replacer.Replace(template)) }
}
