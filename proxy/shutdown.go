package proxy

import (
	"context"
	"time"

	"culvert/engine"
)

const (
	// shutdownStep is how often a shutdown looks at what is left.
	shutdownStep = 50 * time.Millisecond
	// farewell is how long the last FINs may take before the loops stop.
	farewell = time.Second
)

// Shutdown ends the server gracefully: /readyz fails at once; accepting goes on for ShutdownDelay, so that whoever
// balances over us takes notice; then the accept queues are emptied and the listeners close; then tunnels and answers
// under way may go on within ShutdownGrace, spread over which they are ended, so that their clients do not come back
// all at once. When ctx is done everything ends at once. It returns when all is closed.
func (s *Server) Shutdown(ctx context.Context) error {
	s.shuttingDown.Store(true)
	if wait(ctx, s.site.Load().config.ShutdownDelay) {
		s.everywhere(func(h *shard) { h.stopListening() })
		s.wane(ctx)
	}
	return s.Close()
}

// wait sleeps for d and reports whether ctx is still alive.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// wane ends what is left bit by bit, so that at the end of the grace nothing is.
func (s *Server) wane(ctx context.Context) {
	grace := s.site.Load().config.ShutdownGrace
	steps := max(1, int64(grace/shutdownStep))
	begin := sum(s.live())
	for step := int64(1); step <= steps && sum(s.live()) > 0; step++ {
		if !wait(ctx, grace/time.Duration(steps)) {
			return
		}
		allowed := (begin*(steps-step) + steps - 1) / steps // rounded up: a lone tunnel has the whole grace
		s.endDownTo(allowed)
	}
	s.settle(ctx)
}

// live returns how many exchanges and streams each loop has. Lingering closes are not among them.
func (s *Server) live() []int64 {
	counts := make(map[*shard]*int64, len(s.shards))
	all := make([]int64, len(s.shards))
	for i, h := range s.shards {
		counts[h] = &all[i]
	}
	s.everywhere(func(h *shard) { *counts[h] = int64(h.streams.count + h.exchanges.count) })
	return all
}

func sum(counts []int64) (total int64) {
	for _, n := range counts {
		total += n
	}
	return total
}

// endDownTo ends as many of the oldest as are over the allowed number, shared among the loops.
func (s *Server) endDownTo(allowed int64) {
	live := s.live()
	excess := sum(live) - allowed
	if excess <= 0 {
		return
	}
	share := make(map[*shard]int, len(s.shards))
	for i, n := range shares(excess, live) {
		share[s.shards[i]] = int(n)
	}
	s.everywhere(func(h *shard) {
		n := min(share[h], h.streams.count)
		h.streams.endOldest(n)
		h.exchanges.endOldest(share[h] - n)
	})
}

// shares divides a number of connections to be ended among loops, in proportion to what each has; what does not divide
// goes to the fullest.
func shares(excess int64, loads []int64) []int64 {
	total := sum(loads)
	excess = min(excess, total)
	parts := make([]int64, len(loads))
	for i, load := range loads {
		parts[i] = excess * load / max(total, 1)
		loads[i] -= parts[i]
	}
	for _, part := range parts {
		excess -= part
	}
	for ; excess > 0; excess-- {
		fullest := 0
		for i := range loads {
			if loads[i] > loads[fullest] {
				fullest = i
			}
		}
		parts[fullest]++
		loads[fullest]--
	}
	return parts
}

// settle gives the lingering closes a moment, so that the last FINs and bytes are not destroyed by resets.
func (s *Server) settle(ctx context.Context) {
	deadline := engine.Monotonic() + int64(min(farewell, s.site.Load().config.Timeouts.Linger))
	for engine.Monotonic() < deadline && s.lingering() > 0 {
		if !wait(ctx, shutdownStep/5) {
			return
		}
	}
}

func (s *Server) lingering() (n uint64) {
	s.everywhere(func(h *shard) { h.lingering = h.loop.Counters.Lingering })
	for _, h := range s.shards {
		n += h.lingering
	}
	return n
}

// everywhere runs f on every loop and waits until all have.
func (s *Server) everywhere(f func(*shard)) {
	done := make(chan struct{}, len(s.shards))
	for _, h := range s.shards {
		if !h.loop.PostAlways(func() { f(h); done <- struct{}{} }) {
			done <- struct{}{}
		}
	}
	for range s.shards {
		<-done
	}
}

func (h *shard) stopListening() {
	for _, listener := range h.listeners {
		listener.Close()
	}
	h.closing = true
	h.pool.close()
	for _, c := range h.checks {
		c.stop()
	}
	h.exchanges.each(func(e ender) {
		if x := e.(*exchange); x.idle() {
			x.shutDown()
		}
	})
}

// Close ends everything at once: what is open is closed, the loops stop. It may be called at any time, and again.
func (s *Server) Close() error {
	s.shuttingDown.Store(true)
	s.discoverer.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != serverRunning {
		s.state = serverEnded
		return nil
	}
	s.state = serverEnded
	s.watchdog.stop()
	s.keeper.stop()
	s.steward.stop()
	s.everywhere(func(h *shard) {
		h.stopListening()
		h.streams.endOldest(h.streams.count)
		h.exchanges.endOldest(h.exchanges.count)
	})
	s.stopWorkers()
	var first error
	for _, h := range s.shards {
		if err := h.loop.Stop(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
