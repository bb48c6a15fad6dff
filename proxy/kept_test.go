package proxy_test

import (
	"net/netip"
	"strings"
	"testing"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// What went wrong once with connections that live on.

// TestARequestBehindAResentOneIsSeen: while a request is sent once more the client's events are the exchange's again.
func TestARequestBehindAResentOneIsSeen(t *testing.T) { overWays(t, aRequestBehindAResentOneIsSeen) }

func aRequestBehindAResentOneIsSeen(t *proxytest.T) {
	_, client, conn, b := pooled(t)
	client.Send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	conn.ReadHead()
	conn.Reset()
	again := b.Accept()
	again.ReadHead()
	client.Send("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
	for range 2 {
		again.Send(shortAnswer5)
		client.Want(shortAnswer5)
		if again.Received() != "" && !strings.Contains(again.Received(), "/3") {
			again.ReadHead()
		}
	}
}

// TestEachRequestOfATrustedPeerCountsForItsClient: a proxy in front uses one connection for many clients.
func TestEachRequestOfATrustedPeerCountsForItsClient(t *testing.T) {
	overWays(t, eachRequestOfATrustedPeerCountsForItsClient)
}

func eachRequestOfATrustedPeerCountsForItsClient(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	answering(t, b)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		livesOnBothSides(c)
		c.Limits.ClientConnections = 1
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}})
	ask := func(c *proxytest.Conn, client, status string) {
		t.Helper()
		c.Send("GET /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: " + client + "\r\n\r\n")
		if head := c.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 "+status) {
			t.Fatalf("for %s: %q, want %s", client, head, status)
		}
		if status == "200" {
			c.Want("/x")
		}
	}
	first, second, third := p.Dial(t), p.Dial(t), p.Dial(t)
	ask(first, "192.0.2.1", "200")
	ask(first, "192.0.2.2", "200") // 192.0.2.1 has no connection any more
	ask(second, "192.0.2.1", "200")
	ask(third, "192.0.2.2", "503")
	first.Close()
	second.Close()
	third.Close()
	proxytest.Eventually(t, "all have left", func() bool { return p.Metric(t, "culvert_client_connections_active") == 0 })
	last := p.Dial(t)
	ask(last, "192.0.2.1", "200")
	ask(last, "192.0.2.2", "200")
}

// TestLineEndsBehindABodyBeginNoRequest: old clients send them (RFC 9112 2.2).
func TestLineEndsBehindABodyBeginNoRequest(t *testing.T) {
	overWays(t, lineEndsBehindABodyBeginNoRequest)
}

func lineEndsBehindABodyBeginNoRequest(t *proxytest.T) {
	p, client, _, _ := pooled(t)
	client.Send("\r\n")
	proxytest.Eventually(t, "the proxy has read it", func() bool { _, unread := client.Queues(); return unread == 0 })
	client.CloseWrite()
	client.WantEOF()
	p.WaitMetric(t, 1, "culvert_exchanges_ended_total", "reason=keep-alive")
	if lines := p.Log(); len(lines) != 1 {
		t.Errorf("the log says %v", lines)
	}
}

// TestWhatABackendSaidUnaskedIsNoAnswer: it is told together with the next request, which comes first.
func TestWhatABackendSaidUnaskedIsNoAnswer(t *testing.T) {
	overWays(t, whatABackendSaidUnaskedIsNoAnswer)
}

func whatABackendSaidUnaskedIsNoAnswer(t *proxytest.T) {
	p, client, conn, b := pooled(t)
	held := make(chan struct{})
	p.Server().Post(func() { <-held })
	client.Send("POST /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	conn.Send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
	close(held)
	again := b.Accept()
	again.ReadHead()
	again.Send(shortAnswer5)
	client.Want(shortAnswer5)
}

// TestAnUntrustedRequestIDIsReplaced however it is spelled.
func TestAnUntrustedRequestIDIsReplaced(t *testing.T) { overWays(t, anUntrustedRequestIDIsReplaced) }

func anUntrustedRequestIDIsReplaced(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		c.Announce = proxy.Announcements{RequestID: true, Forwarded: true, Via: true, SLBID: "edge-1"}
	}})
	client := p.Dial(t)
	client.Send("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: forged\r\nx_request_ID: forged\r\nX.Request-Id: forged\r\nX-Request-Idea: fine\r\n\r\n")
	conn := b.Accept()
	head := conn.ReadHead()
	conn.Send(shortAnswer5)
	client.ReadHead()
	id := p.WaitEnd(t).Text("id")
	for _, want := range []string{
		"X-Request-Idea: fine\r\n", "X-Request-Id: " + id + "\r\n", "Forwarded: for=127.0.0.1;proto=" + p.Scheme() + ";host=\"a\"\r\n",
		"Via: 1.1 culvert\r\n", "SLB-ID: edge-1\r\n", "SLB-IP: 127.0.0.1\r\n",
	} {
		if !strings.Contains(head, want) {
			t.Errorf("the backend got %q, want %q in it", head, want)
		}
	}
	if strings.Contains(head, "forged") {
		t.Errorf("the backend got %q", head)
	}
}

// TestAShutdownLetsNoConnectionLiveOn: an answer under way is finished, and its connection closed behind it.
func TestAShutdownLetsNoConnectionLiveOn(t *testing.T) { overWays(t, aShutdownLetsNoConnectionLiveOn) }

func aShutdownLetsNoConnectionLiveOn(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		livesOnBothSides(c)
		c.ShutdownGrace = longTimeout
	}})
	client := p.Dial(t)
	client.Send(plainRequest)
	conn := b.Accept()
	conn.ReadHead()
	conn.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
	client.ReadHead()
	client.Want("hel")
	done := make(chan struct{})
	go func() { defer close(done); p.Shutdown(t) }()
	proxytest.Eventually(t, "nobody is accepted any more", func() bool {
		return p.Metric(t, "culvert_shutting_down") == 1
	})
	conn.Send("lo")
	client.Want("lo")
	client.WantEOF()
	client.Close()
	<-done // long before the grace is over
}

// TestALineEndBehindABodyMayBeCut: old clients send one behind a request (RFC 9112 2.2), and it may come in two parts,
// the second with the next request.
func TestALineEndBehindABodyMayBeCut(t *testing.T) { overWays(t, aLineEndBehindABodyMayBeCut) }

func aLineEndBehindABodyMayBeCut(t *proxytest.T) {
	p, _ := named(t, nil, "one")
	client := p.Dial(t)
	wantAsked(t, client, "/", "one")
	for _, parts := range [][]string{{"\r", "\n"}, {"\r\n\r", "\n"}, {"\r\n", ""}} {
		client.Send(parts[0])
		client.UntilRead()
		client.Send(parts[1])
		wantAsked(t, client, "/", "one")
	}
}
