package limit

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
)

func address4(n int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(n))
	return netip.AddrFrom4(b)
}

func allowing(c *Clients, addr netip.Addr) func(int64) bool {
	return func(now int64) bool { return c.Allow(addr, now) }
}

// occupied counts the accounts that are kept.
func occupied(c *Clients) (n int) {
	for i := range c.stripes {
		for _, bucket := range c.stripes[i].buckets {
			for _, a := range bucket {
				if a.expected != 0 {
					n++
				}
			}
		}
	}
	return n
}

func TestWhoCountsAsOneClient(t *testing.T) {
	cases := []struct {
		name, first, second string
		prefix6             int
		one                 bool
	}{
		{"IPv4 addresses", "192.0.2.1", "192.0.2.2", 0, false},
		{"4-in-6 and IPv4", "::ffff:192.0.2.1", "192.0.2.1", 0, true},
		{"4-in-6, a short prefix", "::ffff:192.0.2.1", "::ffff:192.0.2.2", 16, false},
		{"one /64", "2001:db8:0:1::1", "2001:db8:0:1:ffff::2", 0, true},
		{"two /64", "2001:db8:0:1::1", "2001:db8:0:2::1", 64, false},
		{"one /56", "2001:db8:0:1::1", "2001:db8:0:2::1", 56, true},
		{"two /56", "2001:db8:0:100::1", "2001:db8:0:200::1", 56, false},
		{"one /96", "2001:db8::1:2", "2001:db8::3:4", 96, true},
		{"two /96", "2001:db8::1:0:0", "2001:db8::2:0:0", 96, false},
		{"exact", "2001:db8::1", "2001:db8::2", 128, false},
		{"one bit", "::1", "7fff::", 1, true},
		{"bad length is the default", "2001:db8::1", "2001:db8::2", 129, true},
		{"zones", "fe80::1%eth0", "fe80::1%eth1", 128, true},
		{"IPv6 that looks like IPv4 and IPv4", "::", "0.0.0.0", 128, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			clients := NewClients(1, 1, c.prefix6)
			if !clients.Allow(netip.MustParseAddr(c.first), 5) {
				t.Fatal("the first event is refused")
			}
			if one := !clients.Allow(netip.MustParseAddr(c.second), 5); one != c.one {
				t.Errorf("%s and %s count as one: %v, want %v", c.first, c.second, one, c.one)
			}
		})
	}
}

func TestEachClientHasItsRate(t *testing.T) {
	c := NewClients(100, 20, 0)
	for client := range 300 {
		allow := allowing(c, address4(client))
		if got := atOnce(allow, 7, 100); got != 20 {
			t.Fatalf("client %d: %d admitted at once, want 20", client, got)
		}
	}
	for client := range 300 {
		if got := admitted(allowing(c, address4(client)), 8, oneSecond, millisecond); got != 99 {
			t.Fatalf("client %d: %d admitted in the second behind, want 99", client, got)
		}
	}
	if c.Overflow() != 0 {
		t.Errorf("overflow %d", c.Overflow())
	}
}

func TestClientsWithoutBoundOrAddress(t *testing.T) {
	unbounded, bounded := NewClients(0, 5, 0), NewClients(1, 1, 0)
	if got := atOnce(allowing(unbounded, address4(1)), 0, 100); got != 100 || occupied(unbounded) != 0 {
		t.Errorf("without a bound: %d of 100 admitted, %d accounts", got, occupied(unbounded))
	}
	if got := atOnce(allowing(bounded, netip.Addr{}), 0, 100); got != 100 || occupied(bounded) != 0 {
		t.Errorf("without an address: %d of 100 admitted, %d accounts", got, occupied(bounded))
	}
	unbounded.Set(2, 2)
	if got := atOnce(allowing(unbounded, address4(1)), 0, 100); got != 2 {
		t.Errorf("bounded live: %d admitted at once, want 2", got)
	}
	unbounded.Set(2, 3)
	if got := atOnce(allowing(unbounded, address4(1)), 0, 100); got != 1 {
		t.Errorf("changed live: %d admitted, want the 1 that is new", got)
	}
}

