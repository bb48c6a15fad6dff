package tls

import "sync/atomic"

// Limits of Workers.
const (
	// DefaultHandshakes is how many handshakes of either role may be in flight at once: 4 to 20 KB each, and some 200 us
	// of work.
	DefaultHandshakes = 1000
	// DefaultNiceness is how much nicer than the process a worker is (nice(2)).
	DefaultNiceness = 10
)

// WorkersOptions are the settings of Workers.
type WorkersOptions struct {
	// Threads is how many there are; 0: one.
	Threads int
	// Handshakes bounds those in flight, of servers and, apart from them, of clients: whoever stalls in a handshake
	// with us does not keep us from others. Further ones wait. 0: DefaultHandshakes.
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

// Full tells whether a handshake of a role would have to wait.
func (w *Workers) Full(server bool) bool {
	return w.counters.inFlight[roleOf(server)].Load() >= w.limit
}

// role tells handshakes apart whose number is bounded.
type role uint8

const (
	roleServer role = iota
	roleClient
	roles // how many there are
)

func roleOf(server bool) role {
	if server {
		return roleServer
	}
	return roleClient
}

func (h *handshake) role() role { return roleOf(h.options.Config.server) }

// admit gives a handshake to the worker that has the fewest. When there are too many, it reports false and counts the
// handshake among those that wait, until it is admitted or forgotten.
func (w *Workers) admit(h *handshake) bool {
	if !w.enter(h.role()) {
		if !h.waits {
			h.waits = true
			w.counters.waiting.Add(1)
			w.counters.waited.Add(1)
		}
		return false
	}
	w.forget(h)
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

// enter counts a handshake in, unless there are too many.
func (w *Workers) enter(r role) bool {
	for {
		n := w.counters.inFlight[r].Load()
		if n >= w.limit {
			return false
		}
		if w.counters.inFlight[r].CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// forget counts a handshake out of those that wait, if it is among them.
func (w *Workers) forget(h *handshake) {
	if h.waits {
		h.waits = false
		w.counters.waiting.Add(-1)
	}
}

// counters are what happened to handshakes, of all workers.
type counters struct {
	inFlight                        [roles]atomic.Int64
	queued, waiting                 atomic.Int64
	done, failed, abandoned, waited atomic.Uint64
	alerts                          [256]atomic.Uint64
}

// Stats is a snapshot of what happened to handshakes.
type Stats struct {
	// InFlight is how many have begun and are not over, Servers and Clients how many of them are of which role; Queued,
	// how many have a step waiting for a worker.
	InFlight, Servers, Clients, Queued int64
	// Waiting is how many could begin but must wait, because too many of their role are in flight; Waited, how many
	// ever had to.
	Waiting int64
	Waited  uint64
	// Done succeeded, Failed did not, Abandoned were stopped by their owner or with the workers.
	Done, Failed, Abandoned uint64
	// Alerts is how many of Failed were said by which alert, sent or received; nil for none.
	Alerts map[Alert]uint64
}

// Stats returns a snapshot.
func (w *Workers) Stats() Stats {
	c := &w.counters
	s := Stats{
		Servers: c.inFlight[roleServer].Load(), Clients: c.inFlight[roleClient].Load(), Queued: c.queued.Load(),
		Waiting: c.waiting.Load(), Waited: c.waited.Load(),
		Done: c.done.Load(), Failed: c.failed.Load(), Abandoned: c.abandoned.Load(),
	}
	s.InFlight = s.Servers + s.Clients
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
