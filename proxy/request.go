package proxy

import (
	"net/netip"
	"strconv"
	"strings"

	"culvert/engine"
	"culvert/proxy/http1"
	"culvert/proxy/ws"
)

// readHead reads until the request's head is whole, or wrong, or there is nothing more to read.
func (x *exchange) readHead() {
	w := &x.shard.loop.Workspace
	for x.clientReadable && x.state == exchangeReadingHead && !x.hasEarly() {
		n, status := x.client.Read(w.ReadBuffer())
		switch {
		case status == engine.StatusBlocked:
			x.clientReadable = false
		case status == engine.StatusFailed:
			x.clientGone()
			return
		case status == engine.StatusEOF && n == 0: // else the next read finds it again, behind what has come
			x.headCut()
			return
		}
		if n > 0 {
			x.take(w.ReadBuffer()[:n])
		}
	}
	if x.state == exchangeDialing || x.state == exchangeAwaiting {
		x.readEarly()
	}
}

// take looks at bytes that the client sent. The usual head comes in one piece and is parsed where it was read.
func (x *exchange) take(bytes []byte) {
	if x.received != nil {
		x.hold(bytes)
		bytes = x.received.Bytes()
	}
	x.look(bytes)
}

// look parses what the client has sent of its next head so far.
func (x *exchange) look(bytes []byte) {
	w := &x.shard.loop.Workspace
	if x.preface {
		x.takePreface(bytes)
		return
	}
	if x.requests > 0 && x.record.received == 0 {
		if bytes = x.skipLineEnd(bytes); len(bytes) == 0 {
			return
		}
	}
	if x.requestHead == nil {
		x.requestHead = x.shard.takeRequestHead()
	}
	if x.record.received == 0 && x.requests > 0 {
		x.record.accepted = w.Now() // for the log: this request begins here
		w.Wheel.Arm(&x.timer, w.Now()+int64(x.policy.Timeouts.ClientHead))
	}
	x.record.received = len(bytes)
	x.parse(bytes)
}

// skipLineEnd takes the line end that old clients send behind a request (RFC 9112 2.2), with which none begins, from what
// came before the next: where nothing else did, or where it was cut in two.
func (x *exchange) skipLineEnd(bytes []byte) []byte {
	if x.lineEndCut && bytes[0] == '\n' {
		bytes = bytes[1:]
	}
	x.lineEndCut = false
	only := onlyLineEnds(bytes)
	if only {
		x.lineEndCut = len(bytes) > 0 && bytes[len(bytes)-1] == '\r'
		bytes = nil
	}
	if x.received != nil {
		x.keepEarly(bytes)
		return x.received.Bytes()
	}
	return bytes
}

