package proxy

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
