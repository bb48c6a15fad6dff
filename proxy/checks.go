package proxy

import (
	"crypto/rand"
	"time"

	"culvert/engine"
	"culvert/proxy/health"
)

// Active checks run on the loops, as what they check for does: each backend is checked by one loop, whichever its
// identity falls to, and the result is for all.

// check is what one loop does to find out whether a backend works. Owned by the loop.
//
//	waiting     timer: the next is due
//	connecting  timer: its deadline, as in all that follow; the socket's events
//	securing    the TLS handshake's
//	talking     bytes go to the probe and come from it
//	gone        the backend is checked no more
type check struct {
	shard    *shard
	backend  *backend
	settings *health.Settings
	checker  health.Checker
	probe    health.Probe
	timer    engine.Timer
	conn     engine.Connection // nil: waiting
	out      []byte            // what the socket has not taken yet
	state    checkState
}

// checkLinger bounds how long the connection of a check is read after it.
const checkLinger = time.Second

type checkState uint8

const (
	checkWaiting checkState = iota
	checkConnecting
	checkSecuring
	checkTalking
	checkGone
)

// useChecks has this loop check what falls to it of a site.
func (h *shard) useChecks(s *site) {
	wanted := make(map[*backend]*health.Settings)
	for _, g := range s.groups {
		if g.config.Check == nil {
			continue
		}
		for _, m := range g.members {
			if h.checksOn(m.backend) {
				wanted[m.backend] = g.config.Check
			}
		}
	}
	for b, c := range h.checks {
		if wanted[b] == nil {
			c.forget()
		}
	}
	for b, settings := range wanted {
		switch c := h.checks[b]; {
		case c == nil:
			h.beginChecks(b, settings)
		case *c.settings != *settings:
			c.change(settings)
		default:
			c.settings = settings
		}
	}
}

// checksOn tells whether it is this loop that checks a backend.
func (h *shard) checksOn(b *backend) bool {
	return b.identity%uint64(h.server.config.Loops) == uint64(h.index)
}

func (h *shard) beginChecks(b *backend, settings *health.Settings) {
	c := &check{shard: h, backend: b, settings: settings}
	c.timer.Init(c)
	c.checker.Init(settings, b.identity^h.server.nonce, h.loop.Now())
	if h.checks == nil {
		h.checks = make(map[*backend]*check)
	}
	h.checks[b] = c
	h.loop.Wheel.Arm(&c.timer, c.checker.Due())
}

// change goes on with other settings; a check under way by the old ones is given up.
func (c *check) change(settings *health.Settings) {
	now := c.shard.loop.Now()
	c.settings = settings
	c.checker.Change(settings, now)
	if c.conn != nil {
		c.release()
		c.checker.Abandon(now)
	}
	c.shard.loop.Wheel.Arm(&c.timer, c.checker.Due())
}

// stop ends the checks of a backend. What they have found out stays.
func (c *check) stop() {
	c.release()
	c.state = checkGone
	c.shard.loop.Wheel.Cancel(&c.timer)
	delete(c.shard.checks, c.backend)
}

// forget ends the checks of a backend that is not to be checked. Nothing is known of it from then on.
func (c *check) forget() {
	c.stop()
	c.backend.found.Store(nil)
	c.shard.server.steward.wake()
}

// release leaves the connection of the check under way, if there is one. Where an answer has come its rest may follow yet,
// and a close with unread input would have the backend see a reset for each check.
func (c *check) release() {
	switch {
	case c.conn == nil:
	case c.state == checkTalking:
		c.conn.Linger(nil, engine.LingerLimits{Nanos: int64(checkLinger)})
	default:
		c.conn.Close()
	}
	c.conn = nil
	c.out = nil
	c.state = checkWaiting
}

// OnTimer implements engine.TimerHandler: the next check is due, or the one under way has taken too long.
func (c *check) OnTimer(_ *engine.Timer, now int64) {
	if c.conn != nil {
		c.over(health.ReasonTimeout)
		return
	}
	c.begin(now)
}

