package engine

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lookPeriod is after how long, in nanoseconds, a loop that waits on its own set, keeping its P, looks whether it
	// should rather park in netpoll: because nothing but timers came for quietPeriod. A wait through the scheduler costs
	// more than 10 us per wake-up at low rates; see docs/netpoll.md.
	lookPeriod  = int64(10 * time.Millisecond)
	quietPeriod = int64(5 * time.Millisecond)
	// eventsPerWait is how many events one wait collects.
	eventsPerWait = 256
	// yieldPeriod is how long the loop turns before it lets other goroutines have its P, in nanoseconds. Every time
	// the runtime wakes another thread for it, which costs as much as some messages: each 64 turns were too often.
	yieldPeriod = int64(10 * time.Millisecond)
)

// LoopOptions are the settings of one loop.
type LoopOptions struct {
	// Name appears in messages about the loop.
	Name string
	// ReadBuffer is the size of the read buffer in bytes; 0: DefaultReadBuffer.
	ReadBuffer int
	// Sockets are the settings of dialed sockets.
	Sockets SocketOptions
	// SplicePipes is how many pipes the loop may have open; 0: none, large payloads are copied.
	SplicePipes int
	// BufferMemory bounds, in bytes, what the loop holds for its connections; 0: no bound.
	BufferMemory int64
	// OnPanic is called when a handler panics, before the process ends. It must not recover.
	OnPanic func(message string)
}

// Loop is one event loop: a set of descriptors, a wheel, and everything that hangs on them. Start runs it on one
// goroutine; all other methods but Post, Stop and Busy belong to that goroutine.
type Loop struct {
	Workspace

	name    string
	set     int
	slots   slotTable
	reactor *reactor
	mailbox mailbox
	ticker  ticker
	events  [eventsPerWait]unix.EpollEvent
	discard []byte
	current handler // whose events are being handled, for the last words of a panic
	onPanic func(string)

	socketOptions SocketOptions

	stopping  bool
	busySince atomic.Int64 // begin of the turn under way, Monotonic ns; 0 while waiting
	done      chan struct{}
}

// NewLoop opens a loop's descriptors. Until Start (or Abandon) it belongs to the caller.
func NewLoop(o LoopOptions) (*Loop, error) {
	l := &Loop{name: o.Name, set: -1, done: make(chan struct{}), onPanic: o.OnPanic, socketOptions: o.Sockets}
	l.Workspace = *NewWorkspace(o.ReadBuffer, Monotonic())
	l.SetBounds(o.SplicePipes, o.BufferMemory)
	l.mailbox.loop, l.mailbox.fd, l.ticker.fd = l, -1, -1
	if err := l.open(); err != nil {
		l.closeDescriptors()
		return nil, fmt.Errorf("event loop %s: %w", o.Name, err)
	}
	return l, nil
}

func (l *Loop) open() (err error) {
	if l.set, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	mail, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	l.mailbox.fd = int32(mail)
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("timerfd_create", err)
	}
	l.ticker.fd = int32(timer)
	if _, err := l.register(l.mailbox.fd, unix.EPOLLIN|unix.EPOLLET, &l.mailbox); err != nil {
		return err
	}
	if l.ticker.slot, err = l.register(l.ticker.fd, unix.EPOLLIN|unix.EPOLLET, &l.ticker); err != nil {
		return err
	}
	l.reactor, err = newReactor(l.set, l.turns)
	return err
}

func (l *Loop) register(fd int32, events uint32, h handler) (slot uint32, err error) {
	index, generation := l.slots.take(h)
	return index, os.NewSyscallError("epoll_ctl", addEvents(l.set, fd, events, index, generation))
}

// Start runs the loop on a goroutine of its own until Stop.
func (l *Loop) Start() {
	// goroutine: loop, ends when Stop was called and the turn under way is over
	go l.run()
}

func (l *Loop) run() {
	finished := false
	defer func() {
		// No recover: a handler that panicked leaves state that nobody can vouch for.
		if !finished && l.onPanic != nil {
			l.onPanic("event loop " + l.name + " panicked while handling " + l.describeCurrent() + "; the process ends")
		}
	}()
	l.ticker.schedule(&l.Wheel, never) // timers may have been armed before Start
	if err := l.reactor.wait(); err != nil {
		panic(fmt.Sprintf("engine: netpoll's wait of loop %s failed: %v", l.name, err))
	}
	l.mailbox.close()
	l.closeSockets()
	l.ClosePipes()
	l.closeDescriptors()
	finished = true
	close(l.done)
}

// describeCurrent names what was being handled, as its owner names itself.
func (l *Loop) describeCurrent() string {
	var subject any = l.current
	if c, ok := subject.(*Conn); ok && c.owner != nil {
		subject = c.owner
	}
	if s, ok := subject.(fmt.Stringer); ok {
		return s.String()
	}
	return fmt.Sprintf("%T", subject)
}

