package balance

import (
	"math"
	"math/bits"
	"slices"
)

const (
	// exactMembers is up to how many members a pick looks at all of them.
	exactMembers = 64
	// samples is how many turns of the sequence a pick looks at where there are more members.
	samples = 32
	// aboutAsFast is by which factor a member may be slower than the fastest and still count as its equal.
	aboutAsFast = 1.125
)

// least is LeastConnections and LeastTime.
//
// (connections + 1) / weight says where the next connection weighs least. Of members that have none, it knows only
// whose weight is larger: where connections come one after the other, that one would get them all. So a member without
// connections whose turn it is by weighted round robin gets the next one; under LeastTime, if it is about as fast as the
// best.
type least struct {
	*pool
	timed bool
}

func newLeast(p *pool, timed bool) *least { return &least{p, timed} }

func (s *least) Next(r *Request) (int, bool) {
	if len(s.sequence) == 0 {
		return 0, false
	}
	if len(r.Tried) > 0 {
		return s.chosen(r, r.random())
	}
	turn := s.turn()
	first := s.whose(turn)
	idle := s.members[first].connections() == 0
	if idle && !s.timed {
		return first, true
	}
	best, ok := s.best(r, turn)
	if ok && s.timed {
		if idle && s.members[first].time.about(s.members[best].time, r.Now) {
			best = first
		}
		s.members[best].time.chosen(r.Now)
	}
	return best, ok
}

// chosen is the pick of a request that has tried others in vain.
func (s *least) chosen(r *Request, begin uint64) (int, bool) {
	best, ok := s.best(r, begin)
	if ok && s.timed {
		s.members[best].time.chosen(r.Now)
	}
	return best, ok
}

// best returns the cheapest member that was not tried: of all, or of those that a sample holds.
func (s *least) best(r *Request, turn uint64) (int, bool) {
	if len(s.eligible) <= exactMembers {
		return s.leastOf(r, turn, s.timed)
	}
	// The multiples of the golden ratio fill a circle more evenly than anything else: 32 of them are spread all over
	// it, and those of later turns fall into the gaps that are left.
	point := turn * (samples * golden & math.MaxUint64)
	best, least := -1, math.Inf(1)
	for range samples {
		at, _ := bits.Mul64(point, uint64(len(s.sequence)))
		point += golden
		i := int(s.sequence[at])
		if len(r.Tried) > 0 && slices.Contains(r.Tried, i) {
			continue
		}
		if cost := s.members[i].cost(r.Now, s.timed); cost < least {
			best, least = i, cost
		}
	}
	if best < 0 { // those that were tried have nearly all the weight
		return s.leastOf(r, turn, s.timed)
	}
	return best, true
}

// choices is TwoChoices.
type choices struct{ *pool }

// draws is how often a pick draws until it has a second member, or one that was not tried.
const draws = 6

func (s *choices) Next(r *Request) (int, bool) {
	if len(s.sequence) == 0 {
		return 0, false
	}
	return s.choose(r)
}

// choose draws two members. One that has no connections is taken as it is drawn: between two of these, the heavier would
// always be taken.
func (p *pool) choose(r *Request) (int, bool) {
	first := -1
	for range 2 * draws {
		i := p.draw(r.random())
		m := &p.members[i]
		switch {
		case i == first || len(r.Tried) > 0 && slices.Contains(r.Tried, i):
			continue
		case first < 0 && m.connections() == 0:
			return i, true
		case first < 0:
			first = i
			continue
		case m.cost(r.Now, false) < p.members[first].cost(r.Now, false):
			return i, true
		}
		return first, true
	}
	if first >= 0 {
		return first, true
	}
	return p.drawOther(r)
}
