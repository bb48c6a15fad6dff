package engine

import (
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPostedTasksRunInTheirOrder(t *testing.T) {
	l := startLoop(t)
	const posters, tasks = 4, 5000
	var ran [posters][]int
	var posting sync.WaitGroup
	for poster := range posters {
		posting.Go(func() {
			for task := range tasks {
				if !l.loop.Post(func() { ran[poster] = append(ran[poster], task) }) {
					t.Error("refused")
				}
			}
		})
	}
	posting.Wait()
	l.do(func() {
		for poster := range posters {
			if len(ran[poster]) != tasks || !slices.IsSorted(ran[poster]) {
				t.Errorf("poster %d: %d tasks ran, sorted %v", poster, len(ran[poster]), slices.IsSorted(ran[poster]))
			}
		}
	})
}

func TestTheMailboxIsBounded(t *testing.T) {
	l := startLoop(t)
	release := l.hold()
	ran := 0
	for range MailboxMax {
		if !l.loop.Post(func() { ran++ }) {
			t.Fatal("refused below the bound")
		}
	}
	const refused = 3
	for range refused {
		if l.loop.Post(func() { t.Error("a refused task ran") }) {
			t.Error("accepted above the bound")
		}
	}
	if !l.loop.PostAlways(func() { ran++ }) {
		t.Error("refused what is always accepted")
	}
	release()
	// While the mailbox is being emptied more may be refused; they count too.
	retried := uint64(0)
	eventually(t, "room in the mailbox", func() bool {
		if !l.loop.Post(func() {}) {
			retried++
			return false
		}
		return true
	})
	l.do(func() {
		if want := refused + retried; ran != MailboxMax+1 || l.loop.Counters.PostsRefused != want {
			t.Errorf("%d of %d tasks ran, %d refused, want %d", ran, MailboxMax+1, l.loop.Counters.PostsRefused, want)
		}
	})
}

func TestStopRunsWhatWasPostedBeforeAndRefusesWhatComesAfter(t *testing.T) {
	for range 50 {
		loop := newTestLoop(t)
		loop.Start()
		var accepted, ran atomic.Int64
		var posting sync.WaitGroup
		for range 2 {
			posting.Go(func() {
				for loop.Post(func() { ran.Add(1) }) {
					accepted.Add(1)
				}
			})
		}
		eventually(t, "tasks to run", func() bool { return ran.Load() > 0 })
		if err := loop.Stop(); err != nil {
			t.Fatal(err)
		}
		posting.Wait()
		if ran.Load() != accepted.Load() {
			t.Fatalf("%d tasks accepted, %d ran", accepted.Load(), ran.Load())
		}
		if err := loop.Stop(); err != nil {
			t.Errorf("stopping a stopped loop: %v", err)
		}
	}
}

// A post that wakes the loop after the loop has closed its descriptors would write into whatever has the eventfd's
// number by then.
func TestAPostThatRacesWithStopWakesNobodyElse(t *testing.T) {
	for range 60 {
		loop := newTestLoop(t)
		loop.Start()
		var posting sync.WaitGroup
		for range 3 {
			posting.Go(func() {
				for loop.Post(func() {}) {
				}
			})
		}
		_ = loop.Stop()
		var strangers [8]int
		for i := range strangers {
			strangers[i], _ = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		}
		posting.Wait()
		for _, fd := range strangers {
			if _, err := unix.Read(fd, make([]byte, 8)); err != unix.EAGAIN {
				t.Errorf("descriptor %d was written to", fd)
			}
			_ = unix.Close(fd)
		}
	}
}

func TestBusyTellsOfATurnThatDoesNotEnd(t *testing.T) {
	l := startLoop(t)
	release := l.hold()
	if busy := l.loop.Busy(Monotonic() + int64(time.Minute)); busy < time.Minute {
		t.Errorf("busy for %v, want at least %v", busy, time.Minute)
	}
	release()
	eventually(t, "the loop to be idle", func() bool { return l.loop.Busy(Monotonic()) == 0 })
}

func TestAbandonAcceptsNobody(t *testing.T) {
	loop := newTestLoop(t)
	listener, err := loop.Listen(loopback, ListenOptions{}, acceptorFunc(func(c *Conn, _ netip.AddrPort, _ *Listener) {
		t.Error("an abandoned loop accepted")
		c.Close()
	}))
	if err != nil {
		t.Fatal(err)
	}
	dialPeer(t, listener.Address(), socketSizes{})
	loop.Abandon()
}

func TestADeadlineIsNeverEarlyAndWithinATick(t *testing.T) {
	l := startLoop(t)
	const timers = 60
	var late []time.Duration
	done := make(chan struct{})
	l.do(func() {
		for i := range timers {
			deadline := l.loop.Now() + int64(1+i*3)*int64(time.Millisecond) + int64(i*1234)
			timer := newProbeTimer(func(now int64) {
				if late = append(late, time.Duration(now-deadline)); len(late) == timers {
					close(done)
				}
			})
			l.loop.Wheel.Arm(&timer.Timer, deadline)
		}
	})
	l.wait("all timers", done)
	slices.Sort(late)
	if late[0] < 0 {
		t.Errorf("a timer fired %v early", -late[0])
	}
	// The loop may be late itself on a machine that does other things, so the best half is judged.
	if median := late[timers/2]; median > 2*WheelTick {
		t.Errorf("half of the timers were more than %v late", median)
	}
	t.Logf("late: best %v, median %v, worst %v", late[0], late[timers/2], late[timers-1])
}

// In the test's own time a deadline is exact: the first turn at or after its tick fires it.
func TestADeadlineFiresInTheTurnThatReachesItsTick(t *testing.T) {
	l := newSteppedLoop(t)
	for _, after := range []int64{1, WheelTick - 1, WheelTick, WheelTick + 1, int64(time.Second), int64(time.Hour)} {
		deadline := l.now + after
		due := (deadline + WheelTick - 1) / WheelTick * WheelTick
		fired := int64(0)
		timer := newProbeTimer(func(now int64) { fired = now })
		l.loop.Wheel.Arm(&timer.Timer, deadline)
		l.now = due - 1
		l.turn()
		if fired != 0 {
			t.Errorf("%v ahead: fired early", time.Duration(after))
		}
		l.now = due
		l.turn()
		if fired != due {
			t.Errorf("%v ahead: fired at %d, want %d", time.Duration(after), fired, due)
		}
	}
}

func TestAPanicOnALoopEndsTheProcessAfterOneLineThatNamesItsSubject(t *testing.T) {
	out, code := runChild(t, "panic")
	first := string(out[:max(0, slices.Index(out, '\n'))])
	if want := "event loop panicking panicked while handling tunnel 17; the process ends"; first != want || code != 2 {
		t.Errorf("exit %d, first line %q, want 2 and %q", code, first, want)
	}
}

// panicOnALoop runs in a child process.
func panicOnALoop() {
	loop, err := NewLoop(LoopOptions{Name: "panicking", OnPanic: func(message string) { println(message) }})
	if err != nil {
		panic(err)
	}
	loop.Start()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	loop.Post(func() { _, _ = loop.Adopt(int32(fd), tunnelOwner(17), SideClient) })
	select {}
}

// tunnelOwner is an owner with a name and a fault.
type tunnelOwner int

func (o tunnelOwner) String() string        { return "tunnel " + strconv.Itoa(int(o)) }
func (o tunnelOwner) Ready(Side, Readiness) { panic("as the test wants it") }

func TestAFullMailboxDoesNotKeepALoopFromBeingStopped(t *testing.T) {
	loop := newTestLoop(t)
	for loop.Post(func() {}) {
	}
	loop.Start()
	if err := loop.Stop(); err != nil {
		t.Error(err)
	}
}
