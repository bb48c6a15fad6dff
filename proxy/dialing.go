package proxy

import (
	"errors"

	"culvert/engine"

	"golang.org/x/sys/unix"
)

// dial goes on with a connection to b, which is counted: one that has served an ordinary exchange before, or a new one. An
// upgrade always has a new one, for its 101 must not be open to doubt; so has a request whose connection begins with its
// client's name.
func (x *exchange) dial(b *backend) {
	h := x.shard
	if x.upgrade || x.rule.group.config.SendProxy > 0 {
		x.dialNew(b)
		return
	}
	c := h.pool.take(b)
	for c != nil && !x.shard.quiet(c) { // it is gone, or what it said unasked would be taken for the answer
		c.Close()
		c = h.pool.take(b)
	}
	if c == nil {
		x.dialNew(b)
		return
	}
	h.counters.reused++
	x.secured = b.security.Load() // others are not in the pool
	x.record.backend, x.record.tries = b, x.tries
	x.reused = true
	x.backend = c
	x.connected(engine.Writable)
}

// dialNew starts to connect, trying the next backend at once where it fails at once.
func (x *exchange) dialNew(b *backend) {
	h := x.shard
	w := &h.loop.Workspace
	t := &x.policy.Timeouts
	x.record.backend, x.record.tries = b, x.tries
	x.timedOut = false
	x.state = exchangeDialing
	c, err := h.connectTo(b, 0, x)
	if err != nil {
		x.record.detail = dialDetail(err)
		b.leave()
		if engine.IsOutOfResources(err) {
			x.refuse(EndNoResources, engine.SideNone)
			return
		}
		b.failed(x.record.detail)
		if x.record.detail != detailNoPorts {
			x.failedBackend()
		}
		x.dialNext()
		return
	}
	x.backend = c
	w.Wheel.Arm(&x.timer, min(w.Now()+int64(t.Connect), x.dialDeadline))
}

// connectTo starts to connect to b, to another port than its own if one is given.
func (h *shard) connectTo(b *backend, port uint16, owner engine.Owner) (*engine.Conn, error) {
	if b.path != "" {
		return h.loop.DialUnix(b.path, owner, engine.SideBackend)
	}
	return h.sources.dial(h.loop, b.addressAt(port), owner)
}

func (x *exchange) dialReady(r engine.Readiness) {
	raw := x.backend.(*engine.Conn)
	connected, err := raw.DialResult(r)
	switch {
	case err != nil:
		x.record.detail = dialDetail(err)
		x.dialFailed()
	case connected && x.record.backend.portIsEphemeral && raw.IsItself():
		x.record.detail = "refused" // nobody listens there
		x.dialFailed()
	case connected && x.record.backend.security.Load() != nil:
		x.secureBackend(raw)
	case connected:
		x.connected(r)
	}
}

// dialFailed gives the connection under way up and goes on with the next backend: nothing was sent.
func (x *exchange) dialFailed() {
	if x.timedOut {
		x.record.detail = "timeout"
	}
	x.record.backend.failed(x.record.detail)
	x.failedBackend()
	x.backend.Close()
	x.leaveBackend()
	x.dialNext()
}

func (x *exchange) dialNext() {
	w := &x.shard.loop.Workspace
	if w.Now() < x.dialDeadline && x.tries < ConnectTries {
		switch b, full, ok := x.pick(); {
		case ok && x.mayDial(b):
			x.dial(b)
			return
		case full && x.rule.group.config.Queue > 0:
			x.queueUp()
			return
		}
	}
	x.giveUp()
}

// mayDial tells whether a backend that was picked may be dialed: one further than the first only within the budget. Else
// it is counted out.
func (x *exchange) mayDial(b *backend) bool {
	if x.tries == 1 {
		return true
	}
	if x.rule.group.retries.take(x.shard.loop.Now()) {
		x.shard.counters.retries++
		return true
	}
	b.leave()
	x.shard.counters.retriesRefused++
	return false
}

// giveUp refuses a request whose dials have failed.
func (x *exchange) giveUp() {
	switch {
	case x.timedOut:
		x.refuse(EndConnectTimeout, engine.SideBackend)
	case x.record.detail == detailNoPorts:
		x.refuse(EndNoResources, engine.SideNone)
	default:
		x.refuse(EndConnectFailed, engine.SideBackend)
	}
}

// detailNoPorts: no local port, or no local address, is left for this backend. For another there may be.
const detailNoPorts = "no-ports"

// dialDetail names a dial's error by a stable token.
func dialDetail(err error) string {
	switch {
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.EAGAIN):
		return "refused"
	case errors.Is(err, unix.ECONNRESET):
		return "reset"
	case errors.Is(err, unix.ETIMEDOUT):
		return "timeout"
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EACCES):
		return "no-socket"
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTDOWN):
		return "unreachable"
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return "no-descriptors"
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return detailNoPorts
	case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
		return "no-memory"
	}
	return "failed"
}

// connected: the backend accepted. The request goes out. What the event said besides is told only once: a backend may
// speak, or finish, at once.
func (x *exchange) connected(r engine.Readiness) {
	w := &x.shard.loop.Workspace
	x.record.dialed = w.Now()
	x.record.detail = ""
	if !x.upgrade {
		x.beginTransfer(r&engine.Readable == 0)
		return
	}
	x.state = exchangeAwaiting
	w.Wheel.Arm(&x.timer, w.Now()+int64(x.policy.Timeouts.Answer))
	x.backendReady(r)
}
