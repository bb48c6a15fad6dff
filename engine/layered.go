package engine

import (
	"net/netip"
	"syscall"
	"time"
)

const (
	// sealMax is how many bytes are given to a transport at once: what it makes of them waits in memory if the socket does
	// not take it.
	sealMax = DefaultReadBuffer
	// pendingMax is how many bytes a transport may have pending before the wire is read no further: what the owner has
	// written, and as much of its own answers to a peer that asks and does not read.
	pendingMax = 2 * sealMax
	// wireMin is the least that is read from the wire at once, in bytes, however small the buffer it is for.
	wireMin = 4 << 10
	// wireReads is how many reads in a row may yield nothing for the application before others have their turn.
	wireReads = 8
	// lastWordsLinger bounds the lingering close of an end that is reset while its transport tells the peer why.
	lastWordsLinger = 5 * time.Second
)

// Layered is an End whose bytes go through a Transport on their way from and to its socket, which it owns. Until the
// transport is established nothing can be read or written; then, or when that has failed, the owner is told: by
// Writable, or by Broken. What the socket did not take of a Write is offered to it again by the next one, which must
// begin with the same bytes: a Write reports as written what is gone. Owned by the loop.
//
//	opening      the transport talks to its peer          left by Stepped or Ready
//	established  Read and Write work; after Finish, Read  left by Reset, Close, Linger, Strip, or a failure
//	failed       Read and Write say StatusFailed
type Layered struct {
	conn      *Conn
	transport Transport
	owner     Owner
	sealed    int // bytes that the owner has offered, and that the transport has pending in its form
	side      Side
	flags     layeredFlags
}

type layeredFlags uint8

const (
	layeredReadable  layeredFlags = 1 << iota // the wire may have something to read
	layeredEnded                              // the peer has said all: its FIN was read, or the transport knows
	layeredFinishing                          // our FIN follows what is pending
	layeredChoked                             // the wire is not read because too much is pending
	layeredTold                               // the owner was told that it is established, or not
	layeredLost                               // the socket is broken
)

// Layer puts a transport on a connected socket, whose events it takes over. Begin follows. owner is told of the
// layered end's events.
func Layer(c *Conn, t Transport, owner Owner, side Side) *Layered {
	s := &Layered{conn: c, transport: t, owner: owner, side: side, flags: layeredReadable}
	c.Attach(s, side)
	return s
}

// Begin has the transport begin. first is what was read of the wire already. The owner may be told at once.
func (s *Layered) Begin(first []byte) {
	if len(first) > 0 {
		s.transport.Feed(first)
	}
	s.open()
}

// Stepped says that a part of the transport's opening is done.
func (s *Layered) Stepped() {
	if s.conn.Closed() || s.flags&layeredTold != 0 {
		return
	}
	s.open()
}

// Ready implements Owner, for the socket.
func (s *Layered) Ready(_ Side, r Readiness) {
	if r&Readable != 0 {
		s.flags |= layeredReadable
	}
	if s.flags&layeredTold == 0 {
		s.open()
		return
	}
	if r&Writable != 0 && s.sealed == 0 {
		s.flush()
	}
	s.owner.Ready(s.side, r)
}

// Resume implements Resumer: the wire is read again.
func (s *Layered) Resume() {
	if !s.conn.Closed() && s.owner != nil {
		s.owner.Ready(s.side, Readable)
	}
}

// open goes on with the opening as far as the wire has what it takes, and tells the owner once it is over.
func (s *Layered) open() {
	w := &s.conn.loop.Workspace
	for s.flags&layeredReadable != 0 && s.transport.Wants() {
		wire := w.wire()
		n, status := s.conn.Read(wire)
		if n > 0 {
			s.transport.Feed(wire[:n])
			s.transport.Keep()
		}
		switch status {
		case StatusBlocked:
			s.flags &^= layeredReadable
		case StatusEOF:
			s.flags &^= layeredReadable
			s.transport.FeedEnd()
		case StatusFailed:
			s.flags |= layeredLost
			s.tell(Readable | Broken)
			return
		}
	}
	s.flush()
	switch {
	case s.flags&layeredLost != 0, s.transport.Failed():
		s.tell(Readable | Broken)
	case s.transport.Established():
		s.tell(Readable | Writable)
	}
}

// tell says what events of the socket have said meanwhile too: they do not come again.
func (s *Layered) tell(r Readiness) {
	s.flags |= layeredTold
	if s.conn.Hangup() {
		r |= Hangup
	}
	s.owner.Ready(s.side, r)
}

// Attach implements End.
func (s *Layered) Attach(owner Owner, side Side) { s.owner, s.side = owner, side }

// Read implements End. Whoever reads may know more than the events that were told so far, so the wire is always asked. A
// read of it that yields something is the last: the budget of a turn counts it.
func (s *Layered) Read(p []byte) (n int, status Status) {
	switch {
	case s.flags&layeredTold == 0:
		return 0, StatusBlocked
	case s.flags&layeredLost != 0:
		return 0, StatusFailed
	}
	s.flags |= layeredReadable
	n, status = s.transport.Plain(p)
	for reads := 0; n == 0 && status == StatusBlocked && s.flags&layeredReadable != 0; reads++ {
		if reads == wireReads {
			return 0, StatusReady
		}
		if len(s.transport.Pending()) > pendingMax {
			s.flags |= layeredChoked
			return 0, StatusBlocked
		}
		if !s.readWire(len(p)) {
			return 0, StatusFailed
		}
		n, status = s.transport.Plain(p)
	}
	s.transport.Keep()
	if s.sealed == 0 || status == StatusFailed {
		s.flush()
	}
	switch {
	case status == StatusEOF:
		s.flags |= layeredEnded
	case status == StatusBlocked && s.flags&layeredReadable != 0:
		status = StatusReady
	}
	return n, status
}

