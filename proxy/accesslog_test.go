package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"culvert/proxy/proxytest"
)

// knownOf says of each input which of its request the access log tells: method, protocol, host and URI, "-" for none.
var knownOf = []struct{ name, send, want string }{
	{"an ordinary request", "GET /a?token=1 HTTP/1.1¶Host: h¶¶", "200 GET HTTP/1.1 h /a"},
	{"an older one", "GET /a HTTP/1.0¶¶", "200 GET HTTP/1.0 - /a"},
	{"a bad header behind the host", "GET /a?token=1 HTTP/1.0¶Host: h¶Bad Header¶¶", "400 GET HTTP/1.0 h /a"},
	{"no host", "GET /a HTTP/1.1¶¶", "400 GET HTTP/1.1 - /a"},
	{"a bad host", "GET /a HTTP/1.1¶Host: u:secret@h¶¶", "400 GET HTTP/1.1 - /a"},
	{"too large", "GET /a HTTP/1.1¶Host: h¶X: " + strings.Repeat("x", 40<<10), "431 GET HTTP/1.1 h /a"},
	{"a method that is refused", "TRACE /a?token=1 HTTP/1.1¶Host: h¶¶", "405 TRACE HTTP/1.1 - /a"},
	{"a tunnel that is refused", "CONNECT h:443 HTTP/1.1¶Host: h¶¶", "405 CONNECT HTTP/1.1 h:443 h:443"},
	{"a password in the target", "GET http://u:secret@h/ HTTP/1.1¶Host: h¶¶", "400 GET HTTP/1.1 - -"},
	{"a password in a refused one", "CONNECT u:secret@h:443 HTTP/1.1¶Host: h¶¶", "405 CONNECT HTTP/1.1 - -"},
	{"not HTTP", "\x16\x03\x01", "400 - - - -"},
	{"a version that is not spoken", "GET / HTTP/2.0¶Host: h¶¶", "505 - - - -"},
	{"half a head", "GET /a?token=1 HTTP/1.1¶Host: h¶X", "400 GET HTTP/1.1 h /a"},
	{"half a request line", "GET /a", "400 - - - -"},
}

func TestTheLogTellsWhatIsKnownOfARequest(t *testing.T) {
	for _, c := range knownOf {
		for _, piece := range []int{1 << 20, 7} {
			b := proxytest.NewBackend(t)
			b.Serve(func(conn *proxytest.Conn) {
				conn.ReadHead()
				conn.Send(strings.ReplaceAll(okAnswer, "¶", "\r\n"))
				conn.ReadUntilGone()
			})
			p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}})
			client := p.Dial(t)
			send := strings.ReplaceAll(c.send, "¶", "\r\n")
			_ = proxytest.Feed(client, send, piece+len(send)/1000)
			if strings.HasPrefix(c.name, "half") {
				client.CloseWrite()
			}
			client.ReadUntilGone()
			line := p.WaitEnd(t)
			got := []string{fmt.Sprint(line.Number("status"))}
			for _, key := range []string{"method", "protocol", "host", "uri"} {
				got = append(got, or(line.Text(key), "-"))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s, in pieces of %d: the log says %q, want %q", c.name, piece, got, c.want)
			}
			client.Close()
			b.Close()
		}
	}
}
