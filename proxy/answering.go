package proxy

import (
	"culvert/engine"
	"culvert/proxy/http1"
	"culvert/proxy/ws"
)

const (
	// maxInterims is how many 1xx answers one exchange relays before it gives the backend up.
	maxInterims = 16
	// maxInterimBytes is how much of them may wait for a client that does not read.
	maxInterimBytes = 64 << 10
)

// backendReady sends what is left of the request's head and reads the answer's.
func (x *exchange) backendReady(r engine.Readiness) {
	if r&engine.Writable != 0 && x.request != nil && !x.sendRequest() {
		return
	}
	if r&engine.Readable != 0 {
		x.readAnswer()
	}
}

// sendRequest reports false when the exchange is over.
func (x *exchange) sendRequest() bool {
	w := &x.shard.loop.Workspace
	for x.request.Len() > 0 {
		n, status := x.backend.Write(x.request.Bytes())
		x.request.Advance(n)
		if status == engine.StatusBlocked {
			return true
		}
		if status == engine.StatusFailed {
			// It may have answered before it went; what it said counts.
			break
		}
	}
	w.Release(x.request)
	x.request = nil
	return true
}

// readAnswer reads until the head of the final answer is whole, or wrong, or there is nothing more to read.
func (x *exchange) readAnswer() {
	w := &x.shard.loop.Workspace
	if x.responseHead == nil {
		x.responseHead = x.shard.takeResponseHead()
	}
	for x.state == exchangeAwaiting {
		n, status := x.backend.Read(w.ReadBuffer())
		x.backendReadable = status != engine.StatusBlocked
		if n > 0 {
			bytes := w.ReadBuffer()[:n]
			if x.answer != nil {
				x.answer = w.Append(x.answer, bytes)
				bytes = x.answer.Bytes()
			}
			x.parseAnswer(bytes)
			if x.state != exchangeAwaiting {
				return
			}
		}
		switch status {
		case engine.StatusBlocked:
			return
		case engine.StatusEOF:
			x.refuse(EndBackendClosed, engine.SideBackend)
		case engine.StatusFailed:
			reason := engine.EndBackendReset
			if x.backend.Fault() == engine.FaultLost {
				reason = engine.EndBackendLost
			}
			x.refuse(reason, engine.SideBackend)
		}
	}
}

// parseAnswer looks at the bytes of the answer so far: interim heads one after the other, then the final one.
func (x *exchange) parseAnswer(bytes []byte) {
	w := &x.shard.loop.Workspace
	for {
		n, err := x.responseHead.Parse(bytes, x.shard.server.headLimits)
		switch {
		case err != nil:
			x.record.detail = err.Reason.String()
			x.refuse(EndBadAnswer, engine.SideBackend)
			return
		case n == 0:
			rest := w.Append(nil, bytes)
			w.Release(x.answer)
			x.answer = rest
			return
		case !x.responseHead.Interim():
			x.record.answered = w.Now()
			x.record.upstream = x.responseHead.Status()
			x.answerHead(bytes[n:])
			return
		}
		if !x.relayInterim() {
			return
		}
		bytes = bytes[n:]
		x.responseHead.Reset()
		if len(bytes) == 0 {
			w.Release(x.answer)
			x.answer = nil
			return
		}
	}
}

// relayInterim passes a 1xx answer on; false: the exchange is over.
func (x *exchange) relayInterim() bool {
	w := &x.shard.loop.Workspace
	x.interims++
	if x.interims > maxInterims || x.interim.Len() > maxInterimBytes {
		x.refuse(EndTooManyInterim, engine.SideBackend)
		return false
	}
	if x.http10 {
		return true // RFC 9110 15.2: never to an HTTP/1.0 client
	}
	if x.interim == nil {
		x.interim = w.Acquire(512)
	}
	head := w.Acquire(2048)
	*head.Buffer() = appendInterimHead(*head.Buffer(), x.responseHead)
	x.interim = w.Append(x.interim, head.Bytes())
	w.Release(head)
	return x.flushInterim()
}

// flushInterim writes what waits for the client; false: the exchange is over.
func (x *exchange) flushInterim() bool {
	w := &x.shard.loop.Workspace
	for x.interim.Len() > 0 {
		n, status := x.client.Write(x.interim.Bytes())
		x.interim.Advance(n)
		if status == engine.StatusFailed {
			x.clientGone()
			return false
		}
		if status == engine.StatusBlocked {
			return true
		}
	}
	w.Release(x.interim)
	x.interim = nil
	return true
}

// answerHead judges the final head and hands both connections to a stream: a tunnel, or the body of an answer.
func (x *exchange) answerHead(rest []byte) {
	if x.responseHead.Status() != 101 {
		x.shard.beginAnswer(x, rest)
		return
	}
	check := &x.shard.verdict
	check.Begin(&x.offer, x.responseHead.Status())
	for i := range x.responseHead.Len() {
		field := x.responseHead.At(i)
		check.Observe(field.Name, field.Value)
	}
	agreement, reason := check.Decide()
	detail := reason.String()
	if reason == ws.NoReason {
		detail = x.switchingFault()
	}
	if detail != "" {
		x.record.detail = detail
		x.refuse(EndBadUpgradeAnswer, engine.SideBackend)
		return
	}
	x.shard.beginTunnel(x, agreement, rest)
}

// switchingFault says by a stable token why a 101 whose WebSocket fields are right opens no tunnel all the same, "" when
// nothing is wrong. Where the stream begins must not be open to doubt: a 101 has no body (RFC 9110 8.6, RFC 9112 6.1),
// though a length of 0 is harmless, and common.
func (x *exchange) switchingFault() string {
	length, _ := x.responseHead.ContentLength()
	switch {
	case x.responseHead.Version() != http1.HTTP11: // which has no 1xx (RFC 9110 15.2)
		return "switching-on-http10"
	case length > 0, x.responseHead.Chunked():
		return "switching-with-body"
	case x.request != nil: // frames would follow a part of the request
		return "switching-early"
	}
	return ""
}

// requestMethod is as much of the method as the framing of an answer depends on.
func (x *exchange) requestMethod() []byte {
	if x.headMethod {
		return methodHEAD
	}
	return methodGET
}

var (
	methodHEAD = []byte("HEAD")
	methodGET  = []byte("GET")
)

// answerFraming says how the answer's body ends and whether it stays chunked for this client.
func (x *exchange) answerFraming() (kind http1.BodyKind, length int64, chunked bool) {
	kind, length = x.responseHead.Body(x.requestMethod())
	return kind, length, kind == http1.BodyChunked && !x.http10
}
