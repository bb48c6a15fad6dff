package engine

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// DefaultBacklog is the length of a listening socket's accept queue.
	DefaultBacklog = 4096
	// acceptsPerTurn is how many connections one listener takes per turn before the tunnels have their turn.
	acceptsPerTurn = 128
	// acceptPause is how long a listener stays out of the set after the process ran out of descriptors.
	acceptPause = 100 * time.Millisecond
)

// Acceptor is told of accepted connections.
type Acceptor interface {
	// Accepted is given a connection that is in the set already, with no owner: it must Attach one, or Close it,
	// before it returns. peer is the client's address, listener the one that accepted.
	Accepted(c *Conn, peer netip.AddrPort, listener *Listener)
}

// ListenOptions are the settings of a listener.
type ListenOptions struct {
	// Backlog is the accept queue's length; 0: DefaultBacklog.
	Backlog int
	// Sockets are the settings of accepted sockets.
	Sockets SocketOptions
	// Shared says that other loops of this process listen on the address already. Without it an address that anyone
	// listens on is refused, which SO_REUSEPORT alone would not do for processes of the same user.
	Shared bool
	// Held binds and queues connections, but accepts none until Open.
	Held bool
}

// Listener is one loop's listening socket. Several loops listen on the same address by SO_REUSEPORT.
type Listener struct {
	loop      *Loop
	acceptor  Acceptor
	address   netip.AddrPort
	timer     Timer
	fd        int32
	slot      uint32
	expected  int    // how many connections the next event is taken to announce
	full      uint64 // the turn in which as many as were expected came last
	paused    bool   // out of the set; the timer, or Resume, puts it back
	held      bool   // not in the set yet
	suspended bool
	closing   bool // the accept queue is being emptied; closed comes next
	closed    bool
}

// Listen binds address on this loop. An address with port 0 gets a free port, see Address.
func (l *Loop) Listen(address netip.AddrPort, o ListenOptions, a Acceptor) (*Listener, error) {
	fd, bound, err := bindListener(address, o)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	listener := &Listener{loop: l, acceptor: a, address: bound, fd: int32(fd), expected: 1}
	listener.timer.Init(listener)
	index, generation := l.slots.take(listener)
	listener.slot = index
	if listener.held = o.Held; o.Held {
		return listener, nil
	}
	// Level-triggered: what one turn does not take is reported again.
	if err := addEvents(l.set, listener.fd, unix.EPOLLIN, index, generation); err != nil {
		l.slots.release(index)
		_ = unix.Close(fd)
		return nil, fmt.Errorf("listen on %s: epoll_ctl: %w", address, err)
	}
	return listener, nil
}

