package http1

import (
	"strings"
	"testing"
)

// browserUpgrade is what a browser sends to open a WebSocket.
const browserUpgrade = "GET /chat/room?id=42&token=eyJhbGciOiJIUzI1NiJ9 HTTP/1.1¶" +
	"Host: ws.example.com¶" +
	"Connection: Upgrade¶" +
	"Pragma: no-cache¶" +
	"Cache-Control: no-cache¶" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36¶" +
	"Upgrade: websocket¶" +
	"Origin: https://www.example.com¶" +
	"Sec-WebSocket-Version: 13¶" +
	"Accept-Encoding: gzip, deflate, br, zstd¶" +
	"Accept-Language: en-GB,en;q=0.9¶" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==¶" +
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits¶¶"

const switchingProtocols = "HTTP/1.1 101 Switching Protocols¶" +
	"Upgrade: websocket¶Connection: Upgrade¶" +
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=¶" +
	"Sec-WebSocket-Protocol: chat¶¶"

// TestNothingIsAllocated: the happy path of heads, copying and bodies.
func TestNothingIsAllocated(t *testing.T) {
	request, response := crlf(browserUpgrade), crlf(switchingProtocols)
	body := crlf("5;x¶hello¶0¶X: y¶¶")
	dst := make([]byte, 0, 4096)
	var requestHead RequestHead
	var responseHead ResponseHead
	var scanner BodyScanner
	written := 0
	keep := func(f Field) bool { written += len(f.Line); return f.ID != FieldOrigin }
	all := func() {
		requestHead.Reset()
		for have := 1; have <= len(request); have += 50 {
			requestHead.Parse(request[:have], nil)
		}
		if n, err := requestHead.Parse(request, nil); n != len(request) || err != nil {
			t.Fatal(n, err)
		}
		out := AppendRequestLine(dst, requestHead.Method(), requestHead.Target())
		out = requestHead.AppendHeaders(out, dropAll, keep)
		out = AppendEnd(AppendHeader(out, "X-Forwarded-For", "192.0.2.1"))
		requestHead.HasToken(FieldUpgrade, "websocket")
		requestHead.Lookup("X-None")
		responseHead.Reset()
		if n, err := responseHead.Parse(response, nil); n != len(response) || err != nil {
			t.Fatal(n, err)
		}
		out = responseHead.AppendHeaders(out, dropAll, nil)
		scanner.Init(BodyChunked, 0, FromClient, nil)
		for at := 0; at < len(body); {
			forward, drop, _, _ := scanner.Scan(body[at:])
			at += forward + drop
		}
		scanner.AppendState(out)
	}
	all()
	if allocations := testing.AllocsPerRun(100, all); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

func BenchmarkRequestHead(b *testing.B) {
	request := crlf(browserUpgrade)
	var head RequestHead
	b.ReportAllocs()
	b.SetBytes(int64(len(request)))
	for b.Loop() {
		head.Reset()
		if n, _ := head.Parse(request, nil); n != len(request) {
			b.Fatal(n)
		}
	}
}

func BenchmarkRequestHeadByteByByte(b *testing.B) {
	request := crlf(browserUpgrade)
	var head RequestHead
	b.ReportAllocs()
	b.SetBytes(int64(len(request)))
	for b.Loop() {
		head.Reset()
		for have := range len(request) + 1 {
			head.Parse(request[:have], nil)
		}
	}
}

func BenchmarkResponseHead(b *testing.B) {
	response := crlf(switchingProtocols)
	var head ResponseHead
	b.ReportAllocs()
	b.SetBytes(int64(len(response)))
	for b.Loop() {
		head.Reset()
		if n, _ := head.Parse(response, nil); n != len(response) {
			b.Fatal(n)
		}
	}
}

func BenchmarkCopyHead(b *testing.B) {
	request := crlf(browserUpgrade)
	var head RequestHead
	head.Parse(request, nil)
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		out := AppendRequestLine(dst, head.Method(), head.Target())
		out = head.AppendHeaders(out, dropAll, nil)
		AppendEnd(out)
	}
}

func BenchmarkChunkedBody(b *testing.B) {
	body := crlf(strings.Repeat("400¶"+strings.Repeat("x", 1024)+"¶", 63) + "0¶¶")
	var s BodyScanner
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		s.Init(BodyChunked, 0, FromBackend, nil)
		if n, _, done, _ := s.Scan(body); !done || n != len(body) {
			b.Fatal(n)
		}
	}
}
