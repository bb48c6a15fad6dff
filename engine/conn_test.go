package engine

import (
	"bytes"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// What we rely on in the kernel's sockets and its edge-triggered events. docs/netpoll.md names these tests.

// reader is an owner that reads what it can and writes down what it was told.
type reader struct {
	conn   *Conn
	got    []byte
	last   Status
	told   Readiness // of all events
	events int
	paused bool
}

func (o *reader) Ready(_ Side, r Readiness) {
	o.told |= r
	o.events++
	if o.paused || r&Readable == 0 {
		return
	}
	o.read(o.conn.loop.ReadBuffer())
}

// read reads into buffer until there is nothing more.
func (o *reader) read(buffer []byte) {
	for {
		n, status := o.conn.Read(buffer)
		o.got = append(o.got, buffer[:n]...)
		if o.last = status; status != StatusReady {
			return
		}
	}
}

// adoptReader puts a new connection with a reader onto the loop, its first event handled.
func adoptReader(t testing.TB, d driver, sizes socketSizes) (*reader, *peer) {
	t.Helper()
	o := &reader{}
	c, p := adopt(t, d, ignore, sizes)
	d.do(func() {
		o.conn = c
		c.Attach(o, SideClient)
	})
	return o, p
}

func TestAShortReadIsFollowedByTheEventOfTheNextBytesAndOfTheFIN(t *testing.T) {
	l := newSteppedLoop(t)
	o, p := adoptReader(t, l, socketSizes{})
	for _, part := range []string{"one", "two", "three"} {
		p.send([]byte(part))
		o.got = nil
		l.until("the bytes", func() bool { return string(o.got) == part })
		if o.last != StatusBlocked {
			t.Errorf("after %q the status is %d: one read too many or too few", part, o.last)
		}
	}
	p.finish()
	l.until("the FIN", func() bool { return o.last == StatusEOF })
	if o.told&(Hangup|Broken) != Hangup {
		t.Errorf("told %b, want a hang-up and nothing broken", o.told)
	}
}

func TestDataAndFINInOneEventAreBothSeen(t *testing.T) {
	l := newSteppedLoop(t)
	o, p := adoptReader(t, l, socketSizes{})
	l.settle()
	p.send([]byte("last words"))
	p.finish()
	inState(t, o.conn, tcpCloseWait)
	o.events = 0
	l.turn()
	if o.events != 1 || string(o.got) != "last words" || o.last != StatusEOF {
		t.Errorf("%d events, read %q, status %d; want one event, all bytes and the end", o.events, o.got, o.last)
	}
}

func TestDataBeforeAResetInTheSameEventIsStillReadable(t *testing.T) {
	l := newSteppedLoop(t)
	o, p := adoptReader(t, l, socketSizes{})
	l.settle()
	p.send([]byte("last words"))
	arrived(t, o.conn, 10)
	p.reset()
	inState(t, o.conn, tcpClose)
	o.events = 0
	l.turn()
	if o.events != 1 || string(o.got) != "last words" || o.last != StatusFailed || o.told&Broken == 0 {
		t.Errorf("%d events, told %b, read %q, status %d; want one event, all bytes and the failure", o.events, o.told, o.got, o.last)
	}
	if o.conn.Fault() != FaultReset || o.conn.Err() != unix.ECONNRESET {
		t.Errorf("fault %d, error %v", o.conn.Fault(), o.conn.Err())
	}
	before := l.loop.Counters.Events
	l.settle()
	if l.loop.Counters.Events != before {
		t.Error("the broken socket goes on telling")
	}
}

// The kernel hands an error out once, to whichever call comes first.
func TestASendThatFailsConsumesTheErrorAndTheNextReadIsNotACleanFIN(t *testing.T) {
	l := newSteppedLoop(t)
	fd, p := socketPair(t, socketSizes{})
	c, err := l.loop.Adopt(fd, ignore, SideClient)
	if err != nil {
		t.Fatal(err)
	}
	p.reset()
	inState(t, c, tcpClose)
	if n, status := c.Write([]byte("x")); n != 0 || status != StatusFailed {
		t.Fatalf("Write gave %d, status %d after a reset", n, status)
	}
	if n, errno := recv(fd, make([]byte, 8)); n != 0 || errno != 0 {
		t.Errorf("the kernel's recv after the failed send gave %d, %v; the record is there because it gave 0 and no error", n, errno)
	}
	if n, status := c.Read(make([]byte, 8)); n != 0 || status != StatusFailed {
		t.Errorf("Read gave %d, status %d; want a failure", n, status)
	}
	if c.Err() != unix.ECONNRESET {
		t.Errorf("recorded %v", c.Err())
	}
}

func TestAHangUpWhilePausedIsToldOnceAndFoundLater(t *testing.T) {
	l := newSteppedLoop(t)
	o, p := adoptReader(t, l, socketSizes{})
	o.paused = true
	l.settle()
	sent := bytes.Repeat([]byte("paused "), 3000)
	p.send(sent)
	p.finish()
	inState(t, o.conn, tcpCloseWait)
	l.settle()
	if o.told&(Hangup|Broken) != Hangup || len(o.got) > 0 {
		t.Errorf("told %b, read %d bytes while paused", o.told, len(o.got))
	}
	before := l.loop.Counters.Events
	for range 50 {
		l.turn()
	}
	if l.loop.Counters.Events != before {
		t.Errorf("%d events while paused", l.loop.Counters.Events-before)
	}
	o.read(make([]byte, 1000))
	if !bytes.Equal(o.got, sent) || o.last != StatusEOF {
		t.Errorf("read %d of %d bytes, status %d", len(o.got), len(sent), o.last)
	}
}

// A read stops in front of an urgent byte although more is there (tcp(7)), which must not be taken for an empty socket.
func TestBytesBehindAnUrgentByteAreRead(t *testing.T) {
	l := newSteppedLoop(t)
	o, p := adoptReader(t, l, socketSizes{})
	l.settle()
	raw, err := p.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	p.send([]byte("before "))
	_ = raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), []byte("!"), unix.MSG_OOB, nil) })
	if err != nil {
		t.Fatal(err)
	}
	p.send([]byte("behind"))
	p.acknowledged()
	l.settle()
	if string(o.got) != "before behind" {
		t.Errorf("read %q", o.got)
	}
}