// Abandon closes a loop that was never started, with its listeners.
func (l *Loop) Abandon() {
	l.stopping = true // no turn: nobody is to be accepted any more
	_ = l.reactor.poll.Close()
	_ = l.reactor.wait()
	l.closeSockets()
	l.ClosePipes()
	l.closeDescriptors()
}

// closeSockets closes what nobody closed before the loop ended, such as lingering closes under way.
func (l *Loop) closeSockets() {
	l.slots.each(func(h handler) {
		switch h := h.(type) {
		case *Conn:
			h.Close()
		case *Listener:
			h.release()
		}
	})
}

func (l *Loop) closeDescriptors() {
	for _, fd := range []int{int(l.mailbox.fd), int(l.ticker.fd), l.set} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// Post runs task on the loop, in the order of posting. It may be called from any goroutine and reports false when the
// mailbox is full or the loop has ended: the task is not run then.
func (l *Loop) Post(task func()) bool { return l.mailbox.post(task, MailboxMax) }

// PostAlways is Post for whoever rules all loops: a configuration that one of them were spared because its mailbox is
// full would hold on the others alone. False means that the loop has ended.
func (l *Loop) PostAlways(task func()) bool { return l.mailbox.post(task, math.MaxInt) }

// Stop ends the loop once everything posted before has run, and waits until it has ended. What is still open on the
// loop is closed without a word to its owner. It must not be called on the loop. The error is nil.
func (l *Loop) Stop() error {
	// A full mailbox does not keep a loop from being stopped; one that is refused all the same has ended already.
	l.PostAlways(func() { l.stopping = true })
	<-l.done
	return nil
}

// Busy tells since when the turn under way has lasted at time now, in nanoseconds; 0 while the loop waits. It may be
// called from any goroutine: a watchdog reports a loop that does not turn.
func (l *Loop) Busy(now int64) time.Duration {
	since := l.busySince.Load()
	if since == 0 {
		return 0
	}
	return time.Duration(now - since)
}

// Name returns the loop's name.
func (l *Loop) Name() string { return l.name }

// turns is called by netpoll when the set has events. It keeps turning while there is work, waits on the set itself, and
// returns when nothing happened for a while: netpoll then parks the goroutine at no cost. The wait has no timeout of its
// own, with which the kernel would set and cancel a timer for every message: the ticker ends it.
func (l *Loop) turns() {
	worked, yielded := int64(0), Monotonic()
	timeout := 0 // the set is ready
	for !l.stopping {
		l.Counters.Waits++
		n, errno := wait(l.set, l.events[:], timeout)
		if errno == unix.EINTR {
			l.Counters.Interrupts++
			giveWay()
			yielded = Monotonic()
			continue
		} else if errno != 0 {
			panic(fmt.Sprintf("engine: epoll_pwait of loop %s failed: %v", l.name, errno))
		}
		begin := Monotonic()
		idle := n == 1 && l.events[0].Fd == int32(l.ticker.slot)
		if !idle {
			worked = begin
		}
		l.turn(n, begin)
		switch {
		case l.Unfinished():
			timeout = 0
		case idle && begin-worked >= quietPeriod:
			l.Counters.Parks++
			l.ticker.schedule(&l.Wheel, never)
			return
		default:
			timeout = forever
			l.ticker.schedule(&l.Wheel, begin+lookPeriod)
		}
		if begin-yielded > yieldPeriod {
			giveWay()
			yielded = begin
		}
	}
	_ = l.reactor.stop()
}

// giveWay lets the runtime have what it asked for by the signal that interrupted a wait: to scan this goroutine's stack,
// or its processor. What it wants stands in the goroutine's stack guard, which only a function with a frame looks at when
// it is entered. Gosched has none. Called alone it would put the goroutine into the queue and have it scheduled again,
// which clears the wish: where both share a CPU, a collector that waits for the stack then sends signals without end.
//
//go:noinline
func giveWay() { runtime.Gosched() }

// turn handles the events collected, at time begin.
func (l *Loop) turn(n int, begin int64) {
	l.busySince.Store(begin)
	l.Counters.Events += uint64(n)
	l.BeginTurn(begin)
	for i := range l.events[:n] {
		event := &l.events[i]
		h := l.slots.lookup(uint32(event.Fd), uint32(event.Pad))
		if h == nil {
			l.Counters.StaleEvents++
			continue
		}
		l.current = h
		h.handle(event.Events)
	}
	l.current = nil
	l.EndTurn()
	l.Counters.turnOver(uint64(Monotonic() - begin))
	l.busySince.Store(0)
}

// discardBuffer is where bytes go that nobody wants.
func (l *Loop) discardBuffer() []byte {
	if l.discard == nil {
		l.discard = make([]byte, 16<<10)
	}
	return l.discard
}
