package engine

import (
	"errors"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Conn is one non-blocking TCP socket in its loop's set, the plain End. It is registered once, edge-triggered, for
// everything; pausing is not reading. It holds no state of any tunnel. Owned by the loop.
type Conn struct {
	loop  *Loop
	owner Owner
	fd    int32
	slot  uint32
	errno syscall.Errno // the first error seen: the system call that reports it consumes it
	side  Side
	flags connFlags
}

type connFlags uint8

const (
	connClosed connFlags = 1 << iota // released: fd and slot belong to someone else
	connHangup                       // the peer's FIN was announced: a short read is not the last
	connUrgent                       // an urgent byte was announced: a read stops in front of it
)

// connEvents never change while a Conn lives, so the happy path has no epoll_ctl.
const connEvents = unix.EPOLLIN | unix.EPOLLPRI | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

// errDescriptorGone is returned when a connection could not be put into the set.
var errDescriptorGone = errors.New("the socket could not be registered with the loop's epoll set")

// Adopt puts a connected (or connecting), non-blocking socket into the loop's set and returns its Conn, which owns fd
// from then on. On error fd is closed.
func (l *Loop) Adopt(fd int32, owner Owner, side Side) (*Conn, error) {
	c := &Conn{loop: l, fd: fd, owner: owner, side: side}
	index, generation := l.slots.take(c)
	c.slot = index
	if err := addEvents(l.set, fd, connEvents, index, generation); err != nil {
		l.slots.release(index)
		_ = unix.Close(int(fd))
		return nil, errors.Join(errDescriptorGone, err)
	}
	return c, nil
}

// handle turns epoll events into readiness and tells the owner.
func (c *Conn) handle(events uint32) {
	var r Readiness
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		r = Readable
	}
	if events&unix.EPOLLOUT != 0 {
		r |= Writable
	}
	if events&unix.EPOLLRDHUP != 0 {
		c.flags |= connHangup
		r |= Hangup
	}
	if events&unix.EPOLLPRI != 0 {
		c.flags |= connUrgent
		r |= Readable
	}
	if events&unix.EPOLLERR != 0 {
		c.flags |= connHangup
		r |= Broken
	}
	c.owner.Ready(c.side, r)
}

// Attach implements End.
func (c *Conn) Attach(owner Owner, side Side) { c.owner, c.side = owner, side }

// Read implements End. A read that does not fill p has emptied the socket (epoll(7)), unless the peer's FIN was
// announced: then the next read is the one that finds it. An urgent byte, which no relay passes on, splits a read too.
func (c *Conn) Read(p []byte) (int, Status) {
	n, errno := recv(c.fd, p)
	switch {
	case errno == unix.EAGAIN:
		c.flags &^= connUrgent
		return 0, StatusBlocked
	case errno == unix.EINTR:
		return 0, StatusReady
	case errno != 0:
		c.record(errno)
		return 0, StatusFailed
	case n == 0:
		// After a send that failed, a reset reads as a clean end: the record knows better.
		if c.errno != 0 {
			return 0, StatusFailed
		}
		return 0, StatusEOF
	case n < len(p) && c.flags&(connHangup|connUrgent) == 0:
		return n, StatusBlocked
	}
	return n, StatusReady
}

// Write implements End.
func (c *Conn) Write(p []byte) (int, Status) {
	n, errno := send(c.fd, p)
	switch {
	case errno == unix.EAGAIN:
		return 0, StatusBlocked
	case errno == unix.EINTR:
		return 0, StatusReady
	case errno != 0:
		c.record(errno)
		c.flags |= connHangup
		return 0, StatusFailed
	case n < len(p):
		return n, StatusBlocked
	}
	return n, StatusReady
}

func (c *Conn) record(errno syscall.Errno) {
	if c.errno == 0 {
		c.errno = errno
	}
}

// Fault implements End.
func (c *Conn) Fault() Fault {
	switch c.Err() {
	case unix.ETIMEDOUT, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.ENETDOWN, unix.EHOSTDOWN:
		return FaultLost
	}
	return FaultReset
}

// Err returns the first error seen on the socket, asking the kernel when none was recorded. 0: none.
func (c *Conn) Err() syscall.Errno {
	if c.errno == 0 && c.flags&connClosed == 0 {
		if e, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR); err == nil && e != 0 {
			c.errno = syscall.Errno(e)
		}
	}
	return c.errno
}

// Finish implements End.
func (c *Conn) Finish() { shutdownWrite(c.fd) }

// Reset implements End.
func (c *Conn) Reset() {
	if c.flags&connClosed == 0 {
		// The zero linger makes close send a reset instead of a FIN.
		_ = unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		c.Close()
	}
}

// Close implements End.
func (c *Conn) Close() {
	if c.flags&connClosed != 0 {
		return
	}
	c.flags |= connClosed
	c.owner = nil
	c.loop.slots.release(c.slot)
	closeSocket(c.fd)
}

// Release takes the socket out of its loop, untouched, and returns its descriptor: for another loop's Adopt.
func (c *Conn) Release() int32 {
	c.flags |= connClosed
	c.owner = nil
	c.loop.slots.release(c.slot)
	if err := removeEvents(c.loop.set, c.fd); err != nil {
		panic("engine: a live socket was not in its set: " + err.Error())
	}
	return c.fd
}

// Linger implements End.
func (c *Conn) Linger(rest *Pending, limits LingerLimits) {
	if c.flags&connClosed != 0 {
		c.loop.Release(rest)
		return
	}
	startLinger(c, rest, limits)
}

// Closed tells whether the socket was released.
func (c *Conn) Closed() bool { return c.flags&connClosed != 0 }

// CloseObserver is told when a connection that was left to a lingering close is closed.
type CloseObserver interface{ ConnClosed() }

// WhenClosed has o told, once, when the lingering close of c, which must be under way, is over.
func (c *Conn) WhenClosed(o CloseObserver) { c.owner.(*lingerer).observer = o }

// Hangup tells whether the peer's FIN, or an error, was announced; bytes may be unread in front of it.
func (c *Conn) Hangup() bool { return c.flags&connHangup != 0 }

// Local returns the address of our side of the connection; not valid when the kernel does not tell.
func (c *Conn) Local() netip.AddrPort {
	name, err := unix.Getsockname(int(c.fd))
	if err != nil {
		return netip.AddrPort{}
	}
	return fromSockaddr(name)
}

// Descriptor returns the socket's descriptor, which stays owned by the Conn.
func (c *Conn) Descriptor() int { return int(c.fd) }
