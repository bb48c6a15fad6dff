package balance

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// fractions returns the least and the most connections per weight.
func fractions(members []Member) (least, most float64) {
	least = math.Inf(1)
	for i := range members {
		f := float64(members[i].Load.Load()) * WeightUnit / float64(members[i].Weight)
		least, most = min(least, f), max(most, f)
	}
	return least, most
}

// TestConnectionsThatLastAndEndUnevenlyStayBalanced lets tunnels come and go: those of the first quarter
// of the members last shorter than those of others.
func TestConnectionsThatLastAndEndUnevenlyStayBalanced(t *testing.T) {
	cases := []struct {
		algorithm Algorithm
		members   int
		shorter   int     // by which factor
		gap       float64 // allowed between the fewest and the most, in connections, at 50 each
	}{
		{LeastConnections, 10, 10, 1}, {LeastConnections, 64, 10, 1}, {LeastConnections, 65, 10, 4}, {LeastConnections, 1000, 10, 6}, {TwoChoices, 1000, 1, 22},
	}
	for _, c := range cases {
		members := membersOf(repeated(1, c.members)...)
		s := scheduler(t, c.algorithm, members, nil)
		random := rand.New(rand.NewPCG(5, 6))
		var live []int
		r := Request{}
		worst := 0.0
		for step := range 50 * c.members * 10 {
			if len(live) >= 50*c.members {
				for {
					at := random.IntN(len(live))
					if i := live[at]; i < c.members/4 || random.IntN(c.shorter) == 0 {
						members[i].Load.Add(-1)
						live[at] = live[len(live)-1]
						live = live[:len(live)-1]
						break
					}
				}
			}
			i, _ := s.Next(&r)
			members[i].Load.Add(1)
			live = append(live, i)
			if step > 50*c.members && step%c.members == 0 {
				least, most := fractions(members)
				worst = max(worst, most-least)
			}
		}
		if worst > c.gap {
			t.Errorf("%v, %d members: the most and the fewest are up to %v apart, want %v at most", c.algorithm, c.members, worst, c.gap)
		}
		t.Logf("%v, %d members: up to %v apart", c.algorithm, c.members, worst)
	}
}

// TestTheExactChoice compares with the definition, at random loads and weights.
func TestTheExactChoice(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 60 {
		members := membersOf(make([]int, 1+random.IntN(exactMembers))...) // their weights come below
		for i := range members {
			members[i].Weight = 1 + random.IntN(MaxWeight)
			members[i].Load.Store(1 + random.Int64N(1000))
			members[i].Time.Observe(1+random.Int64N(1e9), 0)
		}
		for _, a := range []Algorithm{LeastConnections, LeastTime} {
			cost := func(i int) float64 {
				c := float64(members[i].Load.Load()+1) / float64(members[i].Weight)
				if a == LeastTime {
					time, _ := members[i].Time.Value(0)
					c *= float64(time/latencyUnit + 1)
				}
				return c
			}
			got, _ := scheduler(t, a, members, nil).Next(&Request{})
			for i := range members {
				if cost(i) < cost(got) {
					t.Fatalf("%v: picked a member of cost %v, there is one of cost %v", a, cost(got), cost(i))
				}
			}
		}
	}
}

// TestHowLateADecreaseIsNoticed: the connections of one member end, those of others do not, wherever the turns are.
func TestHowLateADecreaseIsNoticed(t *testing.T) {
	for _, n := range []int{10, 64, 65, 500, 1000, 1024, 5000} {
		bound := 1
		if n > exactMembers {
			bound = (n + 11) / 12
		}
		members := membersOf(repeated(1, n)...)
		for i := range members {
			members[i].Load.Store(10)
		}
		s := scheduler(t, LeastConnections, members, nil)
		random := rand.New(rand.NewPCG(9, uint64(n)))
		latest, sum := 0, 0
		const rounds = 500
		for range rounds {
			one := random.IntN(n)
			members[one].Load.Store(5)
			picks := 1
			for i, _ := s.Next(&Request{}); i != one && picks <= bound; i, _ = s.Next(&Request{}) {
				picks++
			}
			members[one].Load.Store(10)
			latest, sum = max(latest, picks), sum+picks
		}
		if latest > bound {
			t.Errorf("%d members: noticed by pick %d, want %d at most", n, latest, bound)
		}
		t.Logf("%d members: noticed by pick %d at most, %.1f on average", n, latest, float64(sum)/rounds)
	}
}

// TestWhatANewMemberGets: all connections until it has as many as the others, and then its share.
func TestWhatANewMemberGets(t *testing.T) {
	for _, n := range []int{4, 1000} {
		members := membersOf(repeated(1, n+1)...)
		before := scheduler(t, LeastConnections, members[:n], nil)
		pickFrom(before, members, 4, n*100, true)
		s := scheduler(t, LeastConnections, members, before)
		counts := pickFrom(s, members, 4, 90, true)
		if got, want := counts[n], 90; n <= exactMembers && got != want {
			t.Errorf("%d members of 100 connections: a new one got %d of 90, want all", n, got)
		}
		if got, most := counts[n], 90*3*samples/n; n > exactMembers && (got < 1 || got > most) {
			t.Errorf("%d members of 100 connections: a new one got %d of 90, want 1 to %d", n, got, most)
		}
		pickFrom(s, members, 4, n*100, true)
		if least, most := fractions(members); most-least > 5 {
			t.Errorf("%d members: %v to %v connections in the end", n, least, most)
		}
	}
}

