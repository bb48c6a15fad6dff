package health

import "errors"

// MaxPace is the largest number of tunnels that a Pace ends per second.
const MaxPace = 1_000_000

// longestArrears is the time, in nanoseconds, whose tunnels are ended at once at most: whoever was kept from ending
// tunnels must not make up for that by a stampede.
const longestArrears = second / 4

// Pace spreads the end of a backend's tunnels over time, so that their clients do not come back all at once: of one that
// is being drained and whose deadline has come, or that is down where the policy is to end them. The zero Pace ends all
// at once. Owned by whoever ends them.
type Pace struct {
	interval int64 // between two, in nanoseconds; 0: none
	next     int64 // the next may end
}

// NewPace returns a pace of so many tunnels per second, over all loops, from begin on. 1 to MaxPace; 0: all at once.
func NewPace(perSecond int, begin int64) (Pace, error) {
	if perSecond < 0 || perSecond > MaxPace {
		return Pace{}, errors.New("tunnels are ended at 1 to 1,000,000 per second, or all at once")
	}
	if perSecond == 0 {
		return Pace{next: begin}, nil
	}
	return Pace{interval: second / int64(perSecond), next: begin}, nil
}

// Take returns how many of those that are left are to be ended at now, and counts them as ended. Where time was lost, a
// quarter of a second is made up for.
func (p *Pace) Take(left int, now int64) int {
	if left <= 0 || now < p.next {
		return 0
	}
	if p.interval == 0 {
		return left
	}
	p.next = max(p.next, now-longestArrears)
	n := min(int64(left), (now-p.next)/p.interval+1)
	p.next += n * p.interval
	return int(n)
}

// Next returns when Take has the next one, if any are left.
func (p *Pace) Next() int64 { return p.next }
