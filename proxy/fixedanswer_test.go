package proxy_test

import (
	"strings"
	"testing"

	"culvert/proxy"
	"culvert/proxy/proxytest"
	"culvert/proxy/route"
)

// Connections live on behind what a rule answers itself, as they do behind what a backend answers.

// answersHere is a configuration with a rule that answers /here by four bytes, in front of the default group.
func answersHere(change func(*proxy.Config)) func(*proxy.Config) {
	return func(c *proxy.Config) {
		c.Listeners[0].Rules = []proxy.RuleConfig{{Match: route.Match{Path: "/here"}, Answer: &proxy.AnswerConfig{Status: 200, Body: proxy.Body{Bytes: []byte("here")}}}}
		if change != nil {
			change(c)
		}
	}
}

const (
	hereKept   = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 4\r\n\r\nhere"
	hereCloses = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 4\r\n\r\nhere"
)

func TestAConnectionLivesOnBehindAFixedAnswer(t *testing.T) {
	overWays(t, aConnectionLivesOnBehindAFixedAnswer)
}

func aConnectionLivesOnBehindAFixedAnswer(t *proxytest.T) {
	p, _ := named(t, answersHere(nil), "one")
	client := p.Dial(t)
	here := "GET /here HTTP/1.1\r\nHost: a\r\n\r\n"
	client.Send(here + here + "HEAD /here HTTP/1.1\r\nHost: a\r\n\r\n") // at once
	client.Want(hereKept + hereKept + hereKept[:len(hereKept)-len("here")])
	wantAsked(t, client, "/", "one")
	client.Send("GET /here HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	client.Want("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 4\r\n\r\nhere")
	client.Send("POST /here HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc") // nobody reads that
	client.Want(hereCloses)
	client.WantEOF()
	client.Close()
	for _, want := range []float64{4, 4, 0, 3, 4, 4} {
		line := p.WaitEnd(t)
		if got := line.Number("body_bytes"); float64(got) != want {
			t.Errorf("the log says %v bytes, want %v: %v", got, want, line)
		}
	}
}

func TestFixedAnswersCountTowardsTheRequestsOfAConnection(t *testing.T) {
	overWays(t, fixedAnswersCountTowardsTheRequestsOfAConnection)
}

func fixedAnswersCountTowardsTheRequestsOfAConnection(t *proxytest.T) {
	p, _ := named(t, answersHere(func(c *proxy.Config) { c.KeepAliveRequests = 2 }), "one")
	client := p.Dial(t)
	client.Send("GET /here HTTP/1.1\r\nHost: a\r\n\r\nGET /here HTTP/1.1\r\nHost: a\r\n\r\nGET /here HTTP/1.1\r\nHost: a\r\n\r\n")
	client.Want(hereKept + hereCloses)
	client.WantEOF()
	p.WaitMetric(t, 1, limitsMetric, "limit=keep-alive-requests")
}

// TestFixedAnswersForASlowClient: it holds nobody up. The answer that it does not take at once is its last, and whole.
func TestFixedAnswersForASlowClient(t *testing.T) { overWays(t, fixedAnswersForASlowClient) }

func fixedAnswersForASlowClient(t *proxytest.T) {
	const sent = proxy.DefaultKeepAliveRequests - 1
	body := strings.Repeat("0123456789abcdef", proxy.MaxFixedBody/16)
	p, _ := named(t, answersHere(func(c *proxy.Config) { c.Listeners[0].Rules[0].Answer.Body.Bytes = []byte(body) }), "one")
	client := p.DialWith(t, proxytest.ConnOptions{ReceiveBuffer: proxytest.SmallBuffer})
	client.Send(strings.Repeat("GET /here HTTP/1.1\r\nHost: a\r\n\r\n", sent))
	wantAsked(t, p.Dial(t), "/", "one")
	answers := strings.SplitAfter(client.ReadUntilEOF(), body)
	if n := len(answers) - 1; n == 0 || n == sent || answers[n] != "" {
		t.Errorf("%d of %d answers, then %d bytes", n, sent, len(answers[n]))
	}
}
