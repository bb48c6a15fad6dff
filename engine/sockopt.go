package engine

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Settings of every TCP socket, client and backend: a silent host is noticed within a minute.
const (
	keepAliveIdleSeconds     = 30
	keepAliveIntervalSeconds = 10
	keepAliveProbes          = 3
	// DefaultUserTimeout is after how long without an acknowledgement a host counts as lost.
	DefaultUserTimeout = 60 * time.Second
)

// tcpOptions are set on listening sockets, from which accepted ones inherit them, and on dialed ones.
var tcpOptions = [...]struct {
	level, name, value int
	text               string
}{
	{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1, "TCP_NODELAY"},
	{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1, "SO_KEEPALIVE"},
	{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAliveIdleSeconds, "TCP_KEEPIDLE"},
	{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAliveIntervalSeconds, "TCP_KEEPINTVL"},
	{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveProbes, "TCP_KEEPCNT"},
}

// SocketOptions are those settings of a socket that differ between uses. The zero value leaves everything at its default.
type SocketOptions struct {
	// NotSentLowat bounds, in bytes, what the kernel holds unsent (TCP_NOTSENT_LOWAT); 0: its own bound.
	NotSentLowat int
	// UserTimeout takes the place of DefaultUserTimeout (TCP_USER_TIMEOUT); 0: that; negative: none. A peer that is
	// alive but takes nothing is lost after it too, so it must not be shorter than the patience with slow receivers.
	UserTimeout time.Duration
}

// apply sets all options of a TCP socket, each by one system call.
func (o *SocketOptions) apply(fd int) error {
	for i := range tcpOptions {
		t := &tcpOptions[i]
		if err := setOption(fd, t.level, t.name, t.value); err != nil {
			return fmt.Errorf("setsockopt %s: %w", t.text, err)
		}
	}
	if o.NotSentLowat > 0 {
		if err := setOption(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, o.NotSentLowat); err != nil {
			return fmt.Errorf("setsockopt TCP_NOTSENT_LOWAT: %w", err)
		}
	}
	lost := cmp.Or(o.UserTimeout, DefaultUserTimeout)
	if err := setOption(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, max(0, int(lost/time.Millisecond))); err != nil {
		return fmt.Errorf("setsockopt TCP_USER_TIMEOUT: %w", err)
	}
	return nil
}

// tcpSocket returns a non-blocking, close-on-exec TCP socket with these options, for the address's family.
func tcpSocket(address netip.AddrPort, o *SocketOptions) (int, error) {
	family := unix.AF_INET
	if address.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := newSocket(family)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := o.apply(fd); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// toSockaddr converts an address for the kernel. A zone is taken as an interface's index or ignored.
func toSockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: zoneIndex(a.Addr().Zone())}
}

func fromSockaddr(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
