package proxy

import (
	"fmt"
	"net/netip"

	"culvert/engine"
	"culvert/proxy/http1"
	"culvert/proxy/ws"
)

// exchangeState is where one request stands, from the client's first byte to the answer's head.
type exchangeState uint8

const (
	// exchangeReadingHead: begin and greeted enter; we wait for the client's request head, or for the PROXY header in
	// front of everything; the client-head timer runs.
	exchangeReadingHead exchangeState = iota
	// exchangeHandshaking: begin and the PROXY header's end enter on an HTTPS listener; the client's TLS handshake is on its
	// way; its timer runs.
	exchangeHandshaking
	// exchangeQueued: queueUp enters; the request waits in line for a backend; the queue timer runs. Nothing was sent.
	exchangeQueued
	// exchangeDialing: headDone and retries enter; we wait for the backend to accept the connection; the connect timer
	// runs. Nothing was sent, so another backend may be tried.
	exchangeDialing
	// exchangeSecuring: dialReady enters; the TLS handshake with the backend is on its way; the connect timer runs on.
	// Nothing of the request was sent.
	exchangeSecuring
	// exchangeAwaiting: connected enters for an upgrade; the request's head goes out, we wait for the head of the final
	// answer; the answer timer runs. From here a tunnel takes over after a valid 101, else the transfer below.
	exchangeAwaiting
	// exchangeTransferring: connected enters for an ordinary request; a transfer moves both messages. The answer timer
	// runs from the end of the request to the head of the answer, the relay's own deadlines all the while.
	exchangeTransferring
	// exchangeOver: over and the tunnel's begin enter; the value is retired.
	exchangeOver
)

func (s exchangeState) String() string {
	return [...]string{"reading the head", "in the TLS handshake", "waiting for a backend", "dialing", "in the TLS handshake with the backend", "awaiting the answer", "transferring", "over"}[s]
}

// exchange is one request until its answer's head: it owns both connections. It is owned by its loop and used again.
//
// The transitions: begin, next, over (here), greet and greeted (handshaking.go), headDone (request.go), dial and connected (dialing.go), answerHead
// (answering.go), beginTransfer and RelayOver (transfer.go).
type exchange struct {
	shard *shard
	link  link

	holdLink link // in the ring of those that hold bytes of their clients, or of those in their handshake
	holding  bool

	port   *port
	policy *policy // the listener's, from headDone on the rule's; never nil
	rule   *rule   // nil until the head is whole

	timer   engine.Timer
	state   exchangeState
	record  record
	client  engine.Connection
	backend engine.Connection
	secured *backendTLS // what the backend's connection was secured by; nil: it is plain

	received     *engine.Pending // the client's bytes: its head so far, later what came early behind it
	requestHead  *http1.RequestHead
	request      *engine.Pending // the head for the backend, until it is sent
	answer       *engine.Pending // the head of the answer so far
	responseHead *http1.ResponseHead
	interim      *engine.Pending // 1xx answers that the client has not taken yet
	answerLines  *engine.Pending // headers that the rule adds to the answer; nil: none
	offer        ws.Offer
	transfer     *transfer // exchangeTransferring only
	place        *waiter   // in line, from exchangeQueued until a backend is found; nil: not
	hashKey      uint64    // what the request is spread by
	hasKey       bool
	stuck        stuck  // which backend the client had
	cookies      []byte // Cookie lines for the backend, where they are not the client's own; the shard's, until they are written

	peer         netip.AddrPort    // who is connected, or whom a PROXY header names
	asked        netip.AddrPort    // the address that the client asked for; not valid: the connection's own
	admittedFor  netip.Addr        // what the per-client bound counts this connection as; not valid: nothing yet
	tried        [ConnectTries]int // indices of the backends that were dialed
	tries        int
	dialDeadline int64 // bound on all dials together, Monotonic ns
	interims     int
	requests     int   // on this connection, this one included
	bodyLength   int64 // of the request, with BodyLength
	bodyKind     http1.BodyKind
	identity     string // header lines about the client's certificate, where it is asked for one

	preface         bool // a PROXY header must come first
	lineEndCut      bool // a carriage return came before the request, by itself
	wantsKeepAlive  bool // the client lets its connection live on
	keepClient      bool // ... and so does the answer
	keepBackend     bool // the backend's connection may serve another exchange
	reused          bool // ... and has served others before
	expects         bool // the client waits for a 100 before its body
	idempotent      bool // the method may be sent twice
	requestIsWhole  bool // the last byte of the request was judged
	answerFramed    bool // the client can tell a cut answer from a whole one
	upgrade         bool // a WebSocket is asked for, validly
	headMethod      bool // the method is HEAD
	http10          bool // the client speaks HTTP/1.0
	clientReadable  bool // the client may have sent more than was read
	clientFinishing bool // the client's FIN was announced; bytes may be unread before it
	clientBroken    bool // an error of the client's socket was announced
	backendReadable bool // the backend too
	clientFinished  bool // the client's FIN was read
	timedOut        bool // the last dial ran into its deadline
}

