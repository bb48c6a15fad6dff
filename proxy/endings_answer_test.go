package proxy_test

import (
	"strings"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// The endings of the phases A and B of docs/endings.md.

const (
	wholeAnswer   = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	longAnswer    = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
	chunkedAnswer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	untilClose    = "HTTP/1.1 200 OK\r\n\r\n"
)

// answered has the backend answer whole and the client read it, and lets both finish.
func (e *ending) answered() {
	e.t.Helper()
	e.server.Send(wholeAnswer)
	e.client.ReadHead()
	e.client.Want("hello")
	e.client.WantEOF()
	e.server.WantEOF()
}

// failed: the exchange ends by a 502 or 504, the backend is reset, and the client's side lingers.
func (e *ending) failed(status int) {
	e.t.Helper()
	e.refused(status)
	e.server.WantReset()
	e.released(e.server)
	e.lingers(e.client)
}

// left: the client has gone, the backend is reset, and nothing is held any more.
func (e *ending) left() {
	e.t.Helper()
	e.server.WantReset()
	e.released(e.client, e.server)
}

var awaitEndings = map[string]func(*ending){
	"A01": func(e *ending) {
		e.start(nil)
		e.ask(proxytest.UpgradeRequest())
		e.client.CloseWrite()
		e.client.WantEOF()
		e.left()
	},
	"A02": func(e *ending) {
		e.start(nil)
		e.ask(proxytest.UpgradeRequest() + proxytest.ClientFrame(0x2, strings.Repeat("early", 20<<10)))
		e.client.CloseWrite()
		e.client.ReadUntilGone()
		e.left()
	},
	"A03": func(e *ending) {
		e.start(nil)
		e.ask(plainRequest)
		e.client.CloseWrite()
		e.answered()
	},
	"A04": func(e *ending) {
		e.start(nil)
		e.ask(proxytest.UpgradeRequest())
		e.client.Reset()
		e.left()
	},
	"A05": func(e *ending) {
		e.start(nil)
		e.ask(plainRequest)
		e.client.Reset()
		e.left()
	},
	"A06": func(e *ending) {
		e.start(nil)
		e.ask(proxytest.UpgradeRequest())
		e.p.Lose(e.t, e.client)
		e.server.Send("HTTP/1.1 103 Early Hints\r\nLink: </style>\r\n\r\n")
		e.left()
	},
	"A07": func(e *ending) {
		e.start(nil)
		e.ask(proxytest.UpgradeRequest())
		e.server.CloseWrite()
		e.failed(502)
	},
	"A08": func(e *ending) {
		e.start(nil)
		e.ask(plainRequest)
		e.server.Send("HTTP/1.1 200 OK\r\nConte")
		e.server.CloseWrite()
		e.failed(502)
	},
	"A09": func(e *ending) {
		e.start(nil)
		e.ask(plainRequest)
		e.server.Reset()
		e.refused(502)
		e.released(e.server)
		e.lingers(e.client)
	},
	"A10": func(e *ending) {
		e.start(nil)
		e.ask(plainRequest)
		e.client.CloseWrite()
		e.server.Reset()
		e.refused(502)
		e.released(e.server)
		e.p.WaitReleased(e.t, e.client)
	},
	"A11": func(e *ending) {
		e.start(nil)
		e.ask(plainRequest)
		e.p.Lose(e.t, e.server)
		e.refused(502)
		e.released(e.server)
		e.lingers(e.client)
	},
	"A12": func(e *ending) {
		e.start(func(c *proxy.Config) { c.Timeouts.Answer = shortTimeout })
		e.ask(plainRequest)
		e.failed(504)
	},
	"A13": func(e *ending) {
		e.start(func(c *proxy.Config) { c.Timeouts.Answer = shortTimeout })
		e.ask(proxytest.UpgradeRequest())
		e.server.Send("HTTP/1.1 101 Switching Protocols\r\nUpgr")
		e.failed(504)
	},
	"A14": func(e *ending) {
		e.start(nil)
		e.ask(plainRequest)
		e.server.Send("HTTP/1.1 200 OK\r\nno field\r\n\r\n")
		e.failed(502)
	},
	"A15": func(e *ending) {
		e.start(nil)
		e.ask(proxytest.UpgradeRequest() + proxytest.ClientText("early"))
		e.server.Send(proxytest.SwitchingProtocols("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"))
		e.failed(502)
	},
	"A16": func(e *ending) {
		e.start(nil)
		e.ask(plainRequest)
		e.p.Shutdown(e.t)
		e.client.ReadUntilGone()
		e.left()
	},
}

// answering leaves an answer's body under way: the client has what is in part.
func (e *ending) answering(request, head, part string) {
	e.t.Helper()
	e.ask(request)
	e.server.Send(head + part)
	e.client.ReadHead()
	e.client.Want(part)
}

// stallAnswer leaves an answer's body under way of which bytes are pending, and returns the body sent so far.
func (e *ending) stallAnswer(head string) string {
	e.t.Helper()
	e.ask(plainRequest)
	e.server.Send(head)
	return e.p.Stall(e.t, e.server)
}

// pendingRest leaves a complete answer to a client that has taken nothing of it: the exchange is over, the end of the
// body is still the proxy's. It returns the body: more than the kernel takes, and so little that it comes in one piece.
func (e *ending) pendingRest() string {
	e.t.Helper()
	body := strings.Repeat("0123456789", 2400)
	e.ask(plainRequest)
	arrived := make(chan struct{})
	e.p.Server().Post(func() { <-arrived })
	e.server.Send("HTTP/1.1 200 OK\r\nContent-Length: 24000\r\n\r\n" + body)
	proxytest.Eventually(e.t, "the answer has arrived", func() bool { unsent, _ := e.server.Queues(); return unsent == 0 })
	close(arrived)
	e.p.WaitEnd(e.t).Want(e.t, "complete", 200, "backend")
	e.judged = true
	if e.p.Metric(e.t, "culvert_relay_pauses_total") == 0 {
		e.t.Error("nothing is pending: the kernel took all")
	}
	return body
}

// cut: both are reset within the turn. It returns the body that the client got.
func (e *ending) cut() string {
	e.t.Helper()
	e.released(e.client, e.server) // first: a client that reads ends a stall
	e.server.WantReset()
	return e.bodyBeforeReset()
}

// bodyBeforeReset wants a reset, and returns what the client got of an answer's body before. Over TLS it may not even have
// the head, if that shares a record with what was not taken.
func (e *ending) bodyBeforeReset() string {
	e.t.Helper()
	if e.t.Way().Client == proxytest.Plain {
		e.client.ReadHead()
		return e.client.WantReset()
	}
	_, body, _ := strings.Cut(e.client.WantReset(), "\r\n\r\n")
	return body
}

// finished: both got a FIN, and the proxy lingers on both.
func (e *ending) finished() {
	e.t.Helper()
	e.client.WantEOF()
	e.server.WantEOF()
	e.lingers(e.client, e.server)
}

var answerEndings = map[string]func(*ending){
	"B01": func(e *ending) {
		e.start(nil)
		e.answering(plainRequest, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "hello")
		e.finished()
	},
	"B02": func(e *ending) {
		e.start(nil)
		e.answering(plainRequest, chunkedAnswer, "5\r\nhello\r\n")
		e.server.Send("0\r\n\r\nexcess")
		e.client.Want("0\r\n\r\n")
		e.finished()
	},
	"B03": func(e *ending) {
		e.narrowClient = true
		e.start(nil)
		body := e.pendingRest()
		e.server.WantEOF()
		e.lingers(e.server)
		e.client.ReadHead()
		e.client.Want(body)
		e.client.WantEOF()
		e.lingers(e.client)
	},
	"B04": func(e *ending) {
		e.start(nil)
		e.answering(plainRequest, untilClose, "hello")
		e.server.CloseWrite()
		e.client.WantEOF()
		e.server.WantEOF()
		e.released(e.server)
		e.lingers(e.client)
	},
	"B05": func(e *ending) {
		e.narrow = true
		e.start(nil)
		body := e.stallAnswer(untilClose)
		e.server.CloseWrite()
		e.client.ReadHead()
		e.client.Want(body)
		e.client.WantEOF()
		e.server.WantEOF()
		e.released(e.server)
		e.lingers(e.client)
	},
	"B06": func(e *ending) {
		e.start(nil)
		e.answering(plainRequest, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "hello")
		e.server.CloseWrite()
		e.client.WantEOF()
		e.released(e.server)
		e.lingers(e.client)
	},
	"B07": func(e *ending) {
		e.start(nil)
		e.answering(plainRequest, chunkedAnswer, "5\r\nhello\r\n")
		e.server.CloseWrite()
		e.client.WantEOF()
		e.released(e.server)
		e.lingers(e.client)
	},
	"B08": func(e *ending) {
		e.start(nil)
		e.ask("GET /page HTTP/1.0\r\nHost: example.com\r\n\r\n")
		e.server.Send(chunkedAnswer + "5\r\nhello\r\n")
		e.client.ReadHead()
		e.client.Want("hello")
		e.server.CloseWrite()
		if rest := e.client.WantReset(); rest != "" {
			e.t.Errorf("the client got %q more", rest)
		}
		e.released(e.client, e.server)
	},
	"B09": func(e *ending) {
		e.start(nil)
		e.ask(plainRequest)
		e.server.Send(longAnswer + "hello")
		e.server.Reset()
		e.client.ReadHead()
		if rest := e.client.WantReset(); rest != "hello" {
			e.t.Errorf("the client got %q, want what came before the reset", rest)
		}
		e.released(e.client, e.server)
	},
	"B10": func(e *ending) {
		e.narrow = true
		e.start(nil)
		body := e.stallAnswer(longAnswer)
		e.server.Reset()
		e.released(e.client, e.server)
		e.client.ReadHead()
		e.prefix(e.client.WantReset(), body, false)
	},
	"B11": func(e *ending) {
		e.start(nil)
		e.answering(plainRequest, longAnswer, "hello")
		e.p.Lose(e.t, e.server)
		e.client.WantReset()
		e.released(e.client, e.server)
	},
	"B12": func(e *ending) {
		e.start(nil)
		e.answering(plainRequest, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "hello")
		e.client.CloseWrite()
		e.server.Send("world")
		e.client.Want("world")
		e.client.WantEOF()
	},
	"B13": func(e *ending) {
		e.start(nil)
		e.answering(plainRequest, longAnswer, "hello")
		e.client.Reset()
		e.left()
	},
	"B14": func(e *ending) {
		e.narrow = true
		e.start(nil)
		e.stallAnswer(longAnswer)
		e.client.Reset()
		e.left()
	},
	"B15": func(e *ending) {
		e.start(nil)
		e.answering(plainRequest, longAnswer, "hello")
		e.client.CloseWrite()
		e.client.Reset()
		e.left()
	},
	"B16": func(e *ending) {
		e.start(nil)
		e.answering(plainRequest, longAnswer, "hello")
		e.p.Lose(e.t, e.client)
		e.server.Send("world")
		e.left()
	},
	"B17": func(e *ending) {
		e.narrow = true
		e.start(func(c *proxy.Config) { c.Timeouts.ClientWrite = stallTimeout })
		body := e.stallAnswer(longAnswer)
		e.prefix(e.cut(), body, false)
	},
	"B18": func(e *ending) {
		e.start(func(c *proxy.Config) { c.Timeouts.Answer = stallTimeout })
		e.answering(plainRequest, longAnswer, "hello")
		e.finished()
	},
	"B19": func(e *ending) {
		e.start(func(c *proxy.Config) { c.Timeouts.Answer = stallTimeout })
		e.ask(plainRequest)
		e.server.Send(untilClose + "hello")
		if rest := e.cut(); rest != "hello" {
			e.t.Errorf("the client got %q", rest)
		}
	},
	"B20": func(e *ending) {
		e.start(nil)
		e.answering(plainRequest, chunkedAnswer, "5\r\nhello\r\n")
		e.server.Send("nonsense\r\n")
		e.finished()
	},
	"B21": func(e *ending) {
		e.start(nil)
		e.answering(plainRequest, longAnswer, "hello")
		wait := e.shutDown()
		e.client.WantEOF()
		e.server.WantEOF()
		e.lingers(e.client, e.server)
		wait()
	},
	"B22": func(e *ending) {
		e.start(nil)
		e.ask(plainRequest)
		e.server.Send(untilClose + "hello")
		e.client.ReadHead()
		e.client.Want("hello")
		e.p.Shutdown(e.t)
		e.client.WantReset()
		e.server.WantReset()
		e.released(e.client, e.server)
	},
	"B23": func(e *ending) {
		e.narrow = true
		e.start(littleMemory)
		e.ask(plainRequest)
		_ = e.server.TrySend(longAnswer + strings.Repeat("0123456789", 6<<10)) // it may be reset in the middle
		e.cut()
	},
}

// littleMemory has less buffer memory than any read leaves pending.
func littleMemory(c *proxy.Config) { c.BufferMemory, c.SplicePipes = 4<<10, -1 }
