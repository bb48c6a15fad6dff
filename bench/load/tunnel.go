package load

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"

	gobwas "github.com/gobwas/ws"

	"culvert/engine"
	"culvert/proxy/ws"
)

// phase is where a tunnel is in its life.
type phase uint8

const (
	phaseOver      phase = iota // no connection: not yet, or not any more
	phaseDialing                // the connection is being made; the timer runs
	phaseSecuring               // its TLS handshake is under way; the timer runs
	phaseUpgrading              // the request was sent, its answer is awaited; the timer runs
	phaseOpen                   // messages may be sent
	phaseClosing                // our close frame was sent, the peer's FIN is awaited; the timer runs
)

// What ends a tunnel, besides errors of the system.
var (
	errTimeout    = errors.New("timed out")
	errPeerClosed = errors.New("the peer closed the tunnel")
	errEarlyClose = errors.New("the peer closed the connection before its answer")
	errStray      = errors.New("bytes came that answer nothing")
	errFrame      = errors.New("what came is no frame of a server")
)

// task is what the tunnels of a loop are there for at the moment. All methods are called on the loop.
type task interface {
	// opened: the upgrade is done, messages may be sent.
	opened(t *tunnel, now int64)
	// echoed: n messages came back; each was recorded before.
	echoed(t *tunnel, n int, now int64)
	// ended: the connection is gone; nil after a close handshake that we began. The tunnel may be dialed again.
	ended(t *tunnel, err error)
	// record is told of each echo: when its message was to be sent, when it was back, whether it was right.
	record(intended, now int64, right bool)
}

// tunnel is one WebSocket connection and the messages on it: from echoed to next-1 they are under way, and up to
// limit-1 they may be sent. Owned by its station's loop.
type tunnel struct {
	station *station
	conn    engine.Connection
	timer   engine.Timer
	peer    netip.AddrPort // where it was dialed
	id      uint64
	phase   phase
	blocked bool // the socket takes nothing more for now
	turn    bool // a round of the fleet waits for it
	place   int  // among its station's tunnels

	next   uint64 // the message that is being sent, or is to be sent next
	offset int    // how much of its frame was sent
	limit  uint64
	stamps []int64 // when the messages under way were to be sent, by sequence number; a power of two long

	echoed  uint64 // the message whose echo comes next
	arrived int    // how much of its payload has come
	wrong   bool   // something in it was wrong
	frames  frames

	began, returned int64 // when a cycle was to begin and when its echo was back, for Connects

	key     [ws.KeyLen]byte
	partial []byte // the beginning of an answer's head
}

// dial begins to make the connection and to upgrade it, all of it until the deadline.
func (t *tunnel) dial(deadline int64) error {
	s := t.station
	*t = tunnel{
		station: s, id: t.id, place: t.place, turn: t.turn, timer: t.timer, stamps: t.stamps,
		next: t.limit, limit: t.limit, echoed: t.limit,
	}
	to, from := s.target.address(s.dials)
	s.dials++
	conn, err := s.loop.Dial(to, from, t, engine.SideBackend)
	if err != nil {
		return err
	}
	t.conn, t.peer, t.phase = conn, to, phaseDialing
	s.loop.Wheel.Arm(&t.timer, deadline)
	return nil
}

// Ready implements engine.Owner.
func (t *tunnel) Ready(_ engine.Side, r engine.Readiness) {
	switch {
	case t.phase == phaseOver:
		return
	case t.phase == phaseDialing:
		t.dialed(r)
		return
	case t.phase == phaseSecuring:
		t.secured(r)
		return
	}
	if r&engine.Writable != 0 && t.blocked {
		t.blocked = false
		t.send()
	}
	if r&engine.Readable != 0 && t.phase != phaseOver {
		t.receive()
	}
}

// OnTimer implements engine.TimerHandler: the phase took too long.
func (t *tunnel) OnTimer(_ *engine.Timer, _ int64) {
	if t.phase == phaseClosing {
		t.end(nil) // the peer was told; that it keeps the connection is its own affair
		return
	}
	t.end(t.at(errTimeout))
}

// at says in an error where a tunnel that never was went to, and how far it came.
func (t *tunnel) at(err error) error {
	switch t.phase {
	case phaseDialing:
		return fmt.Errorf("connect to %s: %w", t.peer, err)
	case phaseSecuring:
		return fmt.Errorf("TLS handshake with %s: %w", t.peer, err)
	case phaseUpgrading:
		return fmt.Errorf("upgrade at %s: %w", t.peer, err)
	}
	return err
}

// dialed looks at what became of the dial, and has the connection secured or asks for the upgrade.
func (t *tunnel) dialed(r engine.Readiness) {
	raw := t.conn.(*engine.Conn)
	connected, err := raw.DialResult(r)
	switch {
	case err != nil:
		t.end(t.at(err))
	case connected && t.station.security != nil:
		t.phase = phaseSecuring
		end := t.station.secure(raw, t)
		t.conn = end
		end.Begin(nil)
	case connected:
		t.upgrade()
	}
}

