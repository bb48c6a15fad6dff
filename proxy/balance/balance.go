package balance

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
)

const (
	// WeightUnit is what a member of weight 1, as operators write it, has: weights are counted in hundredths, so that
	// a member which is being started slowly can have a part of its own, whatever that is.
	WeightUnit = 100
	// MaxWeight bounds the weight of a member, in hundredths: operators write 0 to 100.
	MaxWeight = 100 * WeightUnit
	// MaxMembers bounds the members of a scheduler, those of weight 0 included.
	MaxMembers = 1 << 16
	// MaxLoadFactor bounds the load factor.
	MaxLoadFactor = 100
)

// Member is a backend as a scheduler knows it. What it points to is shared with everything else that knows the backend,
// and outlives the scheduler.
type Member struct {
	// Weight is 0 to MaxWeight, in hundredths; 0: it is never picked.
	Weight int
	// Load is how many connections the backend has, of all loops. The owner counts: after a pick, and when a
	// connection is over. Schedulers only read. It may be nil for WeightedRoundRobin and RoundRobin.
	Load *atomic.Int64
	// Time is how fast the backend answers; needed by LeastTime alone.
	Time *Latency
	// ID is the backend's identity for Hash, the same on all machines that are to choose alike; see Identity.
	ID uint64
}

// Request is what a pick may depend on. A loop has one, fills it in for each pick, and hands it to whatever scheduler.
type Request struct {
	// Key is what Hash goes by, if there is one (HasKey); see KeyOf.
	Key    uint64
	HasKey bool
	// Tried are the members, by index, that were tried in vain: they are left out. A few at most.
	Tried []int
	// Now is in nanoseconds of the monotonic clock.
	Now int64
	// Random is the state of the loop's random numbers: begin with another value on each loop. Picks change it.
	Random uint64
}

// Scheduler picks members. It may be used by any number of goroutines, each with a Request of its own.
type Scheduler interface {
	// Next picks a member by its index; ok is false when none is left. It takes no lock and does not allocate.
	Next(r *Request) (index int, ok bool)
}

// Config is what a scheduler is made of.
type Config struct {
	Algorithm Algorithm
	Members   []Member // at most MaxMembers; copied
	// LoadFactor bounds the connections of a member under Hash, as a multiple of its share of all of them: 1 to
	// MaxLoadFactor, or 0 for no bound.
	LoadFactor float64
}

// New returns a scheduler. It goes on where previous is (nil: there is none), which may be of another algorithm or have
// other members, and may still be in use: a change of weights does not begin again with the first member. Errors name
// the field that is wrong.
func New(c Config, previous Scheduler) (Scheduler, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	p := newPool(&c)
	if before, ok := previous.(interface{ shared() *pool }); ok {
		p.follow(before.shared())
	}
	switch c.Algorithm {
	case LeastConnections, LeastTime:
		return newLeast(p, c.Algorithm == LeastTime), nil
	case TwoChoices:
		return &choices{p}, nil
	case Hash:
		before, _ := previous.(*hashing)
		return newHashing(p, c.LoadFactor, before), nil
	}
	return &turns{p}, nil
}

func (c *Config) validate() error {
	a := c.Algorithm
	switch {
	case a >= algorithmCount:
		return fmt.Errorf("there is no %v", a)
	case len(c.Members) > MaxMembers:
		return fmt.Errorf("%d members: there may be %d", len(c.Members), MaxMembers)
	case a == Hash && c.LoadFactor != 0 && !(c.LoadFactor >= 1 && c.LoadFactor <= MaxLoadFactor):
		return fmt.Errorf("load factor %v: it is 1 to %d, or 0 for no bound", c.LoadFactor, MaxLoadFactor)
	}
	seen := make(map[uint64]bool)
	for i := range c.Members {
		m := &c.Members[i]
		switch {
		case m.Weight < 0 || m.Weight > MaxWeight:
			return fmt.Errorf("member %d: weight %d: it is 0 to %d", i, m.Weight, MaxWeight)
		case m.Load == nil && a != WeightedRoundRobin && a != RoundRobin:
			return fmt.Errorf("member %d: %v needs its load", i, a)
		case m.Time == nil && a == LeastTime:
			return fmt.Errorf("member %d: %v needs its answer time", i, a)
		case a == Hash && seen[m.ID]:
			return errors.New("two members have the same identity")
		}
		if a == Hash {
			seen[m.ID] = true
		}
	}
	return nil
}

