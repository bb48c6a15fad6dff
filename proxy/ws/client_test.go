package ws

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	gobwas "github.com/gobwas/ws"
)

func fullClientRequest() *ClientRequest {
	return &ClientRequest{
		Host: "backend:8080", Target: "/chat?room=1", Key: NewKey([16]byte([]byte("the sample nonce"))),
		Subprotocols: []string{"v2.chat", "chat"}, Extensions: "permessage-deflate; client_max_window_bits",
		Fields: []Field{{"Origin", "http://a"}, {"X-Note", "é and\ttab"}},
	}
}

func TestClientRequestBytes(t *testing.T) {
	got, err := AppendClientRequest([]byte("before "), fullClientRequest())
	const want = "before GET /chat?room=1 HTTP/1.1\r\nHost: backend:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + sampleKey + "\r\nSec-WebSocket-Protocol: v2.chat, chat\r\n" +
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nOrigin: http://a\r\nX-Note: é and\ttab\r\n\r\n"
	if err != nil || string(got) != want {
		t.Errorf("%v\n got %q\nwant %q", err, got, want)
	}
	got, err = AppendClientRequest(nil, &ClientRequest{Host: "a", Key: NewKey([16]byte{})})
	if err != nil || !strings.HasPrefix(string(got), "GET / HTTP/1.1\r\nHost: a\r\n") {
		t.Errorf("%v %q", err, got)
	}
}

// Our request is one that our own check, net/http and gobwas/ws take for an upgrade; and gobwas/ws's answer to it is
// one that our check takes.
func TestClientRequestIsUnderstood(t *testing.T) {
	request := fullClientRequest()
	head, err := AppendClientRequest(nil, request)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil || parsed.Host != "backend:8080" || parsed.URL.RawQuery != "room=1" || parsed.Header.Get("X-Note") != "é and\ttab" {
		t.Fatalf("net/http reads %+v, %v", parsed, err)
	}
	decision, relayed := ask(strings.ReplaceAll(string(head), "\r\n", "¶"))
	if own := request.Offer(); decision.Action != Upgrade || relayed != own {
		t.Errorf("%+v\nrelayed %+v\n    own %+v", decision, relayed, own)
	}
	var written bytes.Buffer
	upgrader := gobwas.Upgrader{Protocol: func(name []byte) bool { return string(name) == "chat" }}
	if _, err := upgrader.Upgrade(readWriter{bytes.NewReader(head), &written}); err != nil {
		t.Fatalf("gobwas/ws refuses: %v", err)
	}
	agreement, reason := answer(request.Offer(), strings.ReplaceAll(written.String(), "\r\n", "¶"))
	if want := (Agreement{Subprotocol: true}); agreement != want || reason != NoReason {
		t.Errorf("the answer %q: %+v %v", written.String(), agreement, reason)
	}
}

type readWriter struct {
	io.Reader
	io.Writer
}

// Nothing that would end a line early or say a thing twice is written.
func TestClientRequestRefused(t *testing.T) {
	for what, spoil := range map[string]func(*ClientRequest){
		"no key":                      func(r *ClientRequest) { r.Key = [KeyLen]byte{} },
		"a key of 17 bytes":           func(r *ClientRequest) { copy(r.Key[22:], "A=") },
		"no host":                     func(r *ClientRequest) { r.Host = "" },
		"a line end in the host":      func(r *ClientRequest) { r.Host = "a\r\nX: y" },
		"a space in the target":       func(r *ClientRequest) { r.Target = "/a b" },
		"a target in absolute form":   func(r *ClientRequest) { r.Target = "http://a/" },
		"a NUL in the target":         func(r *ClientRequest) { r.Target = "/\x00" },
		"a comma in a subprotocol":    func(r *ClientRequest) { r.Subprotocols = []string{"a,b"} },
		"an empty subprotocol":        func(r *ClientRequest) { r.Subprotocols = []string{"a", ""} },
		"a line end in extensions":    func(r *ClientRequest) { r.Extensions = "a\nb" },
		"an empty field name":         func(r *ClientRequest) { r.Fields = []Field{{"", "x"}} },
		"a colon in a field name":     func(r *ClientRequest) { r.Fields = []Field{{"a:", "x"}} },
		"a line end in a field value": func(r *ClientRequest) { r.Fields = []Field{{"a", "secret\r"}} },
		"a second Host":               func(r *ClientRequest) { r.Fields = []Field{{"hOST", "b"}} },
		"a second key":                func(r *ClientRequest) { r.Fields = []Field{{"Sec-WebSocket-Key", sampleKey}} },
		"a body":                      func(r *ClientRequest) { r.Fields = []Field{{"Content-Length", "0"}} },
	} {
		request := fullClientRequest()
		spoil(request)
		got, err := AppendClientRequest([]byte("before"), request)
		if !errors.Is(err, ErrClientRequest) || string(got) != "before" {
			t.Errorf("%s: %v, %q", what, err, got)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error %q tells a value", what, err)
		}
	}
}
