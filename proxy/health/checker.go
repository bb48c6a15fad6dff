package health

import "math"

// State is what checks have found out about a backend.
//
//	Unknown --- a good result --> Up --- Unhealthy bad results in a row --> Down
//	   |                           ^                                         |
//	   |                           +------- Healthy good ones in a row ------+
//	   +------- a bad result --------------------------------------------> Down
type State uint8

const (
	// Unknown: no check has ended yet. It counts as up, as users of nginx and HAProxy expect: a start, and a backend that
	// has just been added, are served at once, and not after three checks. For the same reason the first result counts
	// at once, whichever it is: nothing is known that would speak against it.
	Unknown State = iota
	// Up: it may take new requests.
	Up
	// Down: it gets no new requests; its tunnels live on.
	Down
)

// String returns the state's stable token.
func (s State) String() string {
	switch s {
	case Unknown:
		return "unknown"
	case Up:
		return "up"
	case Down:
		return "down"
	}
	return "invalid"
}

// Never is the time of what is not going to happen by itself.
const Never = int64(math.MaxInt64)

// Checker is what one backend's checks have found out, and when the next is due. There is at most one at a time. Owned
// by one loop, or whoever carries the checks out. Init before use.
type Checker struct {
	settings *Settings
	random   uint64
	due      int64  // of the next check
	began    int64  // the check under way
	since    int64  // the state is what it is
	reason   string // of the last bad result
	against  int    // results in a row that speak against the state
	state    State
	checking bool
}

// Init begins with a backend of which nothing is known. Its first check is due at some time within an interval from now,
// which the seed, one of its own for each backend, chooses: those of many are spread over it. The settings are borrowed.
func (c *Checker) Init(s *Settings, seed uint64, now int64) {
	*c = Checker{settings: s, random: seed, since: now}
	c.due = now + int64(c.fraction()*float64(s.Interval))
}

// Change replaces the settings. What has been found out stays, and the next check comes no later than they say. A check
// under way goes on; where it asked for what is not checked any more, its owner ends it by Abandon.
func (c *Checker) Change(s *Settings, now int64) {
	c.settings = s
	c.against = 0
	c.due = min(c.due, now+int64(c.fraction()*float64(s.Interval)))
}

// State returns what has been found out.
func (c *Checker) State() State { return c.state }

// Since returns when the state became what it is; that of Unknown is when the Checker was made.
func (c *Checker) Since() int64 { return c.since }

// Reason returns the token of the last bad result, "" if there was none.
func (c *Checker) Reason() string { return c.reason }

// Due returns when the next check is to begin; Never while one is under way.
func (c *Checker) Due() int64 {
	if c.checking {
		return Never
	}
	return c.due
}

// Begin notes that a check begins, and returns when it has failed if it has not ended. It panics while another is under
// way.
func (c *Checker) Begin(now int64) (deadline int64) {
	if c.checking {
		panic("health: two checks of one backend at once")
	}
	c.checking, c.began = true, now
	return now + c.settings.Timeout
}

// End notes how the check under way ended: "" is good, all else the stable token of what was wrong. It reports whether
// the state has changed. It panics if no check is under way.
func (c *Checker) End(now int64, reason string) (changed bool) {
	c.finish(now)
	good := reason == ""
	if !good {
		c.reason = reason
	}
	if c.state == Unknown {
		c.become(upIf(good), now)
		return true
	}
	if upIf(good) == c.state {
		c.against = 0
		return false
	}
	c.against++
	if c.against < c.threshold() {
		return false
	}
	c.become(upIf(good), now)
	return true
}

// Abandon notes that the check under way could not be carried out for reasons of our own (no descriptors, no ports, the
// end of the process): it says nothing about the backend. It panics if no check is under way.
func (c *Checker) Abandon(now int64) { c.finish(now) }

// finish ends the check under way and says when the next begins.
func (c *Checker) finish(now int64) {
	if !c.checking {
		panic("health: the end of a check that did not begin")
	}
	c.checking = false
	// Give or take a tenth: backends that are checked at the same time once do not stay so.
	jitter := 0.9 + 0.2*c.fraction()
	c.due = max(now, c.began+int64(jitter*float64(c.settings.Interval)))
}

// become enters another state.
func (c *Checker) become(s State, now int64) { c.state, c.since, c.against = s, now, 0 }

// threshold is how many results in a row change the state.
func (c *Checker) threshold() int {
	if c.state == Down {
		return c.settings.Healthy
	}
	return c.settings.Unhealthy
}

func upIf(good bool) State {
	if good {
		return Up
	}
	return Down
}

// fraction returns the next number of the seed's own sequence, 0 to 1 (SplitMix64).
func (c *Checker) fraction() float64 {
	c.random += 0x9e3779b97f4a7c15
	z := c.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return float64(z>>11) / (1 << 53)
}
