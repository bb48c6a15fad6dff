package proxy

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"culvert/engine"
	"culvert/proxy/balance"
	"culvert/proxy/health"
)

// backendKey is what makes a server the same one across reloads: its counts go on when its weight or its name changes.
type backendKey struct {
	group   string
	address netip.AddrPort
	path    string // of a Unix socket
	secure  bool   // it is spoken to over TLS
}

// backend is one server that requests are balanced over. All loops share it; it outlives the configurations that name
// it, as long as a connection to it does.
type backend struct {
	backendKey
	label    atomic.Pointer[string]    // what the operator calls it
	active   atomic.Int64              // connections, those being dialed included
	tunnels  atomic.Int64              // of these, those that are open tunnels
	identity uint64                    // the same wherever a group of this name has this address
	latency  balance.Latency           // of its answers
	answers  [6]atomic.Uint64          // by class; 0: of none
	tally    health.Tally              // of requests that it failed in a row
	ejected  atomic.Uint64             // how often it was
	failedAt atomic.Int64              // when it failed one last, Monotonic ns
	reported atomic.Bool               // the tally has reached the limit, and the steward does not know yet
	found    atomic.Pointer[found]     // what checks have found out; nil: nothing, or there are none
	orders   atomic.Pointer[orders]    // what the operator wants; nil: what the configuration says
	queue    atomic.Pointer[waitQueue] // of its group
	failures atomic.Uint64
	fault    atomic.Pointer[string]     // of the last failure, a stable token; nil: there was none
	security atomic.Pointer[backendTLS] // nil: it is spoken to in clear
	dropped  atomic.Bool                // no configuration names it any more: connections to it are not kept

	portIsEphemeral bool // the kernel takes the ports of outgoing connections from around there
}

// found is what checks have found out about a backend.
type found struct {
	state  health.State
	reason string // why it is down
}

// orders are what the operator wants of a backend, beside the configuration.
type orders struct {
	drain  bool
	serve  bool  // though the configuration drains it; it counts until that does not any more
	since  int64 // when the drain was ordered last, Monotonic ns
	limit  int64 // nanoseconds from then on; 0: none
	weight int   // -1: the configured one
}

// leave counts a connection out. Whoever waits for that is called.
func (b *backend) leave() {
	q := b.queue.Load()
	if q != nil && q.waiting.Load() > 0 {
		q.giveUp(&b.active)
		return
	}
	b.active.Add(-1)
	if q != nil && q.waiting.Load() > 0 {
		q.call() // one has come in between
	}
}

// state returns what checks have found out.
func (b *backend) state() health.State {
	if f := b.found.Load(); f != nil {
		return f.state
	}
	return health.Unknown
}

func newBackend(key backendKey, name string, ephemeral portRange) *backend {
	b := &backend{backendKey: key, portIsEphemeral: ephemeral.contain(key.address.Port())}
	b.label.Store(&name)
	b.identity = balance.Identity(key.group, b.where())
	return b
}

// name returns what the operator calls the server.
func (b *backend) name() string { return *b.label.Load() }

// failed counts a dial that failed.
func (b *backend) failed(fault string) {
	b.fault.Store(&fault) // first: whoever sees the count sees a fault
	b.failures.Add(1)
}

// where returns the backend's address as logs and metrics show it.
func (b *backend) where() string {
	if b.path != "" {
		return "unix:" + b.path
	}
	if b.secure {
		return "https://" + b.address.String()
	}
	return b.address.String()
}

// addressAt returns where the backend is connected to: at another port than its own, if one is given.
func (b *backend) addressAt(port uint16) netip.AddrPort {
	if port == 0 {
		return b.address
	}
	return netip.AddrPortFrom(b.address.Addr(), port)
}

// authority returns what Host says of what is connected to, where nobody else says anything.
func (b *backend) authority(port uint16) string {
	if b.path != "" {
		return "localhost" // a Unix socket has no name of its own
	}
	return b.addressAt(port).String()
}

// backendRegistry holds every backend that a configuration names or a connection leads to.
type backendRegistry struct {
	ephemeral portRange

	mu       sync.Mutex
	backends map[backendKey]*backend
	ordered  []*backend            // as they came
	queues   map[string]*waitQueue // by group
	budgets  map[string]*retryBudget
}

// take returns the backend with this key, a new one if there was none.
func (r *backendRegistry) take(key backendKey, name string) *backend {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.backends[key]
	if b == nil {
		b = newBackend(key, name, r.ephemeral)
		if r.backends == nil {
			r.backends = make(map[backendKey]*backend)
		}
		r.backends[key] = b
		r.ordered = append(r.ordered, b)
	}
	return b
}

// queue returns those who wait for a backend of a group.
func (r *backendRegistry) queue(group string) *waitQueue {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.queues == nil {
		r.queues = make(map[string]*waitQueue)
	}
	q := r.queues[group]
	if q == nil {
		q = new(waitQueue)
		r.queues[group] = q
	}
	return q
}

// budget returns what bounds the retries of a group.
func (r *backendRegistry) budget(group string) *retryBudget {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.budgets == nil {
		r.budgets = make(map[string]*retryBudget)
	}
	b := r.budgets[group]
	if b == nil {
		b = newRetryBudget(engine.Monotonic())
		r.budgets[group] = b
	}
	return b
}

// all returns every backend, in the order in which they came.
func (r *backendRegistry) all() []*backend {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ordered)
}

// mark notes which backends are configured: connections to others are not kept.
func (r *backendRegistry) mark(configured map[*backend]int) {
	for _, b := range r.all() {
		_, ok := configured[b]
		b.dropped.Store(!ok)
	}
}

// forget drops those that are not configured and to which no connection leads any more.
func (r *backendRegistry) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ordered = slices.DeleteFunc(r.ordered, func(b *backend) bool {
		gone := b.dropped.Load() && b.active.Load() == 0
		if gone {
			delete(r.backends, b.backendKey)
		}
		return gone
	})
}
