package load

import (
	"errors"
	"time"

	"culvert/engine"
)

// coolingNanos is how long a slot rests after a cycle that failed: who refuses at once is not hammered.
const coolingNanos = 20_000_000

var errNotStarted = errors.New("a cycle was not begun in time: the rate is above what is possible")

// cyclePlan is what the cycles of one loop are like.
type cyclePlan struct {
	most        int     // of this loop, under way at a time
	count       int     // of all loops in the measured part; 0: any number
	rate        float64 // of all loops, per second; 0: the next one begins when one is over
	timeout     time.Duration
	loop, loops int
}

// cycler does the work of a cycle, and tells its cycles of the end by finish or failed.
type cycler interface {
	// cycle begins one, which was to begin at intended.
	cycle(intended, now int64)
}

// cycles are what a job does over and over, a bounded number of times at once: the part of a job that begins them when
// they are due, and counts them. Owned by the loop.
type cycles struct {
	meter
	worker  cycler
	station *station
	timeout int64
	rate    float64
	phase   float64
	pacer   *pacer
	waiting []int64 // intended times of cycles that are due and for which there is no room

	cooling engine.Timer
	resting int // cycles that failed and whose room is free again when cooling fires
	most    int
	active  int

	count   int
	bounded bool
	budget  int
	stopped bool
	over    bool
	done    chan struct{}
}

func (c *cycles) init(worker cycler, s *station, p cyclePlan) {
	*c = cycles{
		meter: newMeter(), worker: worker, station: s, timeout: int64(p.timeout), most: p.most, count: part(p.count, p.loop, p.loops),
		done: make(chan struct{}), rate: p.rate / float64(p.loops), phase: float64(p.loop) / float64(p.loops),
	}
	if p.count > 0 && c.count == 0 {
		c.count = -1 // others make them all
	}
	c.cooling.Init(c)
}

func (c *cycles) start(now int64) {
	if c.rate > 0 {
		var err error
		if c.pacer, err = startPacer(c.station, c.rate, c.phase, now, c.due); err != nil {
			c.fail(1, err)
			c.stopped = true
		}
	}
	c.fill(now)
}

func (c *cycles) begin(now int64) {
	c.meter.begin(c.station, now)
	if c.count != 0 {
		c.bounded, c.budget = true, max(c.count, 0)
	}
}

func (c *cycles) stop(now int64) {
	c.meter.end(c.station, now)
	c.halt()
	if n := len(c.waiting); n > 0 {
		c.fail(uint64(n), errNotStarted)
		c.waiting = nil
	}
	c.check()
}

// halt begins nothing further.
func (c *cycles) halt() {
	c.stopped = true
	c.pacer.stop()
}

func (c *cycles) finished() <-chan struct{} { return c.done }

func (c *cycles) figures() *meter { return &c.meter }

// check finds out whether all is done.
func (c *cycles) check() {
	if c.bounded && c.budget == 0 {
		c.halt()
	}
	if !c.over && c.stopped && c.active == 0 && len(c.waiting) == 0 {
		c.over = true
		close(c.done)
	}
}

// allowed takes one cycle out of the budget, if there is one.
func (c *cycles) allowed() bool {
	if c.stopped || c.bounded && c.budget == 0 {
		return false
	}
	c.budget--
	return true
}

// fill begins as many as may be under way.
func (c *cycles) fill(now int64) {
	for c.active+c.resting < c.most {
		switch {
		case len(c.waiting) > 0:
			intended := c.waiting[0]
			c.waiting = c.waiting[1:]
			c.enter(intended, now)
		case c.rate == 0 && c.allowed():
			c.enter(now, now)
		default:
			c.check()
			return
		}
	}
	c.check()
}

func (c *cycles) enter(intended, now int64) {
	if c.rate > 0 && c.counts(intended) {
		recordIn(c.lateness, now-intended)
	}
	c.active++
	c.worker.cycle(intended, now)
}

// due is told by the pacer that a cycle is to begin.
func (c *cycles) due(intended, now int64) {
	switch {
	case !c.allowed():
		c.check()
		return
	case len(c.waiting) >= maxUnderWay:
		c.fail(1, errNotStarted)
		return
	}
	c.waiting = append(c.waiting, intended)
	c.fill(now)
}

// finish is told that a cycle is over, and begins the next.
func (c *cycles) finish(now int64) {
	c.active--
	c.fill(now)
}

// failed is told that a cycle has failed. Its room rests.
func (c *cycles) failed(err error) {
	c.fail(1, err)
	c.active--
	c.resting++
	if !c.cooling.Armed() {
		c.station.loop.Wheel.Arm(&c.cooling, engine.Monotonic()+coolingNanos)
	}
	c.check()
}

// OnTimer implements engine.TimerHandler: those who rested go on.
func (c *cycles) OnTimer(_ *engine.Timer, now int64) {
	c.resting = 0
	c.fill(now)
}

// abandon begins nothing further, also of what rests.
func (c *cycles) abandon() {
	c.halt()
	c.station.loop.Wheel.Cancel(&c.cooling)
}
