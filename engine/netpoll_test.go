package engine

import (
	"fmt"
	"maps"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What we rely on in netpoll and in the Go runtime. docs/netpoll.md names these tests.

// eventfd returns a descriptor that is readable after signal.
func eventfd(t testing.TB) int {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func signal(fd int) { _, _ = unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

func drainEventfd(fd int) { _, _ = unix.Read(fd, make([]byte, 8)) }

// epollSet returns a set that watches fd.
func epollSet(t testing.TB, fd int) int {
	t.Helper()
	set, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = addEvents(set, int32(fd), unix.EPOLLIN, 7, 3)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(set) })
	return set
}

func TestOpenPollLinksAndWakesOnANestedEpollSet(t *testing.T) {
	event := eventfd(t)
	set := epollSet(t, event)
	turns := make(chan int, 8)
	reactor, err := newReactor(set, func() {
		var events [4]unix.EpollEvent
		n, _ := wait(set, events[:], 0)
		drainEventfd(event)
		turns <- n
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- reactor.wait() }()
	for range 3 {
		signal(event)
		if n := <-turns; n != 1 {
			t.Errorf("a turn found %d events in the set, want 1", n)
		}
	}
	if err := reactor.stop(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("netpoll's wait ended with: %v", err)
	}
}

func TestASetThatStaysReadyCallsTheTurnAgainAndDoesNotKeepStopOut(t *testing.T) {
	event := eventfd(t)
	set := epollSet(t, event)
	var turns atomic.Int64
	reactor, err := newReactor(set, func() { turns.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- reactor.wait() }()
	signal(event) // never drained: level-triggered readiness of the set
	eventually(t, "a hundred turns", func() bool { return turns.Load() > 100 })
	_ = reactor.stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestEveryDescriptorOfALoopIsClosedOnExecAndReleasedByStop(t *testing.T) {
	before := openDescriptors()
	loop := newTestLoop(t)
	opened := openDescriptors()
	maps.DeleteFunc(opened, func(fd, _ string) bool { return before[fd] != "" })
	kinds := map[string]int{}
	for fd, kind := range opened {
		kinds[kind]++
		number, _ := strconv.Atoi(fd)
		flags, err := unix.FcntlInt(uintptr(number), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %s, %s, survives exec (%v)", fd, kind, err)
		}
	}
	want := map[string]int{"anon_inode:[eventpoll]": 2, "anon_inode:[eventfd]": 2, "anon_inode:[timerfd]": 1}
	if !maps.Equal(kinds, want) {
		t.Errorf("a loop opened %v, want %v", kinds, want)
	}
	loop.Start()
	if err := loop.Stop(); err != nil {
		t.Error(err)
	}
	if after := openDescriptors(); !maps.Equal(after, before) {
		t.Errorf("open after Stop: %v, before: %v", after, before)
	}
}

func TestALoopParksWhileIdle(t *testing.T) {
	t.Parallel() // it looks at its own loop only
	l := startLoop(t)
	first := l.counters()
	parked(t, l)
	const idle = time.Second
	var before, after unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &before)
	<-time.After(idle) // that nothing happens is no condition to wait for
	_ = unix.Getrusage(unix.RUSAGE_SELF, &after)
	parked(t, l)
	last := l.counters()
	// One park that lasted, and the turn in which the second question was answered. A raw wait before the park may
	// have been interrupted any number of times.
	if parks, turns := last.Parks-first.Parks, last.Turns-first.Turns; parks != 1 || turns > 2 {
		t.Errorf("%d parks and %d turns in %v without an event, want 1 and at most 2", parks, turns, idle)
	}
	t.Logf("%d waits; CPU of the whole process meanwhile: %v", last.Waits-first.Waits,
		time.Duration(after.Utime.Nano()+after.Stime.Nano()-before.Utime.Nano()-before.Stime.Nano()))
}

// parked waits until the loop sleeps in netpoll. The loop's own counters could only be read by waking it, so the
// runtime is asked: a raw wait is no system call to it, netpoll's wait is.
func parked(t testing.TB, l *runningLoop) {
	t.Helper()
	self := fmt.Sprintf("(*Loop).run(%p", l.loop)
	eventually(t, "the loop to park", func() bool {
		// To look at stacks stops the world, which interrupts the loop's wait: look rarely.
		<-time.After(2 * time.Duration(lookPeriod))
		return slices.ContainsFunc(otherGoroutines(), func(stack string) bool {
			header, _, _ := strings.Cut(stack, "\n")
			return strings.Contains(stack, self) && strings.Contains(header, "[syscall")
		})
	})
}

func TestAParkedLoopIsWokenByPost(t *testing.T) {
	l := startLoop(t)
	parked(t, l)
	l.do(func() {})
}

func TestAParkedLoopIsWokenByItsTimer(t *testing.T) {
	l := startLoop(t)
	fired := make(chan int64)
	timer := newProbeTimer(func(now int64) { fired <- now })
	var deadline int64
	l.do(func() {
		deadline = l.loop.Now() + 10*lookPeriod
		l.loop.Wheel.Arm(&timer.Timer, deadline)
	})
	parks := l.counters().Parks
	if now := <-fired; now < deadline {
		t.Errorf("fired %v early", time.Duration(deadline-now))
	}
	if l.counters().Parks == parks {
		t.Error("the loop did not park before the deadline")
	}
}

func TestATimerArmedBeforeStartFires(t *testing.T) {
	loop := newTestLoop(t)
	fired := make(chan int64, 1)
	timer := newProbeTimer(func(now int64) { fired <- now })
	loop.Wheel.Arm(&timer.Timer, loop.Now()+int64(time.Millisecond))
	loop.Start()
	select {
	case <-fired:
	case <-time.After(patience):
		t.Error("it did not fire")
	}
	_ = loop.Stop()
}

func TestAParkedLoopIsWokenBySockets(t *testing.T) {
	l := startLoop(t)
	told := make(chan Readiness, 8)
	_, p := adopt(t, l, ownerFunc(func(_ Side, r Readiness) { told <- r }), socketSizes{})
	if r := <-told; r != Writable {
		t.Errorf("a new connection is %b, want writable", r)
	}
	parked(t, l)
	p.send([]byte("x"))
	if r := <-told; r&Readable == 0 {
		t.Errorf("told %b after bytes arrived", r)
	}
}

// probeTimer is a timer that calls a function.
type probeTimer struct {
	Timer
	due func(now int64)
}

func newProbeTimer(due func(now int64)) *probeTimer {
	p := &probeTimer{due: due}
	p.Init(p)
	return p
}

func (p *probeTimer) OnTimer(_ *Timer, now int64) { p.due(now) }

func TestTheCollectorInterruptsARawWait(t *testing.T) {
	set := epollSet(t, eventfd(t))
	var over, waiting atomic.Bool
	interrupted := make(chan int)
	go func() {
		count := 0
		var events [1]unix.EpollEvent
		for !over.Load() {
			waiting.Store(true)
			// As the loop waits, but so long that a collection which had to sit it out would be noticed.
			const timeout = 1000 // ms
			if _, errno := wait(set, events[:], timeout); errno == unix.EINTR {
				count++
				runtime.Gosched()
			}
		}
		interrupted <- count
	}()
	eventually(t, "the goroutine to wait", waiting.Load)
	begin := time.Now()
	const collections = 20
	for range collections {
		runtime.GC()
	}
	took := time.Since(begin)
	over.Store(true)
	if count := <-interrupted; count == 0 {
		t.Error("no wait was interrupted")
	}
	if took > collections*time.Second/2 {
		t.Errorf("%d collections took %v: they sat out the waits", collections, took)
	}
	t.Logf("%d collections in %v", collections, took)
}

func TestPausesAndSchedulingStaySoundWhileALoopIsBusy(t *testing.T) {
	l := startLoop(t)
	c, p := adopt(t, l, ignore, socketSizes{})
	l.do(func() { c.Attach(&echoOwner{c}, SideClient) })
	names := []string{"/sched/pauses/total/gc:seconds", "/sched/latencies:seconds"}
	before := histograms(names)
	const rounds = 2000
	message, answer := make([]byte, 125), make([]byte, 125)
	for i := range rounds {
		p.send(message)
		p.receive(answer)
		if i%100 == 0 {
			runtime.GC()
		}
	}
	after := histograms(names)
	for i, name := range names {
		p50, p99, count := quantile(before[i], after[i], 0.5), quantile(before[i], after[i], 0.99), total(after[i])-total(before[i])
		t.Logf("%s: n %d, p50 %v, p99 %v", name, count, p50, p99)
		// A collection that waited for waits to time out, or a goroutine that starved, would be beyond these.
		if count == 0 || p50 > 50*time.Millisecond || p99 > 500*time.Millisecond {
			t.Errorf("%s: n %d, p50 %v, p99 %v", name, count, p50, p99)
		}
	}
}

// echoOwner sends back what it reads.
type echoOwner struct{ conn *Conn }

func (e *echoOwner) Ready(Side, Readiness) {
	buffer := e.conn.loop.ReadBuffer()
	for {
		n, status := e.conn.Read(buffer)
		if n > 0 {
			e.conn.Write(buffer[:n])
		}
		if status != StatusReady {
			return
		}
	}
}

func histograms(names []string) []metrics.Sample {
	samples := make([]metrics.Sample, len(names))
	for i, name := range names {
		samples[i].Name = name
	}
	metrics.Read(samples)
	return samples
}

func total(s metrics.Sample) (n uint64) {
	for _, c := range s.Value.Float64Histogram().Counts {
		n += c
	}
	return n
}

// quantile returns the upper bound of the bucket in which a quantile of what was added between two samples lies.
func quantile(before, after metrics.Sample, q float64) time.Duration {
	a, b := after.Value.Float64Histogram(), before.Value.Float64Histogram()
	want := q * float64(total(after)-total(before))
	seen := 0.0
	for i, count := range a.Counts {
		if seen += float64(count - b.Counts[i]); seen >= want {
			return time.Duration(a.Buckets[min(i+1, len(a.Buckets)-2)] * float64(time.Second))
		}
	}
	return 0
}
