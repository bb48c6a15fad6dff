package load

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"

	"culvert/bench/page"
	"culvert/engine"
	"culvert/proxy/http1"
)

// errStatus is what an answer other than 200 is.
var errStatus = errors.New("no document was granted")

// getPhase is where a connection is with its requests.
type getPhase uint8

const (
	getIdle     getPhase = iota // no request is under way; there may be a connection
	getDialing                  // the connection is being made for a request
	getSecuring                 // its TLS handshake is under way
	getAwaiting                 // the request was sent, the head of its answer is awaited
	getReading                  // the head came, and some of the body
)

// getter is one connection and the request on it. While a request is under way the timer runs; it is not set anew for
// each, but looks when it fires. Owned by its station's loop.
type getter struct {
	job   *getJob
	conn  engine.Connection // nil: none
	timer engine.Timer
	peer  netip.AddrPort // where it was dialed
	phase getPhase

	number   page.Number
	intended int64 // when the request was to be sent
	deadline int64
	served   int    // answers on this connection
	last     bool   // the server closes it behind this answer
	partial  []byte // the beginning of an answer's head
	arrived  int    // how much of the body has come
	wrong    bool   // something in it was wrong
}

// begin sends a request, on a new connection where there is none.
func (g *getter) begin(number page.Number, intended, now int64) {
	g.number, g.intended, g.deadline = number, intended, now+g.job.timeout
	if !g.timer.Armed() {
		g.job.station.loop.Wheel.Arm(&g.timer, g.deadline)
	}
	if g.conn == nil {
		g.dial()
		return
	}
	g.send()
}

// dial makes a connection for the request.
func (g *getter) dial() {
	s := g.job.station
	to, from := s.target.address(s.dials)
	s.dials++
	conn, err := s.loop.Dial(to, from, g, engine.SideBackend)
	if err != nil {
		g.fail(err)
		return
	}
	g.conn, g.peer, g.phase, g.served = conn, to, getDialing, 0
}

// send sends the request.
func (g *getter) send() {
	j := g.job
	copy(j.request[j.at:], g.number[:])
	g.phase, g.last, g.arrived, g.wrong = getAwaiting, false, 0, false
	g.partial = g.partial[:0]
	if n, status := g.conn.Write(j.request); n < len(j.request) || status == engine.StatusFailed {
		g.lost(g.fault())
	}
}

// Ready implements engine.Owner.
func (g *getter) Ready(_ engine.Side, r engine.Readiness) {
	switch {
	case g.conn == nil:
		return
	case g.phase == getDialing:
		g.dialed(r)
		return
	case g.phase == getSecuring:
		g.secured(r)
		return
	}
	if r&engine.Readable != 0 {
		g.receive()
	}
}

// dialed looks at what became of the dial.
func (g *getter) dialed(r engine.Readiness) {
	raw := g.conn.(*engine.Conn)
	connected, err := raw.DialResult(r)
	switch {
	case err != nil:
		g.fail(fmt.Errorf("connect to %s: %w", g.peer, err))
	case connected && g.job.station.security != nil:
		g.phase = getSecuring
		end := g.job.station.secure(raw, g)
		g.conn = end
		end.Begin(nil)
	case connected:
		g.connected()
	}
}

// secured looks at what became of the TLS handshake.
func (g *getter) secured(r engine.Readiness) {
	if r&engine.Broken != 0 {
		g.fail(g.at(g.fault()))
		return
	}
	g.job.station.secured(g.conn.(*engine.Layered))
	g.connected()
	if g.conn != nil {
		g.receive() // what came with the end of the handshake
	}
}

// connected sends the request that the connection was made for.
func (g *getter) connected() {
	g.job.station.alive.Add(1)
	g.job.dialed()
	g.send()
}

// OnTimer implements engine.TimerHandler: the request that the timer was set for may be answered long since.
func (g *getter) OnTimer(_ *engine.Timer, now int64) {
	switch {
	case g.phase == getIdle:
	case now < g.deadline:
		g.job.station.loop.Wheel.Arm(&g.timer, g.deadline)
	default:
		g.fail(g.at(errTimeout))
	}
}

