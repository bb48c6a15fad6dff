package engine

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// greeter answers every client with its own name and finishes.
type greeter struct {
	name     string
	accepted atomic.Int64
	peers    chan netip.AddrPort
}

func newGreeter(name string) *greeter {
	return &greeter{name: name, peers: make(chan netip.AddrPort, 1024)}
}

func (g *greeter) Accepted(c *Conn, peer netip.AddrPort, _ *Listener) {
	g.accepted.Add(1)
	g.peers <- peer
	c.Attach(ignore, SideClient)
	c.Write([]byte(g.name))
	c.Finish()
}

// listen starts a listener on a running loop.
func listen(t testing.TB, l *runningLoop, address netip.AddrPort, shared bool, a Acceptor) *Listener {
	t.Helper()
	var listener *Listener
	var err error
	l.do(func() { listener, err = l.loop.Listen(address, ListenOptions{Shared: shared}, a) })
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func TestClosingAListenerServesItsAcceptQueueFirst(t *testing.T) {
	staying, leaving := startLoop(t), startLoop(t)
	greeters := [2]*greeter{newGreeter("staying"), newGreeter("leaving")}
	first := listen(t, staying, loopback, false, greeters[0])
	second := listen(t, leaving, first.Address(), true, greeters[1])
	// While the loop is held, the kernel goes on filling its listener's accept queue.
	release := leaving.hold()
	const clients = 60
	var connected [clients]*peer
	for i := range connected {
		connected[i] = dialPeer(t, first.Address(), socketSizes{})
	}
	leaving.loop.Post(second.Close)
	release()
	for i := range connected {
		if name := string(connected[i].receiveAll()); name != "staying" && name != "leaving" {
			t.Errorf("client %d was greeted with %q", i, name)
		}
	}
	if n := greeters[1].accepted.Load(); n == 0 || n == clients {
		t.Errorf("%d of %d clients were in the closed listener's queue: the test proves nothing", n, clients)
	}
	leaving.do(func() {}) // Close has returned
	late := dialPeer(t, first.Address(), socketSizes{})
	if name := string(late.receiveAll()); name != "staying" {
		t.Errorf("after the close a client was greeted by %q", name)
	}
}

// What Close spares its clients: without it the kernel resets them.
func TestTheKernelResetsTheAcceptQueueOfAClosedListener(t *testing.T) {
	fd, bound, err := bindListener(loopback, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p := dialPeer(t, bound, socketSizes{})
	_ = unix.Close(fd)
	p.receiveReset()
}

func TestAnAddressInUseIsRefusedUnlessShared(t *testing.T) {
	l, other := startLoop(t), startLoop(t)
	first := listen(t, l, loopback, false, newGreeter("first"))
	other.do(func() {
		if _, err := other.loop.Listen(first.Address(), ListenOptions{}, newGreeter("second")); err == nil {
			t.Error("a second listener was let in")
		}
	})
	listen(t, other, first.Address(), true, newGreeter("second"))
}

func TestListenersTakeTheFamiliesOfTheirAddress(t *testing.T) {
	const none = ""
	for _, test := range []struct {
		listen string
		from4  string // the client's address as Accepted is told; none: not reachable
		from6  string
	}{
		{"127.0.0.1:0", "127.0.0.1", none},
		{"0.0.0.0:0", "127.0.0.1", none},
		{"[::1]:0", none, "::1"},
		{"[::]:0", "127.0.0.1", "::1"},
		{"[::ffff:127.0.0.1]:0", "127.0.0.1", none},
	} {
		t.Run(test.listen, func(t *testing.T) {
			l := startLoop(t)
			g := newGreeter("hello")
			listener := listen(t, l, netip.MustParseAddrPort(test.listen), false, g)
			for host, want := range map[string]string{"127.0.0.1": test.from4, "::1": test.from6} {
				address := netip.AddrPortFrom(netip.MustParseAddr(host), listener.Address().Port())
				before := g.accepted.Load()
				d := &dialProbe{result: make(chan error, 1)}
				l.do(func() { d.start(l.loop, address) })
				err := <-d.result
				if want == none {
					// Somebody else's socket may have that port on that address.
					l.do(func() {})
					l.do(func() {})
					if g.accepted.Load() != before {
						t.Errorf("%s was accepted", address)
					}
					continue
				}
				if err != nil {
					t.Errorf("dialling %s: %v", address, err)
					continue
				}
				if got := <-g.peers; got.Addr().String() != want || got.Port() == 0 {
					t.Errorf("the client at %s is told as %s", host, got)
				}
			}
		})
	}
}

// dialProbe dials once and tells how it went.
type dialProbe struct {
	conn   *Conn
	result chan error
	told   bool
}

func (d *dialProbe) start(l *Loop, address netip.AddrPort) {
	c, err := l.Dial(address, netip.Addr{}, d, SideBackend)
	if d.conn = c; err != nil {
		d.result <- err
	}
}

func (d *dialProbe) Ready(_ Side, r Readiness) {
	if d.told {
		return
	}
	if connected, err := d.conn.DialResult(r); connected || err != nil {
		d.told = true
		d.result <- err
	}
}

func TestAcceptedAndDialledSocketsHaveTheirOptions(t *testing.T) {
	l := startLoop(t)
	var accepted, dialled *Conn
	done := make(chan struct{})
	listener := listen(t, l, loopback, false, acceptorFunc(func(c *Conn, _ netip.AddrPort, _ *Listener) {
		accepted = c
		c.Attach(ignore, SideClient)
		close(done)
	}))
	l.do(func() {
		var err error
		if dialled, err = l.loop.Dial(listener.Address(), netip.Addr{}, ignore, SideBackend); err != nil {
			t.Error(err)
		}
	})
	l.wait("the connection", done)
	l.do(func() {
		for side, c := range map[string]*Conn{"accepted": accepted, "dialled": dialled} {
			for _, o := range tcpOptions {
				if v, err := unix.GetsockoptInt(c.Descriptor(), o.level, o.name); err != nil || v != o.value {
					t.Errorf("%s socket: %s is %d, want %d (%v)", side, o.text, v, o.value, err)
				}
			}
			if flags, _ := unix.FcntlInt(uintptr(c.fd), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("%s socket survives exec", side)
			}
			if flags, _ := unix.FcntlInt(uintptr(c.fd), unix.F_GETFL, 0); flags&unix.O_NONBLOCK == 0 {
				t.Errorf("%s socket blocks", side)
			}
		}
	})
}

func TestAnAcceptorMayCloseItsListener(t *testing.T) {
	l := startLoop(t)
	const clients = 300
	served, depth, deepest := 0, 0, 0
	listener := listen(t, l, loopback, false, acceptorFunc(func(c *Conn, _ netip.AddrPort, listener *Listener) {
		depth++
		deepest = max(deepest, depth)
		served++
		c.Close()
		listener.Close()
		depth--
	}))
	release := l.hold()
	for range clients {
		dialPeer(t, listener.Address(), socketSizes{})
	}
	release()
	l.do(func() {
		if served != clients || deepest > 2 {
			t.Errorf("%d of %d clients were served, %d calls deep", served, clients, deepest)
		}
	})
}

func TestDialTellsWhatIsWrong(t *testing.T) {
	l := newSteppedLoop(t)
	for _, address := range []string{"255.255.255.255:1", "[fe80::1]:1"} {
		before := l.loop.Counters.DialFailures
		if c, err := l.loop.Dial(netip.MustParseAddrPort(address), netip.Addr{}, ignore, SideBackend); err == nil {
			c.Close()
			t.Errorf("%s: no error", address)
		} else if l.loop.Counters.DialFailures != before+1 {
			t.Errorf("%s: not counted", address)
		}
	}
	if err := fmt.Errorf("wrapped: %w", unix.EMFILE); !IsOutOfResources(err) || IsOutOfResources(unix.ECONNREFUSED) {
		t.Error("want EMFILE, and nothing else, to be a lack of resources")
	}
}
