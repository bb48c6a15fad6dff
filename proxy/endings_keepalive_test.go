package proxy_test

import (
	"strings"

	"culvert/proxy"
)

// The endings between two requests, phase K of docs/endings.md: the connections of an exchange that is over live on.

const (
	shortAnswer5 = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	cutHeadAfter = "GET /next HTTP/1.1\r\nHost: exam"
)

// livesOn runs one exchange whose connections live on.
func (e *ending) livesOn(change func(*proxy.Config)) {
	e.t.Helper()
	e.start(func(c *proxy.Config) {
		c.KeepAliveRequests, c.BackendIdle = 0, 0 // the defaults
		if change != nil {
			change(c)
		}
	})
	e.ask(plainRequest)
	e.answer200()
}

// answer200 lets the backend answer, and the client get it.
func (e *ending) answer200() {
	e.t.Helper()
	e.server.Send(shortAnswer5)
	if head := e.client.ReadHead(); strings.Contains(head, "Connection: close") {
		e.t.Errorf("the client is told to close: %q", head)
	}
	e.client.Want("hello")
	e.p.WaitEnd(e.t).Want(e.t, "complete", 200, "backend")
}

// goneQuietly: the client's connection was released without a line, and counted. The backend's lives on.
func (e *ending) goneQuietly() {
	e.t.Helper()
	e.p.WaitMetric(e.t, 1, "culvert_exchanges_ended_total", "reason=keep-alive")
	e.quietly()
}

func (e *ending) quietly() {
	e.t.Helper()
	e.judged = true
	if lines := e.p.Log(); len(lines) != 1 {
		e.t.Errorf("the log says %v, want the one line of the exchange before", lines)
	}
	if e.p.Holds(e.client) {
		e.t.Error("the proxy still has its descriptor to the client")
	}
}

// backendGone: the backend's connection was released without a line, and the client's lives on: another request gets a
// new one.
func (e *ending) backendGone() {
	e.t.Helper()
	e.judged = true
	e.p.WaitReleased(e.t, e.server)
	e.client.Send(plainRequest)
	e.accept()
	e.answer200()
}

var keepAliveEndings = map[string]func(*ending){
	"K01": func(e *ending) {
		e.livesOn(nil)
		e.client.CloseWrite()
		e.client.WantEOF()
		e.goneQuietly()
	},
	"K02": func(e *ending) {
		e.livesOn(nil)
		e.client.Reset()
		e.goneQuietly()
	},
	"K03": func(e *ending) {
		e.livesOn(func(c *proxy.Config) { c.Timeouts.KeepAlive = shortTimeout })
		e.client.WantEOF()
		e.goneQuietly()
	},
	"K04": func(e *ending) {
		e.livesOn(func(c *proxy.Config) { c.ShutdownGrace = longTimeout })
		e.p.Shutdown(e.t) // does not wait for the grace: nothing is left
		e.client.WantEOF()
		e.server.WantEOF()
		e.quietly() // what was counted went with the loops
	},
	"K05": func(e *ending) {
		e.livesOn(nil)
		e.client.Send(plainRequest)
		e.server.ReadHead() // on the same connection
		e.server.Send(shortAnswer5)
		e.client.ReadHead()
		e.client.Want("hello")
	},
	"K06": func(e *ending) {
		e.livesOn(func(c *proxy.Config) { c.Timeouts.ClientHead = shortTimeout })
		e.client.Send(cutHeadAfter)
		e.refused(408)
		e.lingers(e.client)
	},
	"K07": func(e *ending) {
		e.livesOn(nil)
		e.client.Send(cutHeadAfter)
		e.client.CloseWrite()
		e.refused(400)
		e.released(e.client)
	},
	"K08": func(e *ending) {
		e.livesOn(func(c *proxy.Config) { c.KeepAliveRequests = 2 })
		e.client.Send(plainRequest)
		e.server.ReadHead()
		e.server.Send(shortAnswer5)
		if head := e.client.ReadHead(); !strings.Contains(head, "Connection: close") {
			e.t.Errorf("the client is not told that this was the last: %q", head)
		}
		e.client.Want("hello")
		e.client.WantEOF()
		e.lingers(e.client)
	},
	"K09": func(e *ending) {
		e.livesOn(nil)
		e.server.CloseWrite()
		e.backendGone()
	},
	"K10": func(e *ending) {
		e.livesOn(nil)
		e.server.Reset()
		e.backendGone()
	},
	"K11": func(e *ending) {
		e.livesOn(nil)
		e.server.Send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
		e.backendGone()
	},
	"K12": func(e *ending) {
		e.livesOn(func(c *proxy.Config) { c.Timeouts.BackendIdle = shortTimeout })
		e.server.WantEOF()
		e.backendGone()
	},
	"K13": func(e *ending) {
		e.livesOn(nil)
		held := make(chan struct{})
		e.p.Server().Post(func() { <-held })
		e.server.CloseWrite() // both are told in one turn
		e.client.Send(plainRequest)
		close(held)
		e.accept() // a connection of its own
		e.server.Send(shortAnswer5)
		e.client.ReadHead()
		e.client.Want("hello")
	},
	"K14": func(e *ending) {
		e.livesOn(nil)
		e.client.Send(strings.Replace(plainRequest, "GET", "POST", 1))
		e.server.ReadHead()
		e.server.Reset()
		e.refused(502)
		e.lingers(e.client)
	},
	"K15": func(e *ending) {
		e.livesOn(nil)
		e.client.Send(plainRequest)
		e.server.ReadHead()
		e.server.CloseWrite() // dead before any byte of the answer: once more elsewhere
		first := e.server
		e.accept()
		first.WantEOF()
		e.server.Send(shortAnswer5)
		e.client.ReadHead()
		e.client.Want("hello")
		e.p.WaitMetric(e.t, 1, "culvert_requests_resent_total")
	},
}

