package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

const oneSecond = int64(1e9)

// membersOf returns members with these weights, as operators write them, and what they point to.
func membersOf(weights ...int) []Member {
	members := make([]Member, len(weights))
	for i, w := range weights {
		apart := new(struct { // as the fields of backends are, from those of others
			load atomic.Int64
			time Latency
			_    [112]byte
		})
		members[i] = Member{
			Weight: w * WeightUnit, Load: &apart.load, Time: &apart.time,
			ID: Identity("group", fmt.Sprintf("192.0.2.%d:%d", i%256, 8000+i/256)),
		}
	}
	return members
}

// usualFactor bounds the loads of Hash in tests.
const usualFactor = 1.25

func repeated(weight, n int) []int {
	return slices.Repeat([]int{weight}, n)
}

func scheduler(t testing.TB, a Algorithm, members []Member, previous Scheduler) Scheduler {
	t.Helper()
	s, err := New(Config{Algorithm: a, Members: members, LoadFactor: usualFactor}, previous)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pickFrom lets loops pick at once, n times in all, and returns how often each member was picked. stay says that the
// connections last.
func pickFrom(s Scheduler, members []Member, loops, n int, stay bool) []int {
	counts := make([]atomic.Int64, len(members))
	var left atomic.Int64
	left.Store(int64(n))
	var done sync.WaitGroup
	for loop := range loops {
		done.Go(func() {
			r := Request{Random: uint64(loop) * 1e9, HasKey: true}
			for left.Add(-1) >= 0 {
				r.Key = mix(r.random())
				i, ok := s.Next(&r)
				if !ok {
					panic("no member is left")
				}
				counts[i].Add(1)
				if stay {
					members[i].Load.Add(1)
				}
			}
		})
	}
	done.Wait()
	list := make([]int, len(members))
	for i := range counts {
		list[i] = int(counts[i].Load())
	}
	return list
}

// farthest returns the largest difference between a count and the share of all that its weight deserves.
func farthest(counts []int, members []Member) (most float64) {
	total, n := 0, 0
	for i := range members {
		total += members[i].Weight
		n += counts[i]
	}
	for i := range members {
		most = max(most, math.Abs(float64(counts[i])-float64(n)*float64(members[i].Weight)/float64(total)))
	}
	return most
}

var groups = []struct {
	name    string
	weights []int
	all     bool // with 100,000 connections too
}{
	{"one", []int{7}, false},
	{"two", []int{1, 1}, false},
	{"3 2 1", []int{3, 2, 1}, true},
	{"5 1 1", []int{5, 1, 1}, false},
	{"one heavy among light ones", append([]int{100}, repeated(1, 100)...), true},
	{"coprime", []int{97, 89, 83, 2, 1, 100}, false},
	{"ten and one that is drained", []int{1, 2, 3, 4, 5, 0, 6, 7, 8, 9, 10}, false},
	{"two hundred", append(repeated(3, 100), repeated(1, 100)...), true},
}

// TestSharesOfAllLoopsTogether: each algorithm, few connections and many, that end at once and that last.
func TestSharesOfAllLoopsTogether(t *testing.T) {
	// allowed is how far a member may be from its share, in connections, of n that p of them would be its own.
	turns := func(float64, float64) float64 { return 1 }
	// Each loop may be about to count one; and one that a light member lacks weighs as much as many of a heavy one.
	least := func(n, p float64) float64 { return 1 + 3 + n*p/500 }
	chance := func(n, p float64) float64 { return 5*math.Sqrt(n*p*(1-p)) + 1 }
	hashed := func(n, p float64) float64 { return chance(n, p) + 5*n*math.Sqrt(p*(1-p)/slots) }
	balanced := func(n, p float64) float64 { return min(chance(n, p), 8+n*p/10) }
	cases := []struct {
		algorithm Algorithm
		stay      bool
		allowed   func(n, p float64) float64
	}{
		{WeightedRoundRobin, false, turns}, {WeightedRoundRobin, true, turns}, {RoundRobin, false, nil},
		{LeastConnections, false, turns}, {LeastConnections, true, least}, {LeastTime, false, turns}, {LeastTime, true, least},
		{TwoChoices, false, chance}, {TwoChoices, true, balanced}, {Hash, false, hashed},
	}
	for _, c := range cases {
		for _, g := range groups {
			for _, n := range []int{8, 100, 10_000, 100_000} {
				if n == 100_000 && !g.all {
					continue
				}
				members := membersOf(g.weights...)
				for i := range members {
					members[i].Time.Observe(5e6, 0)
				}
				config := Config{Algorithm: c.algorithm, Members: members}
				s, err := New(config, nil)
				if err != nil {
					t.Fatal(err)
				}
				counts := pickFrom(s, members, 4, n, c.stay)
				if c.algorithm == RoundRobin {
					if least, most := extremes(counts, members); most-least > 1 {
						t.Errorf("%v, %s, %d: %d to %d picks", c.algorithm, g.name, n, least, most)
					}
					continue
				}
				total := float64(s.(interface{ shared() *pool }).shared().total)
				for i := range members {
					share := float64(members[i].Weight) / total
					want := float64(n) * share
					if got := float64(counts[i]); math.Abs(got-want) > c.allowed(float64(n), share) {
						t.Errorf("%v, %s, %d connections, lasting %v: member %d has %v, its share is %.1f", c.algorithm, g.name, n, c.stay, i, got, want)
						break
					}
				}
			}
		}
	}
}

func extremes(counts []int, members []Member) (least, most int) {
	least = math.MaxInt
	for i := range members {
		if members[i].Weight > 0 {
			least, most = min(least, counts[i]), max(most, counts[i])
		}
	}
	return least, most
}

func TestWhatWasTriedAndWhatHasNoWeightIsNeverPicked(t *testing.T) {
	for a := range algorithmCount {
		for _, extra := range []int{0, 100} {
			members := membersOf(append([]int{1, 0, 2, 100, 0}, repeated(0, extra)...)...)
			members[3].Weight = MaxWeight // nearly all the turns
			s := scheduler(t, a, members, nil)
			r := Request{HasKey: true}
			seen := map[int]int{}
			for range 2000 {
				r.Key, r.Tried = r.random(), []int{3, 3}
				i, ok := s.Next(&r)
				if !ok || i != 0 && i != 2 {
					t.Fatalf("%v: picked %d, %v", a, i, ok)
				}
				seen[i]++
				members[i].Load.Add(1)
			}
			if want := 2000 / 3; a != RoundRobin && (seen[0] < want*9/10 || seen[0] > want*11/10) {
				t.Errorf("%v: of those that are left, the one of weight 1 has %d of 2000, the one of weight 2 the rest", a, seen[0])
			}
			r.Tried = []int{3, 0}
			if i, ok := s.Next(&r); !ok || i != 2 {
				t.Fatalf("%v: picked %d, %v, want the last one", a, i, ok)
			}
			r.Tried = []int{2, 0, 3, -1, 1000}
			if i, ok := s.Next(&r); ok {
				t.Fatalf("%v: picked %d though none was left", a, i)
			}
		}
		for _, members := range [][]Member{nil, membersOf(0, 0)} {
			for _, hasKey := range []bool{false, true} {
				if i, ok := scheduler(t, a, members, nil).Next(&Request{HasKey: hasKey}); ok {
					t.Fatalf("%v: picked %d of none", a, i)
				}
			}
		}
	}
}

// TestWhoeverIsTriedFirstChangesThoughOneIsDown: a second try takes no turn.
func TestWhoeverIsTriedFirstChangesThoughOneIsDown(t *testing.T) {
	for _, a := range []Algorithm{RoundRobin, WeightedRoundRobin} {
		s := scheduler(t, a, membersOf(1, 1), nil)
		first := 0
		for range 100 {
			r := Request{}
			if i, _ := s.Next(&r); i == 0 {
				first++
				r.Tried = []int{0}
				s.Next(&r)
			}
		}
		if first != 50 {
			t.Errorf("%v: the one that is down was tried first by %d of 100", a, first)
		}
	}
}

func TestPicksDoNotAllocate(t *testing.T) {
	for a := range algorithmCount {
		for _, n := range []int{10, 1000} {
			members := membersOf(repeated(3, n)...)
			s := scheduler(t, a, members, nil)
			r := &Request{HasKey: true}
			tried := []int{1, 2}
			if got := testing.AllocsPerRun(1000, func() {
				r.Key, r.Tried, r.Now = r.random(), nil, r.Now+1e7
				i, _ := s.Next(r)
				members[i].Load.Add(1)
				members[i].Time.Observe(1e6, r.Now)
				r.Tried = tried
				s.Next(r)
			}); got != 0 {
				t.Errorf("%v, %d members: %v allocations", a, n, got)
			}
		}
	}
}

func TestTurnsGoOnOverARebuild(t *testing.T) {
	for _, a := range []Algorithm{RoundRobin, WeightedRoundRobin} {
		members := membersOf(1, 1, 1, 1, 1)
		s := scheduler(t, a, members, nil)
		counts := make([]int, len(members))
		for n := range 1000 {
			i, _ := s.Next(&Request{})
			counts[i]++
			if n%3 == 0 {
				s = scheduler(t, a, members, s) // nothing but made anew
			}
			if n%7 == 0 {
				other := slices.Clone(members)
				other[n%5].Weight = 63
				s = scheduler(t, WeightedRoundRobin, other, s) // and back, between two picks
				s = scheduler(t, a, members, s)
			}
		}
		if slices.Min(counts) != 200 || slices.Max(counts) != 200 {
			t.Errorf("%v: picked %v times over rebuilds, want 200 each", a, counts)
		}
	}
}

// TestAGrowingWeightKeepsItsShare is a slow start: a new scheduler at every step.
func TestAGrowingWeightKeepsItsShare(t *testing.T) {
	for _, a := range []Algorithm{WeightedRoundRobin, LeastConnections, TwoChoices} {
		members := membersOf(1, 1, 1, 1)
		for i := range members[:3] {
			members[i].Load.Store(1000)
		}
		var s Scheduler
		r := Request{}
		for weight := 1; weight <= WeightUnit; weight++ {
			members[3].Weight = weight
			s = scheduler(t, a, members, s)
			for range 100 {
				i, _ := s.Next(&r)
				members[i].Load.Add(1)
			}
		}
		// Of 100 picks at each step it deserves weight/(300+weight): 1 - 3*ln(4/3) = 13.7 % of all.
		got := members[3].Load.Load()
		if want := int64(1370); a == WeightedRoundRobin && (got < want*97/100 || got > want*103/100) {
			t.Errorf("%v: %d of 10,000 went to the one that began, want about %d", a, got, want)
		}
		// Least connections keeps it at weight/100 of what the others have, and so at less.
		if others := members[0].Load.Load(); a != WeightedRoundRobin && (got < others*8/10 || got > others) {
			t.Errorf("%v: it has %d in the end, the others %d", a, got, others)
		}
	}
}

func TestRefusedConfigurations(t *testing.T) {
	good := membersOf(1, 2)
	with := func(change func(*Member)) []Member {
		members := slices.Clone(good)
		change(&members[1])
		return members
	}
	cases := []struct {
		config Config
		want   string
	}{
		{Config{Algorithm: algorithmCount, Members: good}, "there is no algorithm 6"},
		{Config{Members: make([]Member, MaxMembers+1)}, "65537 members: there may be 65536"},
		{Config{Members: with(func(m *Member) { m.Weight = -1 })}, "member 1: weight -1"},
		{Config{Members: with(func(m *Member) { m.Weight = MaxWeight + 1 })}, "member 1: weight 10001"},
		{Config{Algorithm: TwoChoices, Members: with(func(m *Member) { m.Load = nil })}, "member 1: p2c needs its load"},
		{Config{Algorithm: LeastTime, Members: with(func(m *Member) { m.Time = nil })}, "member 1: least-time needs its answer time"},
		{Config{Algorithm: Hash, Members: with(func(m *Member) { m.ID = good[0].ID })}, "the same identity"},
		{Config{Algorithm: Hash, Members: good, LoadFactor: 0.99}, "load factor 0.99"},
		{Config{Algorithm: Hash, Members: good, LoadFactor: math.NaN()}, "load factor NaN"},
	}
	for _, c := range cases {
		if _, err := New(c.config, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	for _, a := range []Algorithm{RoundRobin, WeightedRoundRobin} {
		if _, err := New(Config{Algorithm: a, Members: []Member{{Weight: 1}, {Weight: 2}}}, nil); err != nil {
			t.Errorf("%v asks for what it does not need: %v", a, err)
		}
	}
}

func TestNamesOfAlgorithms(t *testing.T) {
	for a := range algorithmCount {
		if got, err := ParseAlgorithm(a.String()); err != nil || got != a {
			t.Errorf("%v: %v, %v", a, got, err)
		}
	}
	if _, err := ParseAlgorithm("WRR"); err == nil {
		t.Error("WRR is accepted")
	}
}

// TestEveryBeginningOfARoundIsFair is the promise of sequenceOf, at any weights.
func TestEveryBeginningOfARoundIsFair(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		weights := make([]int, 1+random.IntN(40))
		for i := range weights {
			weights[i] = random.IntN(1 << (1 + random.IntN(8)))
		}
		checkSequence(t, weights)
	}
	for _, g := range groups {
		checkSequence(t, g.weights)
	}
}

func checkSequence(t *testing.T, weights []int) {
	t.Helper()
	total := 0
	for _, w := range weights {
		total += w
	}
	counts := make([]int, len(weights))
	for at, i := range sequenceOf(weights) {
		counts[i]++
		if at < 2000 || at%37 == 0 {
			for i, w := range weights {
				if d := float64(counts[i]) - float64(at+1)*float64(w)/float64(total); math.Abs(d) >= 1 {
					t.Fatalf("weights %v: after %d turns member %d is %v from its share", weights, at+1, i, d)
				}
			}
		}
	}
}

func TestARoundThatIsTooLongIsRounded(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	weights := make([]int, 1000)
	total := 0
	for i := range weights {
		weights[i] = 1 + random.IntN(MaxWeight)
	}
	weights[17] = 1
	for _, w := range weights {
		total += w
	}
	sequence := sequenceOf(weights)
	if n := len(sequence); n < maxSequence*99/100 || n > maxSequence*101/100 {
		t.Fatalf("%d turns, want about %d", n, maxSequence)
	}
	counts := make([]int, len(weights))
	for _, i := range sequence {
		counts[i]++
	}
	for i, w := range weights {
		want := float64(w) / float64(total) * maxSequence
		if d := math.Abs(float64(counts[i]) - want); d > 0.5 && counts[i] != 1 {
			t.Fatalf("member %d has %d turns, want %.1f", i, counts[i], want)
		}
	}
	if counts[17] != 1 {
		t.Errorf("the lightest has %d turns, want 1", counts[17])
	}
}
