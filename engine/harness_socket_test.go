package engine

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// peer is the far side of a socket of ours: an ordinary blocking connection, used by the test.
type peer struct {
	*net.TCPConn
	t testing.TB
}

// socketSizes are kernel buffers, in bytes; 0 leaves them as they are. With any of them set segments are of the size
// that a network has: a loopback segment of 64 KiB does not fit a small buffer, and TCP then crawls from one window
// probe to the next.
type socketSizes struct {
	ourSend, ourReceive, peerSend, peerReceive int
}

// socketPair returns the two sides of a connection over loopback TCP: ours as a descriptor with the options that the
// engine sets, and the peer's.
func socketPair(t testing.TB, sizes socketSizes) (int32, *peer) {
	t.Helper()
	listener, err := tcpSocket(loopback, &SocketOptions{})
	if err == nil {
		defer unix.Close(listener)
		setSize(t, listener, unix.SO_RCVBUF, sizes.ourReceive)
		limitSegments(t, listener, sizes)
		if err = unix.Bind(listener, toSockaddr(loopback)); err == nil {
			err = unix.Listen(listener, 1)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(listener)
	if err != nil {
		t.Fatal(err)
	}
	p := dialPeer(t, fromSockaddr(name), sizes)
	var fd int32
	eventually(t, "a connection in the accept queue", func() bool {
		var address unix.RawSockaddrAny
		var errno syscall.Errno
		fd, errno = accept(int32(listener), &address)
		return errno == 0
	})
	setSize(t, int(fd), unix.SO_SNDBUF, sizes.ourSend)
	return fd, p
}

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

func setSize(t testing.TB, fd, option, size int) {
	t.Helper()
	if size == 0 {
		return
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, size); err != nil {
		t.Fatal(err)
	}
}

func limitSegments(t testing.TB, fd int, sizes socketSizes) {
	t.Helper()
	const segment = 1400
	if sizes == (socketSizes{}) {
		return
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, segment); err != nil {
		t.Fatal(err)
	}
}

// dialPeer connects a client of the test to address.
func dialPeer(t testing.TB, address netip.AddrPort, sizes socketSizes) *peer {
	t.Helper()
	dialer := net.Dialer{Timeout: patience, Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			setSize(t, int(fd), unix.SO_RCVBUF, sizes.peerReceive)
			setSize(t, int(fd), unix.SO_SNDBUF, sizes.peerSend)
			limitSegments(t, int(fd), sizes)
		})
	}}
	c, err := dialer.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{TCPConn: c.(*net.TCPConn), t: t}
	_ = p.SetDeadline(time.Now().Add(3 * patience))
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// send writes all of b.
func (p *peer) send(b []byte) {
	p.t.Helper()
	if _, err := p.Write(b); err != nil {
		p.t.Errorf("the peer cannot send: %v", err)
	}
}

// sendInBackground writes all of b from another goroutine; the channel gets the error.
func (p *peer) sendInBackground(b []byte) <-chan error {
	result := make(chan error, 1)
	go func() {
		_, err := p.Write(b)
		result <- err
	}()
	return result
}

// receive reads exactly what is expected.
func (p *peer) receive(want []byte) {
	p.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(p, got); err != nil {
		p.t.Fatalf("the peer got %d of %d bytes: %v", n, len(want), err)
	}
	if !bytes.Equal(got, want) {
		p.t.Fatalf("the peer got %.60q, want %.60q", got, want)
	}
}

// receiveAll reads until the FIN.
func (p *peer) receiveAll() []byte {
	p.t.Helper()
	b, err := io.ReadAll(p)
	if err != nil {
		p.t.Fatalf("after %d bytes the peer wants a FIN: %v", len(b), err)
	}
	return b
}

// receiveFIN wants a clean end and no byte before it.
func (p *peer) receiveFIN() {
	p.t.Helper()
	if b := p.receiveAll(); len(b) > 0 {
		p.t.Fatalf("the peer got %.60q before the FIN", b)
	}
}

// receiveReset reads until the connection is reset and returns what came before.
func (p *peer) receiveReset() []byte {
	p.t.Helper()
	b, err := io.ReadAll(p)
	if !errors.Is(err, unix.ECONNRESET) {
		p.t.Fatalf("after %d bytes the peer wants a reset: %v", len(b), err)
	}
	return b
}

// finish sends a FIN.
func (p *peer) finish() {
	p.t.Helper()
	if err := p.CloseWrite(); err != nil {
		p.t.Errorf("the peer cannot send a FIN: %v", err)
	}
}

// reset closes the peer's socket with a reset.
func (p *peer) reset() {
	p.t.Helper()
	if err := errors.Join(p.SetLinger(0), p.Close()); err != nil {
		p.t.Errorf("the peer cannot reset: %v", err)
	}
}

// acknowledged waits until the kernel of the other side has everything that was sent.
func (p *peer) acknowledged() {
	p.t.Helper()
	raw, err := p.SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, "everything acknowledged", func() bool {
		left := -1
		_ = raw.Control(func(fd uintptr) { left, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		return left == 0
	})
}

// unread returns how many bytes wait in a socket's receive queue.
func unread(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
	if err != nil {
		return -1
	}
	return n
}

// arrived waits until the kernel has put n bytes into a connection's receive queue. It may be called on the loop.
func arrived(t testing.TB, c *Conn, n int) {
	for deadline := time.Now().Add(patience); unread(c.Descriptor()) < n; {
		if time.Now().After(deadline) {
			t.Errorf("%d bytes did not arrive", n)
			return
		}
	}
}

// state returns a socket's TCP state as in tcp_states.h.
func state(fd int) uint8 {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return info.State
}

// The TCP states that tests wait for.
const (
	tcpClose     = 7
	tcpCloseWait = 8
)

// inState waits until the kernel has brought a connection into a TCP state. It may be called on the loop.
func inState(t testing.TB, c *Conn, want uint8) {
	for deadline := time.Now().Add(patience); state(c.Descriptor()) != want; {
		if time.Now().After(deadline) {
			t.Errorf("the socket is in state %d, want %d", state(c.Descriptor()), want)
			return
		}
	}
}

// ownerFunc is an Owner made of a function.
type ownerFunc func(side Side, r Readiness)

func (f ownerFunc) Ready(side Side, r Readiness) { f(side, r) }

// ignore is the owner of a connection whose events a test does not care for.
var ignore = ownerFunc(func(Side, Readiness) {})

// adopt puts one side of a new pair onto the loop.
func adopt(t testing.TB, d driver, owner Owner, sizes socketSizes) (*Conn, *peer) {
	t.Helper()
	fd, p := socketPair(t, sizes)
	var c *Conn
	var err error
	d.do(func() { c, err = d.engine().Adopt(fd, owner, SideClient) })
	if err != nil {
		t.Fatal(err)
	}
	return c, p
}