const smallTable = 1 << 15

func TestAFullTableHoldsBackWhomItKnowsAndAdmitsNewcomers(t *testing.T) {
	c := newClients(1, 1, 0, smallTable)
	for client := range smallTable * 3 / 4 {
		c.Allow(address4(client), 1)
	}
	if c.Overflow() > smallTable/50 {
		t.Errorf("three quarters full: %d newcomers found no place", c.Overflow())
	}
	for client := range 4 * smallTable {
		c.Allow(address4(client), 2)
	}
	if kept := occupied(c); kept < smallTable*98/100 || kept > smallTable {
		t.Errorf("%d accounts, want nearly %d and not more", kept, smallTable)
	}
	before := c.Overflow()
	known := 0
	for client := range 4 * smallTable {
		if !c.Allow(address4(client), 3) {
			known++
		}
	}
	if kept := occupied(c); known != kept || c.Overflow()-before != uint64(4*smallTable-kept) {
		t.Errorf("%d accounts, %d held back, %d admitted without an account, of %d", kept, known, c.Overflow()-before, 4*smallTable)
	}
}

func TestPlacesOfClientsAtRestAreUsedAgain(t *testing.T) {
	c := newClients(10, 1, 0, smallTable)
	r := rand.New(rand.NewPCG(1, 1))
	for second := range int64(20) {
		for range smallTable / 4 {
			c.Allow(address4(int(r.Uint32())), second*oneSecond+r.Int64N(millisecond))
		}
	}
	if c.Overflow() != 0 {
		t.Errorf("%d newcomers found no place though three quarters of the table was at rest", c.Overflow())
	}
}

func TestATableThatGrowsForgetsNobodyWhoIsHeldBack(t *testing.T) {
	c := NewClients(1, 1, 128)
	for client := range 50_000 {
		c.Allow(address4(client), int64(client))
	}
	for client := range 50_000 {
		if c.Allow(address4(client), 60_000) {
			t.Fatalf("client %d is admitted again", client)
		}
	}
}

func TestConcurrentEventsOfAClientAreAdmittedExactly(t *testing.T) {
	c := NewClients(100, 10, 0)
	var counts [4][50]int
	var done sync.WaitGroup
	for g := range counts {
		done.Go(func() {
			for now := int64(0); now < oneSecond; now += millisecond {
				for client := range counts[g] {
					if c.Allow(address4(client), now) {
						counts[g][client]++
					}
				}
			}
		})
	}
	done.Wait()
	for client := range counts[0] {
		total := counts[0][client] + counts[1][client] + counts[2][client] + counts[3][client]
		if total += atOnce(allowing(c, address4(client)), oneSecond-1, 1000); total != 109 {
			t.Errorf("client %d: %d admitted, want 109", client, total)
		}
	}
}

func TestClientsAllowDoesNotAllocate(t *testing.T) {
	c, now := NewClients(10, 1, 0), int64(0)
	addr := netip.MustParseAddr("2001:db8::1")
	if n := testing.AllocsPerRun(1000, func() { now += millisecond; c.Allow(addr, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkClientsAllow(b *testing.B) {
	for _, clients := range []struct {
		name string
		n    int
	}{{"1", 1}, {"10000", 10_000}, {"500000", 500_000}} {
		b.Run(clients.name, func(b *testing.B) {
			c := NewClients(1000, 0, 0)
			for n := range clients.n {
				c.Allow(address4(n*2654435761), 0)
			}
			b.ReportAllocs()
			now, n := int64(0), 0
			for b.Loop() {
				now += 100
				n++
				c.Allow(address4(n%clients.n*2654435761), now)
			}
		})
	}
}

// BenchmarkClientsNewcomers is a flood of addresses that never come again, through a table that is full.
func BenchmarkClientsNewcomers(b *testing.B) {
	c := newClients(1000, 0, 0, 1<<16)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		c.Allow(address4(n*2654435761), 5)
	}
}
