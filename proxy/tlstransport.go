package proxy

import (
	"culvert/engine"
	"culvert/tls"
)

// handshakeBytes is what a handshake in flight counts as in the budget of memory: its coroutine and what it has allocated.
const handshakeBytes = 24 << 10

// tlsTransport joins a tls.Conn to the engine, which each speak of the same pipe in their own words. It lives as long as
// the connection, and remembers what the log says of it. Owned by its loop.
type tlsTransport struct {
	*tls.Conn
	end     *engine.Layered
	shard   *shard
	side    engine.Side
	begun   int64  // when the handshake's turn came, Monotonic ns; 0: it has not
	name    string // that the client asked for (SNI)
	version tls.Version
	suite   tls.Suite
	resumed bool
	fed     bool // something came from the peer
	charged bool // the handshake counts in the budget of memory
	shed    bool // ... was given up for others that waited
}

var _ engine.Transport = (*tlsTransport)(nil)

// layer puts TLS on a connected socket, in the role of the configuration; Begin is the caller's.
func (h *shard) layer(raw *engine.Conn, config *tls.Config, owner engine.Owner, side engine.Side) *tlsTransport {
	t := &tlsTransport{shard: h, side: side}
	t.end = engine.Layer(raw, t, owner, side)
	t.Conn = tls.New(tls.Options{
		Config: config, Workers: h.server.workers, Buffers: h.loop.Buffers(), Post: h.loop.PostAlways, Observer: t,
		Local: raw.Local(),
	})
	t.account()
	return t
}

// transportOf returns what is below an end; nil: it is a plain socket.
func transportOf(end engine.End) *tlsTransport {
	if l, ok := end.(*engine.Layered); ok {
		return l.Transport().(*tlsTransport)
	}
	return nil
}

// Stepped implements tls.Observer.
func (t *tlsTransport) Stepped(*tls.Conn) {
	t.account()
	t.end.Stepped()
	t.shard.beginWaiting()
}

// account keeps the books on a handshake: what is in flight is charged, what has to wait stands in line.
func (t *tlsTransport) account() {
	if inFlight := t.Conn.InFlight(); inFlight != t.charged {
		t.charged = inFlight
		if inFlight {
			t.begun = t.shard.loop.Now()
			t.shard.loop.Charge(handshakeBytes)
		} else {
			t.shard.loop.Charge(-handshakeBytes)
		}
	}
	if t.Conn.Waits() {
		t.shard.queueHandshake(t)
	}
}

// Failed implements engine.Transport.
func (t *tlsTransport) Failed() bool { return !t.Established() && t.Err() != nil }

// Feed implements engine.Transport.
func (t *tlsTransport) Feed(wire []byte) {
	t.fed = true
	opening := !t.Established()
	t.Conn.Feed(wire)
	if opening {
		t.account()
	}
}

// Plain implements engine.Transport. A stream that ends without close_notify ends, as that of a plain socket does, which
// any middlebox can end too; the log tells, and bodies that only the end delimits are not taken for whole.
func (t *tlsTransport) Plain(p []byte) (int, engine.Status) {
	n, status := t.Conn.Plain(p)
	switch status {
	case tls.StatusReady:
		return n, engine.StatusReady
	case tls.StatusClosed, tls.StatusTruncated:
		return n, engine.StatusEOF
	case tls.StatusFailed:
		return n, engine.StatusFailed
	}
	return n, engine.StatusBlocked
}

// Abandon implements engine.Transport.
func (t *tlsTransport) Abandon() {
	t.Conn.Abandon()
	t.account()
}

// established notes what the log says of the connection.
func (t *tlsTransport) established() tls.Info {
	info := t.Info()
	t.name, t.version, t.suite, t.resumed = info.ServerName, info.Version, info.Suite, info.Resumed
	c := &t.shard.counters
	if t.resumed {
		c.handshakesResumed++
	}
	return info
}

// truncated tells whether the peer's stream ended without close_notify.
func (t *tlsTransport) truncated() bool {
	return t != nil && t.Err() != nil && t.Err().Cause == tls.CauseTruncated
}

// detail says in a stable token why the connection is broken.
func (t *tlsTransport) detail() string {
	e := t.Err()
	switch {
	case t.shed:
		return "handshakes-max"
	case e == nil:
		return ""
	case e.Alert != 0:
		return e.Cause.String() + ": " + e.Alert.String()
	}
	return e.Cause.String()
}

// transportDetail says how the transport below one of two ends is broken, where that is the reason of their end.
func transportDetail(reason engine.EndReason, ends [2]engine.End) string {
	for side, broken := range [2]engine.EndReason{engine.SideClient: engine.EndClientTransport, engine.SideBackend: engine.EndBackendTransport} {
		if t := transportOf(ends[side]); reason == broken && t != nil {
			return t.detail()
		}
	}
	return ""
}
