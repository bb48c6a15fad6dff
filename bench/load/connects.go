package load

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"culvert/engine"
)

// MaxConcurrency is the most cycles under way of a ConnectPlan, and the most connections of a GetPlan.
const MaxConcurrency = 65_536

// errPlain is a plan of TLS handshakes with a target that is spoken to in the clear.
var errPlain = errors.New("handshakes are to be made, and the target is not spoken to by TLS")

// ConnectPlan says how connections are made: each cycle connects, upgrades, sends one message, compares its echo and
// closes by the close handshake. Of a target by TLS, a cycle may be the handshake alone.
type ConnectPlan struct {
	// Size is the payload of the message in bytes, 1 to MaxSize.
	Size int
	// HandshakesOnly has a cycle connect, make its TLS handshake and close: nothing is asked, and Size means nothing. The
	// latency is that to the end of the handshake.
	HandshakesOnly bool
	// Concurrency is the most cycles under way, 1 to MaxConcurrency; 0: one.
	Concurrency int
	// Loops is the number of event loops, 1 to MaxLoops; 0: one.
	Loops int
	// Rate is how many cycles per second begin, at evenly spread times from which their latencies count; 0: the next
	// one begins when one is over.
	Rate float64
	// Count ends the measured part after so many, Duration after so long; whichever comes first, and at least one of
	// them must be given.
	Count    int
	Duration time.Duration
	// WarmUp is how long cycles go on before the measured part.
	WarmUp time.Duration
	// Timeout bounds a cycle from its beginning to its echo, and its close; 0: 10 s.
	Timeout time.Duration
	// Begin, End and Progress are as in EchoPlan.
	Begin, End func()
	Progress   func(Snapshot)
}

func (p *ConnectPlan) complete() error {
	p.Concurrency, p.Loops = max(p.Concurrency, 1), max(p.Loops, 1)
	if p.Timeout == 0 {
		p.Timeout = defaultTimeout
	}
	if p.HandshakesOnly {
		p.Size = 1
	}
	if err := checkSize(p.Size); err != nil {
		return err
	}
	switch {
	case p.Concurrency > MaxConcurrency:
		return fmt.Errorf("%d cycles at a time; allowed: 1 to %d", p.Concurrency, MaxConcurrency)
	case p.Loops > MaxLoops:
		return fmt.Errorf("%d loops; allowed: 1 to %d", p.Loops, MaxLoops)
	case p.Timeout < 0:
		return fmt.Errorf("a timeout of %s", p.Timeout)
	case p.WarmUp < 0 || p.WarmUp > MaxDuration:
		return fmt.Errorf("a warm-up of %s; allowed: up to %s", p.WarmUp, MaxDuration)
	}
	p.Loops = min(p.Loops, p.Concurrency)
	return checkLength(p.Count, p.Rate, p.Duration)
}

// Connects measures connecting. The latency is that from the beginning of a cycle to its echo; a cycle counts when its
// close is over, too. Errors are as for Fleet.Echo.
func Connects(ctx context.Context, target Target, p ConnectPlan) (Result, error) {
	if err := target.check(); err != nil {
		return Result{}, err
	}
	if err := p.complete(); err != nil {
		return Result{}, err
	}
	if p.HandshakesOnly && target.TLS == nil {
		return Result{}, errPlain
	}
	var alive atomic.Int64
	// Each loop has one tunnel more than it uses: one that has just ended is not dialed again on the spot.
	stations, err := newStations(&target, p.Loops, p.Concurrency+p.Loops, &alive)
	if err != nil {
		return Result{}, err
	}
	defer stopAll(stations)
	m := &measurement{
		stations: stations, warmUp: p.WarmUp, duration: p.Duration, timeout: p.Timeout,
		begin: p.Begin, end: p.End, progress: p.Progress,
	}
	for i, s := range stations {
		j := newConnectJob(s, &p, i)
		begin := func() { s.stream, s.task, s.handshakesOnly = newStream(p.Size, s.random), j, p.HandshakesOnly }
		if err := s.do(begin); err != nil {
			return Result{}, err
		}
		m.jobs = append(m.jobs, j)
	}
	seconds, cpu := m.run(ctx)
	r := m.result(p.Size, seconds, cpu)
	if p.HandshakesOnly {
		r.Bytes = 0
	}
	return r, errors.Join(r.err(), ctx.Err())
}

// connectJob is a ConnectPlan on one loop.
type connectJob struct {
	cycles
	free    []*tunnel // the one that has been free for longest first
	spoiled bool      // the echo just compared was wrong
}

func newConnectJob(s *station, p *ConnectPlan, i int) *connectJob {
	j := &connectJob{free: append([]*tunnel(nil), s.tunnels...)}
	j.cycles.init(j, s, cyclePlan{
		most: part(p.Concurrency, i, p.Loops), count: p.Count, rate: p.Rate, timeout: p.Timeout, loop: i, loops: p.Loops,
	})
	return j
}

// cycle implements cycler: a free tunnel is dialed.
func (j *connectJob) cycle(intended, now int64) {
	t := j.free[0]
	j.free = append(j.free[:0], j.free[1:]...)
	if err := t.dial(now + j.timeout); err != nil {
		j.free = append(j.free, t)
		j.failed(err)
	}
	t.began = intended
}

func (j *connectJob) opened(t *tunnel, now int64) {
	if j.station.handshakesOnly {
		t.returned = now
		t.finish(now + j.timeout)
		return
	}
	j.station.loop.Wheel.Arm(&t.timer, t.began+j.timeout)
	t.owe(now)
	t.send()
}

// record implements task: only what was wrong counts at once.
func (j *connectJob) record(intended, now int64, right bool) {
	if !right {
		j.meter.record(intended, now, false)
		j.spoiled = true
	}
}

func (j *connectJob) echoed(t *tunnel, _ int, now int64) {
	if !j.spoiled {
		t.returned = now
	}
	j.spoiled = false
	t.close(now + j.timeout)
}

func (j *connectJob) ended(t *tunnel, err error) {
	j.free = append(j.free, t)
	if err != nil {
		j.failed(err)
		return
	}
	if t.returned != 0 {
		j.meter.record(t.began, t.returned, true)
	}
	j.finish(engine.Monotonic())
}

func (j *connectJob) abandon() {
	j.cycles.abandon()
	for _, t := range j.station.tunnels {
		if t.phase != phaseOver {
			t.end(errUnanswered)
		}
	}
}
