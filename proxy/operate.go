package proxy

import (
	"errors"
	"fmt"
	"time"

	"culvert/engine"
	"culvert/proxy/health"
)

// What operators do with backends while the proxy runs. It holds until the process ends or the backend is no more, also
// over reloads.

// ErrNoSuchBackend is returned for a group or a name that the present configuration does not have.
var ErrNoSuchBackend = errors.New("there is no such backend")

// StatusRemoved is the status of a backend that the configuration does not have any more: what it was given runs on.
const StatusRemoved = "removed"

// BackendStatus is how a backend stands.
type BackendStatus struct {
	Group   string `json:"group"`
	Name    string `json:"name"`
	Address string `json:"address"`
	// Weight is what counts now, Configured what the configuration says.
	Weight     int `json:"weight"`
	Configured int `json:"configured_weight"`
	// Share is the part of its weight that it has while it starts slowly, in percent.
	Share int `json:"share_percent"`
	// Priority is that of BackendConfig: 0 of a primary, 1 of a secondary one.
	Priority int `json:"priority,omitempty"`
	// Status is serving, draining, weight-0, down or ejected, or StatusRemoved; Reason is why it is down.
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
	// Since is how long it has been so, in seconds. Connections are requests and tunnels.
	Since       float64 `json:"since_seconds"`
	Connections int64   `json:"connections"`
	// MaxConnections bounds them; 0: nothing does.
	MaxConnections int64 `json:"max_connections,omitempty"`
	Tunnels        int64 `json:"tunnels"`
	Waiting        int   `json:"waiting,omitempty"`
	// FailuresInRow is how many requests it has failed since it last did not.
	FailuresInRow int `json:"failures_in_a_row,omitempty"`
}

// Backends returns how all backends of the present configuration stand, in its order, and behind them those that are
// removed and have connections yet. It may be called at any time.
func (s *Server) Backends() []BackendStatus {
	s.steward.mu.Lock()
	defer s.steward.mu.Unlock()
	now := engine.Monotonic() // not before the lock is held: nothing has been so for less than no time
	var all []BackendStatus
	for _, g := range s.site.Load().groups { // whose members are those that the steward knows
		c := s.steward.crews[g.name]
		for i := range g.members {
			m := &g.members[i]
			b := m.backend
			status := BackendStatus{
				Group: g.name, Name: b.name(), Address: b.where(), Configured: m.weight, Weight: m.weight, Priority: int(m.priority),
				Connections: b.active.Load(), Tunnels: b.tunnels.Load(), Waiting: int(g.queue.waiting.Load()),
				MaxConnections: m.most, FailuresInRow: b.tally.Failures(),
			}
			if known := c.mates[b]; known != nil {
				status.Weight, status.Share, status.Status = known.weight, known.share, known.status.String()
				status.Since = float64(now-known.since) / float64(time.Second)
			}
			if f := b.found.Load(); f != nil && status.Status == health.Failing.String() {
				status.Reason = f.reason
			}
			all = append(all, status)
		}
	}
	return append(all, s.removedBackends()...)
}

// removedBackends returns those that no configuration names any more, and that have connections yet.
func (s *Server) removedBackends() (all []BackendStatus) {
	for _, b := range s.registry.all() {
		if n := b.active.Load(); n > 0 && b.dropped.Load() {
			all = append(all, BackendStatus{
				Group: b.group, Name: b.name(), Address: b.where(), Status: StatusRemoved, Connections: n, Tunnels: b.tunnels.Load(),
			})
		}
	}
	return all
}

// DrainBackend takes a backend out of use: no new requests, and its tunnels live on, for limit at most (0: for ever), after
// which they are ended at the group's rate. The limit counts from now, also where the backend is drained already.
func (s *Server) DrainBackend(group, name string, limit time.Duration) error {
	return s.order(group, name, func(o *orders) {
		o.drain, o.serve, o.since, o.limit = true, false, engine.Monotonic(), int64(limit)
	})
}

// UndrainBackend takes it into use again, slowly, whoever has drained it. Where the configuration has, that holds until
// there is one that does not.
func (s *Server) UndrainBackend(group, name string) error {
	return s.order(group, name, func(o *orders) { o.drain, o.serve, o.limit = false, true, 0 })
}

// WeighBackend gives it another weight, 0 to 100; -1: that of the configuration.
func (s *Server) WeighBackend(group, name string, weight int) error {
	if weight < -1 || weight > 100 {
		return fmt.Errorf("weight %d: allowed are 0 to 100", weight)
	}
	return s.order(group, name, func(o *orders) { o.weight = weight })
}

// order changes what the operator wants of all backends of this name in a group, and has that count when it returns.
func (s *Server) order(group, name string, change func(*orders)) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	current := s.site.Load()
	g := current.group(group)
	if g == nil {
		return ErrNoSuchBackend
	}
	found := false
	for i := range g.members {
		b := g.members[i].backend
		if b.name() != name && b.where() != name {
			continue
		}
		found = true
		o := orders{weight: -1}
		if before := b.orders.Load(); before != nil {
			o = *before
		}
		change(&o)
		b.orders.Store(&o)
	}
	if !found {
		return ErrNoSuchBackend
	}
	s.steward.tend(engine.Monotonic())
	s.steward.wake()
	return nil
}
