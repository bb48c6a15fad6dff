package health

import "errors"

// SlowStart lets a backend that is new, or back, take its share step by step: caches are cold, and whoever has the fewest
// connections would get all that are new. Immutable while in use.
type SlowStart struct {
	// Duration is how long it takes, in nanoseconds. 0: the whole share at once. Up to 1 h.
	Duration int64
	// Least is the share that it begins with, in percent. 1 to 100.
	Least int
}

// FullShare is the share of a member that does not start slowly, in percent.
const FullShare = 100

// slowStartSteps is how often the share grows: each step has all loops make new schedulers.
const slowStartSteps = 9

// DefaultSlowStart returns: from 10 % to all in 30 s.
func DefaultSlowStart() SlowStart { return SlowStart{Duration: 30 * second, Least: 10} }

// Validate reports the first field that is out of its range.
func (s SlowStart) Validate() error {
	switch {
	case s.Duration < 0 || s.Duration > 3600*second:
		return errors.New("a slow start takes 0 s to 1 h")
	case s.Least < 1 || s.Least > FullShare:
		return errors.New("a slow start begins with 1 to 100 percent")
	}
	return nil
}

// Share returns the part of its weight that a member has at now which began at since, in percent, and when that changes:
// Never once it is FullShare. It grows in equal steps, the last of which is at the end of Duration.
func (s SlowStart) Share(since, now int64) (percent int, next int64) {
	step := s.step(since, now)
	if step >= slowStartSteps {
		return FullShare, Never
	}
	return s.Least + (FullShare-s.Least)*step/slowStartSteps, since + s.begin(step+1)
}

// step returns how many steps lie behind a member, 0 to slowStartSteps.
func (s SlowStart) step(since, now int64) int {
	if s.Duration <= 0 || now-since >= s.Duration {
		return slowStartSteps
	}
	step := 0
	for step < slowStartSteps && now-since >= s.begin(step+1) {
		step++
	}
	return step
}

// begin returns when a step is taken, from the beginning on.
func (s SlowStart) begin(step int) int64 { return s.Duration / slowStartSteps * int64(step) }