// String describes the exchange for a panic's last words.
func (x *exchange) String() string {
	return fmt.Sprintf("exchange %016x (%s)", x.record.id, x.state)
}

// begin takes an accepted connection to a port, for which the site has l, nil for none. Its first request has the
// client-head timeout from now on.
func (x *exchange) begin(c *engine.Conn, peer netip.AddrPort, p *port, l *listener) {
	w := &x.shard.loop.Workspace
	x.client, x.peer, x.port = c, peer, p
	x.policy = x.shard.site.policyOf(l)
	x.preface = l != nil && l.preface
	x.state = exchangeReadingHead
	x.record.peer, x.record.client, x.record.listener = peer, peer.Addr(), p.address
	x.record.accepted = w.Now()
	c.Attach(x, engine.SideClient)
	if l != nil && l.tls != nil && !x.preface {
		x.greet(l, nil)
		return
	}
	w.Wheel.Arm(&x.timer, w.Now()+int64(x.policy.Timeouts.ClientHead))
}

// next goes on with the client's connection, on which another request may have come already.
func (x *exchange) next() {
	h := x.shard
	w := &h.loop.Workspace
	x.letGo()
	h.putRequestHead(x.requestHead)
	h.putResponseHead(x.responseHead)
	w.Release(x.request)
	w.Release(x.answer)
	w.Release(x.interim)
	w.Release(x.answerLines)
	peer, client, listener := x.record.peer, x.record.client, x.record.listener
	x.record.reset()
	h.nextID++
	x.record.id, x.record.peer, x.record.client, x.record.listener = h.nextID, peer, client, listener
	x.record.transport = transportOf(x.client)
	*x = exchange{
		shard: h, link: x.link, timer: x.timer, record: x.record, client: x.client, received: x.received, peer: x.peer,
		port: x.port, policy: h.site.policyOf(h.site.listeners[x.port]), asked: x.asked,
		admittedFor: x.admittedFor, identity: x.identity, requests: x.requests, clientReadable: x.clientReadable, clientFinishing: x.client.Hangup(),
	}
	x.client.Attach(x, engine.SideClient)
	w.Wheel.Arm(&x.timer, w.Now()+int64(x.policy.Timeouts.KeepAlive))
	if x.received != nil || x.clientReadable {
		// Not here: this is called from within the exchange before, and the answer to the next may be there at once.
		w.Later(x)
	}
}

// Resume implements engine.Resumer: a next request may have come already. By now the value may serve another connection,
// which does not mind.
func (x *exchange) Resume() {
	if x.state != exchangeReadingHead || x.client == nil || x.requests == 0 {
		return
	}
	if x.received != nil {
		x.look(x.received.Bytes())
	}
	if x.client != nil && x.state == exchangeReadingHead {
		x.readHead()
	}
}

// hasEarly tells whether bytes wait for Resume that came before the ones that can be read.
func (x *exchange) hasEarly() bool { return x.received != nil && x.record.received == 0 }

