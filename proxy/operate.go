package proxy

import (
	"errors"
	"time"
)

// What operators do with backends while the proxy runs. It holds until the process ends or the backend is no more, also
// over reloads.

// ErrNoSuchBackend is returned for a group or a name that the present configuration does not have.
var ErrNoSuchBackend = errors.New("there is no such backend")

// BackendStatus is how a backend stands.
type BackendStatus struct {
	Group   string `json:"group"`
	Name    string `json:"name"`
	Address string `json:"address"`
	// Weight is what counts now, Configured what the configuration says.
	Weight     int `json:"weight"`
	Configured int `json:"configured_weight"`
	// Share is the part of its weight that it has while it starts slowly, in percent.
	Share     int  `json:"share_percent"`
	Secondary bool `json:"secondary,omitempty"`
	// Status is serving, draining, resting, failing or ejected; Reason is why it fails.
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
	// Since is how long it has been so, in seconds.
	Since       float64 `json:"since_seconds"`
	Connections int64   `json:"connections"`
	Waiting     int     `json:"waiting,omitempty"`
}

// Backends returns how all backends of the present configuration stand, in its order.
func (s *Server) Backends() []BackendStatus { return nil }

// DrainBackend takes a backend out of use: no new requests, and its tunnels live on, for limit at most (0: for ever), after
// which they are ended at the group's rate.
func (s *Server) DrainBackend(group, name string, limit time.Duration) error { return ErrNoSuchBackend }

// UndrainBackend takes it into use again, slowly, whoever drained it.
func (s *Server) UndrainBackend(group, name string) error { return ErrNoSuchBackend }

// WeighBackend gives it another weight, 0 to 100; -1: that of the configuration.
func (s *Server) WeighBackend(group, name string, weight int) error { return ErrNoSuchBackend }
