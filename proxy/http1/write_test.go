package http1

import (
	"strings"
	"testing"
)

// rewrite parses a request's head and writes it the way a proxy does.
func rewrite(t *testing.T, input string, drop Class, keep func(Field) bool) string {
	t.Helper()
	head, v := feedRequest(t, input)
	if v.String() != "ok" {
		t.Fatalf("%q: %v", input, v)
	}
	out := AppendRequestLine(nil, head.Method(), head.AppendTarget(nil))
	out = AppendEnd(head.AppendHeaders(out, drop, keep))
	return strings.ReplaceAll(string(out), "\r\n", "¶")
}

const dropAll = ClassHopByHop | ClassNamed | ClassForwarded

func TestRewriting(t *testing.T) {
	for _, c := range []struct {
		name        string
		drop        Class
		input, want string
	}{
		{"order, case and spacing are kept", dropAll,
			"GET /x HTTP/1.1¶hOST:a¶B:1 ¶a:\t2¶b: 3¶¶",
			"GET /x HTTP/1.1¶hOST:a¶B:1 ¶a:\t2¶b: 3¶¶"},
		{"hop-by-hop headers go", dropAll,
			get + "Connection: keep-alive, TE¶Keep-Alive: 5¶A: b¶Proxy-Connection: close¶TE: trailers¶" +
				"Transfer-Encoding: chunked¶Upgrade: h2c¶HTTP2-Settings: AAMA¶Trailer: X¶Proxy-Authorization: p¶¶",
			get + "A: b¶Trailer: X¶Proxy-Authorization: p¶¶"},
		{"named headers go", dropAll,
			get + "X-Hop: 1¶Connection: x-hop, \"x-quoted\"¶X-End: 2¶x-HOP: 3¶Connection: Y¶y: 4¶¶",
			get + "X-End: 2¶¶"},
		{"named headers that are no option stay", ClassNamed | ClassHopByHop,
			get + "Content-Length: 5¶Connection: Host, Content-Length, X-Forwarded-For, SLB_ID¶X-Forwarded-For: 1¶slb_id: i¶¶",
			get + "Content-Length: 5¶X-Forwarded-For: 1¶slb_id: i¶¶"},
		{"H17 forwarded headers go", dropAll,
			get + "X_Forwarded_Proto: https¶x-forwarded-FOR: 1¶Forwarded: for=1¶X-Real-IP: 1¶x_real_ip: 1¶SLB-ID: 1¶" +
				"X-Client-Cert-Subject: c¶SSL_CLIENT_VERIFY: s¶X-SSL-Cert: s¶Client-Cert: s¶X-Forward: k¶Slb: k¶¶",
			get + "X-Forward: k¶Slb: k¶¶"},
		{"H02 one Content-Length stays", dropAll,
			get + "Content-Length: 5¶A: b¶content-length: 5¶¶", get + "Content-Length: 5¶A: b¶¶"},
		{"H03 a list of lengths becomes one", dropAll,
			get + "Content-Length: 5,05¶Content-Length: 5¶¶", get + "Content-Length: 5¶¶"},
		{"leading zeros go", 0, get + "CONTENT-length:007¶¶", get + "CONTENT-length: 7¶¶"},
		{"H12 the authority wins", dropAll,
			"GET http://real:81/a?b HTTP/1.1¶X: y¶HOST: forged¶Z: z¶¶",
			"GET /a?b HTTP/1.1¶X: y¶HOST: real:81¶Z: z¶¶"},
		{"the authority becomes a missing Host", dropAll,
			"GET http://real HTTP/1.0¶X: y¶¶", "GET / HTTP/1.1¶Host: real¶X: y¶¶"},
		{"no host at all", dropAll, "GET / HTTP/1.0¶X: y¶¶", "GET / HTTP/1.1¶X: y¶¶"},
		{"websocket headers can go", ClassWebSocket,
			get + "Sec-WebSocket-Key: k¶Sec-WebSocket-Version: 13¶Sec-Fetch-Mode: w¶¶", get + "Sec-Fetch-Mode: w¶¶"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := rewrite(t, c.input, c.drop, nil); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestRewritingThroughAFilter(t *testing.T) {
	var seen []string
	keep := func(f Field) bool {
		seen = append(seen, string(f.Name))
		return f.ID != FieldCookie && string(f.Name) != "X"
	}
	got := rewrite(t, get+"X: 1¶Cookie: c¶TE: x¶Y: 2¶¶", ClassHopByHop, keep)
	if got != get+"Y: 2¶¶" || strings.Join(seen, " ") != "Host X Cookie Y" {
		t.Errorf("got %s, the filter saw %s", got, seen)
	}
}

func TestRewritingAResponse(t *testing.T) {
	for _, c := range []struct{ input, want string }{
		{"HTTP/1.0 200 Fine¶Content-Length: 5, 5¶Connection: close, X¶X: y¶Server: s¶¶",
			"HTTP/1.1 200 Fine¶Content-Length: 5¶Server: s¶¶"},
		{"HTTP/1.1 204 ¶Content-Length: 0¶A: b¶¶", "HTTP/1.1 204 ¶A: b¶¶"},
		{"HTTP/1.1 304 ¶Content-Length: 7¶¶", "HTTP/1.1 304 ¶Content-Length: 7¶¶"},
		{"HTTP/1.1 101 Go¶Content-Length: 7¶Upgrade: websocket¶Sec-WebSocket-Accept: x¶¶",
			"HTTP/1.1 101 Go¶Sec-WebSocket-Accept: x¶¶"},
	} {
		head, v := feedResponse(t, c.input)
		if v.String() != "ok" {
			t.Fatal(v)
		}
		out := AppendStatusLine(nil, head.Status(), head.Phrase())
		out = AppendEnd(head.AppendHeaders(out, dropAll, nil))
		if got := strings.ReplaceAll(string(out), "\r\n", "¶"); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestAppending(t *testing.T) {
	out := AppendRequestLine(nil, "GET", []byte("/"))
	out = AppendHeader(out, []byte("A"), "b")
	out = AppendContentLength(out, 12)
	out = AppendEnd(out)
	out = AppendStatusLine(out, 502, "")
	want := "GET / HTTP/1.1¶A: b¶Content-Length: 12¶¶HTTP/1.1 502 ¶"
	if string(out) != string(crlf(want)) {
		t.Errorf("got %q", out)
	}
}

func TestLists(t *testing.T) {
	for _, c := range []struct{ value, plain, quoted string }{
		{"", "", ""},
		{",, ,\t,", "", ""},
		{"a", "a", "a"},
		{" a ,\tb,, c\t", "a|b|c", "a|b|c"},
		{`a="x,y";b, c`, `a="x|y";b|c`, `a="x,y";b|c`},
		{`"a\",b",c`, `"a\"|b"|c`, `"a\",b"|c`},
		{`"open, b`, `"open|b`, `"open, b`},
		{`"\`, `"\`, `"\`},
	} {
		if got := elementsOf(List([]byte(c.value))); got != c.plain {
			t.Errorf("%q: got %s, want %s", c.value, got, c.plain)
		}
		if got := elementsOf(QuotedList([]byte(c.value))); got != c.quoted {
			t.Errorf("%q with quotes: got %s, want %s", c.value, got, c.quoted)
		}
	}
}

func elementsOf(list TokenList) string {
	var elements []string
	for {
		element, ok := list.Next()
		if !ok {
			return strings.Join(elements, "|")
		}
		elements = append(elements, string(element))
	}
}

func TestNames(t *testing.T) {
	for id := FieldOther + 1; id < fieldIDCount; id++ {
		name := id.String()
		if name == "" {
			t.Fatalf("header %d has no name", id)
		}
		for _, spelled := range []string{name, strings.ToUpper(name), strings.ToLower(name)} {
			if got := LookupField([]byte(spelled)); got != id {
				t.Errorf("%s: got %v", spelled, got)
			}
		}
		if LookupField([]byte(name+"x")) == id || LookupField([]byte(name[1:])) == id {
			t.Errorf("%s is found under other names", name)
		}
		if forwarded := knownNames[id].class&ClassForwarded != 0; forwarded != IsForwarded([]byte(name)) {
			t.Errorf("%s: IsForwarded disagrees with the table", name)
		}
	}
	if FieldOther.String() != "" || fieldIDCount.String() != "" || LookupField(nil) != FieldOther {
		t.Error("a name that is none has an id or a name")
	}
	if EqualFold("^", "~") || !EqualFold("a-Z", []byte("A-z")) || EqualFold("a", "ab") {
		t.Error("EqualFold is wrong")
	}
	if !IsToken([]byte("a!~")) || IsToken(nil) || IsToken([]byte("a b")) || IsFieldValue([]byte("a\r\n")) {
		t.Error("IsToken or IsFieldValue is wrong")
	}
	if got := AppendLower([]byte("X"), []byte("AbC^\xc9")); string(got) != "Xabc^\xc9" {
		t.Errorf("lower case: %q", got)
	}
}
