package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"culvert/engine"
)

// Bounds of a fleet's options.
const (
	MaxTunnels  = 1_000_000
	MaxLoops    = 64
	MaxPace     = 4096
	defaultPace = 64
	// defaultTimeout bounds a handshake, an answer after the last send, and a close.
	defaultTimeout = 10 * time.Second
	// progressEvery is how often a caller is told how far things are.
	progressEvery = time.Second
)

var (
	errBusy   = errors.New("the fleet is already measuring")
	errClosed = errors.New("the fleet is closed")
)

// FleetOptions say how a fleet is opened.
type FleetOptions struct {
	// Tunnels is how many, 1 to MaxTunnels.
	Tunnels int
	// Loops is the number of event loops, 1 to MaxLoops; 0: one.
	Loops int
	// Pace is the most handshakes under way at a time, on all loops together, 1 to MaxPace; 0: 64.
	Pace int
	// Timeout bounds each handshake, the wait for the last echoes, and each close; 0: 10 s.
	Timeout time.Duration
	// Progress, if not nil, is called about once a second while the fleet is being opened, on the caller's goroutine.
	Progress func(opened int)
}

func (o *FleetOptions) complete() error {
	o.Loops = max(o.Loops, 1)
	if o.Pace == 0 {
		o.Pace = defaultPace
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	switch {
	case o.Tunnels < 1 || o.Tunnels > MaxTunnels:
		return fmt.Errorf("%d tunnels; allowed: 1 to %d", o.Tunnels, MaxTunnels)
	case o.Loops > MaxLoops:
		return fmt.Errorf("%d loops; allowed: 1 to %d", o.Loops, MaxLoops)
	case o.Pace < 1 || o.Pace > MaxPace:
		return fmt.Errorf("a pace of %d handshakes; allowed: 1 to %d", o.Pace, MaxPace)
	case o.Timeout < 0:
		return fmt.Errorf("a timeout of %s", o.Timeout)
	}
	o.Loops = min(o.Loops, o.Tunnels)
	return nil
}

// Fleet is a set of open tunnels on loops of their own, for any number of measurements, one at a time.
type Fleet struct {
	options  FleetOptions
	target   Target
	stations []*station
	alive    atomic.Int64

	mu     sync.Mutex // held by whoever measures
	closed bool
}

// Open opens all tunnels of a fleet. If one cannot be opened the error says why, and none stays open.
func Open(ctx context.Context, target Target, o FleetOptions) (*Fleet, error) {
	if err := target.check(); err != nil {
		return nil, err
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	f := &Fleet{options: o, target: target}
	var err error
	if f.stations, err = newStations(&f.target, o.Loops, o.Tunnels, &f.alive); err != nil {
		return nil, err
	}
	opening := func(s *station) *round {
		return newRound(s, f.share(), func(t *tunnel) error { return t.dial(s.loop.Now() + int64(o.Timeout)) })
	}
	err = f.rounds(ctx, opening, func() {
		if o.Progress != nil {
			o.Progress(f.Len())
		}
	})
	if err == nil && f.Len() < o.Tunnels {
		err = errPeerClosed
	}
	if err != nil {
		err = fmt.Errorf("after %d of %d tunnels were open: %w", f.Len(), o.Tunnels, err)
		f.abandon()
		return nil, err
	}
	return f, nil
}

// Len returns how many tunnels are open now.
func (f *Fleet) Len() int { return int(f.alive.Load()) }

// share is a loop's part of what may be under way at a time.
func (f *Fleet) share() int { return max(1, f.options.Pace/len(f.stations)) }

// begin makes the caller the only one who uses the fleet; then the mutex is held.
func (f *Fleet) begin() error {
	if !f.mu.TryLock() {
		return errBusy
	}
	if f.closed {
		f.mu.Unlock()
		return errClosed
	}
	return nil
}

// Once sends one message of so many bytes on every tunnel, as many at a time as the pace says, and compares the echoes.
func (f *Fleet) Once(ctx context.Context, size int) error {
	if err := f.begin(); err != nil {
		return err
	}
	defer f.mu.Unlock()
	if err := checkSize(size); err != nil {
		return err
	}
	return f.rounds(ctx, func(s *station) *round {
		s.stream = newStream(size, s.random)
		return newRound(s, f.share(), func(t *tunnel) error {
			now := engine.Monotonic()
			s.loop.Wheel.Arm(&t.timer, now+int64(f.options.Timeout))
			t.owe(now)
			t.send()
			return nil
		})
	}, func() {})
}

// Close ends all tunnels by the close handshake, as many at a time as the pace says, and then the loops. When the
// context is done, what is left is reset. Whatever it returns, nothing is left.
func (f *Fleet) Close(ctx context.Context) error {
	if err := f.begin(); err != nil {
		return err
	}
	defer f.mu.Unlock()
	err := f.rounds(ctx, func(s *station) *round {
		r := newRound(s, f.share(), func(t *tunnel) error {
			t.close(s.loop.Now() + int64(f.options.Timeout))
			return nil
		})
		r.closing = true
		return r
	}, func() {})
	f.abandon()
	return err
}

// abandon ends the loops, and with them whatever is open.
func (f *Fleet) abandon() {
	f.closed = true
	stopAll(f.stations)
	f.alive.Store(0)
}

// rounds goes once through the tunnels on every loop and waits for the end.
func (f *Fleet) rounds(ctx context.Context, begin func(*station) *round, progress func()) error {
	rounds := make([]*round, len(f.stations))
	for i, s := range f.stations {
		if err := s.do(func() {
			rounds[i] = begin(s)
			s.task = rounds[i]
			rounds[i].advance()
		}); err != nil {
			return err
		}
	}
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	var first error
	for i, r := range rounds {
		for waiting := true; waiting; {
			select {
			case <-r.done:
				waiting = false
			case <-ticker.C:
				progress()
			case <-ctx.Done():
				first = ctx.Err()
				waiting = false
			}
		}
		_ = f.stations[i].do(func() {
			r.stop()
			if first == nil {
				first = r.failed
			}
			f.stations[i].task = &resting{}
		})
	}
	return first
}

// round is the task of going once through a loop's tunnels: opening, using or closing each.
type round struct {
	station  *station
	start    func(*tunnel) error
	closing  bool // that tunnels end is what is wanted
	cursor   int
	underWay int
	most     int
	advanced bool // advance is at work: whoever ends meanwhile does not call it again
	failed   error
	done     chan struct{}
	over     bool
}

func newRound(s *station, most int, start func(*tunnel) error) *round {
	return &round{station: s, most: most, start: start, done: make(chan struct{})}
}

// advance starts as many as may be under way.
func (r *round) advance() {
	if r.advanced {
		return
	}
	r.advanced = true
	for r.failed == nil && r.underWay < r.most && r.cursor < len(r.station.tunnels) {
		t := r.station.tunnels[r.cursor]
		r.cursor++
		// A fleet that is opened starts with none open; any later round is for those that still are.
		if opened := t.conn != nil; opened && t.phase != phaseOpen {
			continue
		}
		r.underWay++
		t.turn = true
		if err := r.start(t); err != nil {
			t.turn = false
			r.underWay--
			r.fail(err)
		}
	}
	r.advanced = false
	if r.underWay == 0 && !r.over {
		r.over = true
		close(r.done)
	}
}

func (r *round) fail(err error) {
	if r.failed == nil {
		r.failed = err
	}
}

// stop starts nothing further, and resets what is under way.
func (r *round) stop() {
	if r.over {
		return
	}
	r.over = true
	r.cursor = len(r.station.tunnels)
	for _, t := range r.station.tunnels {
		if t.phase != phaseOver && (t.phase != phaseOpen || t.limit > t.echoed || r.closing) {
			t.end(errTimeout)
		}
	}
}

// finished counts a tunnel as gone through, if it was its turn.
func (r *round) finished(t *tunnel) {
	if t.turn {
		t.turn = false
		r.underWay--
		r.advance()
	}
}

func (r *round) opened(t *tunnel, _ int64) { r.finished(t) }

func (r *round) echoed(t *tunnel, _ int, _ int64) {
	r.station.loop.Wheel.Cancel(&t.timer)
	r.finished(t)
}

func (r *round) record(_, _ int64, right bool) {
	if !right {
		r.fail(ErrMismatch)
	}
}

func (r *round) ended(t *tunnel, err error) {
	if err != nil && (t.turn || !r.closing) {
		r.fail(err)
	}
	r.finished(t)
}
