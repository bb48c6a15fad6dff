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
	for x.state == exchangeAwaiting {
		n, status := x.backend.Read(w.ReadBuffer())
		x.backendReadable = status != engine.StatusBlocked
		if n > 0 {
			x.parseAnswer(w.ReadBuffer()[:n])
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
			reason := engine.BrokenReason(engine.SideBackend, x.backend.Fault())
			x.record.detail = transportDetail(reason, [2]engine.End{x.client, x.backend})
			x.refuse(reason, engine.SideBackend)
		}
	}
}

// parseAnswer looks at more bytes of the answer to an upgrade.
func (x *exchange) parseAnswer(bytes []byte) {
	rest, final, reason := x.takeHeads(bytes)
	switch {
	case reason != engine.EndNone:
		x.refuse(reason, engine.SideBackend)
	case !x.flushInterim():
	case final:
		x.answerHead(rest)
	}
}

// takeHeads takes the heads off what a backend sent next: interim ones, which are put among those for the client, and
// the final one, which is then in responseHead. rest is what of p follows it. reason says what is wrong, if not EndNone.
// What is not whole yet is kept.
func (x *exchange) takeHeads(p []byte) (rest []byte, final bool, reason engine.EndReason) {
	w := &x.shard.loop.Workspace
	if x.responseHead == nil {
		x.responseHead = x.shard.takeResponseHead()
	}
	bytes := p
	if x.answer != nil {
		x.answer = w.Append(x.answer, p)
		bytes = x.answer.Bytes()
	}
	for len(bytes) > 0 {
		n, err := x.responseHead.Parse(bytes, x.policy.heads)
		switch {
		case err != nil:
			x.record.detail = err.Reason.String()
			x.shard.counters.passed(err.Reason)
			return nil, false, EndBadAnswer
		case n == 0:
			kept := w.Append(nil, bytes)
			w.Release(x.answer)
			x.answer = kept
			return nil, false, engine.EndNone
		case !x.responseHead.Interim():
			x.record.answered = w.Now()
			x.record.upstream = x.responseHead.Status()
			x.answeredBackend()
			return bytes[n:], true, engine.EndNone
		}
		if !x.takeInterim() {
			return nil, false, EndTooManyInterim
		}
		bytes = bytes[n:]
		x.responseHead.Reset()
	}
	w.Release(x.answer)
	x.answer = nil
	return nil, false, engine.EndNone
}

// takeInterim puts a 1xx answer among those for the client; false: there were too many.
func (x *exchange) takeInterim() bool {
	w := &x.shard.loop.Workspace
	x.interims++
	if x.interims > maxInterims || x.interim.Len() > maxInterimBytes {
		x.shard.counters.limits[limitInterimAnswers]++
		return false
	}
	if x.http10 {
		return true // RFC 9110 15.2: never to an HTTP/1.0 client
	}
	head := w.Acquire(2048)
	*head.Buffer() = appendInterimHead(*head.Buffer(), x.responseHead)
	if t := x.transfer; t != nil {
		t.answer.emit(head.Bytes())
	} else {
		x.interim = w.Append(x.interim, head.Bytes())
	}
	w.Release(head)
	return true
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

// answerHead judges the final head of the answer to an upgrade: a tunnel takes over, or an ordinary answer follows.
func (x *exchange) answerHead(rest []byte) {
	if x.responseHead.Status() != 101 {
		x.beginRefused(rest)
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
