package http1

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// Mutated bytes are seldom a whole head. These tests put heads and bodies together from
// parts, most of them good, so that the properties are checked where messages are
// accepted, too, and where several rules meet.

var startParts = []string{
	"GET / HTTP/1.1¶", "GET / HTTP/1.1¶", "POST /a?b HTTP/1.0¶", "OPTIONS * HTTP/1.1¶",
	"GET http://real:81/p?q HTTP/1.1¶", "GET HTTPS://[::1] HTTP/1.0¶", "¶PUT /%41?%zz HTTP/1.1¶",
	"HEAD //a/../b HTTP/1.1¶", "get /{|}^`\"<>\\ HTTP/1.1¶", "GET http://a?b HTTP/1.1¶", "GET /\r HTTP/1.1¶",
}

var statusParts = []string{
	"HTTP/1.1 200 OK¶", "HTTP/1.1 200 ¶", "HTTP/1.0 404 Not Found¶", "HTTP/1.1 304 x¶", "HTTP/1.1 204 \xe9¶",
	"HTTP/1.1 101 Switching Protocols¶", "HTTP/1.1 103 Early Hints¶", "HTTP/1.1 599 \t¶", "HTTP/1.1 200¶",
}

var headerParts = []string{
	"Host: a¶", "host:\tb.c:8080 ¶", "Host: [::1]:1¶", "Content-Length: 5¶", "content-length:5¶",
	"Content-Length: 05, 5¶", "Content-Length: 0¶", "Transfer-Encoding: chunked¶", "TRANSFER-ENCODING: Chunked \t¶",
	"Connection: close¶", "Connection: keep-alive, Upgrade¶", "Connection: , x-a ,, Cookie¶", "Connection: x-b¶",
	"Connection: Host, X-Forwarded-For, Content-Length¶", "Upgrade: websocket¶", "Upgrade: h2c, WebSocket¶",
	"Expect: 100-continue¶", "X-A: 1¶", "x-b:¶", "X-B: \xff\t\"q\" ¶", "Cookie: c=d; e=f¶", "X_Forwarded_For: 1¶",
	"X-Forwarded-For: 2¶", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==¶", "Pragma: no-cache¶", "TE: trailers¶",
	"Keep-Alive: timeout=5¶", "A: " + strings.Repeat("v", 300) + "¶", "Bad : x¶", "X-A: 1\n",
}

var bodyParts = []string{
	"5¶hello¶", "5¶hello¶", "0000A;x=\"y\"¶0123456789¶", "1 \t¶x¶", "1;¶\n¶", "ff¶" + strings.Repeat("f", 255) + "¶",
	"0¶", "0;last¶", "X-Sum: 1¶", "Host: evil¶", "cookie:¶", "¶", "¶", "3¶a¶¶", "5\nhello¶", "g¶",
}

// join puts up to most parts together.
func join(random *rand.Rand, parts []string, most int) string {
	var out strings.Builder
	for range random.IntN(most + 1) {
		out.WriteString(parts[random.IntN(len(parts))])
	}
	return out.String()
}

func TestRandomMessages(t *testing.T) {
	const rounds = 4000
	accepted := map[string]int{}
	count := func(kind string, v verdict) {
		if v.String() == "ok" {
			accepted[kind]++
		}
	}
	for seed := range uint64(rounds) {
		random := rand.New(rand.NewPCG(seed, 2))
		good := headerParts[:len(headerParts)-2*random.IntN(2)]
		headers := join(random, good, 6)

		request := crlf(startParts[random.IntN(len(startParts))] + headers + join(random, []string{"Host: z¶"}, 1) + "¶")
		checkRequestHead(t, request, seed)
		count("requests", judge(new(RequestHead), request, nil))

		response := crlf(statusParts[random.IntN(len(statusParts))] + headers + "¶")
		checkResponseHead(t, response, seed)
		count("responses", judge(new(ResponseHead), response, nil))

		body := crlf(join(random, bodyParts[:12], 5) + join(random, bodyParts, 4) + "0¶¶")
		checkBody(t, body, uint8(BodyChunked), 0, seed)
		if feedBody(t, chunkedFrom(FromClient), body).done {
			accepted["bodies"]++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	for _, kind := range []string{"requests", "responses", "bodies"} {
		if accepted[kind] < rounds/20 {
			t.Errorf("only %d of %d %s were accepted: the parts are too bad", accepted[kind], rounds, kind)
		}
	}
	t.Logf("accepted: %v of %d each", accepted, rounds)
}