func (c *check) begin(now int64) {
	w := &c.shard.loop.Workspace
	deadline := c.checker.Begin(now)
	conn, err := c.shard.connectTo(c.backend, c.settings.Port, c)
	if err != nil {
		if engine.IsOutOfResources(err) || dialDetail(err) == detailNoPorts {
			c.checker.Abandon(now) // that says nothing about the backend
			w.Wheel.Arm(&c.timer, c.checker.Due())
			return
		}
		c.over(dialDetail(err))
		return
	}
	c.conn, c.state = conn, checkConnecting
	w.Wheel.Arm(&c.timer, deadline)
}

// Ready implements engine.Owner.
func (c *check) Ready(_ engine.Side, r engine.Readiness) {
	switch c.state {
	case checkConnecting:
		c.connecting(r)
	case checkSecuring:
		if r&engine.Broken != 0 {
			c.over(transportOf(c.conn).handshakeDetail())
			return
		}
		c.talk()
	case checkTalking:
		if r&engine.Writable != 0 && !c.flush() {
			return
		}
		if r&engine.Readable != 0 {
			c.read()
		}
	}
}

func (c *check) connecting(r engine.Readiness) {
	raw := c.conn.(*engine.Conn)
	connected, err := raw.DialResult(r)
	switch {
	case err != nil:
		c.over(dialDetail(err))
	case !connected:
	case c.backend.portIsEphemeral && raw.IsItself():
		c.over("refused")
	case c.settings.Kind == health.TCP:
		c.over("")
	default:
		c.connected(raw)
	}
}

// connected goes on over TLS where the backend is spoken to by it.
func (c *check) connected(raw *engine.Conn) {
	security := c.backend.security.Load()
	if security == nil {
		c.talk()
		return
	}
	c.state = checkSecuring
	t := c.shard.layer(raw, security.config, c, engine.SideBackend)
	c.conn = t.end
	t.end.Begin(nil)
}

// talk begins with what the probe says.
func (c *check) talk() {
	var entropy health.Entropy
	_, _ = rand.Read(entropy[:]) // never fails
	c.state = checkTalking
	c.probe.Init(c.settings, c.backend.authority(c.settings.Port), entropy)
	out, verdict := c.probe.Connected(c.out[:0])
	c.take(out, verdict)
	if c.state == checkTalking {
		c.read()
	}
}

// take sends what the probe has to say and acts on its verdict.
func (c *check) take(out []byte, verdict health.Verdict) {
	c.out = out
	if !c.flush() || verdict == health.Pending {
		return
	}
	c.over(c.probe.Reason())
}

// flush reports false when the check is over.
func (c *check) flush() bool {
	for len(c.out) > 0 {
		n, status := c.conn.Write(c.out)
		c.out = c.out[n:]
		switch status {
		case engine.StatusBlocked:
			return true
		case engine.StatusFailed:
			c.ended()
			return false
		}
	}
	return true
}

func (c *check) read() {
	w := &c.shard.loop.Workspace
	for c.state == checkTalking {
		n, status := c.conn.Read(w.ReadBuffer())
		if n > 0 {
			c.take(c.probe.Receive(w.ReadBuffer()[:n], c.out))
			if c.state != checkTalking {
				return
			}
		}
		switch status {
		case engine.StatusBlocked:
			return
		case engine.StatusEOF, engine.StatusFailed:
			c.ended()
			return
		}
	}
}

// ended: the backend has ended the connection, which may say enough.
func (c *check) ended() {
	if c.probe.Ended() == health.Good {
		c.over("")
		return
	}
	c.over(c.probe.Reason())
}

// over: the check has come to an end; reason says what was wrong, if anything.
func (c *check) over(reason string) {
	h := c.shard
	w := &h.loop.Workspace
	c.release()
	changed := c.checker.End(w.Now(), reason)
	h.counters.checks[min(len(reason), 1)]++
	if before := c.backend.found.Load(); changed || before == nil {
		c.backend.found.Store(&found{c.checker.State(), reason})
		h.server.steward.wake()
	}
	w.Wheel.Arm(&c.timer, c.checker.Due())
}
