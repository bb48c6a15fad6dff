package sim

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/engine"
	"culvert/proxy"
)

// coverageSeeds are enough to meet every situation.
const coverageSeeds = 5000

var (
	seedFlag  = flag.Uint64("seed", 0, "replay this seed with its trace instead of running many")
	seedsFlag = flag.Int("seeds", defaultSeeds, "how many seeds to run")
	fromFlag  = flag.Uint64("from", 1, "the first seed to run")
)

func TestSimulation(t *testing.T) {
	if *seedFlag != 0 {
		replay(t, *seedFlag)
		return
	}
	var sum summary
	begin := time.Now()
	reported := begin
	for i := range *seedsFlag {
		seed := *fromFlag + uint64(i)
		r := guarded(func() Report { return RunBoth(seed) })
		if r.Failure != "" {
			t.Fatalf("seed %d: %s\nreplay it with: make sim SEED=%d", seed, r.Failure, seed)
		}
		sum.add(r)
		if time.Since(reported) > 3*time.Second {
			reported = time.Now()
			t.Logf("%d of %d seeds, %d MB", i+1, *seedsFlag, sum.bytes>>20)
		}
	}
	if missing := sum.coverage.Missing(); *seedsFlag >= coverageSeeds && len(missing) > 0 {
		t.Errorf("the simulation never got there: %q", missing)
	}
	t.Logf("%d seeds in %v: %v", *seedsFlag, time.Since(begin).Round(time.Millisecond), &sum)
}

// replay shows a seed's run with moves, and judges it as every other.
func replay(t *testing.T, seed uint64) {
	r := guarded(func() Report { return Run(Options{Seed: seed, Move: true, Trace: os.Stdout}) })
	if r.Failure == "" {
		r = guarded(func() Report { return RunBoth(seed) })
	}
	if r.Failure != "" {
		t.Fatalf("seed %d: %s", seed, r.Failure)
	}
	t.Logf("seed %d: %d turns, %d moves, %d bytes, %v of virtual time", seed, r.Turns, r.Moves, r.Bytes, time.Duration(r.Nanos))
}

// guarded turns a panic into a failure, so that it is told which seed leads to it.
func guarded(run func() Report) (r Report) {
	defer func() {
		if cause := recover(); cause != nil {
			r.Failure = fmt.Sprintf("panic: %v\n%s", cause, bytes.TrimSpace(debug.Stack()))
		}
	}()
	return run()
}

// summary adds up reports.
type summary struct {
	endings    map[engine.Outcome]int
	moves      int
	bytes      uint64
	turns      uint64
	nanos      int64
	spliced    uint64
	free, both int
	coverage   Coverage
}

func (s *summary) add(r Report) {
	if s.endings == nil {
		s.endings, s.coverage = map[engine.Outcome]int{}, Coverage{}
	}
	for outcome, n := range r.Endings {
		s.endings[outcome] += n
	}
	s.coverage.Add(r.Coverage)
	s.spliced += r.Spliced
	s.moves += r.Moves
	s.bytes += r.Bytes
	s.turns += r.Turns
	s.nanos += r.Nanos
	if r.Free {
		s.free++
	} else {
		s.both++
	}
}

func (s *summary) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d moves, %d MB (%d spliced), %d turns, %v of virtual time; %d turned freely, %d compared\n",
		s.moves, s.bytes>>20, s.spliced>>20, s.turns, time.Duration(s.nanos).Round(time.Second), s.free, s.both)
	byReason := func(a, b engine.Outcome) int { return int(a.Reason)*4 + int(a.By) - int(b.Reason)*4 - int(b.By) }
	for _, outcome := range slices.SortedFunc(maps.Keys(s.endings), byReason) {
		fmt.Fprintf(&text, "%7d %s by %s\n", s.endings[outcome], proxy.ReasonName(outcome.Reason), outcome.By)
	}
	for _, name := range slices.Sorted(maps.Keys(s.coverage)) {
		fmt.Fprintf(&text, "%9d %s\n", s.coverage[name], name)
	}
	return text.String()
}
