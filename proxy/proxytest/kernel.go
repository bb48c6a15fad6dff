package proxytest

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What tests ask of the kernel beyond package net.

// networkSegment is the size of a TCP segment on a network, in bytes. Those of the loopback are 64 KiB.
const networkSegment = 1400

// control sets the options of a socket before it connects or listens.
func (o ConnOptions) control(_, _ string, raw syscall.RawConn) error {
	if o.ReceiveBuffer == 0 && o.SendBuffer == 0 {
		return nil
	}
	var err error
	controlled := raw.Control(func(fd uintptr) {
		for option, size := range map[int]int{unix.SO_RCVBUF: o.ReceiveBuffer, unix.SO_SNDBUF: o.SendBuffer} {
			if size > 0 && err == nil {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, size)
			}
		}
		if err == nil {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, networkSegment)
		}
	})
	if controlled != nil {
		return controlled
	}
	return err
}

// withDescriptor runs f with the connection's descriptor; nothing happens to a closed connection.
func (c *Conn) withDescriptor(f func(fd int)) {
	raw, err := c.raw.SyscallConn()
	if err != nil {
		c.fail("has no descriptor: %v", err)
	}
	_ = raw.Control(func(fd uintptr) { f(int(fd)) })
}

// Unread returns how many bytes have come that the test has not taken, those in the kernel's queue included.
func (c *Conn) Unread() int {
	n := 0
	if c.secured != nil { // what lies in the kernel may be no byte of the stream
		buffer := make([]byte, 64<<10)
		for {
			n, err := c.secured.readAvailable(buffer)
			if n == 0 && err == nil || c.err != nil {
				return len(c.received) - c.taken
			}
			c.record(buffer[:n], err)
		}
	}
	c.withDescriptor(func(fd int) { n, _ = unix.IoctlGetInt(fd, unix.SIOCINQ) })
	return n + len(c.received) - c.taken
}

// unacknowledged returns how many bytes the other side's kernel has not acknowledged.
func (c *Conn) unacknowledged() (n int) {
	c.withDescriptor(func(fd int) { n, _ = unix.IoctlGetInt(fd, unix.SIOCOUTQ) })
	return n
}

// SendAvailable sends as much of text as the kernel takes at once, and returns how much that was.
func (c *Conn) SendAvailable(text string) (sent int) {
	if c.secured != nil {
		return c.secured.sendAvailable(text)
	}
	return writeAvailable(c.raw, []byte(text))
}

func writeAvailable(c *net.TCPConn, p []byte) (written int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		for written < len(p) {
			n, err := unix.SendmsgN(int(fd), p[written:], nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return
			}
			written += n
		}
	})
	return written
}

// Vanish makes the connection's host disappear from the network as far as the other side can see: from now on nothing
// that arrives is acknowledged or answered. What it does send should be nothing either.
func (c *Conn) Vanish() {
	c.t.Helper()
	var err error
	c.withDescriptor(func(fd int) {
		nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
		err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing[0]})
	})
	if err != nil {
		c.fail("cannot vanish: %v", err)
	}
}

// Lose makes the connection's host disappear, and has the proxy's kernel notice within seconds instead of minutes: its
// end of the connection, whose descriptor is in this process, gets short keep-alive and retransmission timeouts.
func (p *Proxy) Lose(t testing.TB, c *Conn) {
	t.Helper()
	c.Vanish()
	fd, ok := heldDescriptor(c)
	if !ok {
		t.Fatalf("%s cannot be lost: the proxy holds no connection to it", c)
	}
	const second, userTimeoutMillis = 1, 300
	for _, option := range [][2]int{
		{unix.TCP_USER_TIMEOUT, userTimeoutMillis}, {unix.TCP_KEEPINTVL, second}, {unix.TCP_KEEPIDLE, second},
	} {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, option[0], option[1]); err != nil {
			t.Fatalf("shorten the timeouts towards %s: %v", c, err)
		}
	}
}

// watched is a descriptor of this process, and the socket behind it: numbers are used again.
type watched struct{ link, socket string }

// Watch waits until the proxy has a descriptor for its end of the connection, and remembers which: Holds knows it also
// when the kernel cannot tell any more whom it was connected to.
func (p *Proxy) Watch(t testing.TB, connections ...*Conn) {
	t.Helper()
	for _, c := range connections {
		Eventually(t, "the proxy has a descriptor for "+c.String(), func() bool {
			fd, ok := heldDescriptor(c)
			if !ok {
				return false
			}
			w := watched{link: "/proc/self/fd/" + strconv.Itoa(fd)}
			w.socket, _ = os.Readlink(w.link)
			p.watched[c] = w
			return w.socket != ""
		})
	}
}

// Holds tells whether the proxy still has a descriptor for its end of the connection.
func (p *Proxy) Holds(c *Conn) bool {
	w, ok := p.watched[c]
	if !ok {
		_, ok = heldDescriptor(c)
		return ok
	}
	socket, err := os.Readlink(w.link)
	return err == nil && socket == w.socket
}

// WaitReleased waits until the proxy has released its end of the connection.
func (p *Proxy) WaitReleased(t testing.TB, c *Conn) {
	t.Helper()
	Eventually(t, "the proxy has released its descriptor to "+c.String(), func() bool { return !p.Holds(c) })
}

// WantResetAfterEOF wants a reset of a connection on which the other side's FIN was read before: reads cannot tell.
func (c *Conn) WantResetAfterEOF() {
	c.t.Helper()
	const tcpClose = 7 // TCP_CLOSE of the kernel's net/tcp_states.h
	Eventually(c.t, c.name+" is reset behind the FIN", func() bool {
		state := uint8(0)
		c.withDescriptor(func(fd int) {
			if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
				state = info.State
			}
		})
		return state == tcpClose
	})
}

// heldDescriptor looks in this process for the other end of a connection.
func heldDescriptor(c *Conn) (int, bool) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, false
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		remote, err := unix.Getpeername(fd)
		if err != nil || socketAddress(remote) != c.Local() {
			continue
		}
		if local, err := unix.Getsockname(fd); err == nil && socketAddress(local) == c.Remote() {
			return fd, true
		}
	}
	return 0, false
}

func socketAddress(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}
