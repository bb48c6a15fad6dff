package proxy

import (
	"bytes"
	"maps"
	"runtime"
	"slices"
	"time"

	"culvert/engine"

	"github.com/rs/zerolog"
)

const (
	watchdogPeriod = 250 * time.Millisecond
	// stuckAfter is how long one turn may last before it is reported.
	stuckAfter = time.Second
	// stackBytes bounds the stacks that a report holds.
	stackBytes = 256 << 10
	// looksPerReport is at every how many looks at the loops the backends are looked at: once a second.
	looksPerReport = 4
	// failurePeriod is the least time between two lines about one backend.
	failurePeriod = 10 * time.Second
)

// watchdog reports loops that do not turn, with their stacks, once per stuck turn; and backends that cannot be reached,
// so that the loops need not. It also adds up what the loops relay, where that is bounded.
type watchdog struct {
	end, ended chan struct{}
}

// startWatchdog watches these loops of a server.
func (s *Server) startWatchdog(shards []*shard) *watchdog {
	d := &watchdog{end: make(chan struct{}), ended: make(chan struct{})}
	// goroutine: watchdog, ends when stop is called
	go d.run(s, shards)
	return d
}

func (d *watchdog) run(s *Server, shards []*shard) {
	defer close(d.ended)
	ticker := time.NewTicker(watchdogPeriod)
	defer ticker.Stop()
	log := s.logs.Error
	reported := make([]bool, len(shards))
	reports := make(failureReports)
	for look := 1; ; look++ {
		select {
		case <-d.end:
			return
		case <-ticker.C:
		}
		if look%looksPerReport == 0 {
			reports.look(s.registry.all(), engine.Monotonic(), log)
			if s.reloading.TryLock() { // a configuration that is being compiled names backends that none has yet
				s.registry.forget()
				s.reloading.Unlock()
			}
		}
		s.limits.bandwidth.look(shards)
		for i, h := range shards {
			loop := h.loop
			busy := loop.Busy(engine.Monotonic())
			if busy < stuckAfter {
				reported[i] = false
				continue
			}
			if !reported[i] {
				reported[i] = true
				log.Error().Str("loop", loop.Name()).Dur("busy", busy).Bytes("stack", loopStacks()).
					Msg("an event loop does not turn: all its connections wait")
			}
		}
	}
}

func (d *watchdog) stop() {
	close(d.end)
	<-d.ended
}

// failureReports are those of the backends that there are.
type failureReports map[*backend]*failureReport

func (reports failureReports) look(backends []*backend, now int64, log zerolog.Logger) {
	for _, b := range backends {
		if reports[b] == nil {
			reports[b] = &failureReport{backend: b}
		}
		reports[b].look(now, log)
	}
	if len(reports) > len(backends) {
		maps.DeleteFunc(reports, func(b *backend, _ *failureReport) bool { return !slices.Contains(backends, b) })
	}
}

// failureReport is what was told of one backend's failures. Owned by the watchdog.
type failureReport struct {
	backend *backend
	told    uint64 // failures, in all lines so far
	next    int64  // when the next line may be written, Monotonic ns
}

// look writes a line if there were failures since the last one, and that is long enough ago.
func (r *failureReport) look(now int64, log zerolog.Logger) {
	failures := r.backend.failures.Load()
	if failures == r.told || now < r.next {
		return
	}
	log.Warn().Str("backend", r.backend.name()).Str("address", r.backend.where()).
		Uint64("failures", failures-r.told).Str("detail", *r.backend.fault.Load()).
		Msg("connections to a backend failed")
	r.told, r.next = failures, now+int64(failurePeriod)
}

// loopStacks returns the stacks of the goroutines that run event loops.
func loopStacks() []byte {
	all := make([]byte, stackBytes)
	all = all[:runtime.Stack(all, true)]
	var loops [][]byte
	for stack := range bytes.SplitSeq(all, []byte("\n\n")) {
		if bytes.Contains(stack, []byte("engine.(*Loop).run")) {
			loops = append(loops, stack)
		}
	}
	return bytes.Join(loops, []byte("\n\n"))
}
