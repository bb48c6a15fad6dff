package tls

import "sync/atomic"

// Limits of Workers.
const (
	// DefaultHandshakes is how many handshakes may be in flight at once: 4 to 20 KB each, and some 200 us of work.
	DefaultHandshakes = 1000
	// DefaultNiceness is how much nicer than the process a worker is (nice(2)).
	DefaultNiceness = 5
)

// WorkersOptions are the settings of Workers.
type WorkersOptions struct {
	// Threads is how many there are; 0: one.
	Threads int
	// Handshakes bounds those in flight; 0: DefaultHandshakes.
	Handshakes int
	// Niceness is added to the process's own, 0 to 19; 0: DefaultNiceness.
	Niceness int
}

// Workers run handshakes: their private keys and certificate chains would stall a loop. Each worker has a thread of its
// own, of lower priority, so that it uses what the loops leave. A handshake belongs to one worker for life: it is
// created, stepped and stopped there. All methods may be called from any goroutine.
type Workers struct {
	workers  []*worker
	limit    int64
	turn     atomic.Uint32
	counters counters
}

// NewWorkers starts workers. Stop ends them.
func NewWorkers(o WorkersOptions) *Workers {
	w := &Workers{limit: int64(o.Handshakes)}
	if o.Handshakes == 0 {
		w.limit = DefaultHandshakes
	}
	if o.Niceness == 0 {
		o.Niceness = DefaultNiceness
	}
	for range max(1, o.Threads) {
		k := newWorker(&w.counters, o.Niceness)
		w.workers = append(w.workers, k)
		// goroutine: handshake worker, ends when Stop is called
		go k.work()
	}
	return w
}

// Stop ends the workers and waits for them. Handshakes in flight are stopped, and fail with CauseStopped; so does
// every later one.
func (w *Workers) Stop() {
	for _, k := range w.workers {
		k.stop()
	}
	for _, k := range w.workers {
		<-k.done
	}
}

// admit gives a handshake to the worker that has the fewest, or reports false when there are too many.
func (w *Workers) admit(h *handshake) bool {
	if w.counters.inFlight.Add(1) > w.limit {
		w.counters.inFlight.Add(-1)
		w.counters.refused.Add(1)
		return false
	}
	first := int(w.turn.Add(1))
	h.worker = w.workers[first%len(w.workers)]
	for i := range w.workers {
		if k := w.workers[(first+i)%len(w.workers)]; k.owned.Load() < h.worker.owned.Load() {
			h.worker = k
		}
	}
	h.worker.owned.Add(1)
	return true
}

// counters are what happened to handshakes, of all workers.
type counters struct {
	inFlight, queued                 atomic.Int64
	done, failed, abandoned, refused atomic.Uint64
	alerts                           [256]atomic.Uint64
}

// Stats is a snapshot of what happened to handshakes.
type Stats struct {
	// InFlight is how many have begun and are not over; Queued, how many of them have a step waiting for a worker.
	InFlight, Queued int64
	// Done succeeded, Failed did not, Abandoned were stopped by their owner or with the workers.
	Done, Failed, Abandoned uint64
	// Refused is how many did not begin, because too many were in flight.
	Refused uint64
	// Alerts is how many of Failed were said by which alert, sent or received; nil for none.
	Alerts map[Alert]uint64
}

// Stats returns a snapshot.
func (w *Workers) Stats() Stats {
	c := &w.counters
	s := Stats{
		InFlight: c.inFlight.Load(), Queued: c.queued.Load(),
		Done: c.done.Load(), Failed: c.failed.Load(), Abandoned: c.abandoned.Load(), Refused: c.refused.Load(),
	}
	for a := range c.alerts {
		if n := c.alerts[a].Load(); n > 0 {
			if s.Alerts == nil {
				s.Alerts = map[Alert]uint64{}
			}
			s.Alerts[Alert(a)] = n
		}
	}
	return s
}
