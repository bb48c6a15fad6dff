package peers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"culvert/engine"
)

// releasePatience bounds the end of a row.
const releasePatience = 20 * time.Second

// A station is one contender at its place, ready for a row.
type station struct {
	name, title string
	contender   Contender
	proxy       *proxy // nil where each measurement starts its own
}

// A session is a station with the tunnels that a row needs. One measurement returns a sample for each of the work's
// rows. Release ends what prepare began, also after an error.
type session interface {
	measure(ctx context.Context) ([]Sample, error)
	release(ctx context.Context) error
}

// A work is one kind of load, of which one measurement may give several rows.
type work struct {
	rows    []Row
	tunnels int     // at once through one proxy
	nominal float64 // seconds that a measurement takes, for the progress line
	key     keyKind // of the proxies' certificate; "": no TLS, and the floor takes part
	counted string  // Culvert's metric of its messages; "": that of those from clients in tunnels
	// stations returns where it is measured, at so many variants of Culvert; nil: at each contender.
	variants int
	stations func(ctx context.Context, b *Bench) ([]station, error)
	// begin is told of all stations before they are prepared, and may write into the rows; nil: nothing has to.
	begin   func(ctx context.Context, b *Bench, stations []station, rows []Row) error
	prepare func(ctx context.Context, b *Bench, s station) (session, error)
}

// Run measures all rows. When it ends early, because ctx does or something fails, the results beside the error are those
// of the rows that are complete.
func (b *Bench) Run(ctx context.Context) (*Results, error) {
	begin := engine.Monotonic()
	programs, err := b.programs(ctx)
	if err != nil {
		return nil, err
	}
	results := &Results{
		Format: format, Date: b.options.Date, Machine: ThisMachine(), Programs: programs, Rounds: b.options.Rounds,
		Pinned: b.proxyCPUs() != nil,
	}
	works := b.works()
	progress := newProgress(b, works)
	defer progress.end()
	for _, w := range works {
		rows, err := b.runWork(ctx, w, progress)
		if err != nil {
			return results, fmt.Errorf("row %s: %w", w.rows[0].Name, err)
		}
		results.Rows = append(results.Rows, rows...)
	}
	results.Seconds = time.Duration(engine.Monotonic() - begin).Seconds()
	return results, nil
}

// runWork prepares one work at all stations, measures in interleaved rounds, and releases all.
func (b *Bench) runWork(ctx context.Context, w work, progress *progress) (rows []Row, err error) {
	stations, err := b.stationsOf(ctx, w)
	if err != nil {
		return nil, err
	}
	rows = w.emptyRows(stations)
	if w.begin != nil {
		if err := w.begin(ctx, b, stations, rows); err != nil {
			return nil, err
		}
	}
	sessions := make([]session, len(stations)) // nil: it takes no part
	defer func() {
		// What was interrupted is released too, so it has time of its own.
		releasing, cancel := context.WithTimeout(context.WithoutCancel(ctx), releasePatience)
		defer cancel()
		for i, s := range sessions {
			if s == nil {
				continue
			}
			if failed := s.release(releasing); failed != nil && err == nil {
				err = fmt.Errorf("%s: %w", stations[i].title, failed)
			}
		}
	}()
	for i, s := range stations {
		progress.preparing(w, s)
		sessions[i], err = w.prepare(ctx, b, s)
		var lacks *lack
		switch {
		case errors.As(err, &lacks):
			for n := range rows {
				rows[n].Contenders[i].Lacks = lacks.what
			}
		case err != nil:
			return nil, fmt.Errorf("%s: %w", s.title, err)
		}
	}
	for round := range b.options.Rounds {
		for turn := range stations {
			i := inTurn(turn, round, len(stations))
			s := stations[i]
			if sessions[i] == nil {
				continue
			}
			progress.measuring(w, s, round)
			samples, err := measureAgain(ctx, sessions[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.title, err)
			}
			for n, sample := range samples {
				rows[n].Contenders[i].Samples = append(rows[n].Contenders[i].Samples, sample)
			}
			progress.measured(w)
		}
	}
	return rows, sameTLS(rows)
}

// emptyRows are the work's rows before anything was measured.
func (w *work) emptyRows(stations []station) []Row {
	rows := slices.Clone(w.rows)
	for i := range rows {
		for _, s := range stations {
			rows[i].Contenders = append(rows[i].Contenders, Series{Name: s.name, Title: s.title})
		}
	}
	return rows
}

// takesPart tells whether a contender can do the work at all: the floor knows no TLS.
func (w *work) takesPart(c Contender) bool { return w.key == noKey || c.Program != ProgramFloor }

// inTurn returns who has a turn of a round. Each round begins with another contender, so that nothing that comes at even
// times, or after what a certain contender leaves behind, always meets the same.
func inTurn(turn, round, contenders int) int { return (turn + round) % contenders }

// measureAgain measures, and does so again where the machine was so busy with other things that no message came back.
// This process collects its garbage before, not meanwhile: the collector's thread keeps the generator's loop from their
// CPU for a tick of the kernel, 4 ms, which alone decides a p99.9. What one measurement leaves behind is small.
func measureAgain(ctx context.Context, s session) (samples []Sample, err error) {
	const tries = 5
	runtime.GC()
	defer withoutCollector()()
	for range tries {
		if samples, err = s.measure(ctx); !errors.Is(err, errNoMessage) {
			break
		}
	}
	return samples, cmp.Or(err, ctx.Err())
}

// uncollectedBytes is how much memory may be in use before garbage is collected in the middle of a measurement all the
// same: TLS handshakes leave some 50 KB each.
const uncollectedBytes = 1 << 30

// withoutCollector turns the collector off until the function that it returns is called.
func withoutCollector() (again func()) {
	percent, limit := debug.SetGCPercent(-1), debug.SetMemoryLimit(uncollectedBytes)
	return func() {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(percent)
	}
}

func (b *Bench) stationsOf(ctx context.Context, w work) ([]station, error) {
	if w.stations != nil {
		return w.stations(ctx, b)
	}
	var stations []station
	for _, c := range b.contenders {
		if !w.takesPart(c) {
			continue
		}
		p, err := b.proxy(ctx, c, w.key)
		if err != nil {
			return nil, err
		}
		stations = append(stations, station{c.Name, c.Title, c, p})
	}
	return stations, nil
}
