package proxy

import (
	"bytes"
	"runtime"
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
// so that the loops need not.
type watchdog struct {
	end, ended chan struct{}
}

func startWatchdog(shards []*shard, backends []*backend, log zerolog.Logger) *watchdog {
	d := &watchdog{end: make(chan struct{}), ended: make(chan struct{})}
	loops := make([]*engine.Loop, len(shards))
	for i, h := range shards {
		loops[i] = h.loop
	}
	reports := make([]failureReport, len(backends))
	for i, b := range backends {
		reports[i].backend = b
	}
	// goroutine: watchdog, ends when stop is called
	go d.run(loops, reports, log)
	return d
}

func (d *watchdog) run(loops []*engine.Loop, reports []failureReport, log zerolog.Logger) {
	defer close(d.ended)
	ticker := time.NewTicker(watchdogPeriod)
	defer ticker.Stop()
	reported := make([]bool, len(loops))
	for look := 1; ; look++ {
		select {
		case <-d.end:
			return
		case <-ticker.C:
		}
		for i := range reports {
			if look%looksPerReport == 0 {
				reports[i].look(engine.Monotonic(), log)
			}
		}
		for i, loop := range loops {
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
	log.Warn().Str("backend", r.backend.name).Str("address", r.backend.where()).
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