// The endings while a request's body is on its way, phase R.

const (
	postHead    = "POST /form HTTP/1.1\r\nHost: example.com\r\nContent-Length: 10\r\n\r\n"
	postChunked = "POST /form HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n"
	part        = "01234"
)

// sending leaves half of a request's body with the backend.
func (e *ending) sending(head, body string, change func(*proxy.Config)) {
	e.t.Helper()
	e.start(change)
	e.ask(head + body)
	e.server.Want(body)
}

var bodyEndings = map[string]func(*ending){
	"R01": func(e *ending) {
		e.sending(postHead, part, nil)
		e.client.CloseWrite()
		e.refused(400)
		e.server.WantReset()
		e.released(e.server, e.client)
	},
	"R02": func(e *ending) {
		e.sending(postHead, part, nil)
		e.client.Reset()
		e.server.WantReset()
		e.released(e.client, e.server)
	},
	"R03": func(e *ending) {
		e.sending(postHead, part, func(c *proxy.Config) { c.Timeouts.Answer = shortTimeout })
		e.refused(408)
		e.server.WantReset()
		e.lingers(e.client)
	},
	"R04": func(e *ending) {
		e.sending(postHead, part, func(c *proxy.Config) {
			c.MinBodyRate, c.Timeouts.BodyRate = 1000, shortTimeout
		})
		e.refused(408)
		e.server.WantReset()
		e.lingers(e.client)
	},
	"R05": func(e *ending) {
		e.narrow = true
		e.start(func(c *proxy.Config) {
			c.Timeouts.ClientWrite, c.Timeouts.Answer, c.Timeouts.Linger = stallTimeout, longTimeout, stallTimeout
		})
		e.ask("POST /form HTTP/1.1\r\nHost: example.com\r\nContent-Length: 100000000\r\n\r\n")
		e.p.Stall(e.t, e.client)
		e.refused(504)
		e.server.WantReset()
		e.lingers(e.client)
	},
	"R06": func(e *ending) {
		e.sending(postHead, part, nil)
		e.server.Reset()
		e.refused(502)
		e.lingers(e.client)
	},
	"R07": func(e *ending) {
		e.sending(postHead, part, nil)
		e.server.CloseWrite()
		e.refused(502)
		e.server.WantReset()
		e.lingers(e.client)
	},
	"R08": func(e *ending) {
		e.sending(postHead, part, nil)
		e.server.Send(strings.Replace(shortAnswer5, "200 OK", "413 No", 1))
		if head := e.client.ReadHead(); !strings.Contains(head, "Connection: close") {
			e.t.Errorf("the client is not told to close: %q", head)
		}
		e.client.Want("hello")
		e.client.WantEOF()
		e.server.WantReset()
		e.lingers(e.client)
	},
	"R09": func(e *ending) {
		e.sending(postChunked, "5\r\nhello\r\n", nil)
		e.client.Send("xyz\r\n")
		e.refused(400)
		e.server.WantReset()
		e.lingers(e.client)
	},
	"R10": func(e *ending) {
		e.sending(postChunked, "5\r\nhello\r\n", func(c *proxy.Config) { c.MaxBody = 8 })
		e.client.Send("5\r\nhello\r\n")
		e.refused(413)
		e.server.WantReset()
		e.lingers(e.client)
	},
	"R11": func(e *ending) {
		e.sending(postHead, part, nil)
		e.p.Shutdown(e.t)
		e.client.ReadUntilGone()
		e.server.WantReset()
		e.released(e.client, e.server)
	},
	"R12": func(e *ending) {
		e.start(func(c *proxy.Config) { c.AbortOnClientFIN = true })
		e.ask(plainRequest)
		e.client.CloseWrite()
		e.client.WantEOF()
		e.server.WantReset()
		e.released(e.client, e.server)
	},
}