// Ready implements engine.Owner, for both connections.
func (x *exchange) Ready(side engine.Side, r engine.Readiness) {
	if side == engine.SideClient {
		x.clientReady(r)
		return
	}
	switch x.state {
	case exchangeDialing:
		x.dialReady(r)
	case exchangeSecuring:
		x.securedReady(r)
	case exchangeAwaiting:
		x.backendReady(r)
	}
}

func (x *exchange) clientReady(r engine.Readiness) {
	if x.state == exchangeHandshaking {
		x.greeted(r)
		return
	}
	if r&engine.Writable != 0 && x.interim != nil && !x.flushInterim() {
		return
	}
	if r&engine.Readable == 0 {
		return
	}
	// Noted now: what comes together with the head is told only once.
	x.clientFinishing = x.clientFinishing || r&engine.Hangup != 0
	x.clientBroken = x.clientBroken || r&engine.Broken != 0
	x.clientReadable = true
	if x.state == exchangeReadingHead {
		x.readHead()
		return
	}
	x.readEarly()
}

// readEarly takes what the client sends before its answer: for an upgrade it is kept for the tunnel, up to one read
// buffer, then reading pauses. For an ordinary request nothing may follow, and a FIN means nothing.
func (x *exchange) readEarly() {
	w := &x.shard.loop.Workspace
	if !x.upgrade {
		if x.clientBroken || x.clientFinishing && x.policy.AbortOnClientFIN && x.bodyKind == http1.BodyNone {
			x.clientGone()
		}
		return
	}
	limit := len(w.ReadBuffer())
	for x.clientReadable && x.received.Len() < limit {
		n, status := x.client.Read(w.ReadBuffer()[:limit-x.received.Len()])
		if n > 0 {
			x.hold(w.ReadBuffer()[:n])
		}
		switch status {
		case engine.StatusBlocked:
			x.clientReadable = false
		case engine.StatusEOF, engine.StatusFailed:
			x.clientGone()
			return
		}
	}
	if x.clientFinishing || x.clientBroken {
		x.clientGone() // its FIN stands behind bytes that are not read yet
	}
}

// hold keeps bytes of the client that cannot go on yet. Should memory run out, they go first.
func (x *exchange) hold(bytes []byte) {
	h := x.shard
	x.received = h.loop.Append(x.received, bytes)
	if !x.holding {
		x.holding = true
		h.holders.add(&x.holdLink, x)
	}
}

// Shed implements engine.Shedder: the request that has held bytes for the longest time is refused.
func (h *shard) Shed() bool {
	for h.holders.count > 0 {
		x := h.holders.root.next.value.(*exchange)
		x.letGo()
		switch {
		case x.received == nil:
		case x.transfer != nil: // a next request came early: its connection ends behind this one
			h.loop.Release(x.received)
			x.received, x.wantsKeepAlive, x.keepClient = nil, false, false
			return true
		default:
			x.record.detail = "buffer-memory"
			x.refuse(EndNoResources, engine.SideNone)
			return true
		}
	}
	return false
}

// letGo: nothing is held any more, or soon will be no more.
func (x *exchange) letGo() {
	if x.holding {
		x.holding = false
		x.shard.holders.remove(&x.holdLink)
	}
}

// clientGone: the client left before its answer, or before it said anything; or it broke the rules of what its
// connection goes through, which is told also where no request has begun.
func (x *exchange) clientGone() {
	if t := transportOf(x.client); t != nil && t.Failed() {
		x.record.detail = t.detail()
		if x.record.received > 0 {
			x.record.status = statusOf(engine.EndClientTransport)
		}
		x.client.Close()
		x.finish(engine.EndClientTransport, engine.SideClient)
		return
	}
	if x.record.received == 0 {
		x.drop(x.silence(), engine.SideClient)
		return
	}
	x.drop(EndClientLeft, engine.SideClient)
}

// silence is why a connection ends on which no request has begun.
func (x *exchange) silence() engine.EndReason {
	if x.requests > 0 {
		return EndKeepAlive
	}
	return EndSilent
}

