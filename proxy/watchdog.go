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
)

// watchdog reports loops that do not turn, with their stacks: once per stuck turn.
type watchdog struct {
	end, ended chan struct{}
}

func startWatchdog(shards []*shard, log zerolog.Logger) *watchdog {
	d := &watchdog{end: make(chan struct{}), ended: make(chan struct{})}
	loops := make([]*engine.Loop, len(shards))
	for i, h := range shards {
		loops[i] = h.loop
	}
	// goroutine: watchdog, ends when stop is called
	go d.run(loops, log)
	return d
}

func (d *watchdog) run(loops []*engine.Loop, log zerolog.Logger) {
	defer close(d.ended)
	ticker := time.NewTicker(watchdogPeriod)
	defer ticker.Stop()
	reported := make([]bool, len(loops))
	for {
		select {
		case <-d.end:
			return
		case <-ticker.C:
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
