package proxy

import (
	"fmt"

	"culvert/engine"
	"culvert/proxy/http1"
)

// transfer is an ordinary exchange while its two messages are on their way: the request to the backend, the answer to
// the client, both at once where they are. It belongs to its exchange, and has both connections until it is over.
type transfer struct {
	relay   engine.Relay
	request requestStage
	answer  answerStage
	x       *exchange
	pace    pace
}

// beginTransfer: the backend's connection stands. The request's head goes out, and what has come of its body. quiet says
// that the backend has nothing to read, as far as is known.
func (x *exchange) beginTransfer(quiet bool) {
	w := &x.shard.loop.Workspace
	t := x.newTransfer()
	x.requestIsWhole = false
	if x.bodyKind == http1.BodyNone {
		t.relay.Emit(engine.SideBackend, x.request.Bytes())
		t.relay.Whole(engine.SideClient)
		x.requestWhole()
	} else {
		t.request.init(x.bodyKind, x.bodyLength, http1.FromClient, x)
		w.Wheel.Cancel(&x.timer)
		t.pace.begin(x)
		early := x.received
		x.received = nil
		t.relay.FeedBehind(x.request.Bytes(), engine.SideClient, early.Bytes())
		w.Release(early)
	}
	if !x.mayRetry() {
		w.Release(x.request)
		x.request = nil
	}
	if quiet {
		t.relay.Quiet(engine.SideBackend)
	}
	t.start()
}

// beginRefused: a backend answered an upgrade with an ordinary answer, whose head was parsed. rest is what followed it.
func (x *exchange) beginRefused(rest []byte) {
	w := &x.shard.loop.Workspace
	w.Wheel.Cancel(&x.timer)
	w.Release(x.received) // frames that came early for a tunnel that is none are nobody's
	w.Release(x.request)
	x.received, x.request = nil, nil
	t := x.newTransfer()
	t.relay.Whole(engine.SideClient)
	x.requestIsWhole = true
	t.answer.emission, x.interim = x.interim, nil
	t.answer.begin() // not 101
	head := t.answer.emission
	t.answer.emission = nil
	if t.answer.scanner.Done() {
		t.relay.Emit(engine.SideClient, head.Bytes())
		t.relay.Whole(engine.SideBackend)
	} else {
		t.relay.FeedBehind(head.Bytes(), engine.SideBackend, rest)
	}
	w.Release(head)
	t.start()
}

// newTransfer prepares the relay between the exchange's connections.
func (x *exchange) newTransfer() *transfer {
	h := x.shard
	t := h.takeTransfer()
	*t = transfer{x: x}
	t.request.x, t.answer.x = x, x
	t.pace.timer.Init(&t.pace)
	x.transfer, x.state = t, exchangeTransferring
	t.relay.Init(&h.loop.Workspace, [2]engine.End{x.client, x.backend}, [2]engine.Stage{&t.request, &t.answer}, x.policy.transfer, t)
	return t
}

func (t *transfer) start() {
	x := t.x
	if !x.clientReadable && !x.clientFinishing {
		t.relay.Quiet(engine.SideClient)
	}
	t.relay.Start()
	if x.transfer == t && x.policy.AbortOnClientFIN {
		x.client.Attach(t, engine.SideClient)
		t.abandoned()
	}
}

// Ready implements engine.Owner for the client's connection, where its half-close means that it has left.
func (t *transfer) Ready(side engine.Side, r engine.Readiness) {
	if !t.abandoned() {
		t.relay.Ready(side, r)
	}
	if !t.relay.Over() {
		t.abandoned() // the FIN came with the request's last bytes
	}
}

// abandoned ends the exchange if the client has sent its FIN behind a whole request, and reports whether it did.
func (t *transfer) abandoned() bool {
	if !t.x.requestIsWhole || t.answer.headDone || !t.x.client.Hangup() {
		return false
	}
	t.relay.End(engine.Outcome{Reason: EndClientLeft, By: engine.SideClient})
	return true
}

// requestWhole: the request's last byte was judged. From here on the backend's time to answer counts.
func (x *exchange) requestWhole() {
	if x.requestIsWhole {
		return
	}
	x.requestIsWhole = true
	w := &x.shard.loop.Workspace
	if t := x.transfer; t != nil {
		t.pace.end(w)
		if t.answer.headDone {
			return
		}
	}
	w.Wheel.Arm(&x.timer, w.Now()+int64(x.policy.Timeouts.Answer))
}

