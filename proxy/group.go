package proxy

import (
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"

	"culvert/proxy/balance"
	"culvert/proxy/health"
)

// group is a set of backends that requests are balanced over, as one configuration has it. Immutable but for who may be
// picked at the moment, which the steward says; a reload that does not change the group keeps the value.
type group struct {
	name    string
	members []member
	config  GroupConfig // without its servers
	own     *lineup
	sticky  *stickiness // nil: nobody is brought back

	byIdentity map[uint64]int // members
	queue      *waitQueue     // shared by all configurations
	retries    *retryBudget
	standing   atomic.Pointer[standing]
}

// member is a backend in a group.
type member struct {
	backend  *backend
	id       uint64 // its identity, or another one where that is taken
	weight   int
	most     int64 // connections of all loops; 0: no bound
	priority uint16
	drain    bool
	drainFor int64 // nanoseconds; 0: for ever
}

// standing is how the members of a group stand, in their order. Immutable.
type standing struct {
	status         []health.Status
	share, weights []int // of the weight, in percent; and that
}

// lineup is one way in which a group's members are chosen among, by all loops.
type lineup struct {
	schedule schedule
	levels   atomic.Pointer[[]balance.Scheduler] // those who are asked first come first; nobody serves: empty
}

// schedule is a compiled Schedule. Comparable.
type schedule struct {
	algorithm  balance.Algorithm
	loadFactor float64
	hashBy     HashKey
}

func newSchedule(c *Schedule) (schedule, error) {
	s := schedule{loadFactor: c.LoadFactor, hashBy: c.HashBy}
	if s.loadFactor != 0 && !(s.loadFactor >= 1 && s.loadFactor <= balance.MaxLoadFactor) {
		return s, fmt.Errorf("load factor %v: allowed are 1 to %d, and 0 for no bound", s.loadFactor, balance.MaxLoadFactor)
	}
	if c.Algorithm == "" {
		return s, nil
	}
	var err error
	s.algorithm, err = balance.ParseAlgorithm(c.Algorithm)
	return s, err
}

// same tells whether another configuration says the same of the group, but for the lineups of rules.
func (g *group) same(other *group) bool {
	return other != nil && slices.Equal(g.members, other.members) && reflect.DeepEqual(g.config, other.config) &&
		(g.config.Sticky == nil || g.config.Sticky.KeyFile == "") // which may have changed
}

// lineup returns the way of choosing among a group's members that a schedule asks for: one for all rules that ask for
// the same, and that which the site before had, where the group is the same.
func (b *siteBuilder) lineup(g *group, s schedule) *lineup {
	has := func(site *site) *lineup {
		for _, l := range site.lineups[g] {
			if l.schedule == s {
				return l
			}
		}
		return nil
	}
	l := has(b.site)
	if l != nil {
		return l
	}
	if b.old != nil {
		l = has(b.old)
	}
	if l == nil {
		l = newLineup(s)
	}
	b.site.lineups[g] = append(b.site.lineups[g], l)
	return l
}

func newLineup(s schedule) *lineup {
	l := &lineup{schedule: s}
	l.levels.Store(&[]balance.Scheduler{})
	return l
}

// canServe tells whether any backend takes new requests.
func (g *group) canServe() bool {
	return len(*g.own.levels.Load()) > 0
}

// next picks a member by its index, leaving out those that were tried: of the first level that has one left.
func (l *lineup) next(r *balance.Request) (int, bool) {
	for _, s := range *l.levels.Load() {
		if i, ok := s.Next(r); ok {
			return i, true
		}
	}
	return 0, false
}

// arrange makes the schedulers anew for members that stand like this: one for each priority that can serve. Where nobody
// can there is none, and requests get 503 at once: no "panic mode" tries members that are down all the same, for a check
// says more than the hope that it is wrong. before is who had the turns so far; nil: nobody.
func (g *group) arrange(l *lineup, now []health.Member, before *lineup) {
	var old []balance.Scheduler
	if before != nil {
		old = *before.levels.Load()
	}
	var priorities []uint16
	for i := range now {
		if m := &now[i]; m.Status() == health.Serving && !slices.Contains(priorities, m.Priority) {
			priorities = append(priorities, m.Priority)
		}
	}
	slices.Sort(priorities)
	levels := make([]balance.Scheduler, 0, len(priorities))
	for n, priority := range priorities {
		c := balance.Config{Algorithm: l.schedule.algorithm, LoadFactor: l.schedule.loadFactor, Members: make([]balance.Member, len(now))}
		for i := range now {
			b := g.members[i].backend
			c.Members[i] = balance.Member{Load: &b.active, Time: &b.latency, ID: g.members[i].id}
			if m := &now[i]; m.Status() == health.Serving && m.Priority == priority {
				c.Members[i].Weight = m.Weight * max(m.Share, 1)
			}
		}
		var previous balance.Scheduler
		if n < len(old) {
			previous = old[n]
		}
		s, err := balance.New(c, previous)
		if err != nil {
			panic("proxy: a group's schedule was not checked: " + err.Error())
		}
		levels = append(levels, s)
	}
	l.levels.Store(&levels)
}

// finishGroup checks what is said of a group as a whole, and gives it its own way of choosing.
func (b *siteBuilder) finishGroup(g *group, c *GroupConfig) error {
	own, err := newSchedule(&c.Schedule)
	switch {
	case err != nil:
		return err
	case c.SendProxy < 0 || c.SendProxy > 2:
		return fmt.Errorf("PROXY header version %d: allowed are 0 (none), 1 and 2", c.SendProxy)
	case c.RetryShare < 0 || c.RetryShare > 100:
		return fmt.Errorf("retries of %d %%: allowed are 0 to 100", c.RetryShare)
	case c.Queue < 0:
		return fmt.Errorf("a queue of %d: allowed are 0 and more", c.Queue)
	}
	if c.Check != nil {
		if err := c.Check.Validate(); err != nil {
			return fmt.Errorf("check: %w", err)
		}
	}
	if c.Outliers != nil {
		if err := c.Outliers.Validate(); err != nil {
			return fmt.Errorf("outliers: %w", err)
		}
	}
	if err := c.SlowStart.Validate(); c.SlowStart != (health.SlowStart{}) && err != nil {
		return fmt.Errorf("slow start: %w", err)
	}
	if _, err := health.NewPace(c.EndRate, 0); err != nil {
		return err
	}
	stuck, err := b.stickiness(c.Sticky, c.Name)
	if err != nil {
		return fmt.Errorf("sticky: %w", err)
	}
	if l := b.lineup(g, own); g.own == nil { // else it is in use
		g.own, g.sticky, g.byIdentity = l, stuck, make(map[uint64]int, len(g.members))
		for i := range g.members {
			g.byIdentity[g.members[i].id] = i
		}
	}
	return nil
}