// onlyLineEnds tells whether there is nothing but CR and LF.
func onlyLineEnds(bytes []byte) bool {
	for _, c := range bytes {
		if c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}

// headCut: the client finished before its request's head was whole.
func (x *exchange) headCut() {
	x.clientFinished = true
	if x.preface && x.record.received > 0 {
		x.record.detail = "incomplete"
		x.badPreface()
		return
	}
	if x.record.received == 0 {
		x.drop(x.silence(), engine.SideClient)
		return
	}
	x.record.detail = "incomplete-head"
	x.refuse(EndBadRequest, engine.SideClient)
}

// parse looks at all bytes received so far.
func (x *exchange) parse(bytes []byte) {
	w := &x.shard.loop.Workspace
	n, err := x.requestHead.Parse(bytes, x.policy.heads)
	if n == 0 { // refused, or not whole: whatever is answered, HEAD has no body
		x.headMethod = string(x.requestHead.Method()) == "HEAD"
	}
	switch {
	case err != nil:
		x.noteUnfinished(bytes)
		x.record.detail = err.Reason.String()
		if x.requests == 0 && strings.HasPrefix(string(bytes[:min(len(bytes), len(prefaceV1))]), prefaceV1) {
			x.record.detail = "proxy-header" // which this listener does not expect
		}
		x.shard.counters.passed(err.Reason)
		x.refuse(requestErrorReason(err), engine.SideClient)
	case n > 0:
		x.headDone(bytes[:n], bytes[n:])
	case w.Exhausted():
		x.record.detail = "buffer-memory"
		x.refuse(EndNoResources, engine.SideNone)
	case x.received == nil:
		x.hold(bytes)
	}
}

// noteUnfinished notes for the log what is known of a request whose head is wrong or not whole, of which these bytes have
// come.
func (x *exchange) noteUnfinished(bytes []byte) {
	x.requestHead.Rebind(bytes)
	x.record.note(x.requestHead, x.shard.site.config.AccessLogQuery)
}

// requestErrorReason maps what is wrong with a head to the reason of the end.
func requestErrorReason(err *http1.Error) engine.EndReason {
	switch err.Status {
	case 405:
		return EndMethodRefused
	case 414:
		return EndTargetTooLong
	case 431:
		return EndHeadTooLarge
	case 501:
		return EndNotImplemented
	case 505:
		return EndVersionRefused
	}
	return EndBadRequest
}

// headDone judges a whole head, writes the one for the backend, and goes on to dial. early is what came behind it.
func (x *exchange) headDone(bytes, early []byte) {
	h := x.shard
	w := &h.loop.Workspace
	head := x.requestHead
	x.record.headDone = w.Now()
	x.record.received = len(bytes)
	x.record.client = h.site.trusted.clientAddress(x.peer.Addr(), head)
	x.record.note(head, h.site.config.AccessLogQuery)
	x.headMethod = string(head.Method()) == "HEAD"
	x.http10 = head.Version() == http1.HTTP10
	x.wantsKeepAlive = head.KeepAlive()
	x.expects = head.Expect() == http1.ExpectContinue
	x.bodyKind, x.bodyLength = head.Body()
	x.requests++
	h.counters.requests++
	if !x.judgeResources() || !x.judgeUpgrade(head) || !x.judgeRule(head) || !x.judgeBody(head) {
		return
	}
	if x.rule.group == nil {
		x.answerHere(head, early)
		return
	}
	x.dialDeadline = w.Now() + int64(x.policy.Timeouts.ConnectTotal)
	g := x.rule.group
	g.retries.request(g.config.RetryShare)
	x.takeKeys(head)
	backend, full, ok := x.pick()
	if !ok && !full {
		x.refuse(EndNoBackend, engine.SideNone)
		return
	}
	if !ok {
		backend = g.members[0].backend // of what is written, no more depends on it than the Host that an HTTP/1.0 client left out
	}
	x.idempotent = idempotent(head.Method())
	x.writeRequest(head, backend, len(bytes))
	x.keepEarly(early)
	h.putRequestHead(head)
	x.requestHead = nil
	if !ok {
		x.queueUp()
		return
	}
	x.state = exchangeDialing
	x.dial(backend)
}

// writeRequest writes what the backend is sent of the head, of which length bytes came, and the headers that the rule
// adds to the answer.
func (x *exchange) writeRequest(head *http1.RequestHead, backend *backend, length int) {
	h := x.shard
	w := &h.loop.Workspace
	facts := forwardedFacts{
		requestFacts: x.facts(head), peer: x.peer, listener: x.port.address, trusted: h.site.trusted.contains(x.peer.Addr()),
		lastOnConnection: !x.policy.keepsBackends || x.rule.group.config.SendProxy > 0, announce: &x.policy.Announce, rule: x.rule,
		cookies: x.cookies, overTLS: transportOf(x.client) != nil, identity: x.identity,
	}
	if facts.announce.SLBID != "" || x.rule.group.config.SendProxy > 0 {
		facts.asked = x.askedAddress()
	}
	x.request = w.Acquire(length + 512)
	buffer := x.request.Buffer()
	if backend.security.Load() == nil {
		*buffer = x.appendPreface(*buffer, facts.asked)
	}
	*buffer = appendRequestHead(*buffer, head, &facts, backend.address, x.upgrade, &h.path)
	if edits := x.rule.answer; edits != nil && len(edits.lines) > 0 {
		x.answerLines = w.Acquire(512)
		lines := x.answerLines.Buffer()
		*lines = edits.append(*lines, &facts.requestFacts)
	}
}

// facts are what the variables of the configuration stand for.
func (x *exchange) facts(head *http1.RequestHead) requestFacts {
	return requestFacts{
		head: head, client: x.record.client, clientPort: x.peer.Port(), port: x.port.address.Port(), id: x.record.id,
		secure: x.secure(head),
	}
}

// askedAddress is the address that the client asked for.
func (x *exchange) askedAddress() netip.AddrPort {
	if x.asked.IsValid() {
		return x.asked
	}
	return x.client.Local()
}

// judgeResources keeps the bounds that are asked for once the client is known; false: the request was refused.
func (x *exchange) judgeResources() bool {
	h := x.shard
	if h.loop.Exhausted() {
		x.record.detail = "buffer-memory"
		x.refuse(EndNoResources, engine.SideNone)
		return false
	}
	if x.admittedFor != h.server.clients.key(x.record.client) {
		counted, reason := h.admitClient(x.record.client)
		if reason != dropNone {
			return x.dropRequest(reason)
		}
		if x.admittedFor.IsValid() { // a trusted peer's connection serves many
			h.server.clients.leave(x.admittedFor)
		}
		x.admittedFor = counted
	}
	if reason := h.admitRequest(x.record.client); reason != dropNone {
		return x.dropRequest(reason)
	}
	return true
}

// dropRequest refuses a request for a limit of the instance; it returns false.
func (x *exchange) dropRequest(reason dropReason) bool {
	x.shard.counters.dropped[reason]++
	x.record.detail = dropNames[reason]
	x.refuse(EndLimit, engine.SideNone)
	return false
}

// judgeUpgrade decides what the request asks for; false: it was refused.
func (x *exchange) judgeUpgrade(head *http1.RequestHead) bool {
	decision := x.shard.decideUpgrade(head)
	switch decision.Action {
	case ws.Upgrade:
		x.upgrade = true
		x.offer = x.shard.check.Offer()
	case ws.Refuse:
		x.record.detail = decision.Reason.String()
		reason := EndBadUpgrade
		if decision.Status == 426 {
			reason = EndUpgradeVersion
		}
		x.refuse(reason, engine.SideClient)
		return false
	}
	return true
}

// decideUpgrade looks at a request's head with the shard's check.
func (h *shard) decideUpgrade(head *http1.RequestHead) ws.Decision {
	h.check.Begin(head.Method(), head.Version() == http1.HTTP11)
	for i := range head.Len() {
		field := head.At(i)
		h.check.Observe(field.Name, field.Value)
	}
	return h.check.Decide()
}

// judgeBody notes how the request's body is framed; false: the request was refused for it.
func (x *exchange) judgeBody(head *http1.RequestHead) bool {
	most := x.policy.MaxBody
	switch {
	case head.Expect() == http1.ExpectUnknown:
		x.refuse(EndExpectation, engine.SideClient)
	case usedUp(head):
		x.refuse(EndMaxForwards, engine.SideNone)
	case most > 0 && x.bodyLength > most:
		x.shard.counters.limits[limitBody]++
		x.refuse(EndBodyTooLarge, engine.SideClient)
	default:
		return true
	}
	return false
}

// usedUp tells whether a request asks to be answered here: an OPTIONS that may not be forwarded any more.
func usedUp(head *http1.RequestHead) bool {
	hops, ok := maxForwards(head)
	return ok && hops == 0
}

// maxForwards returns how many more proxies an OPTIONS may pass (RFC 9110 7.6.2); ok is false where it does not say, or
// nothing that is a number.
func maxForwards(head *http1.RequestHead) (hops uint64, ok bool) {
	if string(head.Method()) != "OPTIONS" {
		return 0, false
	}
	hops, err := strconv.ParseUint(string(head.First(http1.FieldMaxForwards)), 10, 64)
	return hops, err == nil
}

// idempotent tells whether doing a request of this method twice does what once does (RFC 9110 9.2.2).
func idempotent(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE":
		return true
	}
	return false
}

// keepEarly keeps what came behind the head: frames for the tunnel, the request's body, or a next request. What is kept
// already stays where it is.
func (x *exchange) keepEarly(early []byte) {
	switch {
	case x.received == nil && len(early) > 0:
		x.hold(early)
	case x.received != nil:
		x.received.Advance(x.received.Len() - len(early))
		if len(early) == 0 {
			x.shard.loop.Release(x.received)
			x.received = nil
		}
	}
}
