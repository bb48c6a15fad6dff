package balance

import (
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
)

const (
	// slots is into how many parts the keys are divided, each of which has an owner.
	slots = 1 << 16
	// probes is how many slots a pick looks at for a member that is neither overloaded nor tried.
	probes = 64
	// countedMembers is up to how many members all connections are counted for each pick.
	countedMembers = 16
	// recountShare: of more members, the connections are counted anew once in a fourth as many picks as there are members.
	recountShare = 4
)

// hashing is Hash: rendezvous hashing, worked out beforehand for every slot that a key may fall into.
//
// For every slot each member has a number that depends on both and on nothing else, an exponentially distributed time
// that is shorter for the heavier, and who has the least owns the slot. So a member that comes takes slots from all
// others and gives none away, one that leaves leaves only its own, and a change of weights moves slots from or to that
// member alone: no fewer keys can move. A ring does that too, with a search through its points for every pick, and with
// a number of points that has to be chosen for some number of members; Maglev's table is filled to the last slot evenly,
// but at every change a few slots move between members that have nothing to do with it.
//
// A key whose owner is overloaded, or was tried, goes on to other slots, which depend on the key: those whom one member
// turns away are spread over all.
type hashing struct {
	*pool
	factor float64  // the bound on the load, as a multiple of the share; 0: none
	owners []uint16 // of the slots

	picks counter      // with a bound, and more than countedMembers
	base  atomic.Int64 // how many connections there were at the last recount, less the picks until then
}

func newHashing(p *pool, factor float64, before *hashing) *hashing {
	s := &hashing{pool: p, factor: factor}
	same := func(a, b member) bool { return a.id == b.id && a.weight == b.weight }
	if before != nil && slices.EqualFunc(before.members, p.members, same) {
		s.owners = before.owners
	} else {
		s.owners = owners(p)
	}
	return s
}

func (s *hashing) Next(r *Request) (int, bool) {
	if len(s.sequence) == 0 {
		return 0, false
	}
	if !r.HasKey {
		return s.choose(r)
	}
	bound := math.Inf(1) // of connections, for one that had all the weight
	if s.factor > 0 {
		bound = s.factor * float64(s.connectionsOfAll()+1)
	}
	at := mix(r.Key)
	for range probes {
		i := int(s.owners[slotOf(at)])
		m := &s.members[i]
		// With one more it would have at most its bound, rounded up.
		if (len(r.Tried) == 0 || !slices.Contains(r.Tried, i)) && float64(m.connections())*float64(s.total) < bound*m.weight {
			return i, true
		}
		at = mix(at + golden)
	}
	return s.emptiest(r)
}

// emptiest returns the member with the least connections / weight: if any is below the bound, that one is.
func (s *hashing) emptiest(r *Request) (best int, ok bool) {
	least := math.Inf(1)
	for _, e := range s.eligible {
		m := &s.members[e]
		if load := float64(m.connections()) / m.weight; load < least && !slices.Contains(r.Tried, int(e)) {
			best, least, ok = int(e), load, true
		}
	}
	return best, ok
}

// connectionsOfAll returns how many connections the members have: exactly where they are few; else as it was counted at
// most a fourth as many picks ago, and all picks since.
func (s *hashing) connectionsOfAll() int64 {
	if len(s.eligible) <= countedMembers {
		return s.count()
	}
	pick := s.picks.Add(1)
	if pick%uint64(len(s.eligible)/recountShare) == 1 {
		s.base.Store(s.count() - int64(pick) + 1)
	}
	return s.base.Load() + int64(pick) - 1
}

func (s *hashing) count() (sum int64) {
	for _, e := range s.eligible {
		sum += s.members[e].connections()
	}
	return sum
}

// race is how slots get their owners. Each member claims slots in an order of its own, at a pace that is its weight; the
// earliest claim counts. A member's first claim of a given slot comes with the same chance at each of its claims: so its
// time has an exponential distribution, but for steps of 1/slots.
type race struct {
	*pool
	owners  []uint16
	times   []float64 // of the earliest claim of each slot
	missing int       // slots without a claim
}

// owners returns the owner of each slot, in 5 ms or so; nil without members.
func owners(p *pool) []uint16 {
	if len(p.eligible) == 0 {
		return nil
	}
	r := &race{pool: p, owners: make([]uint16, slots), times: make([]float64, slots), missing: slots}
	for i := range r.times {
		r.times[i] = math.Inf(1)
	}
	made := make([]uint64, len(p.eligible)) // claims of each member
	// By the horizon a slot is still without a claim in one case of e^(horizon*total/slots).
	for horizon := 12.0; r.missing > 0; horizon += 2 {
		for n, e := range p.eligible {
			made[n] = r.claim(e, made[n], horizon*slots/float64(p.total))
		}
	}
	return r.owners
}

// claim makes all claims of a member up to the horizon, of which some have been made, and returns how many that are.
func (r *race) claim(member uint16, made uint64, horizon float64) uint64 {
	m := &r.members[member]
	for ; ; made++ {
		time := float64(made+1) / m.weight
		if time > horizon {
			return made
		}
		slot := slotOf(mix(m.id + made*golden))
		best := r.times[slot]
		if time < best || time == best && m.id < r.members[r.owners[slot]].id {
			if math.IsInf(best, 1) {
				r.missing--
			}
			r.times[slot], r.owners[slot] = time, member
		}
	}
}

// slotOf returns the slot that a well mixed number falls into.
func slotOf(mixed uint64) uint64 {
	slot, _ := bits.Mul64(mixed, slots)
	return slot
}
