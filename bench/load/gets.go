package load

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"culvert/bench/page"
	"culvert/engine"
)

// GetPlan says how documents are fetched: each connection sends a GET, compares the answer byte by byte, and is kept for
// the next. Where the server closes it between two answers, the next request makes another.
type GetPlan struct {
	// Size is the body of an answer in bytes, 1 to MaxSize: the backend sends documents of package page.
	Size int
	// Connections is how many there are, with one request under way on each, 1 to MaxConcurrency; 0: one.
	Connections int
	// Loops is the number of event loops, 1 to MaxLoops; 0: one.
	Loops int
	// Rate is how many requests per second are sent on all connections together, at evenly spread times from which
	// their latencies count; 0: the next one is sent when an answer came.
	Rate float64
	// Count ends the measured part after so many, Duration after so long; whichever comes first, and at least one of
	// them must be given.
	Count    int
	Duration time.Duration
	// WarmUp is how long requests are sent before the measured part.
	WarmUp time.Duration
	// Timeout bounds a request from its beginning to its answer's end, the connection included where it needs one; 0: 10 s.
	Timeout time.Duration
	// Begin, End and Progress are as in EchoPlan.
	Begin, End func()
	Progress   func(Snapshot)
}

func (p *GetPlan) complete() error {
	p.Connections, p.Loops = max(p.Connections, 1), max(p.Loops, 1)
	if p.Timeout == 0 {
		p.Timeout = defaultTimeout
	}
	switch {
	case p.Size < 1 || p.Size > page.MaxSize:
		return fmt.Errorf("answers of %d bytes; allowed: 1 to %d", p.Size, page.MaxSize)
	case p.Connections > MaxConcurrency:
		return fmt.Errorf("%d connections; allowed: 1 to %d", p.Connections, MaxConcurrency)
	case p.Loops > MaxLoops:
		return fmt.Errorf("%d loops; allowed: 1 to %d", p.Loops, MaxLoops)
	case p.Timeout < 0:
		return fmt.Errorf("a timeout of %s", p.Timeout)
	case p.WarmUp < 0 || p.WarmUp > MaxDuration:
		return fmt.Errorf("a warm-up of %s; allowed: up to %s", p.WarmUp, MaxDuration)
	}
	p.Loops = min(p.Loops, p.Connections)
	return checkLength(p.Count, p.Rate, p.Duration)
}

// Gets measures ordinary requests. The latency is that from the beginning of a request to the last byte of its answer.
// The target's path plays no part. Errors are as for Fleet.Echo; a connection that failed is replaced by another.
func Gets(ctx context.Context, target Target, p GetPlan) (Result, error) {
	if err := target.check(); err != nil {
		return Result{}, err
	}
	if err := p.complete(); err != nil {
		return Result{}, err
	}
	var alive atomic.Int64
	stations, err := newStations(&target, p.Loops, 0, &alive)
	if err != nil {
		return Result{}, err
	}
	defer stopAll(stations)
	m := &measurement{
		stations: stations, warmUp: p.WarmUp, duration: p.Duration, timeout: p.Timeout,
		begin: p.Begin, end: p.End, progress: p.Progress,
	}
	for i, s := range stations {
		s.dials = i * p.Connections / p.Loops // so that all addresses have their turn
		m.jobs = append(m.jobs, newGetJob(s, &p, i))
	}
	seconds, cpu := m.run(ctx)
	r := m.result(p.Size, seconds, cpu)
	return r, errors.Join(r.err(), ctx.Err())
}

// getJob is a GetPlan on one loop.
type getJob struct {
	cycles
	size    int
	number  uint64 // of the next request: no two of a run are alike
	request []byte // that of the last one
	at      int    // where in it its number stands
	all     []*getter
	free    []*getter // those without a request under way, the one that has been so for longest first
}

func newGetJob(s *station, p *GetPlan, i int) *getJob {
	j := &getJob{size: p.Size, number: s.random.Uint64()}
	most := part(p.Connections, i, p.Loops)
	j.cycles.init(j, s, cyclePlan{most: most, count: p.Count, rate: p.Rate, timeout: p.Timeout, loop: i, loops: p.Loops})
	j.request = page.AppendTarget([]byte("GET "), p.Size, page.Number{})
	j.at = len(j.request) - page.NumberLen
	j.request = append(append(append(j.request, " HTTP/1.1\r\nHost: "...), s.host...), "\r\n\r\n"...)
	for range most {
		g := &getter{job: j}
		g.timer.Init(g)
		j.all = append(j.all, g)
	}
	j.free = append(j.free, j.all...)
	return j
}

// cycle implements cycler: a free connection sends a request.
func (j *getJob) cycle(intended, now int64) {
	g := j.free[0]
	j.free = append(j.free[:0], j.free[1:]...)
	j.number++
	g.begin(page.NewNumber(j.number), intended, now)
}

// answered is told that a request is over: it was answered, rightly or not.
func (j *getJob) answered(g *getter, right bool, now int64) {
	j.record(g.intended, now, right)
	j.free = append(j.free, g)
	j.finish(now)
}

// broken is told that a request is over without an answer.
func (j *getJob) broken(g *getter, err error) {
	j.free = append(j.free, g)
	j.failed(err)
}

func (j *getJob) abandon() {
	j.cycles.abandon()
	for _, g := range j.all {
		if g.phase != getIdle {
			g.fail(errUnanswered)
		}
	}
}

// dialed counts a connection.
func (j *getJob) dialed() {
	if now := engine.Monotonic(); j.counts(now) {
		j.connections++
	}
}
