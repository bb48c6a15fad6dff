package proxy

import (
	"slices"

	"culvert/proxy/balance"
)

// group is a set of backends that requests are balanced over, as one configuration has it. Immutable; a reload that does
// not change it keeps the value, and with it the positions of the schedulers.
type group struct {
	name      string
	members   []member
	sendProxy int // version of the PROXY header that connections begin with; 0: none
}

// member is a backend in a group.
type member struct {
	backend   *backend
	weight    int
	secondary bool
}

func (g *group) equal(other *group) bool {
	return other != nil && g.name == other.name && g.sendProxy == other.sendProxy && slices.Equal(g.members, other.members)
}

// canServe tells whether any backend takes new requests.
func (g *group) canServe() bool {
	return slices.ContainsFunc(g.members, func(m member) bool { return m.weight > 0 })
}

// groupScheduler chooses among the members of one group: secondaries only where no primary is left. Owned by a loop.
type groupScheduler struct {
	primary, secondary *balance.WRR
}

// newGroupScheduler starts at a position of its own, lest all loops begin with the same backend.
func newGroupScheduler(g *group, position int) *groupScheduler {
	primary, secondary := make([]int, len(g.members)), make([]int, len(g.members))
	for i, m := range g.members {
		if m.secondary {
			secondary[i] = m.weight
		} else {
			primary[i] = m.weight
		}
	}
	return &groupScheduler{primary: balance.NewWRR(primary, position), secondary: balance.NewWRR(secondary, position)}
}

// next picks a member by index, leaving out those that were tried.
func (s *groupScheduler) next(tried []int) (int, bool) {
	if i, ok := s.primary.Next(tried); ok {
		return i, true
	}
	return s.secondary.Next(tried)
}
