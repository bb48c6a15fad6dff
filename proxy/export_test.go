package proxy

import "culvert/engine"

// Post runs a task on the first loop, for tests that decide what one turn of it meets.
func (s *Server) Post(task func()) { s.shards[0].loop.Post(task) }

// PostTo runs a task on a loop.
func (s *Server) PostTo(loop int, task func()) { s.shards[loop].loop.Post(task) }

// Sites returns how many configurations this process holds.
func (s *Server) Sites() int64 { return s.sites.Load() }

// Published returns how many bytes the loops have published as relayed.
func (s *Server) Published() (total uint64) {
	for _, h := range s.shards {
		total += h.relayed.Load()
	}
	return total
}

// StopListening is the first step of a shutdown.
func (s *Server) StopListening() { s.everywhere((*shard).stopListening) }

// Connections returns how many connections the backends have, without asking any loop.
func (s *Server) Connections() (total int64) {
	for _, b := range s.registry.all() {
		total += b.active.Load()
	}
	return total
}

// BeginChecks has every check be due that waits for its time: whoever sets a long interval says when backends are checked.
func (s *Server) BeginChecks() { s.fireChecks(func(c *check) bool { return c.conn == nil }) }

// ExpireChecks has the deadline of every check come that is under way.
func (s *Server) ExpireChecks() { s.fireChecks(func(c *check) bool { return c.conn != nil }) }

func (s *Server) fireChecks(which func(*check) bool) {
	s.everywhere(func(h *shard) {
		for _, c := range h.checks {
			if which(c) {
				h.loop.Wheel.Arm(&c.timer, 1)
			}
		}
	})
}

// Tend has the steward look at everything, as it were at that time, and returns when something changes by itself.
func (s *Server) Tend(now int64) (next int64) { return s.steward.tend(now) }

// HaltSteward has the steward look at nothing by itself, so that time passes for it when Tend says so, until resume is
// called. Orders and reloads still have it look at the present moment.
func (s *Server) HaltSteward() (resume func()) {
	w := s.steward
	w.stop()
	w.end, w.ended = make(chan struct{}), make(chan struct{})
	return w.start
}

// Now is the present moment, as Tend takes it.
func (s *Server) Now() int64 { return engine.Monotonic() }