func TestABlockedWriteIsToldWhenThereIsRoom(t *testing.T) {
	l := newSteppedLoop(t)
	o, p := adoptReader(t, l, socketSizes{ourSend: 16 << 10, peerReceive: 16 << 10})
	l.settle()
	chunk, written := make([]byte, 10_000), 0
	for status := StatusReady; status == StatusReady; {
		var n int
		n, status = o.conn.Write(chunk)
		written += n
		if status == StatusFailed {
			t.Fatal("the write failed")
		}
	}
	o.told = 0
	l.settle()
	if o.told&Writable != 0 {
		t.Error("told writable while the socket is full")
	}
	p.receive(make([]byte, written))
	l.until("room", func() bool { return o.told&Writable != 0 })
}

func TestResetGivesThePeerAReset(t *testing.T) {
	l := startLoop(t)
	c, p := adopt(t, l, ignore, socketSizes{})
	l.do(func() {
		c.Reset()
		c.Reset() // a second release does nothing
		c.Close()
	})
	p.receiveReset()
}

func TestEventsOfASlotGivenAwayAreStale(t *testing.T) {
	var table slotTable
	first, second := &listenerStub{}, &listenerStub{}
	index, generation := table.take(first)
	table.release(index)
	again, next := table.take(second)
	if again != index || next == generation {
		t.Fatalf("slot %d generation %d, then slot %d generation %d", index, generation, again, next)
	}
	if table.lookup(index, generation) != nil || table.lookup(again, next) != handler(second) {
		t.Error("a stale event found a handler, or a live one none")
	}
	if table.lookup(1<<20, 0) != nil {
		t.Error("a slot that never was has a handler")
	}
	seen := map[uint32]bool{index: true}
	for range 3 * slotChunk {
		i, _ := table.take(first)
		if seen[i] {
			t.Fatalf("slot %d was given twice", i)
		}
		seen[i] = true
	}
}

type listenerStub struct{ _ int }

func (*listenerStub) handle(uint32) {}

