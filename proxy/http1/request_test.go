package http1

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestTargetForms(t *testing.T) {
	for _, c := range []struct{ line, form, path, query, host, name, forwarded string }{
		{"GET /a/b?c=d HTTP/1.1", "origin", "/a/b", "c=d", "h:81", "h", "/a/b?c=d"},
		{"GET /? HTTP/1.1", "origin", "/", "", "h:81", "h", "/?"},
		{"GET //x/y?a?b HTTP/1.1", "origin", "//x/y", "a?b", "h:81", "h", "//x/y?a?b"},
		{"GET /%C3%a9?%zz HTTP/1.1", "origin", "/%C3%a9", "%zz", "h:81", "h", "/%C3%a9?%zz"},
		{"GET http://Real.Example/p HTTP/1.1", "absolute", "/p", "", "Real.Example", "Real.Example", "/p"},
		{"GET HTTPS://real:8443?q HTTP/1.1", "absolute", "/", "q", "real:8443", "real", "/?q"},
		{"GET http://[::1]:80 HTTP/1.1", "absolute", "/", "", "[::1]:80", "[::1]", "/"},
		{"OPTIONS * HTTP/1.1", "asterisk", "*", "", "h:81", "h", "*"},
		{"OPTIONS http://real HTTP/1.1", "absolute", "*", "", "real", "real", "*"},
		{"OPTIONS http://real? HTTP/1.1", "absolute", "/", "", "real", "real", "/?"},
		{"OPTIONS /x HTTP/1.1", "origin", "/x", "", "h:81", "h", "/x"},
	} {
		t.Run(c.line, func(t *testing.T) {
			head, v := feedRequest(t, c.line+"¶Host: h:81¶¶")
			if v.String() != "ok" {
				t.Fatal(v)
			}
			query, _ := head.Query()
			got := fmt.Sprintf("%v %s %s %s %s %s", head.Form(), head.Path(), query, head.Host(),
				head.HostName(), head.AppendTarget(nil))
			want := fmt.Sprintf("%s %s %s %s %s %s", c.form, c.path, c.query, c.host, c.name, c.forwarded)
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestHosts(t *testing.T) {
	for host, want := range map[string]string{
		"a":                                 "a 0",
		"a:1":                               "a 1",
		"a.b-c_d.":                          "a.b-c_d. 0",
		"127.0.0.1:65535":                   "127.0.0.1 65535",
		"[2001:db8::1]:00443":               "[2001:db8::1] 443",
		"[::ffff:1.2.3.4]":                  "[::ffff:1.2.3.4] 0",
		".":                                 "refused",
		".a":                                "refused",
		"a..b":                              "refused",
		":80":                               "refused",
		"a%41":                              "refused",
		"a:000080":                          "refused",
		"[::1":                              "refused",
		"[::1]x":                            "refused",
		"[::1%25eth0]":                      "refused",
		"[v1.a]":                            "refused",
		"[]":                                "refused",
		"::1":                               "refused",
		"\xc3\xa9":                          "refused",
		strings.Repeat("a", maxHostBytes):   strings.Repeat("a", maxHostBytes) + " 0",
		strings.Repeat("a", maxHostBytes+1): "refused",
	} {
		got := "refused"
		if end, port, ok := splitHost([]byte(host)); ok {
			got = fmt.Sprintf("%s %d", host[:end], port)
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", host, got, want)
		}
	}
}

// TestIPv6AgreesWithNetip tries every short address of a small alphabet.
func TestIPv6AgreesWithNetip(t *testing.T) {
	parts := []string{"", ":", "::", "1", "abcd:", "12345", "1.2.3.4", "01.2.3.4", "1:2:3:4:5:6:", "f:", ".5", "256.1.1.1"}
	for _, a := range parts {
		for _, b := range parts {
			for _, c := range parts {
				for _, d := range parts {
					text := a + b + c + d
					address, err := netip.ParseAddr(text)
					if want := err == nil && address.Is6(); isIPv6([]byte(text)) != want {
						t.Fatalf("%q: want %v", text, want)
					}
				}
			}
		}
	}
}

func TestRequestSemantics(t *testing.T) {
	for _, c := range []struct{ name, input, want string }{
		{"plain", get + "¶", "keep=true upgrade=false expect=0 none 0"},
		{"close", get + "Connection: foo, CLOSE¶¶", "keep=false upgrade=false expect=0 none 0"},
		{"1.0", "GET / HTTP/1.0¶¶", "keep=false upgrade=false expect=0 none 0"},
		{"1.0 keep-alive", "GET / HTTP/1.0¶Connection: Keep-Alive¶¶", "keep=true upgrade=false expect=0 none 0"},
		{"1.0 both", "GET / HTTP/1.0¶Connection: close¶Connection: keep-alive¶¶", "keep=false upgrade=false expect=0 none 0"},
		{"U20 upgrade", get + "connection: keep-alive, UPGRADE¶UPGRADE: WebSocket¶¶", "keep=true upgrade=true expect=0 none 0"},
		{"U12 no option", get + "Upgrade: websocket¶¶", "keep=true upgrade=false expect=0 none 0"},
		{"no Upgrade", get + "Connection: upgrade¶¶", "keep=true upgrade=false expect=0 none 0"},
		{"U13 1.0 upgrade", "GET / HTTP/1.0¶Connection: upgrade¶Upgrade: websocket¶¶", "keep=false upgrade=false expect=0 none 0"},
		{"H19 expect", get + "Expect: 100-Continue¶Content-Length: 3¶¶", "keep=true upgrade=false expect=1 content-length 3"},
		{"expect other", get + "Expect: 100-continue, x¶¶", "keep=true upgrade=false expect=2 none 0"},
		{"expect on 1.0", "GET / HTTP/1.0¶Expect: 100-continue¶¶", "keep=false upgrade=false expect=0 none 0"},
		{"length 0", get + "Content-Length: 00¶¶", "keep=true upgrade=false expect=0 none 0"},
		{"chunked", get + "Transfer-Encoding: Chunked¶¶", "keep=true upgrade=false expect=0 chunked 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			head, _ := feedRequest(t, c.input)
			kind, length := head.Body()
			got := fmt.Sprintf("keep=%v upgrade=%v expect=%d %v %d", head.KeepAlive(),
				head.WantsUpgrade(), head.Expect(), kind, length)
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestResponseBodies(t *testing.T) {
	for _, c := range []struct{ method, input, want string }{
		{"GET", "HTTP/1.1 200 OK¶Content-Length: 5¶¶", "content-length 5"},
		{"GET", "HTTP/1.1 200 OK¶Content-Length: 0¶¶", "none 0"},
		{"GET", "HTTP/1.1 200 OK¶Transfer-Encoding: chunked¶¶", "chunked 0"},
		{"GET", "HTTP/1.1 200 OK¶¶", "until-close 0"},
		{"GET", "HTTP/1.0 200 OK¶¶", "until-close 0"},
		{"HEAD", "HTTP/1.1 200 OK¶Content-Length: 5¶¶", "none 0"},
		{"HEAD", "HTTP/1.1 200 OK¶Transfer-Encoding: chunked¶¶", "none 0"},
		{"head", "HTTP/1.1 200 OK¶Content-Length: 5¶¶", "content-length 5"},
		{"GET", "HTTP/1.1 304 Not Modified¶Content-Length: 5¶¶", "none 0"},
		{"GET", "HTTP/1.1 204 No Content¶Content-Length: 5¶¶", "none 0"},
		{"GET", "HTTP/1.1 204 No Content¶¶", "none 0"},
		{"GET", "HTTP/1.1 103 Early Hints¶¶", "none 0"},
		{"GET", "HTTP/1.1 101 Switching Protocols¶Upgrade: websocket¶¶", "none 0"},
	} {
		t.Run(c.method+" "+c.input, func(t *testing.T) {
			head, v := feedResponse(t, c.input)
			kind, length := head.Body([]byte(c.method))
			if got := fmt.Sprintf("%v %d", kind, length); v.String() != "ok" || got != c.want {
				t.Errorf("%v, got %s, want %s", v, got, c.want)
			}
		})
	}
}

func TestResponseStatusLine(t *testing.T) {
	head, _ := feedResponse(t, "HTTP/1.0 299 Tout va bien \xe9\t!¶Connection: keep-alive¶¶")
	if head.Status() != 299 || string(head.Phrase()) != "Tout va bien \xe9\t!" ||
		head.Version() != HTTP10 || !head.KeepAlive() || head.Interim() {
		t.Error(dumpHead(head))
	}
	for status, want := range map[int]bool{100: true, 101: false, 103: true, 200: false} {
		head, _ := feedResponse(t, fmt.Sprintf("HTTP/1.1 %d ¶¶", status))
		if head.Interim() != want {
			t.Errorf("%d: interim %v", status, head.Interim())
		}
	}
}

func TestFieldAccess(t *testing.T) {
	head, _ := feedRequest(t, get+"Upgrade: foo, h2c¶X-A:\t 1 \t¶UPGRADE:¶x-a: 2¶upgrade: ,WebSocket ,¶¶")
	if got := head.Count(FieldUpgrade); got != 3 {
		t.Errorf("%d Upgrade headers", got)
	}
	if head.Count(FieldCookie) != 0 || head.First(FieldCookie) != nil || head.Has(FieldCookie) {
		t.Error("there is a Cookie")
	}
	if got := head.First(FieldUpgrade); string(got) != "foo, h2c" {
		t.Errorf("first Upgrade %q", got)
	}
	if value, count := head.Lookup("X-a"); string(value) != "1" || count != 2 {
		t.Errorf("X-A: %q, %d times", value, count)
	}
	if !head.HasToken(FieldUpgrade, "websocket") || head.HasToken(FieldUpgrade, "web") ||
		head.HasToken(FieldCookie, "websocket") {
		t.Error("tokens of Upgrade are not found right")
	}
	var elements []string
	for walk := head.Elements(FieldUpgrade); ; {
		element, ok := walk.Next()
		if !ok {
			break
		}
		elements = append(elements, string(element))
	}
	if got := strings.Join(elements, "|"); got != "foo|h2c|WebSocket" {
		t.Errorf("elements %s", got)
	}
	if field := head.At(2); string(field.Line) != "X-A:\t 1 \t\r\n" || string(field.Value) != "1" {
		t.Errorf("line %q, value %q", field.Line, field.Value)
	}
	if field := append(head.At(2).Value, "overrun"...); len(field) == 0 ||
		string(head.At(2).Line) != "X-A:\t 1 \t\r\n" {
		t.Error("appending to a borrowed value overwrote the head")
	}
}

// TestBorrowedBytes: a complete head keeps offsets, not bytes.
func TestBorrowedBytes(t *testing.T) {
	input := crlf("GET http://a:1/p?q HTTP/1.1¶Host: b¶Connection: X-Y¶X-Y: z¶¶")
	var head RequestHead
	first := exact(input)
	head.Parse(first, nil)
	want := dumpHead(&head)
	second := exact(input)
	head.Rebind(second)
	poison(first)
	if got := dumpHead(&head); got != want {
		t.Errorf("after Rebind: %s\nwant %s", got, want)
	}
	poison(second)
	if got := dumpHead(&head); strings.ContainsAny(got, "zp") && strings.Contains(got, "X-Y") {
		t.Errorf("bytes were retained: %s", got)
	}
	if head.Reset(); head.buf != nil || head.Len() != 0 {
		t.Error("Reset keeps a reference to the buffer")
	}
	var response ResponseHead
	response.Parse(crlf("HTTP/1.1 200 OK¶A: b¶¶"), nil)
	if response.Reset(); response.buf != nil || response.Len() != 0 {
		t.Error("Reset keeps a reference to the buffer")
	}
}

// TestLimitsAreSettings: each limit acts at its own value.
func TestLimitsAreSettings(t *testing.T) {
	limits := Limits{MaxHeadBytes: 1024, MaxStartLineBytes: 64, MaxHeaders: 2, MaxHeaderNameBytes: 16,
		MaxConnectionOptions: 8, MaxChunkExtensionBytes: 0, MaxTrailerBytes: 0}
	if err := limits.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ input, want string }{
		{"GET /" + strings.Repeat("p", 48) + " HTTP/1.1¶Host: a¶¶", "ok"},
		{"GET /" + strings.Repeat("p", 49) + " HTTP/1.1¶Host: a¶¶", "414 start-line-too-long"},
		{get + "A: b¶¶", "ok"},
		{get + "A: b¶C: d¶¶", "431 too-many-headers"},
		{get + strings.Repeat("n", 17) + ":¶¶", "431 header-name-too-long"},
		{get + "Connection: ,,,,,,,a¶¶", "ok"},
		{get + "Connection: ,,,,,,,,a¶¶", "431 too-many-connection-options"},
		{headOf(1024), "ok"},
		{headOf(1025), "431 head-too-large"},
	} {
		if v := feed(t, new(RequestHead), crlf(c.input), &limits); v.String() != c.want {
			t.Errorf("%q: got %v, want %s", c.input, v, c.want)
		}
	}
	for _, c := range []struct{ input, want string }{
		{"0¶¶", "done"},
		{"0;¶¶", "400 chunk-extension-too-long"},
		{"1;a¶x¶0¶¶", "400 chunk-extension-too-long"},
		{"0¶a:¶¶", "431 trailers-too-large"},
	} {
		var s BodyScanner
		s.Init(BodyChunked, 0, FromClient, &limits)
		if v := feedBody(t, s, crlf(c.input)); v.String() != c.want {
			t.Errorf("%q: got %v, want %s", c.input, v, c.want)
		}
	}
	limits.MaxHeaders = 0
	if err := limits.Validate(); err == nil || !strings.Contains(err.Error(), "MaxHeaders") {
		t.Errorf("no header allowed: %v", err)
	}
	if standard := DefaultLimits(); standard.Validate() != nil {
		t.Error(standard.Validate())
	}
}

func TestErrorText(t *testing.T) {
	_, err := new(RequestHead).Parse(crlf(get+"Host: a¶¶"), nil)
	want := "http1: client: there is more than one Host (duplicate-host at byte 25)"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	seen := map[string]bool{}
	for reason := range reasonCount {
		if token := reason.String(); token == "" || seen[token] || reason.Text() == "" {
			t.Errorf("reason %d: token %q, text %q", reason, token, reason.Text())
		}
		seen[reason.String()] = true
	}
	if reasonCount.String() != "unknown" || reasonCount.Text() == "" {
		t.Error("an unknown reason has no words")
	}
}

func TestTextCheckFindsEveryPosition(t *testing.T) {
	for length := range 40 {
		for at := range length {
			for c := range 256 {
				b := bytes.Repeat([]byte{'v'}, length)
				b[at] = byte(c)
				want := -1
				if c < ' ' && c != '\t' || c == 0x7f {
					want = at
				}
				if got := indexNotText(exact(b)); got != want {
					t.Fatalf("%q: got %d, want %d", b, got, want)
				}
			}
		}
	}
	if got := indexNotText([]byte("\t\t\t\t\t\t\x00\x7f")); got != 6 {
		t.Errorf("behind tabs: got %d", got)
	}
}
