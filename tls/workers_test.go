package tls

import (
	"crypto/tls"
	"errors"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// serverOf returns our configuration of a server, with a change to that of crypto/tls.
func serverOf(t *testing.T, change func(*tls.Config)) *Config {
	c := configOf(t, true, Version13)
	change(c.standard)
	return c
}

func TestAbandonedHandshakesLeaveNothing(t *testing.T) {
	hello := helloOf(t)
	for name, fed := range map[string]int{"after a hello": len(hello), "in mid-hello": len(hello) / 2} {
		t.Run(name, func(t *testing.T) {
			o := newOwner(t)
			config := configOf(t, true, Version13)
			before := runtime.NumGoroutine()
			peak := int64(0)
			for range abandonedClients {
				c := o.open(config)
				c.Feed(hello[:fed])
				if fed == len(hello) {
					o.wait("the server's flight", func() bool { return len(c.Pending()) > 0 })
				}
				peak = max(peak, o.workers.Stats().InFlight)
				if len(o.conns)%500 == 0 {
					for _, c := range o.conns {
						c.Abandon()
						c.Abandon()
					}
					o.conns = o.conns[:0]
				}
			}
			o.wait("all are stopped", func() bool { return o.workers.Stats().InFlight == 0 })
			if after := runtime.NumGoroutine(); after > before {
				t.Errorf("%d goroutines before, %d after", before, after)
			}
			s := o.workers.Stats()
			if want := uint64(abandonedClients); fed < len(hello) && (s.Abandoned != 0 || peak != 0) || fed == len(hello) && (s.Abandoned != want || peak < 400) {
				t.Errorf("at most %d were in flight; %+v", peak, s)
			}
		})
	}
}

func TestHandshakesInFlightAreBounded(t *testing.T) {
	const limit = 3
	o := newOwner(t)
	o.workers = startWorkers(t, WorkersOptions{Threads: 2, Handshakes: limit})
	hello := helloOf(t)
	var conns []*Conn
	for range limit + 2 {
		c := o.open(configOf(t, true, Version13))
		c.Feed(hello)
		conns = append(conns, c)
	}
	for i, c := range conns {
		if i < limit {
			o.wait("an answer", func() bool { return len(c.Pending()) > 0 })
		} else if !c.Waits() || c.Wants() || c.Err() != nil || c.HeldBytes() != len(hello) {
			t.Errorf("handshake %d: waits %v, wants %v, holds %d bytes, %v", i, c.Waits(), c.Wants(), c.HeldBytes(), c.Err())
		}
	}
	if s := o.workers.Stats(); s.InFlight != limit || s.Servers != limit || s.Waiting != 2 || s.Waited != 2 || !o.workers.Full(true) || o.workers.Full(false) {
		t.Errorf("%+v", s)
	}
	conns[0].Abandon()
	o.wait("a free place", func() bool { return !o.workers.Full(true) })
	c := conns[limit]
	if !c.Begin() || conns[limit+1].Begin() {
		t.Error("there is room for one more")
	}
	o.wait("an answer", func() bool { return len(c.Pending()) > 0 })
	if s := o.workers.Stats(); s.InFlight != limit || s.Waiting != 1 || s.Waited != 2 {
		t.Errorf("%+v", s)
	}
}

func TestAPanicFailsOneConnection(t *testing.T) {
	o := newOwner(t)
	o.workers = startWorkers(t, WorkersOptions{})
	bad := o.open(serverOf(t, func(c *tls.Config) {
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("no such luck") }
		c.Certificates = nil
	}))
	bad.Feed(helloOf(t))
	o.wait("the failure", func() bool { return bad.Err() != nil })
	if e := bad.Err(); e.Cause != CausePanic || !strings.Contains(e.Error(), "no such luck") || !strings.Contains(e.Error(), "workers_test.go") {
		t.Errorf("%v", e)
	}
	if s := o.workers.Stats(); s.Failed != 1 || s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
	pair(o, Version13)
}

func TestWorkersAreOfLowPriorityAndKeepTheirThread(t *testing.T) {
	o := newOwner(t)
	o.workers = startWorkers(t, WorkersOptions{Niceness: 7})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // this thread's: the first one may be, or have been, a worker's
	if err != nil {
		t.Fatal(err)
	}
	var threads, priorities []int
	config := serverOf(t, func(c *tls.Config) {
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			priority, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
			threads, priorities = append(threads, unix.Gettid()), append(priorities, priority)
			return nil, err
		}
	})
	for range 3 {
		server, client := o.open(config), o.open(configOf(t, false, Version13))
		shuttle(o, server, client)
	}
	if len(threads) != 3 || threads[0] != threads[1] || threads[1] != threads[2] {
		t.Errorf("threads: %v", threads)
	}
	if want := max(own-7, 1); priorities[0] != want {
		t.Errorf("priority %d, want %d, as the system call tells it", priorities[0], want)
	}
}

