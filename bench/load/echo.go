package load

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Bounds of plans.
const (
	MaxInFlight = 4096
	MaxRate     = 10_000_000
	MaxDuration = 24 * time.Hour
	// maxUnderWay is how many messages of a rate may be unanswered on one loop before the measurement gives up.
	maxUnderWay = 1 << 21
)

var (
	errNoTunnel   = errors.New("no tunnel is open any more")
	errUnanswered = errors.New("a message was not answered in time")
	errOverrun    = fmt.Errorf("more than %d messages are unanswered: the rate is far above what is possible", maxUnderWay)
)

// EchoPlan says what a measurement sends. Masked binary frames are sent, and each echo is compared byte by byte.
type EchoPlan struct {
	// Size is the payload of a message in bytes, 1 to MaxSize.
	Size int
	// InFlight is how many messages a tunnel has under way, 1 to MaxInFlight; 0: one. It means nothing with a Rate.
	InFlight int
	// Rate is how many messages per second are sent on all tunnels together, at evenly spread times, from which their
	// latencies count; 0: the next one is sent when an echo came.
	Rate float64
	// Messages ends the measured part after so many, Duration after so long; whichever comes first, and at least one
	// of them must be given.
	Messages int
	Duration time.Duration
	// WarmUp is how long messages are sent before the measured part.
	WarmUp time.Duration
	// Subset uses the first so many tunnels of the fleet; 0: all.
	Subset int
	// Begin and End, if not nil, are called when the measured part begins and ends, on the caller's goroutine.
	Begin, End func()
	// Progress, if not nil, is called about once a second on the caller's goroutine.
	Progress func(Snapshot)
}

func checkSize(size int) error {
	if size < 1 || size > MaxSize {
		return fmt.Errorf("messages of %d bytes; allowed: 1 to %d", size, MaxSize)
	}
	return nil
}

func checkLength(messages int, rate float64, durations ...time.Duration) error {
	positive := messages > 0
	for _, d := range durations {
		if d < 0 || d > MaxDuration {
			return fmt.Errorf("a time of %s; allowed: up to %s", d, MaxDuration)
		}
		positive = positive || d > 0
	}
	switch {
	case messages < 0 || !positive:
		return errors.New("neither a number of messages nor a duration ends the measurement")
	case !(rate >= 0 && rate <= MaxRate):
		return fmt.Errorf("a rate of %g/s; allowed: up to %d", rate, MaxRate)
	}
	return nil
}

func (p *EchoPlan) complete(tunnels int) error {
	p.InFlight = max(p.InFlight, 1)
	if p.Subset == 0 {
		p.Subset = tunnels
	}
	if err := checkSize(p.Size); err != nil {
		return err
	}
	switch {
	case p.InFlight > MaxInFlight:
		return fmt.Errorf("%d messages in flight; allowed: 1 to %d", p.InFlight, MaxInFlight)
	case p.Subset < 1 || p.Subset > tunnels:
		return fmt.Errorf("a subset of %d tunnels; allowed: 1 to %d", p.Subset, tunnels)
	case p.WarmUp < 0 || p.WarmUp > MaxDuration:
		return fmt.Errorf("a warm-up of %s; allowed: up to %s", p.WarmUp, MaxDuration)
	}
	return checkLength(p.Messages, p.Rate, p.Duration)
}

// Echo measures. The Result holds what was measured also where there is an error: ErrMismatch, ErrBroken or that of
// the context, which ends it early. Tunnels that broke are gone from the fleet.
func (f *Fleet) Echo(ctx context.Context, p EchoPlan) (Result, error) {
	if err := f.begin(); err != nil {
		return Result{}, err
	}
	defer f.mu.Unlock()
	if err := p.complete(f.options.Tunnels); err != nil {
		return Result{}, err
	}
	if f.Len() == 0 {
		return Result{}, errNoTunnel
	}
	m := &measurement{
		stations: f.stations, warmUp: p.WarmUp, duration: p.Duration, timeout: f.options.Timeout,
		begin: p.Begin, end: p.End, progress: p.Progress,
	}
	for i, s := range f.stations {
		var j *echoJob
		if err := s.do(func() { j = newEchoJob(s, &p, i, len(f.stations)); s.task = j }); err != nil {
			return Result{}, err
		}
		m.jobs = append(m.jobs, j)
	}
	seconds, cpu := m.run(ctx)
	r := m.result(p.Size, seconds, cpu)
	return r, errors.Join(r.err(), ctx.Err())
}

// part returns how many of n things the ith of so many loops has.
func part(n, i, loops int) int { return (n + loops - 1 - i) / loops }

