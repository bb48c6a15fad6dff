package proxy

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
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
	label    atomic.Pointer[string] // what the operator calls it
	active   atomic.Int64           // connections, those being dialed included
	failures atomic.Uint64
	fault    atomic.Pointer[string]     // of the last failure, a stable token; nil: there was none
	security atomic.Pointer[backendTLS] // nil: it is spoken to in clear
	dropped  atomic.Bool                // no configuration names it any more: connections to it are not kept

	portIsEphemeral bool // the kernel takes the ports of outgoing connections from around there
}

func newBackend(key backendKey, name string, ephemeral portRange) *backend {
	b := &backend{backendKey: key, portIsEphemeral: ephemeral.contain(key.address.Port())}
	b.label.Store(&name)
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

// backendRegistry holds every backend that a configuration names or a connection leads to.
type backendRegistry struct {
	ephemeral portRange

	mu       sync.Mutex
	backends map[backendKey]*backend
	ordered  []*backend // as they came
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
