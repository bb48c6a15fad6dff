package engine

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Dial starts to connect to address and returns the Conn at once. Its owner is told Writable when it is connected, and
// Broken when it failed; Conn.DialResult tells which. An error means that nothing was started. The deadline is the
// caller's: Close gives the attempt up.
func (l *Loop) Dial(address netip.AddrPort, owner Owner, side Side) (*Conn, error) {
	l.Counters.Dials++
	c, err := l.dial(address, owner, side)
	if err != nil {
		l.Counters.DialFailures++
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return c, nil
}

func (l *Loop) dial(address netip.AddrPort, owner Owner, side Side) (*Conn, error) {
	fd, err := tcpSocket(address)
	if err != nil {
		return nil, err
	}
	if errno := connect(fd, address); errno != 0 && errno != unix.EINPROGRESS && errno != unix.EINTR {
		_ = unix.Close(fd)
		return nil, errno
	}
	return l.Adopt(int32(fd), owner, side)
}

// DialResult reads what an event says of a connection under way: connected, failed with an error, or neither yet.
func (c *Conn) DialResult(r Readiness) (connected bool, err error) {
	if r&Broken != 0 {
		c.loop.Counters.DialFailures++
		if errno := c.Err(); errno != 0 {
			return false, errno
		}
		return false, unix.ECONNREFUSED
	}
	return r&Writable != 0, nil
}