// TestOneHeavyMemberAmongMany: a sample finds it as often as its weight deserves.
func TestOneHeavyMemberAmongMany(t *testing.T) {
	for _, a := range []Algorithm{LeastConnections, TwoChoices} {
		members := membersOf(append(repeated(1, 999), 100)...)
		s := scheduler(t, a, members, nil)
		counts := pickFrom(s, members, 4, 100_000, true)
		if got := counts[999]; got < 8500 || got > 9600 {
			t.Errorf("%v: the heavy one has %d of 100,000, its share is 9,099", a, got)
		}
		if least, most := extremes(counts[:999], members[:999]); least < 80 || most > 100 {
			t.Errorf("%v: the light ones have %d to %d, their share is 91", a, least, most)
		}
	}
}

// station is a backend that answers one request after the other.
type station struct {
	service int64
	free    int64   // when it has answered all
	ends    []int64 // of requests that are under way
	sent    int
}

// serve lets requests come at a rate and returns how many each station got. A station's connections are its requests.
func serve(s Scheduler, members []Member, stations []station, from, until, every int64) {
	r := Request{}
	for now := from; now < until; now += every {
		for i := range stations {
			st := &stations[i]
			for len(st.ends) > 0 && st.ends[0] <= now {
				began := st.ends[0] - st.service
				members[i].Time.Observe(st.ends[0]-min(began, st.ends[0]), st.ends[0])
				members[i].Load.Add(-1)
				st.ends = st.ends[1:]
			}
		}
		r.Now = now
		i, _ := s.Next(&r)
		st := &stations[i]
		st.free = max(st.free, now) + st.service
		st.ends = append(st.ends, st.free)
		st.sent++
		members[i].Load.Add(1)
	}
}

func TestLeastTimeFollowsHowFastBackendsAre(t *testing.T) {
	members := membersOf(1, 1, 1, 1)
	stations := []station{{service: 5e6}, {service: 5e6}, {service: 10e6}, {service: 200e6}}
	s := scheduler(t, LeastTime, members, nil)
	serve(s, members, stations, 0, 30*oneSecond, 3e6) // 333 a second; the first two together do 400
	sent := func() (n [4]int) {
		for i := range stations {
			n[i], stations[i].sent = stations[i].sent, 0
		}
		return n
	}
	first := sent()
	if first[3] < 1 || first[3] > 60 || first[2] > first[0] || first[0]+first[1] < 6500 {
		t.Errorf("5, 5, 10 and 200 ms: %v", first)
	}
	stations[0].service = 2e9
	serve(s, members, stations, 30*oneSecond, 40*oneSecond, 3e6)
	if slow := sent(); slow[0] > 12 {
		t.Errorf("the first became very slow, and got %v of 3,333 requests in 10 s", slow)
	}
	stations[0].service = 5e6
	serve(s, members, stations, 40*oneSecond, 160*oneSecond, 3e6)
	sent()
	serve(s, members, stations, 160*oneSecond, 190*oneSecond, 3e6)
	if again := sent(); again[0] < 3000 {
		t.Errorf("it was as fast as before for 120 s, and got %v of 10,000 requests in 30 s", again)
	}
}

// TestANewBackendIsNotFlooded: one that takes its time gets one request at a time from all loops together until it has
// answered, also when it was slow long ago.
func TestANewBackendIsNotFlooded(t *testing.T) {
	for _, slowBefore := range []bool{false, true} {
		members := membersOf(1, 1, 1)
		now := 1000 * oneSecond
		for i := range members[:2] {
			members[i].Time.Observe(5e6, now)
		}
		if slowBefore {
			members[2].Time.Observe(10e9, 0)
		}
		s := scheduler(t, LeastTime, members, nil)
		r := Request{Now: now}
		counts := make([]int, 3)
		for range 150 {
			i, _ := s.Next(&r)
			counts[i]++
			members[i].Load.Add(1)
		}
		if counts[2] != 1 {
			t.Errorf("slow before %v: %v, want one request until it has answered", slowBefore, counts)
		}
		members[2].Time.Observe(1e6, now+1e6)
		if value, _ := members[2].Time.Value(now + 1e6); value > 1e6 {
			t.Errorf("slow before %v: it answered in 1 ms and counts as %d ns", slowBefore, value)
		}
	}
}

// TestAllUnknown: with nothing but new backends, each is tried, and then they are as good as their connections are few.
func TestAllUnknown(t *testing.T) {
	members := membersOf(repeated(1, 20)...)
	counts := pickFrom(scheduler(t, LeastTime, members, nil), members, 1, 100, true)
	if slices.Min(counts) != 5 || slices.Max(counts) != 5 {
		t.Errorf("100 requests on 20 new backends: %v", counts)
	}
}
