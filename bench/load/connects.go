package load

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"culvert/engine"
)

const (
	// MaxConcurrency is the most cycles under way of a ConnectPlan.
	MaxConcurrency = 65_536
	// coolingNanos is how long a slot rests after a cycle that failed: who refuses at once is not hammered.
	coolingNanos = 20_000_000
)

var errNotStarted = errors.New("a cycle was not begun in time: the rate is above what is possible")

// ConnectPlan says how connections are made: each cycle connects, upgrades, sends one message, compares its echo and
// closes by the close handshake.
type ConnectPlan struct {
	// Size is the payload of the message in bytes, 1 to MaxSize.
	Size int
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
		if err := s.do(func() { s.stream = newStream(p.Size, s.random); s.task = j }); err != nil {
			return Result{}, err
		}
		m.jobs = append(m.jobs, j)
	}
	seconds, cpu := m.run(ctx)
	r := m.result(p.Size, seconds, cpu)
	return r, errors.Join(r.err(), ctx.Err())
}

// connectJob is a ConnectPlan on one loop.
type connectJob struct {
	meter
	station *station
	timeout int64
	rate    float64
	phase   float64
	pacer   *pacer
	waiting []int64 // intended times of cycles that are due and found no free tunnel

	free    []*tunnel // the one that has been free for longest first
	cooling engine.Timer
	resting int // tunnels that failed and are free again when cooling fires
	most    int
	active  int

	count   int
	bounded bool
	budget  int
	spoiled bool // the echo just compared was wrong
	stopped bool
	over    bool
	done    chan struct{}
}

func newConnectJob(s *station, p *ConnectPlan, i int) *connectJob {
	j := &connectJob{
		meter: newMeter(), station: s, timeout: int64(p.Timeout), most: part(p.Concurrency, i, p.Loops),
		count: part(p.Count, i, p.Loops), free: append([]*tunnel(nil), s.tunnels...), done: make(chan struct{}),
		rate: p.Rate / float64(p.Loops), phase: float64(i) / float64(p.Loops),
	}
	if p.Count > 0 && j.count == 0 {
		j.count = -1 // others make them all
	}
	j.cooling.Init(j)
	return j
}

func (j *connectJob) start(now int64) {
	if j.rate > 0 {
		var err error
		if j.pacer, err = startPacer(j.station, j.rate, j.phase, now, j.due); err != nil {
			j.fail(1, err)
			j.stopped = true
		}
	}
	j.fill(now)
}

func (j *connectJob) begin(now int64) {
	j.meter.begin(j.station.loop, now)
	if j.count != 0 {
		j.bounded, j.budget = true, max(j.count, 0)
	}
}

func (j *connectJob) stop(now int64) {
	j.meter.end(j.station.loop, now)
	j.halt()
	if n := len(j.waiting); n > 0 {
		j.fail(uint64(n), errNotStarted)
		j.waiting = nil
	}
	j.check()
}

func (j *connectJob) halt() {
	j.stopped = true
	j.pacer.stop()
}

func (j *connectJob) finished() <-chan struct{} { return j.done }

func (j *connectJob) figures() *meter { return &j.meter }

func (j *connectJob) check() {
	if j.bounded && j.budget == 0 {
		j.halt()
	}
	if !j.over && j.stopped && j.active == 0 && len(j.waiting) == 0 {
		j.over = true
		close(j.done)
	}
}

func (j *connectJob) allowed() bool {
	if j.stopped || j.bounded && j.budget == 0 {
		return false
	}
	j.budget--
	return true
}

// fill begins as many cycles as may be under way.
func (j *connectJob) fill(now int64) {
	for j.active+j.resting < j.most {
		switch {
		case len(j.waiting) > 0:
			intended := j.waiting[0]
			j.waiting = j.waiting[1:]
			j.cycle(intended, now)
		case j.rate == 0 && j.allowed():
			j.cycle(now, now)
		default:
			j.check()
			return
		}
	}
	j.check()
}

// cycle begins one.
func (j *connectJob) cycle(intended, now int64) {
	t := j.free[0]
	j.free = append(j.free[:0], j.free[1:]...)
	if j.rate > 0 && j.counts(intended) {
		recordIn(j.lateness, now-intended)
	}
	j.active++
	if err := t.dial(now + j.timeout); err != nil {
		j.failed(t, err)
	}
	t.began = intended
}

func (j *connectJob) due(intended, now int64) {
	switch {
	case !j.allowed():
		j.check()
		return
	case len(j.waiting) >= maxUnderWay:
		j.fail(1, errNotStarted)
		return
	}
	j.waiting = append(j.waiting, intended)
	j.fill(now)
}

func (j *connectJob) opened(t *tunnel, now int64) {
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
	if err != nil {
		j.failed(t, err)
		return
	}
	if t.returned != 0 {
		j.meter.record(t.began, t.returned, true)
	}
	j.active--
	j.free = append(j.free, t)
	j.fill(engine.Monotonic())
}

// failed lets a tunnel rest whose cycle failed.
func (j *connectJob) failed(t *tunnel, err error) {
	j.fail(1, err)
	j.active--
	j.resting++
	j.free = append(j.free, t)
	if !j.cooling.Armed() {
		j.station.loop.Wheel.Arm(&j.cooling, engine.Monotonic()+coolingNanos)
	}
	j.check()
}

// OnTimer implements engine.TimerHandler: those who rested go on.
func (j *connectJob) OnTimer(_ *engine.Timer, now int64) {
	j.resting = 0
	j.fill(now)
}

func (j *connectJob) abandon() {
	j.halt()
	j.station.loop.Wheel.Cancel(&j.cooling)
	for _, t := range j.station.tunnels {
		if t.phase != phaseOver {
			t.end(errUnanswered)
		}
	}
}