// OnTimer implements engine.TimerHandler.
func (x *exchange) OnTimer(_ *engine.Timer, now int64) {
	switch x.state {
	case exchangeReadingHead:
		switch {
		case x.record.received == 0:
			x.drop(x.silence(), engine.SideClient)
			return
		case x.preface:
			x.record.detail = "incomplete"
			x.badPreface()
			return
		}
		x.refuse(EndRequestTimeout, engine.SideClient)
	case exchangeHandshaking:
		x.greetingTimedOut()
	case exchangeQueued:
		x.record.waited = x.shard.loop.Now() - x.record.headDone
		x.refuse(EndQueueTimeout, engine.SideNone)
	case exchangeDialing, exchangeSecuring:
		x.timedOut = true
		x.dialFailed()
	case exchangeAwaiting:
		x.refuse(EndAnswerTimeout, engine.SideBackend)
	case exchangeTransferring:
		x.transfer.relay.End(engine.Outcome{Reason: EndAnswerTimeout, By: engine.SideBackend})
	}
}

// shutDown implements ender: the process goes down.
func (x *exchange) shutDown() {
	switch {
	case x.transfer != nil:
		x.transfer.relay.End(engine.Outcome{Reason: engine.EndShutdown, By: engine.SideNone})
	case x.idle():
		x.drop(EndKeepAlive, engine.SideNone)
	default:
		x.drop(engine.EndShutdown, engine.SideNone)
	}
}

// idle tells whether the connection is between two requests.
func (x *exchange) idle() bool {
	return x.state == exchangeReadingHead && x.requests > 0 && x.record.received == 0
}

// refuse ends the exchange with an answer of our own.
func (x *exchange) refuse(reason engine.EndReason, by engine.Side) {
	w := &x.shard.loop.Workspace
	status := statusOf(reason)
	x.record.status = status
	if by == engine.SideBackend && x.backend != nil && reason != EndConnectFailed && reason != EndConnectTimeout {
		x.failedBackend()
	}
	answer := x.interim // what the client has not taken yet comes first
	x.interim = nil
	if answer == nil {
		answer = w.Acquire(512)
	}
	buffer := answer.Buffer()
	if own := x.ownRefusal(status); own != nil {
		*buffer = own.append(*buffer, nil, nil, refusalHeaders(status)+x.hsts(), x.headMethod)
	} else {
		*buffer = appendRefusal(*buffer, status, x.hsts(), x.headMethod)
	}
	limits := x.lingerLimits()
	limits.PeerFinished = x.clientFinished
	x.client.Linger(answer, limits)
	x.finish(reason, by)
}

// drop ends the exchange without an answer: the client is gone, or never said anything.
func (x *exchange) drop(reason engine.EndReason, by engine.Side) {
	x.record.status = statusOf(reason)
	x.client.Close()
	x.finish(reason, by)
}

// finish releases the backend's connection, logs, and retires the exchange. The client's is taken care of.
func (x *exchange) finish(reason engine.EndReason, by engine.Side) {
	h := x.shard
	if x.state == exchangeHandshaking {
		h.handshakes.remove(&x.holdLink)
	}
	x.leaveQueue(false)
	if x.backend != nil {
		x.backend.Reset() // its answer is of no use to anybody
		x.leaveBackend()
	}
	if x.state == exchangeReadingHead && x.received != nil && x.requestHead != nil && len(x.record.text) == 0 {
		x.noteUnfinished(x.received.Bytes())
	}
	outcome := engine.Outcome{Reason: reason, By: by}
	h.counters.exchangeOver(outcome.Reason, x.record.status)
	if reason != EndSilent && reason != EndKeepAlive {
		h.log.exchange(&x.record, x.groupName(), outcome, h.loop.Now())
	}
	x.over()
}

// groupName returns the name of the group that the request was for; empty: of none, or it is not known yet.
func (x *exchange) groupName() string {
	if x.rule == nil || x.rule.group == nil {
		return ""
	}
	return x.rule.group.name
}

// over retires the exchange; its connections are taken care of.
func (x *exchange) over() {
	x.shard.depart(x.admittedFor, x.client)
	x.client = nil
	x.state = exchangeOver
	x.shard.retire(x)
}

func (x *exchange) leaveBackend() {
	x.backend = nil
	x.record.backend.leave()
}
