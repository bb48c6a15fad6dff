package peers

import (
	"fmt"
	"io"
	"time"

	"culvert/engine"
)

// progressInterval is the least time between two lines where they are not overwritten.
const progressInterval = 5 * time.Second

// progress tells on a line how far a run is and how long it will still take, judging by the time taken so far.
type progress struct {
	out         io.Writer
	terminal    bool
	rounds      int
	begin, last int64
	all, done   float64 // nominal seconds
}

func newProgress(b *Bench, works []work) *progress {
	p := &progress{out: b.options.Progress, terminal: b.options.Terminal, rounds: b.options.Rounds, begin: engine.Monotonic()}
	for _, w := range works {
		stations := w.variants
		for _, c := range b.contenders {
			if w.stations == nil && w.takesPart(c) {
				stations++
			}
		}
		p.all += w.nominal * float64(stations*p.rounds)
	}
	return p
}

func (p *progress) preparing(w work, s station) {
	p.tell("%-14s %-16s preparing", w.rows[0].Name, s.name)
}

func (p *progress) measuring(w work, s station, round int) {
	p.tell("%-14s %-16s round %d of %d", w.rows[0].Name, s.name, round+1, p.rounds)
}

func (p *progress) measured(w work) { p.done += w.nominal }

// left estimates the rest of the run.
func (p *progress) left(now int64) time.Duration {
	pace := 1.0
	if p.done > 0 {
		pace = time.Duration(now-p.begin).Seconds() / p.done
	}
	return time.Duration((p.all - p.done) * pace * float64(time.Second)).Round(time.Second)
}

func (p *progress) tell(format string, args ...any) {
	now := engine.Monotonic()
	if p.out == nil || !p.terminal && p.last != 0 && now-p.last < int64(progressInterval) {
		return
	}
	p.last = now
	text := fmt.Sprintf(format, args...)
	text = fmt.Sprintf("%3.0f %%  %s, about %v left", 100*p.done/p.all, text, p.left(now))
	if p.terminal {
		fmt.Fprintf(p.out, "\r%-79s", text)
	} else {
		fmt.Fprintln(p.out, text)
	}
}

// end clears the line.
func (p *progress) end() {
	if p.out != nil && p.terminal {
		fmt.Fprintf(p.out, "\r%79s\r", "")
	}
}
