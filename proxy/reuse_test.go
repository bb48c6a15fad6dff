package proxy_test

import (
	"strings"
	"testing"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// What becomes of a request whose backend has just ended a connection of the pool.

const (
	getKept   = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
	postKept  = "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhello"
	okKept    = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	earlyHint = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
)

// startKept runs a proxy whose connections live on, and has a client's first request answered. It returns the client and
// the backend's connection, which is in the pool then.
func startKept(t *proxytest.T) (p *proxytest.Proxy, b *proxytest.Backend, client, backend *proxytest.Conn) {
	t.Helper()
	b = proxytest.NewBackend(t)
	p = proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		c.KeepAliveRequests, c.BackendIdle = 0, 0
	}})
	client = p.Dial(t)
	client.Send(getKept)
	backend = b.Accept()
	backend.ReadHead()
	backend.Send(okKept)
	client.Want(okKept)
	p.WaitMetric(t, 1, "culvert_backend_connections_idle")
	return p, b, client, backend
}

func TestARequestThatMeetsADeadConnectionIsSentOnceMore(t *testing.T) {
	overWays(t, aRequestThatMeetsADeadConnectionIsSentOnceMore)
}

func aRequestThatMeetsADeadConnectionIsSentOnceMore(t *proxytest.T) {
	p, b, client, backend := startKept(t)
	client.Send(getKept)
	backend.ReadHead()
	backend.Close()
	again := b.Accept()
	again.ReadHead()
	again.Send(okKept)
	client.Want(okKept)
	p.WaitMetric(t, 1, "culvert_requests_resent_total")
}

// While the request is on its way to another connection, the next one comes: it is told of only once.
func TestARequestThatComesWhileAnotherIsSentOnceMoreIsNotForgotten(t *testing.T) {
	overWays(t, aRequestThatComesWhileAnotherIsSentOnceMoreIsNotForgotten)
}

func aRequestThatComesWhileAnotherIsSentOnceMoreIsNotForgotten(t *proxytest.T) {
	p, b, client, backend := startKept(t)
	client.Send(getKept)
	backend.ReadHead()
	held, sent := make(chan struct{}), make(chan struct{})
	p.Server().Post(func() {
		close(held)
		<-sent // the next wait finds the FIN first, then the request; the dial that the FIN leads to is told of later
	})
	<-held
	backend.Close()
	client.Send(getKept)
	close(sent)
	again := b.Accept()
	for range 2 {
		again.ReadHead()
		again.Send(okKept)
		client.Want(okKept)
	}
	p.WaitMetric(t, 1, "culvert_requests_resent_total")
}

// A backend that has begun to answer is not dead, and what it did is done.
func TestARequestIsNotSentAgainBehindAnInterimAnswer(t *testing.T) {
	overWays(t, aRequestIsNotSentAgainBehindAnInterimAnswer)
}

func aRequestIsNotSentAgainBehindAnInterimAnswer(t *proxytest.T) {
	p, _, client, backend := startKept(t)
	client.Send(getKept)
	backend.ReadHead()
	backend.Send(earlyHint)
	client.Want(earlyHint)
	backend.Close()
	if head := client.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 502 ") {
		t.Errorf("behind the interim answer came %q, want 502", head)
	}
	p.WaitMetric(t, 0, "culvert_requests_resent_total")
	client.Close()
}

// The backend's FIN is there, but the loop has been told of the request first.
func TestARequestWithABodyIsNotSentWhereABackendHasJustFinished(t *testing.T) {
	overWays(t, aRequestWithABodyIsNotSentWhereABackendHasJustFinished)
}

func aRequestWithABodyIsNotSentWhereABackendHasJustFinished(t *proxytest.T) {
	p, b, client, backend := startKept(t)
	held, sent := make(chan struct{}), make(chan struct{})
	p.Server().Post(func() {
		close(held)
		<-sent // the next wait finds the request first, then the FIN
	})
	<-held
	client.Send(postKept)
	backend.Close()
	close(sent)
	another := b.Accept()
	another.ReadHead()
	another.Want("hello")
	another.Send(okKept)
	client.Want(okKept)
	p.WaitMetric(t, 0, "culvert_backend_connections_reused_total")
}