// secured looks at what became of the TLS handshake.
func (t *tunnel) secured(r engine.Readiness) {
	if r&engine.Broken != 0 {
		t.end(t.at(t.fault()))
		return
	}
	t.station.secured(t.conn.(*engine.Layered))
	if t.station.handshakesOnly {
		t.phase = phaseOpen
		t.station.alive.Add(1)
		t.station.task.opened(t, engine.Monotonic())
		return
	}
	if t.upgrade() {
		t.receive() // what came with the end of the handshake
	}
}

// upgrade asks for the upgrade, and tells whether there is still a connection.
func (t *tunnel) upgrade() bool {
	request := t.station.request(t)
	t.phase = phaseUpgrading
	if n, status := t.conn.Write(request); n < len(request) || status == engine.StatusFailed {
		t.end(t.at(t.fault()))
		return false
	}
	return true
}

// fault returns the error of a connection that failed.
func (t *tunnel) fault() error { return cmp.Or(faultOf(t.conn), errPeerClosed) }

// owe allows one more message, which was to be sent at intended.
func (t *tunnel) owe(intended int64) {
	if t.limit-t.echoed == uint64(len(t.stamps)) {
		t.grow()
	}
	t.stamps[t.limit&uint64(len(t.stamps)-1)] = intended
	t.limit++
}

// grow doubles the room for messages under way.
func (t *tunnel) grow() {
	larger := make([]int64, max(1, 2*len(t.stamps)))
	for sequence := t.echoed; sequence < t.limit; sequence++ {
		larger[sequence&uint64(len(larger)-1)] = t.stamps[sequence&uint64(len(t.stamps)-1)]
	}
	t.stamps = larger
}

// send sends what may be sent, until the socket is full.
func (t *tunnel) send() {
	s := t.station
	for t.next < t.limit && !t.blocked {
		p := s.stream.next(t.id, t.next, t.limit, t.offset)
		n, status := t.conn.Write(p)
		s.stream.restore()
		t.offset += n
		for t.offset >= s.stream.frame {
			t.offset -= s.stream.frame
			t.next++
		}
		switch status {
		case engine.StatusBlocked:
			t.blocked = true
		case engine.StatusFailed:
			t.end(t.fault())
			return
		}
	}
}

// receive takes what has come.
func (t *tunnel) receive() {
	for {
		buffer := t.station.loop.ReadBuffer()
		n, status := t.conn.Read(buffer)
		if n > 0 && !t.take(buffer[:n]) {
			return
		}
		switch status {
		case engine.StatusBlocked:
			return
		case engine.StatusFailed:
			t.end(t.at(t.fault()))
			return
		case engine.StatusEOF:
			t.finished()
			return
		}
	}
}

// finished handles the peer's FIN.
func (t *tunnel) finished() {
	switch t.phase {
	case phaseClosing:
		t.end(nil)
	case phaseUpgrading:
		t.end(t.at(errEarlyClose))
	default:
		t.end(errPeerClosed)
	}
}

// take handles bytes that came, and tells whether there is still a connection.
func (t *tunnel) take(b []byte) bool {
	switch t.phase {
	case phaseUpgrading:
		return t.answered(b)
	case phaseClosing:
		return true // an echo or the close frame; the FIN is what counts
	}
	now := engine.Monotonic()
	before := t.echoed
	if err := t.walk(b, now); err != nil {
		t.end(err)
		return false
	}
	if n := t.echoed - before; n > 0 {
		t.station.task.echoed(t, int(n), now)
	}
	return t.phase != phaseOver
}

// close begins the close handshake, which takes until the deadline at most. Nothing may be under way.
func (t *tunnel) close(deadline int64) {
	frame := ws.AppendClose(t.station.scratch[:0], ws.Client, t.station.randomMask(), gobwas.StatusNormalClosure, "")
	if n, status := t.conn.Write(frame); n < len(frame) || status == engine.StatusFailed {
		t.end(t.fault())
		return
	}
	t.phase = phaseClosing
	t.station.loop.Wheel.Arm(&t.timer, deadline)
}

// finish says that nothing more comes from us, where there is no tunnel to be closed, and waits until the deadline at most.
func (t *tunnel) finish(deadline int64) {
	t.conn.Finish()
	t.phase = phaseClosing
	t.station.loop.Wheel.Arm(&t.timer, deadline)
}

// end releases the connection, by a reset where there is an error, and tells the task.
func (t *tunnel) end(err error) {
	t.station.loop.Wheel.Cancel(&t.timer)
	if err == nil {
		t.conn.Close()
	} else {
		t.conn.Reset()
	}
	if t.phase >= phaseOpen {
		t.station.alive.Add(-1)
	}
	t.phase = phaseOver
	t.station.task.ended(t, err)
}
