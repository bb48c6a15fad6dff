package health

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// OutlierSettings say when a backend is ejected for what happened to the requests that it was given. Immutable while in
// use.
type OutlierSettings struct {
	// Failures in a row eject a member. 1 to 100; 0: nobody is ejected.
	Failures int
	// Base is how long the first ejection lasts; the second lasts twice as long, and so on. 1 s to 1 h.
	Base int64
	// Longest bounds each ejection. Base to 24 h.
	Longest int64
	// MostEjected is how many percent of a group's members may be ejected at once, rounded down to whole members. 0 to
	// 100.
	MostEjected int
}

// EarlyReset is how young a tunnel is that its backend ends by a reset for this to be a failure, in nanoseconds.
const EarlyReset = second

// DefaultOutlierSettings returns: 5 failures in a row, 10 s times the number of ejections, 5 min at most, half of the
// members.
func DefaultOutlierSettings() OutlierSettings {
	return OutlierSettings{Failures: 5, Base: 10 * second, Longest: 300 * second, MostEjected: 50}
}

// Validate reports the first field that is out of its range.
func (s *OutlierSettings) Validate() error {
	if s.Failures < 0 || s.Failures > 100 {
		return fmt.Errorf("failures before an ejection are 1 to 100, or 0 for none, not %d", s.Failures)
	}
	if err := within("ejection time", s.Base, second, 3600*second); err != nil {
		return err
	}
	if s.Longest < s.Base || s.Longest > 24*3600*second {
		return errors.New("the longest ejection is at least the first one and at most 24 h")
	}
	if s.MostEjected < 0 || s.MostEjected > 100 {
		return fmt.Errorf("0 to 100 percent of the members may be ejected, not %d", s.MostEjected)
	}
	return nil
}

// Tally counts a backend's failures in a row, over all loops. Its methods may be called by any number of goroutines; none
// waits for another, and while all goes well none writes. The zero Tally is ready.
//
// A failure is a connection that does not come about, an answer that makes a 502 of ours, or a tunnel that the backend
// resets within EarlyReset. A success is the head of an answer; of a tunnel, that it grew older than that, or ended in
// another way: its 101 alone would hide the reset behind it.
type Tally struct{ failures atomic.Uint32 }

// Success forgets the failures before it.
func (t *Tally) Success() {
	if t.failures.Load() != 0 {
		t.failures.Store(0)
	}
}

// Failure counts one, and reports whether there are now enough, or a multiple of that, for the owner of the Outliers to
// be told: among callers at the same time, to one. Where limit is 0 or less, nothing is counted.
func (t *Tally) Failure(limit int) (enough bool) {
	if limit <= 0 {
		return false
	}
	return t.failures.Add(1)%uint32(limit) == 0
}

// Failures returns how many there are in a row.
func (t *Tally) Failures() int { return int(t.failures.Load()) }

// Outliers are the ejections of one group's members, which K names: pointers to backends, or addresses. Owned by one
// goroutine.
type Outliers[K comparable] struct {
	settings *OutlierSettings
	members  map[K]*ejection
	order    []K // of the members, as they were given, each once
	able     int // members that are not down
	out      int // of these, those that are ejected
}

// ejection is what is remembered of a member. It is forgotten, by and by, while the member is good.
type ejection struct {
	times int   // ejections that count
	until int64 // the end of the last
	out   bool
	down  bool // it gets nothing anyway
}

// NewOutliers returns a group without members.
func NewOutliers[K comparable](s *OutlierSettings) *Outliers[K] {
	return &Outliers[K]{settings: s, members: map[K]*ejection{}}
}

// Change replaces the settings, the members, and what is said of them by others: down reports those that get no requests
// anyway, for their weight is 0, their checks fail, or they are being drained. They do not count, lest half of what is
// left be ejected as half of all. It is to be called when any of this changes. What is known of members that stay is kept.
// It returns those that are let in again since so many may not be ejected any more, the next to come back first.
func (o *Outliers[K]) Change(s *OutlierSettings, members []K, down func(K) bool) (back []K) {
	before := o.members
	o.settings, o.order = s, make([]K, 0, len(members))
	o.members = make(map[K]*ejection, len(members))
	for _, k := range members {
		if o.members[k] != nil {
			continue // it is there twice
		}
		e := before[k]
		if e == nil {
			e = &ejection{}
		}
		e.down = down(k)
		o.members[k] = e
		o.order = append(o.order, k)
	}
	o.count()
	return o.release(o.out - o.most())
}

// count counts the members anew.
func (o *Outliers[K]) count() {
	o.able, o.out = 0, 0
	for _, e := range o.members {
		if e.down {
			continue
		}
		o.able++
		if e.out {
			o.out++
		}
	}
}

// most returns how many may be ejected at once.
func (o *Outliers[K]) most() int {
	if o.settings.Failures == 0 {
		return 0
	}
	return o.able * o.settings.MostEjected / 100
}

// release lets so many of those in again that could serve, the next to come back first.
func (o *Outliers[K]) release(excess int) (back []K) {
	if excess <= 0 {
		return nil
	}
	var ejected []K
	for _, k := range o.order {
		if e := o.members[k]; e.out && !e.down {
			ejected = append(ejected, k)
		}
	}
	slices.SortStableFunc(ejected, func(a, b K) int { return cmp.Compare(o.members[a].until, o.members[b].until) })
	for _, k := range ejected[:excess] {
		o.members[k].out = false
	}
	o.out -= excess
	return ejected[:excess]
}

// Report takes in that a member's Tally has reached the limit, and reports whether it is ejected now: it is not if it is
// already, if it is down or no member, or if too many are.
func (o *Outliers[K]) Report(k K, now int64) (ejected bool) {
	e := o.members[k]
	if e == nil || e.out || e.down {
		return false
	}
	if o.out >= o.most() {
		return false
	}
	o.forgive(e, now)
	e.times++
	e.until = now + o.lasting(e.times)
	e.out = true
	o.out++
	return true
}

// lasting returns how long an ejection is, if so many count.
func (o *Outliers[K]) lasting(times int) int64 {
	s := o.settings
	if int64(times) > s.Longest/s.Base {
		return s.Longest
	}
	return int64(times) * s.Base
}

// forgive forgets an ejection for each that the member was good as long as it had lasted, the longest first.
func (o *Outliers[K]) forgive(e *ejection, now int64) {
	e.times = min(e.times, int(o.settings.Longest/o.settings.Base)+1) // more make none longer
	good := now - e.until
	for e.times > 0 && good >= o.lasting(e.times) {
		good -= o.lasting(e.times)
		e.times--
	}
}

// Advance returns the members whose ejection has ended by now, in the order of the members: each begins slowly
// (SlowStart), and its Tally is to be forgotten (Success).
func (o *Outliers[K]) Advance(now int64) (back []K) {
	for _, k := range o.order {
		if e := o.members[k]; e.out && e.until <= now {
			e.out = false
			if !e.down {
				o.out--
			}
			back = append(back, k)
		}
	}
	return back
}

// Next returns when Advance has something to return; Never if nobody is ejected.
func (o *Outliers[K]) Next() int64 {
	next := Never
	for _, e := range o.members {
		if e.out {
			next = min(next, e.until)
		}
	}
	return next
}

// Ejected reports whether a member is.
func (o *Outliers[K]) Ejected(k K) bool {
	e := o.members[k]
	return e != nil && e.out
}
