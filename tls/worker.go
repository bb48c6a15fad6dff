package tls

import (
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// place is where a handshake is, as its worker sees it.
type place uint8

const (
	placeIdle    place = iota // waits for its peer
	placeQueued               // waits for the worker
	placeRunning              // the worker runs a step, or stops it
	placeGone                 // over, or stopped
)

// worker is one thread. What stands below the lock belongs to whoever holds it. A handshake is at most once in one of
// the lists, and the pool bounds how many there are.
type worker struct {
	counters *counters
	niceness int
	owned    atomic.Int64
	done     chan struct{}

	lock     sync.Mutex
	wake     sync.Cond
	stopping bool
	begun    list // handshakes under way that have something to do: first, so that an overload lets some finish
	fresh    list // handshakes that have not begun
	waiting  list // suspended ones
}

func newWorker(c *counters, niceness int) *worker {
	k := &worker{counters: c, niceness: niceness, done: make(chan struct{})}
	k.wake.L = &k.lock
	return k
}

// stop has the worker end.
func (k *worker) stop() {
	k.lock.Lock()
	defer k.lock.Unlock()
	k.stopping = true
	k.wake.Signal()
}

// order has a step done with input, which is the worker's from now on. It reports false when the worker ends.
func (k *worker) order(h *handshake, input []byte) bool {
	k.lock.Lock()
	defer k.lock.Unlock()
	if k.stopping {
		if h.place == placeIdle && h.list == nil {
			h.place = placeGone // it never began
			k.settle(h, &k.counters.abandoned)
		}
		return false
	}
	h.input = input
	k.queue(h)
	return true
}

// drop has the handshake stopped: at once if it waits, when its turn comes if it is queued, after its step if that
// runs.
func (k *worker) drop(h *handshake) {
	k.lock.Lock()
	defer k.lock.Unlock()
	h.dropped = true
	if h.place == placeIdle {
		k.queue(h)
	}
}

// queue puts an idle handshake where the worker finds it. The lock is held.
func (k *worker) queue(h *handshake) {
	to := &k.fresh
	if h.list != nil {
		h.list.remove(h)
		to = &k.begun
	}
	to.add(h)
	h.place = placeQueued
	k.counters.queued.Add(1)
	k.wake.Signal()
}

// settle counts a handshake out. The counter says how it went.
func (k *worker) settle(h *handshake, how *atomic.Uint64) {
	k.owned.Add(-1)
	k.counters.inFlight[h.role()].Add(-1)
	how.Add(1)
}

// work is the worker's thread. It stays locked, so that the thread ends with the goroutine, and its priority with it.
// A coroutine is bound to the thread as well.
func (k *worker) work() {
	defer close(k.done)
	runtime.LockOSThread()
	beNice(k.niceness)
	for {
		h, input, end := k.take()
		switch {
		case h == nil:
			return
		case end:
			k.dispose(h)
		default:
			k.step(h, input)
		}
	}
}

// workerSlice is how long a worker asks to run at a time, in nanoseconds: the least that Linux grants, since 6.12. Whoever
// wakes up meanwhile, such as a loop, waits for the end of the slice, which would be some milliseconds otherwise.
const workerSlice = 100_000

// beNice lowers the priority of the thread, not below the lowest, and has it run for a short time at once. Without the
// right to do so nothing is lost but some of the loops' latency.
func beNice(niceness int) {
	const lowest = 19
	thread := unix.Gettid()
	if a, err := unix.SchedGetAttr(thread, 0); err == nil && a.Policy == unix.SCHED_NORMAL {
		a.Nice, a.Runtime = min(a.Nice+int32(niceness), lowest), workerSlice
		_ = unix.SchedSetAttr(thread, a, 0)
	}
}

// take waits for a handshake with something to do, and says whether that is to end. nil: so is the worker.
func (k *worker) take() (h *handshake, input []byte, end bool) {
	k.lock.Lock()
	defer k.lock.Unlock()
	for k.begun.first == nil && k.fresh.first == nil && !k.stopping {
		k.wake.Wait()
	}
	switch {
	case k.begun.first != nil:
		h = k.begun.first
	case k.fresh.first != nil:
		h = k.fresh.first
	case k.waiting.first != nil:
		h = k.waiting.first
	default:
		return nil, nil, true
	}
	h.list.remove(h)
	if h.place == placeQueued {
		k.counters.queued.Add(-1)
	}
	h.place = placeRunning
	input, h.input = h.input, nil
	return h, input, h.dropped || k.stopping
}

// dispose ends a handshake that nobody waits for, or for which there is no time.
func (k *worker) dispose(h *handshake) {
	h.end()
	k.lock.Lock()
	h.place = placeGone
	dropped := h.dropped
	k.lock.Unlock()
	k.settle(h, &k.counters.abandoned)
	if !dropped {
		h.options.Post(func() { h.arrive(outcome{err: &Error{Cause: CauseStopped}}) })
	}
}

// step runs a step and tells the owner what came of it.
func (k *worker) step(h *handshake, input []byte) {
	o := h.run(input)
	over := o.layer != nil
	k.lock.Lock()
	end := !over && (h.dropped || k.stopping)
	switch {
	case over:
		h.place = placeGone
	case !end:
		h.place = placeIdle
		k.waiting.add(h)
	}
	k.lock.Unlock()
	switch {
	case end:
		k.dispose(h)
		return
	case o.err != nil:
		if o.err.Alert != 0 {
			k.counters.alerts[o.err.Alert].Add(1)
		}
		k.settle(h, &k.counters.failed)
	case over:
		k.settle(h, &k.counters.done)
	}
	if !h.options.Post(func() { h.arrive(o) }) && !over {
		k.drop(h)
	}
}

// list is a queue of handshakes, linked through themselves.
type list struct{ first, last *handshake }

func (l *list) add(h *handshake) {
	h.list, h.prev = l, l.last
	if l.last == nil {
		l.first = h
	} else {
		l.last.next = h
	}
	l.last = h
}

func (l *list) remove(h *handshake) {
	if h.prev == nil {
		l.first = h.next
	} else {
		h.prev.next = h.next
	}
	if h.next == nil {
		l.last = h.prev
	} else {
		h.next.prev = h.prev
	}
	h.list, h.prev, h.next = nil, nil, nil
}