// answerBegins: the head of the final answer is whole. Whether the connections live on is decided now.
func (x *exchange) answerBegins(kind http1.BodyKind, chunked bool) {
	h := x.shard
	w := &h.loop.Workspace
	w.Wheel.Cancel(&x.timer)
	head := x.responseHead
	x.record.status = head.Status()
	x.answerFramed = kind == http1.BodyNone || kind == http1.BodyLength || chunked
	x.keepClient = x.wantsKeepAlive && x.answerFramed && x.requestIsWhole && !x.upgrade && !h.closing && h.site.listeners[x.port] != nil &&
		x.requests < x.policy.KeepAliveRequests
	if x.requests >= x.policy.KeepAliveRequests {
		h.counters.limits[limitKeepAliveRequests]++
	}
	_, declared := head.ContentLength()
	surelyEnded := !x.headMethod || !declared && !head.Chunked() // some backends send HEAD's body after all
	x.keepBackend = x.policy.keepsBackends && x.rule.group.config.SendProxy == 0 && surelyEnded && head.KeepAlive() && head.Version() == http1.HTTP11 && kind != http1.BodyUntilClose && !x.upgrade
	w.Release(x.request) // no retry any more
	x.request = nil
}

// RelayOver implements engine.RelayObserver: both connections are the exchange's again.
func (t *transfer) RelayOver(r *engine.Relay, o engine.Outcome) {
	x := t.x
	h := x.shard
	w := &h.loop.Workspace
	x.transfer = nil
	t.pace.end(w)
	w.Wheel.Cancel(&x.timer)
	w.Release(t.answer.emission)
	t.answer.emission = nil
	w.Release(r.TakePending(engine.SideClient))
	if o.Reason == EndBodyTooLarge {
		h.counters.limits[limitBody]++
	}
	if detail := transportDetail(o.Reason, r.Ends()); detail != "" {
		x.record.detail = detail
	}
	for _, fault := range []http1.Reason{t.request.fault, t.answer.fault} {
		if fault != http1.ReasonNone {
			x.record.detail = fault.String()
			h.counters.passed(fault)
		}
	}
	x.record.received += int(r.Bytes(engine.SideClient))
	x.record.sent = r.Bytes(engine.SideBackend)
	x.clientReadable = r.Unread(engine.SideClient) || x.client.Hangup()
	rest := r.TakeRest(engine.SideBackend)
	extra := rest.Len() > 0 || r.Unread(engine.SideBackend) && !h.quiet(x.backend)
	w.Release(rest)
	if x.bodyKind != http1.BodyNone {
		w.Release(x.received)
		x.received = r.TakeRest(engine.SideClient)
	}
	pending := r.TakePending(engine.SideBackend)
	switch {
	case !t.answer.headDone:
		x.unanswered(o, r.Bytes(engine.SideClient) == 0, pending)
		return // t is left to the collector: a retry may have begun another from within its relay
	case o.Reason == engine.EndClosed, o.Reason == EndComplete:
		x.completed(r.Done(engine.SideClient), extra, pending)
	default:
		x.broken(o, pending)
	}
	// The next begins in another turn or event, when nobody looks at this relay any more.
	h.putTransfer(t)
}

// completed: the whole answer is with the client, or pending. delivered says that the request is with the backend too,
// extra that more than the answer came from it.
func (x *exchange) completed(delivered, extra bool, pending *engine.Pending) {
	h := x.shard
	backend, b := x.backend, x.record.backend
	x.leaveBackend()
	switch {
	case !delivered:
		backend.Reset() // it must not take what it has for a whole request
	case x.keepBackend && !extra && !h.closing:
		h.pool.put(b, backend, x.secured)
	default:
		x.dismiss(backend)
	}
	outcome := engine.Outcome{Reason: EndComplete, By: engine.SideBackend}
	h.counters.exchangeOver(outcome.Reason, x.record.status)
	h.log.exchange(&x.record, x.groupName(), outcome, h.loop.Now())
	if x.keepClient && pending == nil && !h.closing {
		x.next()
		return
	}
	x.client.Linger(pending, x.lingerLimits())
	x.over()
}

// broken: the exchange ended inside the answer. A cut must never look like a clean end: where the FIN is all that tells
// the client that it has everything, it is reset.
func (x *exchange) broken(o engine.Outcome, pending *engine.Pending) {
	h := x.shard
	hard := !x.answerFramed
	switch o.Reason {
	case engine.EndClientReset, engine.EndClientLost, engine.EndClientTransport, engine.EndBackendReset, engine.EndBackendLost,
		engine.EndBackendTransport, engine.EndStalled, engine.EndNoMemory:
		hard = true
	}
	if hard || !x.requestIsWhole {
		x.backend.Reset()
	} else {
		x.dismiss(x.backend)
	}
	x.leaveBackend()
	if hard {
		h.loop.Release(pending)
		x.client.Reset()
	} else {
		x.client.Linger(pending, x.lingerLimits())
	}
	h.counters.exchangeOver(o.Reason, x.record.status)
	h.log.exchange(&x.record, x.groupName(), o, h.loop.Now())
	x.over()
}

