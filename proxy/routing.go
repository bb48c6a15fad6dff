package proxy

import (
	"culvert/engine"
	"culvert/proxy/http1"
	"culvert/proxy/route"
)

// policyOf returns the policy of a listener, or, where the site has none any more, the one that holds without.
func (s *site) policyOf(l *listener) *policy {
	if l == nil {
		return s.policy
	}
	return l.policy
}

// judgeRule finds the rule that the request is for, and asks it who may do what; false: the request was refused.
func (x *exchange) judgeRule(head *http1.RequestHead) bool {
	h := x.shard
	l := h.site.listeners[x.port]
	if l == nil { // a connection of a listener that a reload has just removed
		x.refuse(EndListenerGone, engine.SideNone)
		return false
	}
	if l.named {
		x.record.name = l.name
	}
	if x.misdirected(l, head.HostName()) {
		x.refuse(EndMisdirected, engine.SideClient)
		return false
	}
	x.record.secure = x.secure(head)
	if !l.access.Allows(x.record.client) {
		x.record.detail = "listener"
		x.refuse(EndAccess, engine.SideClient)
		return false
	}
	index, result := l.table.Find(head, x.upgrade, &h.route)
	switch {
	case result == route.Matched:
		x.rule = l.rules[index]
		x.record.rule = x.rule.name
	case result == route.Default && l.fallback != nil:
		x.rule = l.fallback
	default:
		x.refuse(EndNoRule, engine.SideNone)
		return false
	}
	x.policy = x.rule.policy
	return x.judgeAccess(head)
}

// judgeAccess keeps what the rule asks of its clients.
func (x *exchange) judgeAccess(head *http1.RequestHead) bool {
	r := x.rule
	switch {
	case !r.access.Allows(x.record.client):
		x.record.detail = r.name
		x.refuse(EndAccess, engine.SideClient)
		return false
	case x.upgrade && !r.allowsOrigin(head, x.secure(head)):
		x.record.detail = r.name
		x.refuse(EndOrigin, engine.SideClient)
		return false
	case r.fixed != nil && r.fixed.ofHost && len(head.Host()) == 0: // HTTP/1.0
		x.record.detail = "no-host"
		x.refuse(EndBadRequest, engine.SideClient)
		return false
	case r.rate != nil && !r.rate.Allow(x.shard.loop.Now()):
		return x.dropRequest(dropRuleRequests)
	}
	return true
}

// allowsOrigin tells whether a page of the request's origin may open a WebSocket here. Several origins are no origin.
func (r *rule) allowsOrigin(head *http1.RequestHead, secure bool) bool {
	if r.origins == nil {
		return true
	}
	value, count := head.Lookup("Origin")
	return count <= 1 && r.origins.Allows(value, count == 1, head.Host(), secure)
}

// secure tells whether the client has come over TLS: as a trusted proxy in front of us says, else to us.
func (x *exchange) secure(head *http1.RequestHead) bool {
	if head.Has(http1.FieldXForwardedProto) && x.shard.site.trusted.contains(x.peer.Addr()) {
		return string(head.First(http1.FieldXForwardedProto)) == "https"
	}
	return transportOf(x.client) != nil
}

// answerHere answers by the rule itself: a redirect or a fixed answer. The connection lives on where the client lets it
// and the request has no body, and where it takes the whole answer at once.
func (x *exchange) answerHere(head *http1.RequestHead, early []byte) {
	h := x.shard
	w := &h.loop.Workspace
	fixed := x.rule.fixed
	x.record.status = fixed.status
	if !x.headMethod {
		x.record.sent = uint64(len(fixed.body))
	}
	if x.requests >= x.policy.KeepAliveRequests {
		h.counters.limits[limitKeepAliveRequests]++
	}
	keep := x.wantsKeepAlive && x.bodyKind == http1.BodyNone && !x.upgrade && !h.closing && x.requests < x.policy.KeepAliveRequests
	connection := "Connection: close\r\n"
	switch {
	case keep && x.http10:
		connection = "Connection: keep-alive\r\n"
	case keep:
		connection = ""
	}
	facts := x.facts(head)
	answer := w.Acquire(512 + len(fixed.body))
	*answer.Buffer() = fixed.append(*answer.Buffer(), &facts, x.rule.answer, connection, x.headMethod)
	x.keepEarly(early)
	h.putRequestHead(head)
	x.requestHead = nil
	if keep {
		n, status := x.client.Write(answer.Bytes())
		answer.Advance(n)
		keep = answer.Len() == 0 && status != engine.StatusFailed
	}
	h.counters.exchangeOver(EndFixedAnswer, fixed.status)
	h.log.exchange(&x.record, x.groupName(), engine.Outcome{Reason: EndFixedAnswer, By: engine.SideNone}, h.loop.Now())
	if keep {
		w.Release(answer)
		x.next()
		return
	}
	x.client.Linger(answer, x.lingerLimits())
	x.over()
}

// ownRefusal returns the rule's own answer for a status, nil where it has none.
func (x *exchange) ownRefusal(status int) *fixedAnswer {
	if x.rule == nil {
		return nil
	}
	return x.rule.refusals[status]
}
