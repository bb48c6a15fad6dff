package proxy

import (
	"sync"
	"sync/atomic"
)

// waitQueue are the requests that wait for a backend of one group to have fewer connections than it may, those of all
// loops, the oldest first. It outlives configurations. All methods may be called from any loop.
type waitQueue struct {
	waiting atomic.Int32 // those in line, and those that were called and have not picked yet

	mu    sync.Mutex
	first *waiter
	last  *waiter
}

// waiter is a request in line. It belongs to its loop but for its place in the list, which the lock guards.
type waiter struct {
	exchange   *exchange
	shard      *shard
	id         uint64 // of the exchange, whose value may serve another by the time it is called
	queue      *waitQueue
	next, prev *waiter
	listed     bool
	left       bool // it does not wait any more
}

// join puts a request in line, and reports false when as many wait as may.
func (q *waitQueue) join(x *exchange, most int) bool {
	if int(q.waiting.Add(1)) > most {
		q.waiting.Add(-1)
		return false
	}
	w := &waiter{exchange: x, shard: x.shard, id: x.record.id, queue: q}
	x.place = w
	q.mu.Lock()
	defer q.mu.Unlock()
	q.put(w, false)
	return true
}

// put lists a waiter, in front of all others or behind. The lock is held.
func (q *waitQueue) put(w *waiter, front bool) {
	w.listed = true
	switch {
	case q.first == nil:
		q.first, q.last = w, w
	case front:
		w.next, q.first.prev = q.first, w
		q.first = w
	default:
		w.prev, q.last.next = q.last, w
		q.last = w
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

// leave: a request does not wait any more: it has its backend, or is over.
func (w *waiter) leave() {
	q := w.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.listed {
		q.take(w)
	}
	if !w.left {
		w.left = true
		q.waiting.Add(-1)
	}
}

// again: a request that was called has found no place after all: it stays the first.
func (w *waiter) again() {
	q := w.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if !w.listed && !w.left {
		q.put(w, true)
	}
}

// call has the first in line pick again, for there is a place.
func (q *waitQueue) call() {
	q.mu.Lock()
	w := q.first
	if w != nil {
		q.take(w)
	}
	q.mu.Unlock()
	if w != nil {
		w.shard.loop.PostAlways(func() { w.called() }) // false: the loop has ended, and its requests with it
	}
}

// called is run on the waiter's loop.
func (w *waiter) called() {
	if x := w.exchange; !w.left && x.state == exchangeQueued && x.record.id == w.id {
		x.pickAgain()
	}
}

// callAll has all in line pick again: who may be picked has changed.
func (q *waitQueue) callAll() {
	for n := q.waiting.Load(); n > 0; n-- {
		q.call()
	}
}