// unanswered: the exchange ended before the head of its answer. pending are interim heads on their way to the client;
// bodyless says that no byte of the request's body came.
func (x *exchange) unanswered(o engine.Outcome, bodyless bool, pending *engine.Pending) {
	w := &x.shard.loop.Workspace
	if x.mayRetry() && x.answer.Len() == 0 && x.interims == 0 && backendGone(o.Reason) {
		x.retry()
		return
	}
	x.interim = pending
	switch o.Reason {
	case engine.EndClientReset, engine.EndClientLost, engine.EndClientTransport, EndClientLeft:
		x.drop(EndClientLeft, engine.SideClient)
	case engine.EndShutdown:
		x.drop(o.Reason, o.By)
	case engine.EndStalled, engine.EndIdle:
		switch {
		case o.Reason == engine.EndStalled && o.By == engine.SideClient: // interim answers that it does not take
			x.drop(EndClientLeft, engine.SideClient)
		case o.Reason == engine.EndIdle && !x.requestIsWhole && !(x.expects && bodyless):
			x.refuse(EndRequestTimeout, engine.SideClient)
		default:
			x.refuse(EndAnswerTimeout, engine.SideBackend)
		}
	case engine.EndNoMemory:
		w.Release(x.interim)
		x.interim = nil
		x.record.detail = "buffer-memory"
		x.refuse(EndNoResources, engine.SideNone)
	case EndRequestCut:
		x.clientFinished = true
		x.record.detail = "incomplete-body"
		x.refuse(o.Reason, o.By)
	default:
		x.refuse(o.Reason, o.By)
	}
}

// dismiss ends a backend's connection that is of no more use. Clients whose connections live on could leave a lingering
// close behind each request: over as many as may be idle, backends' connections are closed at once.
func (x *exchange) dismiss(backend engine.Connection) {
	if x.shard.loop.Counters.Lingering >= uint64(maxBackendIdle(x.shard.server.config.Loops)) {
		backend.Close()
		return
	}
	backend.Linger(nil, x.lingerLimits())
}

// backendGone tells whether a backend closed or reset its connection.
func backendGone(r engine.EndReason) bool {
	return r == EndBackendClosed || r == engine.EndBackendReset || r == engine.EndBackendLost || r == engine.EndBackendTransport
}

// mayRetry tells whether the request may be sent once more: its connection had served another before, which the backend
// may have closed just then, the request has no body, and its method says that doing it twice does what once does
// (RFC 9110 9.2.2).
func (x *exchange) mayRetry() bool {
	return x.reused && x.request != nil && x.idempotent && x.bodyKind == http1.BodyNone
}

// retry sends the request once more, on a new connection to the same backend.
func (x *exchange) retry() {
	h := x.shard
	b := x.record.backend
	x.backend.Close()
	x.backend = nil // its place is kept
	x.reused, x.record.dialed = false, 0
	h.counters.resent++
	x.state = exchangeDialing
	x.client.Attach(x, engine.SideClient) // the relay that had its events is over
	if x.client.Err() != 0 {
		x.clientGone()
		return
	}
	x.dialDeadline = h.loop.Now() + int64(x.policy.Timeouts.ConnectTotal)
	x.dialNew(b)
}

func (x *exchange) lingerLimits() engine.LingerLimits {
	t := &x.policy.Timeouts
	return engine.LingerLimits{Nanos: int64(t.Linger), Stalled: int64(t.ClientWrite)}
}

// quiet reads from a backend between two exchanges: nothing is there unless it said too much, or is gone.
func (h *shard) quiet(c engine.Connection) bool {
	n, status := c.Read(h.loop.ReadBuffer()[:1])
	return n == 0 && status == engine.StatusBlocked
}

// String describes the transfer for a panic's last words.
func (t *transfer) String() string {
	return fmt.Sprintf("exchange %016x (between client and %s: %d bytes of body there, %d back)", t.x.record.id,
		t.x.record.backend.name(), t.relay.Bytes(engine.SideClient), t.relay.Bytes(engine.SideBackend))
}
