package balance

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"
)

// choicesOf returns which member each of n keys goes to, and -1 for none.
func choicesOf(s Scheduler, n int, tried ...int) []int {
	list := make([]int, n)
	r := Request{HasKey: true, Tried: tried}
	for key := range list {
		r.Key = KeyOf(fmt.Appendf(nil, "client %d", key))
		i, ok := s.Next(&r)
		if !ok {
			i = -1
		}
		list[key] = i
	}
	return list
}

func moved(before, after []int) (list []int) {
	for key := range before {
		if before[key] != after[key] {
			list = append(list, key)
		}
	}
	return list
}

// TestNoMoreKeysMoveThanMust: they move from a member that leaves, and to one that comes; nothing else happens.
func TestNoMoreKeysMoveThanMust(t *testing.T) {
	const keys = 50_000
	for _, n := range []int{2, 3, 10, 100, 1000} {
		members := membersOf(repeated(1, n)...)
		with := choicesOf(scheduler(t, Hash, members, nil), keys)
		for _, one := range []int{0, n / 2, n - 1} {
			others := slices.Delete(slices.Clone(members), one, one+1)
			without := choicesOf(scheduler(t, Hash, others, nil), keys)
			for key := range without { // as the indices were
				if without[key] >= one {
					without[key]++
				}
			}
			list := moved(with, without)
			for _, key := range list {
				if with[key] != one {
					t.Fatalf("%d members: without member %d a key moves from %d to %d", n, one, with[key], without[key])
				}
			}
			share := 1 / float64(n)
			most := share + 5*math.Sqrt(share/slots) + 5*math.Sqrt(share/keys)
			if got := float64(len(list)) / keys; got > most {
				t.Errorf("%d members: %.5f of the keys move with one of them, want at most %.5f", n, got, most)
			}
			drained := slices.Clone(members)
			drained[one].Weight = 0
			if got := moved(without, choicesOf(scheduler(t, Hash, drained, nil), keys)); len(got) > 0 {
				t.Errorf("%d members: %d keys tell a member that is gone from one of weight 0", n, len(got))
			}
		}
	}
}

func TestKeysOfAHeavierMemberComeFromTheOthersAlone(t *testing.T) {
	members := membersOf(1, 2, 3, 4)
	light := choicesOf(scheduler(t, Hash, members, nil), 20_000)
	members[1].Weight = 351
	heavy := choicesOf(scheduler(t, Hash, members, nil), 20_000)
	list := moved(light, heavy)
	for _, key := range list {
		if heavy[key] != 1 {
			t.Fatalf("a key moves from %d to %d", light[key], heavy[key])
		}
	}
	if want := 20_000 * (3.51/11.51 - 0.2); math.Abs(float64(len(list))-want) > want/10 {
		t.Errorf("%d keys move, want about %.0f", len(list), want)
	}
}

// TestAllMachinesChooseAlike, whatever their order of members, and tomorrow too.
func TestAllMachinesChooseAlike(t *testing.T) {
	members := membersOf(1, 2, 3, 4, 5, 5, 5, 5)
	here := choicesOf(scheduler(t, Hash, members, nil), 5000)
	slices.Reverse(members)
	there := choicesOf(scheduler(t, Hash, members, nil), 5000)
	for key := range here {
		if here[key] != len(members)-1-there[key] {
			t.Fatalf("key %d goes to %d here and to %d there", key, here[key], len(members)-1-there[key])
		}
	}
	if got, want := here[:12], []int{6, 3, 7, 2, 7, 6, 6, 4, 7, 4, 4, 7}; !slices.Equal(got, want) {
		t.Errorf("the first keys go to %v, they went to %v", got, want)
	}
}

// TestKeysOfAMemberThatIsDownAreSpread: each goes to the same other one every time.
func TestKeysOfAMemberThatIsDownAreSpread(t *testing.T) {
	members := membersOf(repeated(1, 10)...)
	s := scheduler(t, Hash, members, nil)
	up, down := choicesOf(s, 20_000), choicesOf(s, 20_000, 3)
	counts := make([]int, 10)
	for _, key := range moved(up, down) {
		if up[key] != 3 {
			t.Fatalf("a key moves from %d, which is not down", up[key])
		}
		counts[down[key]]++
	}
	for i, n := range counts {
		if i != 3 && (n < 150 || n > 300) {
			t.Errorf("member %d takes over %d keys, want about 222", i, n)
		}
	}
	if again := choicesOf(s, 20_000, 3); !slices.Equal(down, again) {
		t.Error("they go elsewhere the next time")
	}
}

// TestTheLoadIsBounded, with keys that are all the same, and for all loops together.
func TestTheLoadIsBounded(t *testing.T) {
	for _, factor := range []float64{1, usualFactor, 2, 0} {
		for _, n := range []int{1, 4, 16, 17, 64, 65, 500} {
			members := membersOf(repeated(2, n)...)
			if n > 1 {
				members[n-1].Weight = WeightUnit
			}
			s, err := New(Config{Algorithm: Hash, Members: members, LoadFactor: factor}, nil)
			if err != nil {
				t.Fatal(err)
			}
			p := s.(*hashing)
			r := Request{HasKey: true, Key: 12345}
			picks, total := n*20, 0.0
			for pick := range picks {
				i, ok := s.Next(&r)
				if !ok {
					t.Fatalf("factor %v, %d members: none is left", factor, n)
				}
				load := float64(members[i].Load.Add(1))
				total = float64(pick + 1)
				most := math.Ceil(factor * total * float64(members[i].Weight) / float64(p.total))
				if factor > 0 && load > most {
					t.Fatalf("factor %v, %d members: the pick took member %d to %v of %v connections, its bound is %v", factor, n, i, load, total, most)
				}
			}
			first, _ := s.Next(&r)
			if factor == 0 && members[first].Load.Load() != int64(picks) {
				t.Errorf("no bound, %d members: the owner of the key has %d of %v", n, members[first].Load.Load(), total)
			}
		}
	}
}