// echoJob is an EchoPlan on one loop.
type echoJob struct {
	meter
	station  *station
	tunnels  []*tunnel // those that take part
	inFlight int
	rate     float64 // of this loop, 0: closed loop
	phase    float64
	pacer    *pacer
	cursor   int
	live     int

	messages int // of this loop in the measured part; 0: any number
	bounded  bool
	budget   int // that may still be sent, where bounded
	underWay int
	stopped  bool
	over     bool
	done     chan struct{}
}

func newEchoJob(s *station, p *EchoPlan, i, loops int) *echoJob {
	s.stream = newStream(p.Size, s.random)
	j := &echoJob{
		meter: newMeter(), station: s, tunnels: s.tunnels[:part(p.Subset, i, loops)], inFlight: p.InFlight,
		done: make(chan struct{}),
	}
	if sending := min(loops, p.Subset); i < sending {
		j.messages = part(p.Messages, i, sending)
	}
	if p.Messages > 0 && j.messages == 0 {
		j.messages = -1 // others send them all
	}
	if p.Rate > 0 {
		j.rate = p.Rate * float64(len(j.tunnels)) / float64(p.Subset)
		j.phase = float64(i) / float64(loops)
	}
	for _, t := range j.tunnels {
		if t.phase == phaseOpen {
			j.live++
		}
	}
	return j
}

func (j *echoJob) start(now int64) {
	if len(j.tunnels) > 0 && j.rate > 0 {
		var err error
		if j.pacer, err = startPacer(j.station, j.rate, j.phase, now, j.due); err != nil {
			j.fail(1, err)
			j.stopped = true
		}
	}
	for _, t := range j.tunnels {
		if j.rate == 0 && t.phase == phaseOpen {
			j.refill(t, j.inFlight, now)
		}
	}
	j.check()
}

func (j *echoJob) begin(now int64) {
	j.meter.begin(j.station, now)
	if j.messages != 0 {
		j.bounded, j.budget = true, max(j.messages, 0)
	}
}

func (j *echoJob) stop(now int64) {
	j.meter.end(j.station, now)
	j.halt()
	j.check()
}

// halt sends nothing further.
func (j *echoJob) halt() {
	j.stopped = true
	j.pacer.stop()
}

func (j *echoJob) finished() <-chan struct{} { return j.done }

func (j *echoJob) figures() *meter { return &j.meter }

// check finds out whether all is done.
func (j *echoJob) check() {
	if j.bounded && j.budget == 0 {
		j.halt()
	}
	if !j.over && (j.live == 0 || j.stopped && j.underWay == 0) {
		j.over = true
		j.halt()
		close(j.done)
	}
}

// allowed takes one message out of the budget, if there is one.
func (j *echoJob) allowed() bool {
	if j.stopped || j.bounded && j.budget == 0 {
		return false
	}
	j.budget--
	return true
}

// refill sends up to n messages on a tunnel, which were to be sent now.
func (j *echoJob) refill(t *tunnel, n int, now int64) {
	for ; n > 0 && j.allowed(); n-- {
		t.owe(now)
		j.underWay++
	}
	t.send()
}

// due is told by the pacer that a message is to be sent.
func (j *echoJob) due(intended, now int64) {
	if j.live == 0 || !j.allowed() {
		j.check()
		return
	}
	t := j.tunnels[j.cursor]
	for t.phase != phaseOpen {
		j.cursor = (j.cursor + 1) % len(j.tunnels)
		t = j.tunnels[j.cursor]
	}
	j.cursor = (j.cursor + 1) % len(j.tunnels)
	if j.underWay >= maxUnderWay {
		j.fail(1, errOverrun)
		j.halt()
		return
	}
	if j.counts(intended) {
		recordIn(j.lateness, now-intended)
	}
	t.owe(intended)
	j.underWay++
	t.send()
}

func (j *echoJob) echoed(t *tunnel, n int, now int64) {
	j.underWay -= n
	if j.rate == 0 {
		j.refill(t, n, now)
	} else if !j.stopped && j.pacer.intended() <= now {
		j.pacer.tick(now)
	}
	j.check()
}

func (j *echoJob) opened(*tunnel, int64) {}

func (j *echoJob) ended(t *tunnel, err error) {
	if t.place >= len(j.tunnels) {
		return // one that takes no part
	}
	lost := t.limit - t.echoed
	j.underWay -= int(lost)
	j.live--
	j.fail(max(lost, 1), err)
	j.check()
}

func (j *echoJob) abandon() {
	j.halt()
	for _, t := range j.tunnels {
		if t.phase != phaseOver && t.limit > t.echoed {
			t.end(errUnanswered)
		}
	}
}
