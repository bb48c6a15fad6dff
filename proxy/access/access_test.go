package access

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func checker(t testing.TB, l Lists) *Checker {
	t.Helper()
	c, err := New(l)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhoIsAllowed(t *testing.T) {
	office := prefixes("192.0.2.0/24", "2001:db8::/32")
	cases := []struct {
		name            string
		lists           Lists
		allowed, denied string
	}{
		{"no list: all", Lists{}, "192.0.2.1 2001:db8::1 ::ffff:1.2.3.4", ""},
		{"a white list: those on it", Lists{White: office},
			"192.0.2.0 192.0.2.255 2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
			"192.0.1.255 192.0.3.0 2001:db7:ffff:ffff:ffff:ffff:ffff:ffff 2001:db9:: 0.0.0.0 255.255.255.255"},
		{"a black list: all but those on it", Lists{Black: office}, "192.0.3.0 2001:db9::", "192.0.2.77 2001:db8::77"},
		{"an empty white list: nobody", Lists{HasWhite: true}, "", "192.0.2.1 ::1 0.0.0.0"},
		{"black wins over white", Lists{White: office, Black: prefixes("192.0.2.128/25")}, "192.0.2.127", "192.0.2.128 192.0.2.255 192.0.3.1"},
		{"black wins over a longer white", Lists{White: prefixes("192.0.2.7/32"), Black: office}, "", "192.0.2.7"},
		{"the same on both", Lists{White: office, Black: office}, "", "192.0.2.7 2001:db8::1"},
		{"4-in-6 is IPv4, a zone does not count", Lists{Black: prefixes("192.0.2.0/24", "fe80::/10")},
			"::ffff:192.0.3.1", "::ffff:192.0.2.1 fe80::1%eth0 fe80::1"},
		{"a prefix of 4-in-6 addresses is IPv4", Lists{Black: prefixes("::ffff:192.0.2.0/120")},
			"192.0.3.1 ::192.0.2.1", "192.0.2.1 ::ffff:192.0.2.1"},
		{"all of IPv4 only", Lists{White: prefixes("0.0.0.0/0")}, "1.2.3.4 ::ffff:1.2.3.4 255.255.255.255", "::1 2001:db8::1"},
		{"all of IPv6 only", Lists{White: prefixes("::/0")}, "::1 2001:db8::1 ::", "1.2.3.4 ::ffff:1.2.3.4"},
		{"single addresses", Lists{White: prefixes("192.0.2.1/32", "2001:db8::1/128")}, "192.0.2.1 2001:db8::1", "192.0.2.0 192.0.2.2 2001:db8:: 2001:db8::2"},
		{"host bits do not count", Lists{Black: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("192.0.2.77"), 24)}}, "192.0.3.77", "192.0.2.1"},
		{"one inside the other", Lists{White: prefixes("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32"), Black: prefixes("10.1.2.0/26")},
			"10.1.2.64 10.0.0.0 10.255.255.255", "10.1.2.3 10.1.2.63 11.0.0.0"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			judge := checker(t, c.lists)
			for _, a := range strings.Fields(c.allowed) {
				if !judge.Allows(netip.MustParseAddr(a)) {
					t.Errorf("%s is refused", a)
				}
			}
			for _, a := range strings.Fields(c.denied) {
				if judge.Allows(netip.MustParseAddr(a)) {
					t.Errorf("%s is allowed", a)
				}
			}
		})
	}
}

func TestWhatIsNoAddressIsAllowedOnlyWithoutLists(t *testing.T) {
	if !checker(t, Lists{}).Allows(netip.Addr{}) {
		t.Error("refused without lists")
	}
	for _, l := range []Lists{{HasWhite: true}, {White: prefixes("0.0.0.0/0", "::/0")}, {Black: prefixes("10.0.0.0/8")}} {
		if checker(t, l).Allows(netip.Addr{}) {
			t.Errorf("allowed by %+v", l)
		}
	}
}

func TestListsThatAreRefused(t *testing.T) {
	long := make([]netip.Prefix, MaxEntries+1)
	for i := range long {
		long[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i)}), 24)
	}
	cases := []struct {
		lists Lists
		want  string
	}{
		{Lists{White: long}, "the white list has 100001 entries, at most 100000"},
		{Lists{Black: long}, "the black list has 100001 entries, at most 100000"},
		{Lists{Black: []netip.Prefix{long[0], {}}}, "entry 2 of the black list"},
		{Lists{White: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("10.0.0.0"), 33)}}, "entry 1 of the white list"},
		{Lists{White: prefixes("::ffff:192.0.2.0/95")}, "at least 96 bits"},
	}
	for _, c := range cases {
		if judge, err := New(c.lists); err == nil || judge != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want an error with %q", err, c.want)
		}
	}
	if judge := checker(t, Lists{White: long[:MaxEntries], Black: long[:MaxEntries]}); judge.Allows(long[1].Addr()) {
		t.Error("what is on both lists is allowed")
	}
}

// random draws lists and addresses so that prefixes lie inside one another and addresses near them: from few values for
// each byte.
type random struct{ *rand.Rand }

func (r random) address() netip.Addr {
	values := [...]byte{0, 1, 0x7f, 0x80, 0xfe, 0xff, byte(r.Uint32())}
	var b [16]byte
	for i := range b {
		b[i] = values[r.IntN(len(values))]
	}
	switch r.IntN(3) {
	case 0:
		return netip.AddrFrom4([4]byte(b[:4]))
	case 1:
		return netip.AddrFrom16(netip.AddrFrom4([4]byte(b[:4])).As16())
	}
	return netip.AddrFrom16(b)
}

