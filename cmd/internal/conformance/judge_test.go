package main

import (
	"strings"
	"testing"
)

// TestCasesRunAgainstABackendAlone plays cases without a proxy between: an honest one would do the same.
func TestCasesRunAgainstABackendAlone(t *testing.T) {
	b, err := startBackend()
	if err != nil {
		t.Fatal(err)
	}
	defer b.listener.Close()
	get := "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"
	cases := []struct {
		c     testCase
		wrong string // part of the judgement; "": none
	}{
		{testCase{raw: []byte(get), want: wantAccept, method: "GET", target: "/a?b", times: 1}, ""},
		{testCase{raw: []byte(get), want: wantAccept, method: "GET", target: "http://x/a?b", times: 1}, ""},
		{testCase{raw: []byte(get), want: wantAccept, method: "PUT", target: "/a?b", times: 1}, "method"},
		{testCase{raw: []byte(get), want: wantAccept, method: "GET", target: "/", times: 1}, "target"},
		{testCase{raw: []byte(get), want: wantAccept, method: "GET", target: "/a?b", body: []byte("x"), times: 1}, "body"},
		{testCase{raw: []byte(get + get), want: wantAccept, method: "GET", target: "/a?b", times: 1}, "1 times, but did 2"},
		{testCase{raw: []byte(get), want: wantRefuse, times: 1}, "the backend got GET"},
		{testCase{raw: []byte("GET /\x00 HTTP/1.1\r\n\r\n"), want: wantRefuse, method: "GET", times: 1}, "cannot read"},
		{testCase{raw: []byte("GET / HT"), want: wantRefuse, method: "GET", times: 1}, "head"},
		{testCase{raw: []byte(get), want: wantIncomplete, times: 1}, "incomplete"},
		{testCase{raw: []byte("GET / HT"), want: wantIncomplete, method: "GET", times: 1}, ""},
		{testCase{raw: []byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nx"), want: wantIncomplete, times: 1}, ""},
		{testCase{response: true, raw: []byte("HTTP/1.1 201 x\r\n\r\nbody"), want: wantAccept, method: "GET", status: 201, body: []byte("body")}, ""},
		{testCase{response: true, raw: []byte("HTTP/1.1 100 x\r\n\r\nHTTP/1.1 201 x\r\n\r\n"), want: wantAccept, method: "HEAD", status: 201}, ""},
		{testCase{response: true, raw: []byte("HTTP/1.1 201 x\r\n\r\nbody"), want: wantAccept, method: "GET", status: 200}, "status 200"},
		{testCase{response: true, raw: []byte("HTTP/1.1 201 x\r\n\r\nbody"), want: wantAccept, method: "GET", status: 201}, "body"},
		{testCase{response: true, raw: []byte("HTTP/1.1 201 x\r\n\r\nbody"), want: wantRefuse, method: "GET"}, "refused"},
		{testCase{response: true, raw: []byte("HTTP/1.1 201 x\r\nContent-Length: 5\r\n\r\nbody"), want: wantRefuse, method: "GET"}, ""},
		{testCase{response: true, raw: []byte("HTTP/1.1 201 x\r\nContent-Length: 5\r\n\r\nbody"), want: wantAccept, method: "GET", status: 201}, "cut"},
		{testCase{response: true, raw: []byte("HTTP/1.1 2 x\r\n\r\n"), want: wantRefuse, method: "GET"}, "cannot read"},
		{testCase{response: true, raw: []byte("HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"), want: wantRefuse, method: "GET"}, "cannot read"},
		{testCase{response: true, raw: []byte("HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n"), want: wantRefuse, method: "GET"}, ""},
	}
	for i := range cases {
		c := &cases[i].c
		arrived := b.begin(c)
		seen, err := ask(b.listener.Addr().String(), c)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.finish(arrived); err != nil {
			t.Fatal(err)
		}
		got, want := judge(c, seen, arrived), cases[i].wrong
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q, demand %s: judged %q, want %q", c.raw, c.want, got, want)
		}
	}
}

func TestOriginForm(t *testing.T) {
	for target, want := range map[string]string{
		"/a": "/a", "*": "*", "http://a": "/", "http://a/": "/", "http://a?b": "/?b", "http://a/b?c": "/b?c", "/x://y": "/x://y",
	} {
		if got := originForm(target); got != want {
			t.Errorf("%s became %s, want %s", target, got, want)
		}
	}
}
