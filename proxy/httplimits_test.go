package proxy_test

import (
	"strings"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// Every limit of HTTP has a counter, which tells an operator which flag to look at.

const limitsMetric = "culvert_http_limits_reached_total"

func TestEveryLimitIsCountedByItsName(t *testing.T) { overWays(t, everyLimitIsCountedByItsName) }

func everyLimitIsCountedByItsName(t *proxytest.T) {
	get, post := "GET / HTTP/1.1¶Host: a¶", "POST / HTTP/1.1¶Host: a¶Transfer-Encoding: chunked¶¶"
	ok := "HTTP/1.1 200 OK¶Content-Length: 0¶¶"
	for _, c := range []struct {
		limit           string
		request, answer string
	}{
		{"max-head", get + strings.Repeat("A: "+strings.Repeat("v", 200)+"¶", 12) + "¶", ""},
		{"max-request-line", "GET /" + strings.Repeat("p", 1100) + " HTTP/1.1¶Host: a¶¶", ""},
		{"max-headers", get + strings.Repeat("A: b¶", 20) + "¶", ""},
		{"max-headers", post + "0¶" + strings.Repeat("a: b¶", 20) + "¶", ""},
		{"header-name", get + strings.Repeat("n", 257) + ": v¶¶", ""},
		{"connection-options", get + "Connection: " + strings.Repeat("a,", 65) + "¶¶", ""},
		{"chunk-extension", post + "1;" + strings.Repeat("e", 4097) + "¶x¶0¶¶", ""},
		{"chunk-overhead", post + strings.Repeat("1;"+strings.Repeat("e", 4000)+"¶x¶", 5) + "0¶¶", ""},
		{"trailers", post + "0¶A: " + strings.Repeat("v", 8200) + "¶¶", ""},
		{"max-body", "POST / HTTP/1.1¶Host: a¶Content-Length: 3000¶¶", ""},
		{"max-body", post + "bb8¶" + strings.Repeat("x", 3000) + "¶0¶¶", ""},
		{"min-body-rate", "POST / HTTP/1.1¶Host: a¶Content-Length: 3¶¶x", ""},
		{"interim-answers", get + "¶", strings.Repeat("HTTP/1.1 103 Early Hints¶¶", 17) + ok},
		{"max-head", get + "¶", "HTTP/1.1 200 OK¶" + strings.Repeat("A: "+strings.Repeat("v", 200)+"¶", 12) + "¶"},
		{"keep-alive-requests", get + "¶" + get + "¶", ok},
	} {
		t.Run(c.limit, func(t *proxytest.T) {
			b := proxytest.NewBackend(t)
			expand := strings.NewReplacer("¶", "\r\n").Replace
			b.Serve(func(conn *proxytest.Conn) {
				if c.answer == "" {
					conn.ReadUntilGone()
					return
				}
				conn.ReadHead()
				conn.Send(expand(c.answer))
				conn.ReadUntilGone()
			})
			p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(config *proxy.Config) {
				config.MaxHead, config.MaxStartLine, config.MaxHeaders = 2048, 1024, 16
				config.MaxBody, config.MinBodyRate, config.Timeouts.BodyRate = 2048, 10, 300*time.Millisecond
				if c.limit == "trailers" || c.limit == "connection-options" {
					config.MaxHead = 0
				}
				if c.limit != "keep-alive-requests" {
					config.KeepAliveRequests = 2
				}
			}})
			if n := p.Metric(t, limitsMetric, "limit="+c.limit); n != 0 {
				t.Fatalf("counted %v before anything came", n)
			}
			client := p.Dial(t)
			_ = client.TrySend(expand(c.request))
			p.WaitMetric(t, 1, limitsMetric, "limit="+c.limit)
			p.WaitMetric(t, 1, limitsMetric) // and no other
			client.Close()
		})
	}
}
