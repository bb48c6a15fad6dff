package proxy

import (
	"time"

	"culvert/engine"
	"culvert/tls"
	"culvert/tls/clientauth"
)

// The TLS handshakes of a loop. As many as --tls-handshakes-max may be in flight in the process with clients, and as many
// with backends; what comes beyond waits in the line of its side. While clients do, with their first record, the loop's
// HTTPS listeners do not accept.

const (
	// handshakeTick is how often a loop with a line looks whether it is its turn.
	handshakeTick = 5 * time.Millisecond
	// handshakePatience is how long a handshake with a client may take, from its turn on, while others wait for theirs.
	handshakePatience = time.Second
)

// handshakeLine are the handshakes of one loop, with one side, that wait for others to be over. Owned by the loop.
type handshakeLine struct {
	shard   *shard
	side    engine.Side
	waiting []*tlsTransport
	timer   engine.Timer
	begun   bool // beginWaiting is under way
}

// queueHandshake puts a handshake in line.
func (h *shard) queueHandshake(t *tlsTransport) {
	l := &h.lines[t.side]
	l.waiting = append(l.waiting, t)
	if l.timer.Armed() {
		return
	}
	h.loop.Wheel.Arm(&l.timer, h.loop.Now()+int64(handshakeTick))
	h.applyLine()
}

// applyLine has HTTPS listeners accept while no client stands in line, and all others always.
func (h *shard) applyLine() {
	for p, listener := range h.listeners {
		if own := h.site.listeners[p]; len(h.lines[engine.SideClient].waiting) > 0 && own != nil && own.tls != nil {
			listener.Suspend()
		} else {
			listener.Resume()
		}
	}
}

// beginWaiting begins as many of the handshakes in both lines as it may.
func (h *shard) beginWaiting() {
	for side := range h.lines {
		h.lines[side].begin()
	}
}

// begin begins as many of the handshakes in line as it may.
func (l *handshakeLine) begin() {
	h := l.shard
	if len(l.waiting) == 0 || l.begun {
		return
	}
	l.begun = true
	n := 0
	for n < len(l.waiting) && l.waiting[n].Conn.Begin() {
		n++
	}
	for _, t := range l.waiting[:n] {
		t.account()
	}
	l.waiting = l.waiting[:copy(l.waiting, l.waiting[n:])]
	l.begun = false
	if len(l.waiting) == 0 {
		h.loop.Wheel.Cancel(&l.timer)
		l.waiting = nil
		h.applyLine()
	}
}

// OnTimer implements engine.TimerHandler.
func (l *handshakeLine) OnTimer(_ *engine.Timer, now int64) {
	h := l.shard
	if l.side == engine.SideClient {
		h.shedHandshakes(now - int64(handshakePatience))
	}
	l.begin()
	if len(l.waiting) > 0 {
		h.loop.Wheel.Arm(&l.timer, now+int64(handshakeTick))
	}
}

// shedHandshakes ends handshakes whose turn came before a time and that wait for their clients: as many as stand in line.
// Else whoever begins a thousand and goes silent would keep all others out.
func (h *shard) shedHandshakes(before int64) {
	wanted := len(h.lines[engine.SideClient].waiting)
	h.handshakes.each(func(e ender) {
		x := e.(*exchange)
		if t := transportOf(x.client); wanted > 0 && t != nil && t.begun < before && t.InFlight() && t.Wants() {
			wanted--
			t.shed = true
			h.counters.handshakesShed++
			x.client.Close()
			x.record.detail = t.detail()
			x.finish(EndHandshakeTimeout, engine.SideClient)
		}
	})
}

// greet begins the TLS handshake with a client, of which first came already. Nothing is answered before it is over.
func (x *exchange) greet(l *listener, first []byte) {
	h := x.shard
	w := &h.loop.Workspace
	x.state = exchangeHandshaking
	h.handshakes.add(&x.holdLink, x)
	w.Wheel.Arm(&x.timer, w.Now()+int64(x.policy.Timeouts.TLSHandshake))
	t := h.layer(x.client.(*engine.Conn), l.tls.Config(), x, engine.SideClient)
	x.client = t.end
	t.end.Begin(first)
}

// greeted is called when the handshake is over, well or not.
func (x *exchange) greeted(r engine.Readiness) {
	w := &x.shard.loop.Workspace
	t := transportOf(x.client)
	if r&engine.Broken != 0 {
		x.greetingFailed(t)
		return
	}
	x.shard.handshakes.remove(&x.holdLink)
	x.state = exchangeReadingHead
	info := t.established()
	x.record.transport = t
	if l := x.shard.site.listeners[x.port]; l != nil && l.tls != nil && l.tls.AsksClients() {
		x.identity = clientIdentity(&info)
	}
	w.Wheel.Arm(&x.timer, w.Now()+int64(x.policy.Timeouts.ClientHead))
	x.clientReadable, x.clientFinishing = true, r&engine.Hangup != 0
	x.readHead()
}

// greetingFailed ends a connection whose handshake failed. Whoever speaks HTTP to us is answered in HTTP.
func (x *exchange) greetingFailed(t *tlsTransport) {
	x.record.transport = t
	x.record.detail = t.detail()
	if e := t.Err(); e != nil && e.Cause == tls.CausePlainHTTP {
		x.client = t.end.Strip()
		x.headMethod = string(e.First[:min(len(e.First), 5)]) == "HEAD "
		x.refuse(EndPlainHTTP, engine.SideClient)
		return
	}
	reason := EndHandshake
	if !t.fed {
		reason = EndSilent
	}
	x.client.Linger(nil, x.lingerLimits())
	x.finish(reason, engine.SideClient)
}

// greetingTimedOut ends a connection whose handshake takes too long.
func (x *exchange) greetingTimedOut() {
	t := transportOf(x.client)
	x.record.transport = t
	reason := EndHandshakeTimeout
	if !t.fed {
		reason = EndSilent
	}
	x.client.Close()
	x.finish(reason, engine.SideClient)
}

// clientIdentity returns the header lines that tell a backend of a client's certificate.
func clientIdentity(info *tls.Info) string {
	lines := ""
	for _, header := range clientauth.IdentifyChain(info.PeerCertificates, info.Verified).Headers() {
		lines += header.Name + ": " + header.Value + "\r\n"
	}
	return lines
}

// misdirected tells whether the request should have come on another connection (RFC 9110 15.5.20): it is for another host
// than the one that its client showed its certificate to, for names that have one listener in common may have different
// meanings behind it; or the listener asks of new connections, since a reload, what this one was not asked for.
func (x *exchange) misdirected(l *listener, host []byte) bool {
	if l.tls == nil {
		return false
	}
	t := transportOf(x.client)
	return t == nil || l.tls.AsksClients() && (x.identity == "" || t.name != "" && !sameName(t.name, host))
}

// sameName compares the names of hosts: ASCII letters in any case, without the dot that may end them.
func sameName(name string, host []byte) bool {
	if n := len(host); n > 0 && host[n-1] == '.' {
		host = host[:n-1]
	}
	if len(name) != len(host) {
		return false
	}
	for i := range host {
		a, b := name[i], host[i]
		if a != b && (a|0x20 != b|0x20 || a|0x20 < 'a' || a|0x20 > 'z') {
			return false
		}
	}
	return true
}