func bindListener(address netip.AddrPort, o ListenOptions) (int, netip.AddrPort, error) {
	address = netip.AddrPortFrom(address.Addr().Unmap(), address.Port()) // ::ffff:a.b.c.d is an IPv4 address
	if !o.Shared && address.Port() != 0 {
		if err := probe(address); err != nil {
			return -1, netip.AddrPort{}, err
		}
	}
	fd, err := tcpSocket(address, &o.Sockets)
	if err != nil {
		return -1, netip.AddrPort{}, err
	}
	fail := func(call string, err error) (int, netip.AddrPort, error) {
		_ = unix.Close(fd)
		return -1, netip.AddrPort{}, fmt.Errorf("%s: %w", call, err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return fail("setsockopt SO_REUSEPORT", err)
	}
	if err := bind(fd, address); err != nil {
		return fail("bind", err)
	}
	backlog := o.Backlog
	if backlog == 0 {
		backlog = DefaultBacklog
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return fail("listen", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return fail("getsockname", err)
	}
	bound := fromSockaddr(name)
	return fd, netip.AddrPortFrom(address.Addr(), bound.Port()), nil
}

// bind binds a listening socket.
func bind(fd int, address netip.AddrPort) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if address.Addr().Is6() {
		// [::] takes IPv4 too, as a user expects of a wildcard; any other IPv6 address is only itself.
		only := 1
		if address.Addr().IsUnspecified() {
			only = 0
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return err
		}
	}
	return unix.Bind(fd, toSockaddr(address))
}

// probe binds the address without SO_REUSEPORT, to learn whether somebody listens there.
func probe(address netip.AddrPort) error {
	fd, err := tcpSocket(address, &SocketOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := bind(fd, address); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

// Open begins to accept on a listener that was held.
func (ln *Listener) Open() {
	if ln.held && !ln.closed {
		ln.held, ln.paused = false, true
		ln.OnTimer(nil, ln.loop.now)
	}
}

// Suspend stops accepting until Resume: connections wait in the accept queue, and then at the clients.
func (ln *Listener) Suspend() {
	if ln.suspended || ln.closed {
		return
	}
	ln.suspended = true
	ln.loop.Counters.AcceptSuspensions++
	if !ln.held && !ln.paused && removeEvents(ln.loop.set, ln.fd) == nil {
		ln.paused = true
	}
	ln.loop.Wheel.Cancel(&ln.timer)
}

// Resume accepts again.
func (ln *Listener) Resume() {
	if !ln.suspended || ln.closed {
		return
	}
	ln.suspended = false
	if ln.paused {
		ln.OnTimer(nil, ln.loop.now)
	}
}

// Address returns the bound address, with the port that the kernel chose if none was asked for.
func (ln *Listener) Address() netip.AddrPort { return ln.address }

// handle implements the slot's handler: connections wait in the accept queue. A call that finds it empty costs nearly as
// much as one that takes a connection. So as many are taken as came last time, and twice as many in each turn in a row
// that finds more: the event is level-triggered and comes again.
func (ln *Listener) handle(uint32) {
	turn := ln.loop.Counters.Turns
	taken := ln.accept(ln.expected)
	switch {
	case taken < ln.expected:
		ln.expected = max(taken, 1)
	case turn == ln.full+1:
		ln.expected = min(2*ln.expected, acceptsPerTurn)
		fallthrough
	default:
		ln.full = turn
	}
}

// accept takes up to limit connections and reports how many it took.
func (ln *Listener) accept(limit int) int {
	var address unix.RawSockaddrAny
	taken := 0
	for taken < limit && !ln.closed && (!ln.suspended || ln.closing) {
		fd, errno := accept(ln.fd, &address)
		switch errno {
		case 0:
		case unix.EINTR, unix.ECONNABORTED, unix.EPROTO, unix.EPERM, unix.ENETDOWN, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EOPNOTSUPP:
			taken++ // the one connection is gone, or refused by a firewall; the next may be good
			continue
		case unix.EAGAIN:
			return taken
		default: // EMFILE, ENFILE, ENOBUFS, ENOMEM
			ln.pause(errno)
			return taken
		}
		taken++
		ln.loop.Counters.Accepted++
		c, err := ln.loop.Adopt(fd, nil, SideClient)
		if err != nil {
			ln.pause(unix.ENOMEM)
			return taken
		}
		ln.acceptor.Accepted(c, fromRawSockaddr(&address), ln)
	}
	return taken
}

// pause takes the listener out of the set, because a level-triggered event that cannot be served would spin, and the
// wheel puts it back.
func (ln *Listener) pause(syscall.Errno) {
	ln.loop.Counters.AcceptPauses++
	if ln.paused || removeEvents(ln.loop.set, ln.fd) != nil {
		return
	}
	ln.paused = true
	ln.loop.Wheel.Arm(&ln.timer, ln.loop.now+int64(acceptPause))
}

// OnTimer implements TimerHandler: try again to accept.
func (ln *Listener) OnTimer(_ *Timer, now int64) {
	if ln.suspended {
		return
	}
	s := ln.loop.slots.at(ln.slot)
	if err := addEvents(ln.loop.set, ln.fd, unix.EPOLLIN, ln.slot, s.generation); err != nil {
		ln.loop.Wheel.Arm(&ln.timer, now+int64(acceptPause))
		return
	}
	ln.paused = false
}

// Close accepts what is in the accept queue already, which the kernel would reset, and stops listening.
func (ln *Listener) Close() {
	if ln.closing || ln.closed { // closing: an Acceptor closes the listener that calls it
		return
	}
	ln.closing = true
	// Bounded, lest clients that come as fast as they are taken keep the loop here: the kernel queues no more.
	const longestQueue = 64 << 10
	for taken := 0; taken < longestQueue; taken += acceptsPerTurn {
		if ln.accept(acceptsPerTurn) < acceptsPerTurn {
			break
		}
	}
	ln.release()
}

// release stops listening; what is in the accept queue is reset.
func (ln *Listener) release() {
	ln.closed = true
	ln.loop.Wheel.Cancel(&ln.timer)
	ln.loop.slots.release(ln.slot)
	_ = unix.Close(int(ln.fd))
}

// fromRawSockaddr converts what accept filled in, without allocating.
func fromRawSockaddr(raw *unix.RawSockaddrAny) netip.AddrPort {
	switch raw.Addr.Family {
	case unix.AF_INET:
		sa := rawAs[unix.RawSockaddrInet4](raw)
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), networkPort(sa.Port))
	case unix.AF_INET6:
		sa := rawAs[unix.RawSockaddrInet6](raw)
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), networkPort(sa.Port))
	}
	return netip.AddrPort{}
}

// zoneIndex turns an IPv6 zone into an interface index; 0 when there is none.
func zoneIndex(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	return 0
}

// IsOutOfResources tells whether a dial or listen failed for want of descriptors or memory here, whatever the address.
// Ports (EADDRNOTAVAIL) are not among them: there are so many per destination.
func IsOutOfResources(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