// Both connections have an event in the batch; the handler of the first closes both, and takes the second's slot and
// descriptor number again at once.
func TestAHandlerThatClosesItsOwnAndItsPartnersConnectionWithEventsForBoth(t *testing.T) {
	l := newSteppedLoop(t)
	var conns [2]*Conn
	var peers [2]*peer
	told := 0
	var fresh *reader
	replacement, freshPeer := socketPair(t, socketSizes{})
	number := int32(-1)
	for i := range conns {
		conns[i], peers[i] = adopt(t, l, ignore, socketSizes{})
	}
	l.settle()
	owner := ownerFunc(func(side Side, _ Readiness) {
		told++
		number = conns[side.Other()].fd
		conns[side].Close()
		conns[side.Other()].Close()
		// The partner's number lives on as another connection, under another generation.
		if err := unix.Dup3(int(replacement), int(number), unix.O_CLOEXEC); err != nil {
			t.Error(err)
		}
		fresh = &reader{}
		fresh.conn, _ = l.loop.Adopt(number, fresh, SideClient)
	})
	for i := range conns {
		conns[i].Attach(owner, Side(i))
		peers[i].send([]byte("x"))
		arrived(t, conns[i], 1)
	}
	before := l.loop.Counters
	l.turn()
	after := l.loop.Counters
	if told != 1 || after.Events-before.Events != 2 || after.StaleEvents-before.StaleEvents != 1 || fresh.events != 0 {
		t.Errorf("told %d times, %d events, %d of them stale, %d for the new connection", told, after.Events-before.Events, after.StaleEvents-before.StaleEvents, fresh.events)
	}
	_ = unix.Close(int(replacement))
	freshPeer.send([]byte("hello"))
	l.until("the new connection's bytes", func() bool { return string(fresh.got) == "hello" })
}

func TestARefusedDialRetriedOntoTheSameDescriptorNumberConnects(t *testing.T) {
	l := startLoop(t)
	live, dead := listenOnce(t), closedPort(t)
	d := &retryingDialer{loop: l.loop, t: t, next: []netip.AddrPort{dead, dead, live}, connected: make(chan struct{})}
	l.do(d.dial)
	l.wait("the third attempt to connect", d.connected)
	l.do(func() {
		if len(d.numbers) != 3 || d.numbers[0] != d.numbers[1] || d.numbers[1] != d.numbers[2] {
			t.Errorf("descriptors %v, want one number three times", d.numbers)
		}
		if c := l.loop.Counters; c.Dials != 3 || c.DialFailures != 2 {
			t.Errorf("%d dials, %d failures", c.Dials, c.DialFailures)
		}
	})
}

// retryingDialer tries one address after the other, from within the event that told of the failure.
type retryingDialer struct {
	t         *testing.T
	loop      *Loop
	next      []netip.AddrPort
	conn      *Conn
	numbers   []int
	connected chan struct{}
	over      bool
}

func (d *retryingDialer) dial() {
	c, err := d.loop.Dial(d.next[0], netip.Addr{}, d, SideBackend)
	if err != nil {
		d.t.Error(err)
		return
	}
	d.next = d.next[1:]
	d.conn = c
	d.numbers = append(d.numbers, c.Descriptor())
}

func (d *retryingDialer) Ready(_ Side, r Readiness) {
	connected, err := d.conn.DialResult(r)
	switch {
	case d.over:
	case err != nil:
		if err != unix.ECONNREFUSED {
			d.t.Errorf("refused with %v", err)
		}
		d.conn.Close()
		d.dial()
	case connected:
		d.over = true
		close(d.connected)
	}
}

// closedPort returns an address that refuses connections: bound by the test, but not listening.
func closedPort(t testing.TB) netip.AddrPort {
	t.Helper()
	return boundSocket(t, false)
}

// listenOnce returns an address that takes connections into its accept queue.
func listenOnce(t testing.TB) netip.AddrPort {
	t.Helper()
	return boundSocket(t, true)
}

func boundSocket(t testing.TB, listen bool) netip.AddrPort {
	t.Helper()
	fd, err := tcpSocket(loopback, &SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err = unix.Bind(fd, toSockaddr(loopback)); err == nil && listen {
		err = unix.Listen(fd, 8)
	}
	if err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fromSockaddr(name)
}