// readWire feeds the transport once, for a buffer of so many bytes. It reports false when the socket is broken.
func (s *Layered) readWire(size int) bool {
	wire := s.conn.loop.wire()
	n, status := s.conn.Read(wire[:min(max(size, wireMin), len(wire))])
	if n > 0 {
		s.transport.Feed(wire[:n])
	}
	switch status {
	case StatusBlocked:
		s.flags &^= layeredReadable
	case StatusEOF:
		s.flags &^= layeredReadable
		s.transport.FeedEnd()
	case StatusFailed:
		s.flags |= layeredLost
		return false
	}
	return true
}

// Write implements End.
func (s *Layered) Write(p []byte) (int, Status) {
	if s.flags&layeredTold == 0 {
		return 0, StatusBlocked
	}
	gone := 0
	for {
		n, status := s.send()
		gone += n
		if status != StatusReady || gone >= len(p) {
			return gone, status
		}
		next := p[gone:min(len(p), gone+sealMax)]
		if s.transport.Seal(next) != nil {
			return gone, StatusFailed
		}
		s.sealed = len(next)
	}
}

// send offers the socket what is pending, and returns how many of the owner's bytes are gone: in proportion, until all
// are. StatusReady says that nothing is pending.
func (s *Layered) send() (gone int, status Status) {
	for {
		pending := s.transport.Pending()
		if len(pending) == 0 {
			gone, s.sealed = gone+s.sealed, 0
			s.settle()
			return gone, StatusReady
		}
		n, status := s.conn.Write(pending)
		s.transport.Advance(n)
		if n < len(pending) {
			part := int(int64(s.sealed) * int64(n) / int64(len(pending)))
			gone, s.sealed = gone+part, s.sealed-part
		}
		switch status {
		case StatusBlocked:
			return gone, status
		case StatusFailed:
			s.flags |= layeredLost
			return gone, status
		}
	}
}

// settle: nothing is pending.
func (s *Layered) settle() {
	if s.flags&layeredFinishing != 0 {
		s.flags &^= layeredFinishing
		s.conn.Finish()
	}
	if s.flags&layeredChoked != 0 {
		s.flags &^= layeredChoked
		s.conn.loop.Later(s)
	}
}

// flush sends what is pending on nobody's behalf.
func (s *Layered) flush() {
	if len(s.transport.Pending()) > 0 {
		s.send()
	}
}

// Finish implements End: the transport says so to its peer, and then the socket does.
func (s *Layered) Finish() {
	if s.transport.CloseWrite() == nil {
		s.flags |= layeredFinishing
		s.send()
	}
}

// Fault implements End.
func (s *Layered) Fault() Fault {
	if s.flags&layeredLost == 0 && s.transport.Failed() {
		return FaultTransport
	}
	return s.conn.Fault()
}

// Reset implements End. A peer that was told by the transport why is not reset: it would not hear it.
func (s *Layered) Reset() {
	if s.conn.Closed() {
		return
	}
	if s.flags&layeredLost == 0 && s.transport.Failed() {
		s.Linger(nil, LingerLimits{Nanos: int64(lastWordsLinger)})
		return
	}
	s.Strip().Reset()
}

// Close implements End. A peer that was told by the transport why, or has not taken yet what was pending, is lingered for.
func (s *Layered) Close() {
	if s.conn.Closed() {
		return
	}
	if s.flags&layeredLost == 0 && s.transport.Failed() {
		s.Reset()
		return
	}
	if s.transport.Established() && s.flags&layeredLost == 0 {
		s.Finish()
		if len(s.transport.Pending()) > 0 {
			s.Linger(nil, LingerLimits{Nanos: int64(lastWordsLinger), PeerFinished: s.flags&layeredEnded != 0})
			return
		}
	}
	s.Strip().Close()
}

// Linger implements End.
func (s *Layered) Linger(rest *Pending, limits LingerLimits) {
	w := &s.conn.loop.Workspace
	if s.conn.Closed() {
		w.Release(rest)
		return
	}
	if s.transport.Established() {
		if rest.Len() > s.sealed {
			_ = s.transport.Seal(rest.Bytes()[s.sealed:]) // it fails where nothing can be said any more
		}
		_ = s.transport.CloseWrite()
	}
	w.Release(rest)
	var last *Pending
	if pending := s.transport.Pending(); len(pending) > 0 {
		last = w.Append(nil, pending)
	}
	s.Strip().Linger(last, limits)
}

// Strip gives the transport up and returns the socket, of which the owner is to be told from now on.
func (s *Layered) Strip() *Conn {
	s.transport.Abandon()
	s.conn.Attach(s.owner, s.side)
	s.owner = nil
	return s.conn
}

// Transport returns the transport, which stays owned by the end.
func (s *Layered) Transport() Transport { return s.transport }

// Hangup implements Connection.
func (s *Layered) Hangup() bool { return s.conn.Hangup() || s.flags&layeredEnded != 0 }

// Local implements Connection.
func (s *Layered) Local() netip.AddrPort { return s.conn.Local() }

// Err implements Connection.
func (s *Layered) Err() syscall.Errno { return s.conn.Err() }

// Closed implements Connection.
func (s *Layered) Closed() bool { return s.conn.Closed() }

// WhenClosed implements Connection.
func (s *Layered) WhenClosed(o CloseObserver) { s.conn.WhenClosed(o) }
