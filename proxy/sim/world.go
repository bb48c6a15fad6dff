package sim

import (
	"fmt"
	"io"

	"culvert/engine"
)

// Options say what to run.
type Options struct {
	// Seed decides everything.
	Seed uint64
	// Move lets tunnels be exported, destroyed and restored; without it they stay where they began.
	Move bool
	// Trace, if not nil, is told what happens, one line per event, with the virtual time in front.
	Trace io.Writer

	hooks hooks
}

// hooks stand between the relay and what is simulated. Tests break things with them, to see the oracle notice.
type hooks struct {
	end   func(engine.End) engine.End
	stage func(engine.Stage) engine.Stage
	state func([]byte) []byte
}

// Report is what came of a run.
type Report struct {
	// Failure says what was wrong first, "" if nothing was.
	Failure string
	// Free tells whether the loops turned at times of their own; otherwise Digest must not depend on Options.Move.
	Free bool
	// Digest stands for everything that happened at the sockets, and when, and for how each tunnel ended.
	Digest uint64
	// Endings counts how the tunnels ended.
	Endings map[engine.Outcome]int
	// Moves counts exports; Bytes what was relayed, Spliced what of it through pipes; Turns those of all loops.
	Moves   int
	Bytes   uint64
	Turns   uint64
	Spliced uint64
	// Coverage counts the situations that were met.
	Coverage Coverage
	// Nanos is the virtual time that passed.
	Nanos int64
}

// epoch is when virtual time begins: not at 0, for a clock of a machine never does.
const epoch = 1000 * second

// stepsMax bounds a run.
const stepsMax = 1 << 20

// world is one run.
type world struct {
	plan    *plan
	move    bool
	trace   io.Writer
	hooks   hooks
	now     int64
	loops   []*loop
	tunnels []*tunnel
	moves   int
	scratch []byte // of a pipe's size
	tally   map[engine.Outcome]int
	seen    seen
	failure string
}

// Run runs one seed to its end, or to the first failure.
func Run(options Options) Report { return newWorld(newPlan(options.Seed), options).run() }

// RunBoth runs a seed twice, with tunnels that move and with tunnels that stay, and fails the first run if the second
// shows a difference where there must be none.
func RunBoth(seed uint64) Report {
	p := newPlan(seed)
	moving := newWorld(p, Options{Seed: seed, Move: true}).run()
	if moving.Failure != "" || p.free {
		return moving
	}
	staying := newWorld(p, Options{Seed: seed}).run()
	switch {
	case staying.Failure != "":
		moving.Failure = "without any move: " + staying.Failure
	case staying.Digest != moving.Digest:
		moving.Failure = "tunnels that were moved did not fare as those that stayed: " + difference(p)
	}
	return moving
}

func newWorld(p *plan, options Options) *world {
	w := &world{
		plan: p, move: options.Move, trace: options.Trace, hooks: options.hooks.orNone(),
		now: epoch, tally: map[engine.Outcome]int{},
	}
	for i := range p.loops {
		w.loops = append(w.loops, newLoop(w, i))
	}
	if p.pipes > 0 {
		w.scratch = make([]byte, pipeBytes)
	}
	for i, t := range p.tunnels {
		w.tunnels = append(w.tunnels, newTunnel(w, i, t))
	}
	return w
}

func (h hooks) orNone() hooks {
	if h.end == nil {
		h.end = func(e engine.End) engine.End { return e }
	}
	if h.stage == nil {
		h.stage = func(s engine.Stage) engine.Stage { return s }
	}
	if h.state == nil {
		h.state = func(b []byte) []byte { return b }
	}
	return h
}

func (w *world) run() Report {
	for steps := 0; w.failure == "" && w.step(); steps++ {
		if steps > stepsMax {
			w.failf("it does not come to an end")
		}
	}
	if w.failure == "" {
		w.checkEnd()
	}
	r := Report{
		Failure: w.failure, Free: w.plan.free, Endings: w.tally, Moves: w.moves, Nanos: w.now - epoch,
		Coverage: w.seen.coverage(),
	}
	for _, l := range w.loops {
		l.workspace.ClosePipes()
		r.Turns += l.turns
		r.Spliced += l.workspace.Counters.Spliced
		r.Bytes += l.workspace.Counters.Relayed[0] + l.workspace.Counters.Relayed[1]
	}
	for _, t := range w.tunnels {
		r.Digest = r.Digest*0x9E3779B97F4A7C15 ^ t.digest
	}
	return r
}

// step goes on to the next moment at which something happens. It reports false when nothing will.
func (w *world) step() bool {
	at := int64(never)
	for _, t := range w.tunnels {
		at = min(at, t.next())
	}
	for _, l := range w.loops {
		at = min(at, l.turnAt)
	}
	if at == never {
		return false
	}
	w.now = max(w.now, at)
	for _, t := range w.tunnels {
		t.act(w.now)
	}
	if w.plan.free {
		w.turnFreely()
	} else {
		w.turnTogether()
	}
	return true
}

// turnTogether turns all loops at once; tunnels move when all have turned.
func (w *world) turnTogether() {
	busy := false
	for _, l := range w.loops {
		l.turn()
		busy = busy || l.workspace.Unfinished()
	}
	for _, t := range w.tunnels {
		// With the budget used up, a restored relay would go on at once, one that stays in the next turn.
		if t.movable() && !busy {
			from := t.loop.index
			t.export()
			t.restore(w.loops[(from+1)%len(w.loops)])
		}
	}
	for _, l := range w.loops {
		// Timers that were armed at another time, but are due at the same, make for other turns in between. They must
		// not let a loop go on earlier.
		if l.plan(); busy {
			l.turnAt = w.now + turnGap
		}
	}
}

// turnFreely turns the loops whose time has come.
func (w *world) turnFreely() {
	for _, l := range w.loops {
		if l.turnAt <= w.now {
			l.turn()
			l.plan()
		}
	}
	for _, l := range w.loops {
		l.wake()
	}
}

// lateness is how late a loop may come.
func (w *world) lateness() int64 {
	if w.plan.free {
		return 2 * longestDelay
	}
	return 0
}

func (w *world) failf(format string, arguments ...any) {
	if w.failure == "" {
		w.failure = fmt.Sprintf("at %s: ", clock(w.now)) + fmt.Sprintf(format, arguments...)
		w.tracef("FAILED: %s", w.failure)
	}
}
