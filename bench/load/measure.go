package load

import (
	"context"
	"time"

	"culvert/engine"
)

// interruptedPatience bounds the wait for what is under way after the context was done.
const interruptedPatience = time.Second

// Snapshot is how far a measurement is.
type Snapshot struct {
	// Elapsed is the time since the measurement began, warm-up included.
	Elapsed time.Duration
	// Measuring is false while it warms up.
	Measuring bool
	// Open is the number of open tunnels.
	Open int
	// Messages, Errors and Mismatches are as in Result, so far.
	Messages, Errors, Mismatches uint64
	// MessagesPerSecond is the throughput since the last Snapshot.
	MessagesPerSecond float64
}

// job is a measurement on one loop. Its methods are called on the loop.
type job interface {
	// start begins to send.
	start(now int64)
	// begin is where the measured part begins, stop where it ends: nothing new is begun from then on.
	begin(now int64)
	stop(now int64)
	// abandon gives up what is still under way.
	abandon()
	// finished is closed when nothing is under way any more and nothing will be.
	finished() <-chan struct{}
	// figures returns what was counted.
	figures() *meter
}

// measurement runs jobs on all loops through warm-up, measured part and end.
type measurement struct {
	stations         []*station
	jobs             []job
	warmUp, duration time.Duration // duration 0: until the jobs have finished
	timeout          time.Duration
	begin, end       func()
	progress         func(Snapshot)

	began   int64
	last    int64 // when the last snapshot was made
	counted uint64
}

// run returns the length and the CPU time of the measured part in seconds. The context ends it early.
func (m *measurement) run(ctx context.Context) (seconds, cpu float64) {
	m.began = engine.Monotonic()
	m.last = m.began
	if m.warmUp > 0 {
		m.each(func(j job, now int64) { j.start(now) })
		m.wait(ctx, m.warmUp, false)
	}
	if m.begin != nil {
		m.begin()
	}
	begun, cpuBefore := engine.Monotonic(), processCPU()
	m.each(func(j job, now int64) {
		j.begin(now)
		if m.warmUp <= 0 {
			j.start(now)
		}
	})
	m.wait(ctx, m.duration, true)
	m.each(func(j job, now int64) { j.stop(now) })
	seconds, cpu = float64(engine.Monotonic()-begun)/1e9, processCPU()-cpuBefore
	if m.end != nil {
		m.end()
	}
	patience := m.timeout
	if ctx.Err() != nil {
		patience = min(patience, interruptedPatience)
	}
	m.progress = nil
	m.wait(context.WithoutCancel(ctx), patience, true)
	m.each(func(j job, _ int64) { j.abandon() })
	for _, s := range m.stations {
		_ = s.do(func() { s.task = &resting{} })
	}
	return seconds, cpu
}

// each calls f for every job on its loop.
func (m *measurement) each(f func(j job, now int64)) {
	for i, s := range m.stations {
		_ = s.do(func() { f(m.jobs[i], engine.Monotonic()) })
	}
}

// wait waits until all jobs have finished, the context is done or so much time is over; 0: any time.
func (m *measurement) wait(ctx context.Context, most time.Duration, measuring bool) {
	var over <-chan time.Time
	if most > 0 {
		timer := time.NewTimer(most)
		defer timer.Stop()
		over = timer.C
	}
	var again <-chan time.Time
	if m.progress != nil {
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		again = ticker.C
	}
	for i := 0; i < len(m.jobs); {
		select {
		case <-m.jobs[i].finished():
			i++
		case <-again:
			m.report(measuring)
		case <-over:
			return
		case <-ctx.Done():
			return
		}
	}
}

// report makes a snapshot.
func (m *measurement) report(measuring bool) {
	now := engine.Monotonic()
	shot := Snapshot{Elapsed: time.Duration(now - m.began), Measuring: measuring, Open: int(m.stations[0].alive.Load())}
	m.each(func(j job, _ int64) {
		figures := j.figures()
		shot.Messages += figures.messages
		shot.Errors += figures.errors
		shot.Mismatches += figures.mismatches
	})
	shot.MessagesPerSecond = perSecond(shot.Messages-m.counted, float64(now-m.last)/1e9)
	m.last, m.counted = now, shot.Messages
	m.progress(shot)
}

// result sums up what was found.
func (m *measurement) result(size int, seconds, cpu float64) Result {
	meters := make([]*meter, len(m.jobs))
	for i, j := range m.jobs {
		meters[i] = j.figures()
	}
	return sum(meters, size, seconds, cpu)
}
