package proxy

import (
	"sync"
	"sync/atomic"
)

// waitQueue are the requests that wait for a backend of one group to have fewer connections than it may, those of all
// loops, the oldest first. It outlives configurations. All methods may be called from any loop.
type waitQueue struct {
	waiting atomic.Int32 // those in line, and those that were called and have not picked yet

	mu     sync.Mutex
	first  *waiter
	last   *waiter
	joined uint64 // how many have ever
	called int    // how many were called, and have not picked yet
}

// waiter is a request in line. It belongs to its loop but for its place in the list, which the lock guards.
type waiter struct {
	exchange   *exchange
	shard      *shard
	id         uint64 // of the exchange, whose value may serve another by the time it is called
	queue      *waitQueue
	number     uint64 // by age
	next, prev *waiter
	listed     bool
	called     bool // it is to pick
	left       bool // it does not wait any more
}

// join puts a request in line, and reports false when as many wait as may.
func (q *waitQueue) join(x *exchange, most int) bool {
	for {
		n := q.waiting.Load()
		if int(n) >= most {
			return false // not counted even for a moment, in which another that has a place would be held up
		}
		if q.waiting.CompareAndSwap(n, n+1) {
			break
		}
	}
	w := &waiter{exchange: x, shard: x.shard, id: x.record.id, queue: q}
	x.place = w
	q.mu.Lock()
	defer q.mu.Unlock()
	q.joined++
	w.number = q.joined
	q.put(w)
	return true
}

// put lists a waiter behind those that are older. The lock is held.
func (q *waitQueue) put(w *waiter) {
	w.listed = true
	if q.last == nil || q.last.number < w.number {
		w.prev, q.last = q.last, w
		if w.prev == nil {
			q.first = w
		} else {
			w.prev.next = w
		}
		return
	}
	next := q.first
	for next.number < w.number { // few: who comes back was among the first
		next = next.next
	}
	w.prev, w.next, next.prev = next.prev, next, w
	if w.prev == nil {
		q.first = w
	} else {
		w.prev.next = w
	}
}

// take takes a waiter out of the list. The lock is held.
func (q *waitQueue) take(w *waiter) {
	if w.prev == nil {
		q.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.next, w.prev, w.listed = nil, nil, false
}

// leave: a request does not wait any more: it was served, that is, has its backend, or is over. It does so once.
func (w *waiter) leave(served bool) {
	q := w.queue
	q.mu.Lock()
	if w.listed {
		q.take(w)
	}
	unused := w.called && !served
	q.answered(w)
	w.left = true
	q.waiting.Add(-1)
	q.mu.Unlock()
	if unused {
		q.call() // what it was called for is the next one's
	}
}

// again: a request that was called has found no place after all, and waits on, as old as it is.
func (w *waiter) again() {
	q := w.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	q.answered(w)
	q.put(w)
}

// answered notes that a waiter which was called, if it was, has picked. The lock is held.
func (q *waitQueue) answered(w *waiter) {
	if w.called {
		w.called = false
		q.called--
	}
}

// call has the first in line pick, for there is a place.
func (q *waitQueue) call() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first != nil {
		q.summon(q.first)
	}
}

// giveUp counts a connection out and has the first in line pick: at once, lest another is called for the place as well.
func (q *waitQueue) giveUp(active *atomic.Int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	active.Add(-1)
	if q.first != nil {
		q.summon(q.first)
	}
}

// callUpTo has the first in line pick, for as many places as there are, but for those that have been called for them
// already. They are counted under the lock: who has been called counts as such until after it has its place.
func (q *waitQueue) callUpTo(places func(waiting int) int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for most := places(int(q.waiting.Load())); q.first != nil && q.called < most; {
		q.summon(q.first)
	}
}

// callBehind has the next in line pick, for there is a place that is not for w.
func (w *waiter) callBehind() {
	w.queue.mu.Lock()
	defer w.queue.mu.Unlock()
	if w.listed && w.next != nil {
		w.queue.summon(w.next)
	}
}

// summon takes a waiter out of the list and has it pick, on its loop. The lock is held.
func (q *waitQueue) summon(w *waiter) {
	q.take(w)
	w.called = true
	q.called++
	w.shard.loop.PostAlways(w.pick) // false: the loop has ended, and its requests with it
}

// pick is run on the waiter's loop.
func (w *waiter) pick() {
	if x := w.exchange; !w.left && x.state == exchangeQueued && x.record.id == w.id {
		x.pickAgain()
	}
}
