package engine

import (
	"runtime"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen. It decides nothing but when a failure is told.
const patience = 20 * time.Second

// driver gives a test access to a loop: one that runs on its own goroutine, or one that the test itself steps.
type driver interface {
	// engine is the loop; it may be touched inside do and until only.
	engine() *Loop
	// do runs task on the loop and waits for it.
	do(task func())
	// until waits for a condition, which is looked at on the loop.
	until(what string, condition func() bool)
}

// runningLoop is a started loop. Tasks on it may call t.Error, but not t.Fatal.
type runningLoop struct {
	t    testing.TB
	loop *Loop
}

// startLoop runs a loop until the test is over.
func startLoop(t testing.TB) *runningLoop {
	t.Helper()
	l := &runningLoop{t: t, loop: newTestLoop(t)}
	l.loop.Start()
	t.Cleanup(func() {
		if err := l.loop.Stop(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func newTestLoop(t testing.TB) *Loop {
	t.Helper()
	loop, err := NewLoop(LoopOptions{Name: t.Name(), SplicePipes: DefaultSplicePipes})
	if err != nil {
		t.Fatal(err)
	}
	return loop
}

func (l *runningLoop) engine() *Loop { return l.loop }

func (l *runningLoop) do(task func()) {
	l.t.Helper()
	done := make(chan struct{})
	accepted := l.loop.Post(func() {
		defer close(done)
		task()
	})
	if !accepted {
		l.t.Fatal("the loop refused a task")
	}
	l.wait("a task on the loop", done)
}

func (l *runningLoop) wait(what string, done <-chan struct{}) {
	l.t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		buffer := make([]byte, 1<<16)
		l.t.Fatalf("%s: not within %v\n%s", what, patience, buffer[:runtime.Stack(buffer, true)])
	}
}

func (l *runningLoop) until(what string, condition func() bool) {
	l.t.Helper()
	eventually(l.t, what, func() (met bool) {
		l.do(func() { met = condition() })
		return met
	})
}

// counters returns the loop's counters. Asking costs the loop a turn and up to three waits.
func (l *runningLoop) counters() (c Counters) {
	l.t.Helper()
	l.do(func() { c = l.loop.Counters })
	return c
}

// hold keeps the loop inside one task until the returned function is called.
func (l *runningLoop) hold() (release func()) {
	l.t.Helper()
	entered, leave := make(chan struct{}), make(chan struct{})
	l.loop.Post(func() {
		close(entered)
		<-leave
	})
	l.wait("the loop to take a task", entered)
	return func() { close(leave) }
}

// steppedLoop is a loop on real sockets whose time is the test's: the test goroutine is the loop's goroutine.
type steppedLoop struct {
	t    testing.TB
	loop *Loop
	now  int64
}

// newSteppedLoop returns a loop that turns when the test says so.
func newSteppedLoop(t testing.TB) *steppedLoop {
	t.Helper()
	l := &steppedLoop{t: t, loop: newTestLoop(t)}
	l.now = l.loop.Now()
	// The timerfd knows the real time only.
	if err := removeEvents(l.loop.set, l.loop.ticker.fd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.loop.Abandon)
	return l
}

func (l *steppedLoop) engine() *Loop { return l.loop }

func (l *steppedLoop) do(task func()) { task() }

// turn waits a moment for events and handles them at the test's time.
func (l *steppedLoop) turn() {
	const moment = 1 // ms
	n, errno := wait(l.loop.set, l.loop.events[:], moment)
	if errno != 0 {
		n = 0
	}
	l.loop.turn(n, l.now)
}

func (l *steppedLoop) until(what string, condition func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); !condition(); l.turn() {
		if time.Now().After(deadline) {
			l.t.Fatalf("%s: not within %v", what, patience)
		}
		runtime.Gosched()
	}
}

// pass lets time go by and the loop turn, first with all events that are there already at the old time.
func (l *steppedLoop) pass(d time.Duration) {
	l.settle()
	l.now += int64(d)
	l.turn()
}

// settle turns until nothing happens any more.
func (l *steppedLoop) settle() {
	for range 1000 {
		before := l.loop.Counters.Events
		l.turn()
		if l.loop.Counters.Events == before && !l.loop.Unfinished() {
			return
		}
	}
	l.t.Fatal("the loop does not come to rest")
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}