// at says in an error how far a request came.
func (g *getter) at(err error) error {
	switch g.phase {
	case getDialing:
		return fmt.Errorf("connect to %s: %w", g.peer, err)
	case getSecuring:
		return fmt.Errorf("TLS handshake with %s: %w", g.peer, err)
	case getReading:
		return fmt.Errorf("after %d of %d bytes: %w", g.arrived, g.job.size, err)
	}
	return fmt.Errorf("GET at %s: %w", g.peer, err)
}

// fault returns the error of a connection that failed.
func (g *getter) fault() error { return cmp.Or(faultOf(g.conn), errEarlyClose) }

// receive takes what has come.
func (g *getter) receive() {
	for g.conn != nil {
		conn, buffer := g.conn, g.job.station.loop.ReadBuffer()
		n, status := conn.Read(buffer)
		if n > 0 {
			g.take(buffer[:n])
		}
		switch {
		case g.conn != conn || status == engine.StatusBlocked:
			return
		case status == engine.StatusFailed:
			g.lost(g.fault())
			return
		case status == engine.StatusEOF:
			g.lost(errEarlyClose)
			return
		}
	}
}

// take handles bytes that came.
func (g *getter) take(b []byte) {
	if g.phase == getAwaiting {
		if b = g.head(b); b == nil {
			return
		}
	}
	if g.phase != getReading || len(b) > g.job.size-g.arrived {
		g.fail(errStray)
		return
	}
	if !g.wrong && !page.Matches(&g.number, g.job.size, g.arrived, b) {
		g.wrong = true
	}
	if g.arrived += len(b); g.arrived == g.job.size {
		g.finished()
	}
}

// head takes bytes of the answer's head and returns what is behind it; nil: there is no head yet, or no answer.
func (g *getter) head(b []byte) []byte {
	if len(g.partial) > 0 {
		g.partial = append(g.partial, b...)
		b = g.partial
	}
	head := &g.job.station.head
	head.Reset()
	n, failure := head.Parse(b, nil)
	switch {
	case failure != nil:
		g.fail(g.at(failure))
		return nil
	case n == 0:
		if len(g.partial) == 0 {
			g.partial = append(g.partial, b...)
		}
		return nil
	case head.Status() != http.StatusOK:
		g.fail(g.at(fmt.Errorf("%w: status %d", errStatus, head.Status())))
		return nil
	}
	g.last = !head.KeepAlive()
	if kind, length := head.Body([]byte("GET")); kind != http1.BodyLength || length != int64(g.job.size) {
		// What follows is not compared, and the connection not used again.
		g.close(true)
		g.job.answered(g, false, engine.Monotonic())
		return nil
	}
	g.phase = getReading
	return b[n:]
}

// finished is where an answer is whole.
func (g *getter) finished() {
	g.phase = getIdle
	g.served++
	if g.last {
		g.close(false)
	}
	g.job.answered(g, !g.wrong, engine.Monotonic())
}

// lost handles a connection that ended. Between two requests that is the server's good right, and a request that it met
// before anything was answered is sent once more, on a connection of its own (RFC 9110 9.2.2, RFC 9112 9.3.1).
func (g *getter) lost(err error) {
	switch {
	case g.phase == getIdle:
		g.close(false)
	case g.phase == getAwaiting && g.served > 0 && len(g.partial) == 0:
		g.close(true)
		g.dial()
	default:
		g.fail(g.at(err))
	}
}

// fail ends a request without its answer.
func (g *getter) fail(err error) {
	if g.phase == getIdle && g.conn != nil { // bytes came that nobody asked for
		g.close(true)
		g.job.fail(1, err)
		return
	}
	g.close(true)
	g.job.broken(g, err)
}

// close releases the connection, if there is one.
func (g *getter) close(reset bool) {
	if g.conn == nil {
		return
	}
	if g.phase != getDialing && g.phase != getSecuring {
		g.job.station.alive.Add(-1)
	}
	if reset {
		g.conn.Reset()
	} else {
		g.conn.Close()
	}
	g.conn, g.phase = nil, getIdle
}