// TestTheBoundOfManyMembersKnowsOfConnectionsThatEnd: the count is as old as n/4 picks at most.
func TestTheBoundOfManyMembersKnowsOfConnectionsThatEnd(t *testing.T) {
	members := membersOf(repeated(1, 320)...)
	s := scheduler(t, Hash, members, nil)
	for i := range members {
		members[i].Load.Store(100)
	}
	r := Request{HasKey: true, Key: 1}
	owner, _ := s.Next(&r)
	members[owner].Load.Store(125)
	if i, _ := s.Next(&r); i != owner {
		t.Fatal("it has less than its bound, and is passed over")
	}
	for i := range members {
		members[i].Load.Store(10)
	}
	members[owner].Load.Store(13)
	picks := 0
	for i := owner; i == owner; picks++ {
		i, _ = s.Next(&r)
	}
	if picks > 320/recountShare {
		t.Errorf("it takes %d picks until the bound follows, want %d at most", picks, 320/recountShare)
	}
}

func TestConcurrentKeysKeepTheBound(t *testing.T) {
	for _, n := range []int{10, 1000} {
		members := membersOf(repeated(1, n)...)
		s := scheduler(t, Hash, members, nil)
		pickFrom(s, members, 4, 100*n, true)
		if _, most := fractions(members); most > 100*usualFactor+1+3 { // each loop may be about to count one
			t.Errorf("%d members: one has %v of %d connections", n, most, 100*n)
		}
	}
}

func TestTheTableIsKeptWhereNothingChanges(t *testing.T) {
	members := membersOf(1, 2, 3)
	one := scheduler(t, Hash, members, nil).(*hashing)
	same := scheduler(t, Hash, members, one).(*hashing)
	members[1].Weight++
	other := scheduler(t, Hash, members, same).(*hashing)
	if &one.owners[0] != &same.owners[0] || &one.owners[0] == &other.owners[0] {
		t.Error("a table is made anew though nothing has changed, or not though something has")
	}
}

func TestKeysOfAddresses(t *testing.T) {
	cases := []struct {
		first, second string
		prefix6       int
		same          bool
	}{
		{"192.0.2.1", "192.0.2.2", 64, false},
		{"192.0.2.1", "::ffff:192.0.2.1", 0, true},
		{"192.0.2.1", "192.0.2.2", 0, false},
		{"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", 64, true},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", 64, false},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", 56, true},
		{"2001:db8::1", "2001:db8::2", 128, false},
		{"2001:db8::1:2", "2001:db8::3:4", 96, true},
		{"2001:db8::1", "fe80::7", 0, true},
		{"fe80::1%a", "fe80::1%b", 128, true},
		{"::1", "0.0.0.1", 128, false},
		{"1::2", "2::1", 128, false},
		{"2001:db8::1", "2001:db8::2", 1000, false},
		{"2001:db8::1", "fe80::7", -5, true},
	}
	for _, c := range cases {
		first, second := netip.MustParseAddr(c.first), netip.MustParseAddr(c.second)
		if same := KeyOfAddress(first, c.prefix6) == KeyOfAddress(second, c.prefix6); same != c.same {
			t.Errorf("%s and %s have the same key at /%d: %v", c.first, c.second, c.prefix6, same)
		}
	}
	if first, second := KeyOfAddress(netip.Addr{}, 64), KeyOfAddress(netip.MustParseAddr("192.0.2.1"), 64); first == second {
		t.Error("no address has an address's key")
	}
}

// TestKeysStayWhatTheyAre: machines of different versions choose alike.
func TestKeysStayWhatTheyAre(t *testing.T) {
	got := []uint64{
		KeyOf(nil), KeyOf([]byte("session=1")), KeyOfAddress(netip.MustParseAddr("192.0.2.1"), 64),
		KeyOfAddress(netip.MustParseAddr("2001:db8::1"), 64), Identity("", ""), Identity("web", "192.0.2.1:80"),
	}
	want := []uint64{
		0xef46db3751d8e999, 0xf1313c761270ef3c, 0x897c4e2ba6c1c5a1, 0xef130a859152f71a, 0xdeb703222e4ea24, 0x2f12278db14385e7,
	}
	if !slices.Equal(got, want) {
		t.Errorf("keys are %#x, they were %#x", got, want)
	}
	if Identity("a", "b") == Identity("b", "a") || Identity("ab", "c") == Identity("a", "bc") {
		t.Error("identities of different backends are the same")
	}
}

// TestNearAddressesAreSpread: a network's clients, one after the other, are no worse than chance.
func TestNearAddressesAreSpread(t *testing.T) {
	members := membersOf(repeated(1, 10)...)
	s := scheduler(t, Hash, members, nil)
	for name, of := range map[string]func(n int) netip.Addr{
		"IPv4": func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) },
		"networks of IPv6": func(n int) netip.Addr {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0, byte(n >> 8), byte(n)})
		},
	} {
		counts := make([]int, 10)
		for n := range 10_000 {
			i, _ := s.Next(&Request{HasKey: true, Key: KeyOfAddress(of(n), 64)})
			counts[i]++
		}
		if worst := farthest(counts, members); worst > 5*math.Sqrt(10_000*0.1*0.9)+5*10_000*math.Sqrt(0.1/slots) {
			t.Errorf("%s: %v", name, counts)
		}
	}
}
