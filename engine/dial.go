package engine

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Dial starts to connect to address and returns the Conn at once. Its owner is told Writable when it is connected, and
// Broken when it failed; Conn.DialResult tells which. An error means that nothing was started. The deadline is the
// caller's: Close gives the attempt up.
//
// source, if valid, is the address that the connection comes from; its port is chosen by the kernel for this very
// destination (IP_BIND_ADDRESS_NO_PORT), so that every source address has all its ports for every backend. When none
// is left the error is EADDRNOTAVAIL.
func (l *Loop) Dial(address netip.AddrPort, source netip.Addr, owner Owner, side Side) (*Conn, error) {
	l.Counters.Dials++
	c, err := l.dial(address, source, owner, side)
	if err != nil {
		l.Counters.DialFailures++
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return c, nil
}

func (l *Loop) dial(address netip.AddrPort, source netip.Addr, owner Owner, side Side) (*Conn, error) {
	fd, err := tcpSocket(address, &l.socketOptions)
	if err != nil {
		return nil, err
	}
	if source.IsValid() {
		if err := bindSource(fd, source); err != nil {
			_ = unix.Close(fd)
			return nil, err
		}
	}
	if errno := connect(fd, address); errno != 0 && errno != unix.EINPROGRESS && errno != unix.EINTR {
		_ = unix.Close(fd)
		return nil, errno
	}
	return l.Adopt(int32(fd), owner, side)
}

// DialUnix is Dial for a Unix socket's path. Such a connection stands at once or not at all: a full accept queue refuses
// (EAGAIN). Resetting it is closing it, for these sockets know no resets.
func (l *Loop) DialUnix(path string, owner Owner, side Side) (*Conn, error) {
	l.Counters.Dials++
	c, err := l.dialUnix(path, owner, side)
	if err != nil {
		l.Counters.DialFailures++
		return nil, fmt.Errorf("connect to unix:%s: %w", path, err)
	}
	return c, nil
}

func (l *Loop) dialUnix(path string, owner Owner, side Side) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return l.Adopt(int32(fd), owner, side)
}

func bindSource(fd int, source netip.Addr) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return fmt.Errorf("setsockopt IP_BIND_ADDRESS_NO_PORT: %w", err)
	}
	if err := unix.Bind(fd, toSockaddr(netip.AddrPortFrom(source, 0))); err != nil {
		return fmt.Errorf("bind to source %s: %w", source, err)
	}
	return nil
}

// IsItself tells whether a connection is one to itself: where nobody listens on a port from which the kernel also takes
// the ports of outgoing connections, a dial may meet its own SYN (RFC 9293 3.5, simultaneous open).
func (c *Conn) IsItself() bool {
	own, err := unix.Getsockname(int(c.fd))
	if err != nil {
		return false
	}
	peer, err := unix.Getpeername(int(c.fd))
	return err == nil && fromSockaddr(own) == fromSockaddr(peer)
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