func (r random) prefix() netip.Prefix {
	a := r.address().Unmap()
	return netip.PrefixFrom(a, r.IntN(a.BitLen()+1))
}

func (r random) list(most int) []netip.Prefix {
	list := make([]netip.Prefix, r.IntN(most+1))
	for i := range list {
		list[i] = r.prefix()
	}
	return list
}

// scan is the rule in plain words.
func scan(l Lists, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	on := func(list []netip.Prefix) bool {
		for _, p := range list {
			if p.Contains(a) {
				return true
			}
		}
		return false
	}
	return !on(l.Black) && (!l.HasWhite && len(l.White) == 0 || on(l.White))
}

// around returns the addresses where a decision could change because of a prefix: its first and last, and those beyond.
func around(p netip.Prefix) []netip.Addr {
	first := p.Masked().Addr()
	b := first.AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	list := []netip.Addr{first, last}
	for _, a := range []netip.Addr{first.Prev(), last.Next()} {
		if a.IsValid() {
			list = append(list, a)
		}
	}
	return list
}

func TestEveryDecisionIsThatOfALinearScan(t *testing.T) {
	for seed := range uint64(400) {
		r := random{rand.New(rand.NewPCG(seed, 1))}
		lists := Lists{White: r.list(60), Black: r.list(60), HasWhite: r.IntN(2) == 0}
		judge := checker(t, lists)
		var asked []netip.Addr
		for range 200 {
			asked = append(asked, r.address())
		}
		for _, p := range append(lists.White, lists.Black...) {
			asked = append(asked, around(p)...)
		}
		for _, a := range asked {
			if got, want := judge.Allows(a), scan(lists, a); got != want {
				t.Fatalf("seed %d: %v allowed: %v, want %v by %+v", seed, a, got, want, lists)
			}
		}
	}
}

// FuzzChecker: a list of any bytes decides as a linear scan does, at every edge.
func FuzzChecker(f *testing.F) {
	f.Add([]byte{0, 8, 10, 0, 0, 0, 1, 16, 10, 1, 0, 0}, true)
	f.Add([]byte{3, 128, 255, 255, 255, 255}, false)
	f.Fuzz(func(t *testing.T, text []byte, hasWhite bool) {
		lists := Lists{HasWhite: hasWhite}
		for ; len(text) >= 6 && len(lists.White)+len(lists.Black) < 64; text = text[6:] {
			a := netip.AddrFrom4([4]byte(text[2:6]))
			if text[0]&2 != 0 {
				a = netip.AddrFrom16([16]byte{0: text[2], 1: text[3], 8: text[4], 15: text[5]})
			}
			p := netip.PrefixFrom(a, int(text[1])%(a.BitLen()+1))
			if text[0]&1 != 0 {
				lists.Black = append(lists.Black, p)
			} else {
				lists.White = append(lists.White, p)
			}
		}
		judge := checker(t, lists)
		for _, p := range append(lists.White[:len(lists.White):len(lists.White)], lists.Black...) {
			for _, a := range around(p) {
				if got, want := judge.Allows(a), scan(lists, a); got != want {
					t.Fatalf("%v allowed: %v, want %v by %+v", a, got, want, lists)
				}
			}
		}
	})
}

func TestAllowsDoesNotAllocate(t *testing.T) {
	judge := checker(t, Lists{White: prefixes("192.0.2.0/24", "2001:db8::/32")})
	for _, a := range []string{"192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"} {
		address := netip.MustParseAddr(a)
		if n := testing.AllocsPerRun(100, func() { judge.Allows(address) }); n != 0 {
			t.Errorf("%s: %v allocations", a, n)
		}
	}
}

// benchLists draws n prefixes, and addresses of which half are on the list.
func benchLists(n int, address func(*rand.Rand) netip.Addr, shortest, longest int) (Lists, []netip.Addr) {
	r := rand.New(rand.NewPCG(7, 7))
	var l Lists
	asked := make([]netip.Addr, 4096)
	for range n {
		l.Black = append(l.Black, netip.PrefixFrom(address(r), shortest+r.IntN(longest-shortest+1)))
	}
	for i := range asked {
		asked[i] = address(r)
		if i%2 == 0 {
			asked[i] = l.Black[r.IntN(n)].Addr()
		}
	}
	return l, asked
}

func random4(r *rand.Rand) netip.Addr {
	x := r.Uint32()
	return netip.AddrFrom4([4]byte{byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)})
}

func random6(r *rand.Rand) netip.Addr {
	var b [16]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	b[0], b[1] = 0x20, 0x01
	return netip.AddrFrom16(b)
}

// nodeBytes is the size of a node.
const nodeBytes = 40

func BenchmarkAllows(b *testing.B) {
	for _, n := range []int{300, 10_000, MaxEntries} {
		for _, family := range []struct {
			name              string
			address           func(*rand.Rand) netip.Addr
			shortest, longest int
		}{{"IPv4", random4, 16, 32}, {"IPv6", random6, 32, 128}} {
			b.Run(fmt.Sprintf("%s/%d", family.name, n), func(b *testing.B) {
				lists, asked := benchLists(n, family.address, family.shortest, family.longest)
				judge := checker(b, lists)
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					judge.Allows(asked[i%len(asked)])
					i++
				}
				b.ReportMetric(float64(len(judge.nodes))*nodeBytes/float64(n), "B/entry")
			})
		}
	}
}

func BenchmarkNew(b *testing.B) {
	lists, _ := benchLists(MaxEntries, random6, 32, 128)
	for b.Loop() {
		checker(b, lists)
	}
}