// pool is what every scheduler knows: the members, in which order they have their turns, and whose turn it is.
// Immutable after New but for the position.
type pool struct {
	members  []member
	eligible []uint16 // the members that have a weight
	sequence []uint16 // see sequenceOf; empty where no member has a weight
	total    uint64   // of the weights
	position counter  // turns taken
}

// member is what a pick looks at.
type member struct {
	load   *atomic.Int64
	time   *Latency
	weight float64 // 0: never picked
	id     uint64
}

// counter has its cache lines to itself: all loops write it.
type counter struct {
	_ [128]byte
	atomic.Uint64
	_ [120]byte
}

func newPool(c *Config) *pool {
	p := &pool{members: make([]member, len(c.Members))}
	weights := make([]int, len(c.Members))
	for i, m := range c.Members {
		weights[i] = m.Weight
		if c.Algorithm == RoundRobin {
			weights[i] = min(m.Weight, 1)
		}
		p.members[i] = member{m.Load, m.Time, float64(weights[i]), m.ID}
		p.total += uint64(weights[i])
		if weights[i] > 0 {
			p.eligible = append(p.eligible, uint16(i))
		}
	}
	p.sequence = sequenceOf(weights)
	return p
}

func (p *pool) shared() *pool { return p }

// follow goes on in the round where another pool is in its own.
func (p *pool) follow(before *pool) {
	length, old := uint64(len(p.sequence)), uint64(len(before.sequence))
	if length > 0 && old > 0 {
		p.position.Store((before.position.Load()%old*length + old/2) / old)
	}
}

// turn takes the next turn and returns its number.
func (p *pool) turn() uint64 { return p.position.Add(1) - 1 }

// whose returns the member that has this turn. There must be one.
func (p *pool) whose(turn uint64) int { return int(p.sequence[turn%uint64(len(p.sequence))]) }

// draw returns a member by chance, as likely as its weight says. There must be one.
func (p *pool) draw(random uint64) int {
	at, _ := bits.Mul64(random, uint64(len(p.sequence)))
	return int(p.sequence[at])
}

// drawOther returns a member that was not tried, as likely as its weight among those says. It is for requests whose first
// pick has failed: these take no turn, lest with two members, of which one is down, every request tried that one first.
// There must be a member. Where those that were tried have nearly all the weight it takes time linear in the number of
// members.
func (p *pool) drawOther(r *Request) (int, bool) {
	for range draws {
		if i := p.draw(r.random()); !slices.Contains(r.Tried, i) {
			return i, true
		}
	}
	left := p.total
	for i, t := range r.Tried {
		if t >= 0 && t < len(p.members) && !slices.Contains(r.Tried[:i], t) {
			left -= uint64(p.members[t].weight)
		}
	}
	at, _ := bits.Mul64(r.random(), left)
	for _, e := range p.eligible {
		if slices.Contains(r.Tried, int(e)) {
			continue
		}
		weight := uint64(p.members[e].weight)
		if at < weight {
			return int(e), true
		}
		at -= weight
	}
	return 0, false
}

// leastOf returns the cheapest of all members that were not tried, looking at each; the search begins at any of them,
// so that equals get the same.
func (p *pool) leastOf(r *Request, begin uint64, timed bool) (best int, ok bool) {
	if len(p.eligible) == 0 {
		return 0, false
	}
	first := int(begin % uint64(len(p.eligible)))
	least := math.Inf(1)
	for _, half := range [2][]uint16{p.eligible[first:], p.eligible[:first]} {
		for _, e := range half {
			if len(r.Tried) > 0 && slices.Contains(r.Tried, int(e)) {
				continue
			}
			if cost := p.members[e].cost(r.Now, timed); cost < least {
				best, least, ok = int(e), cost, true
			}
		}
	}
	return best, ok
}

// cost is what is compared: how much a member would have to do with one connection more.
func (m *member) cost(now int64, timed bool) float64 {
	cost := float64(m.connections()+1) / m.weight // equal fractions give equal quotients
	if timed {
		cost *= float64(m.time.units(now) + 1)
	}
	return cost
}

// connections returns the load. It is never below 0, whatever the owner counts.
func (m *member) connections() int64 { return max(m.load.Load(), 0) }

// turns is round robin, with and without weights.
type turns struct{ *pool }

func (s *turns) Next(r *Request) (int, bool) {
	if len(s.sequence) == 0 {
		return 0, false
	}
	if len(r.Tried) > 0 {
		return s.drawOther(r)
	}
	return s.whose(s.turn()), true
}

// random returns the loop's next random number (splitmix64).
func (r *Request) random() uint64 {
	r.Random += golden
	return mix(r.Random)
}