func TestHandshakesAreSpreadOverWorkers(t *testing.T) {
	const threads = 3
	o := newOwner(t)
	o.workers = startWorkers(t, WorkersOptions{Threads: threads})
	hello := helloOf(t)
	for range 4 * threads {
		o.open(configOf(t, true, Version13)).Feed(hello)
	}
	for i, k := range o.workers.workers {
		if n := k.owned.Load(); n != 4 {
			t.Errorf("worker %d has %d", i, n)
		}
	}
}

// busy is a server's configuration in whose handshakes a worker stays until release is closed; begun tells when.
func busy(t *testing.T) (config *Config, begun, release chan struct{}) {
	begun, release = make(chan struct{}, 16), make(chan struct{})
	return serverOf(t, func(c *tls.Config) {
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			begun <- struct{}{}
			<-release
			return nil, nil
		}
	}), begun, release
}

func TestAHandshakeIsAbandonedWhereverItIs(t *testing.T) {
	o := newOwner(t)
	o.workers = startWorkers(t, WorkersOptions{Threads: 1})
	hello := helloOf(t)
	idle := o.open(configOf(t, true, Version13))
	idle.Feed(hello)
	o.wait("one suspended", func() bool { return len(idle.Pending()) > 0 })
	config, begun, release := busy(t)
	running, queued, resumed := o.open(config), o.open(configOf(t, true, Version13)), idle
	running.Feed(hello)
	<-begun
	queued.Feed(hello)
	resumed.Feed(record(23, make([]byte, 50)))
	if s := o.workers.Stats(); s.InFlight != 3 || s.Queued != 2 || running.Wants() || queued.Wants() {
		t.Errorf("%+v", s)
	}
	for _, c := range []*Conn{running, queued, resumed} {
		c.Abandon()
		if c.Pending() != nil && len(c.Pending()) > 0 {
			t.Error("something is pending on an abandoned connection")
		}
	}
	close(release)
	o.wait("all are stopped", func() bool { return o.workers.Stats().InFlight == 0 })
	if s := o.workers.Stats(); s.Abandoned != 3 || s.Queued != 0 {
		t.Errorf("%+v", s)
	}
}

func TestHandshakesUnderWayGoFirst(t *testing.T) {
	o := newOwner(t)
	o.workers = startWorkers(t, WorkersOptions{Threads: 1})
	hello := helloOf(t)
	begun := o.open(configOf(t, true, Version13))
	begun.Feed(hello)
	o.wait("one suspended", func() bool { return len(begun.Pending()) > 0 })
	config, entered, release := busy(t)
	o.open(config).Feed(hello)
	<-entered
	fresh := o.open(configOf(t, true, Version13))
	fresh.Feed(hello)
	begun.Feed(record(23, make([]byte, 50))) // fails, which is over soon
	close(release)
	o.wait("the failure", func() bool { return begun.Err() != nil })
	if len(fresh.Pending()) > 0 {
		t.Error("a handshake that had not begun went first")
	}
}

func TestStoppedWorkersFailEveryHandshake(t *testing.T) {
	o := newOwner(t)
	w := NewWorkers(WorkersOptions{Threads: 2})
	o.workers = w
	hello := helloOf(t)
	suspended, unheard := o.open(configOf(t, true, Version13)), o.open(configOf(t, true, Version13))
	suspended.Feed(hello)
	unheard.Feed(hello)
	o.wait("their flights", func() bool { return len(suspended.Pending()) > 0 && len(unheard.Pending()) > 0 })
	unheard.Abandon()
	w.Stop()
	o.wait("the failure", func() bool { return suspended.Err() != nil })
	late := o.open(configOf(t, true, Version13))
	late.Feed(hello)
	for name, c := range map[string]*Conn{"suspended": suspended, "late": late} {
		if c.Err() == nil || c.Err().Cause != CauseStopped {
			t.Errorf("%s: %v", name, c.Err())
		}
	}
	if s := w.Stats(); s.InFlight != 0 || s.Queued != 0 || s.Abandoned != 3 {
		t.Errorf("%+v", s)
	}
}

func TestAnOwnerThatIsGoneStopsItsHandshakes(t *testing.T) {
	o := newOwner(t)
	c := New(Options{Config: configOf(t, true, Version13), Workers: o.workers, Buffers: &o.pool, Observer: o,
		Post: func(func()) bool { return false }})
	c.Feed(helloOf(t))
	o.wait("it is stopped", func() bool { return o.workers.Stats().Abandoned == 1 })
	c.Abandon()
}

// closer abandons a connection from within Stepped.
type closer struct{ steps int }

func (c *closer) Stepped(conn *Conn) {
	c.steps++
	conn.Abandon()
}

func TestAnObserverMayAbandon(t *testing.T) {
	o := newOwner(t)
	observer := &closer{}
	c := New(Options{Config: configOf(t, true, Version13), Workers: o.workers, Buffers: &o.pool, Observer: observer, Post: o.post})
	c.Feed(helloOf(t))
	o.wait("it is stopped", func() bool { return o.workers.Stats().Abandoned == 1 })
	if observer.steps != 1 {
		t.Errorf("%d steps were told of", observer.steps)
	}
	if err := c.Seal([]byte("x")); !errors.Is(err, ErrNotEstablished) {
		t.Error(err)
	}
}
