package limit

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"
)

// MaxClients bounds how many clients a Clients keeps account of at one time, over all stripes. At 24 bytes each they
// take 24 MB.
const MaxClients = 1 << 20

// DefaultPrefix6 is the length of the IPv6 prefix that counts as one client, in bits: what a home or a machine is given
// is at least a /64, within which it may take any address.
const DefaultPrefix6 = 64

const (
	stripeBits     = 8 // stripes keep loops that admit different clients from waiting for one another
	bucketAccounts = 8 // a bucket is looked through as a whole: three cache lines
)

// Clients bounds the events of each client address, over all loops. Its methods may be called by any number of
// goroutines.
//
// The account of a client who is back at rest tells nothing, so its place is taken by the next newcomer who could stand
// there. A newcomer looks at two buckets, and so at 16 places. If all of them are busy the table grows, up to its bound;
// there, the newcomer is admitted without an account, and counted (Overflow): those who are being held back stay so.
type Clients struct {
	pace     atomic.Pointer[pace]
	prefix6  int
	seed     maphash.Seed
	buckets  int // bound of each stripe, a power of two
	overflow atomic.Uint64
	stripes  [1 << stripeBits]stripe
}

// NewClients returns a bound of perSecond events per client (at most MaxPerSecond; 0 or less: no bound), of which burst
// may come at once (0 or less: a tenth of perSecond, at least 1). IPv6 addresses count by their first prefix6 bits, 1
// to 128; any other value stands for DefaultPrefix6.
func NewClients(perSecond, burst, prefix6 int) *Clients {
	return newClients(perSecond, burst, prefix6, MaxClients)
}

func newClients(perSecond, burst, prefix6, most int) *Clients {
	if prefix6 < 1 || prefix6 > 128 {
		prefix6 = DefaultPrefix6
	}
	c := &Clients{prefix6: prefix6, seed: maphash.MakeSeed(), buckets: max(most>>stripeBits/bucketAccounts, 1)}
	c.Set(perSecond, burst)
	return c
}

// Set changes the bound of all clients from the next event on, taking the same values as NewClients. What has been
// admitted still counts.
func (c *Clients) Set(perSecond, burst int) { c.pace.Store(newPace(perSecond, burst)) }

// Overflow returns how many events were admitted without being counted, because the table was full of clients who were
// not back at rest.
func (c *Clients) Overflow() uint64 { return c.overflow.Load() }

// Allow tells whether an event of the client at now, in nanoseconds of the monotonic clock, is within its rate, and
// counts it if so. A 4-in-6 address counts as the IPv4 address in it; a zone does not count. What is no address (the
// peer of a Unix socket) is admitted. It does not allocate, but when the table grows, which takes some 50 us.
func (c *Clients) Allow(addr netip.Addr, now int64) bool {
	p := c.pace.Load()
	if p.interval == 0 || !addr.IsValid() {
		return true
	}
	client := c.clientOf(addr)
	hash := maphash.Comparable(c.seed, client)
	s := &c.stripes[hash>>(64-stripeBits)]
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.find(client, hash)
	for a == nil {
		if a = s.vacant(hash, p, now); a != nil {
			*a = account{client: client}
		} else if !s.grow(c, p, now) {
			c.overflow.Add(1)
			return true
		}
	}
	next, ok := p.next(a.expected, now)
	a.expected = next
	return ok
}

// client is what counts as one: an address as two numbers. IPv4 takes its 4-in-6 form.
type client struct{ hi, lo uint64 }

func (c *Clients) clientOf(addr netip.Addr) client {
	b := addr.As16()
	k := client{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
	if !addr.Is4() && !addr.Is4In6() {
		k.hi &= ^uint64(0) << max(64-c.prefix6, 0)
		k.lo &= ^uint64(0) << min(128-c.prefix6, 64)
	}
	return k
}

// account is what is known of a client; expected 0: the place is free (see pace).
type account struct {
	client   client
	expected uint64
}

// stripe holds the accounts of its share of the clients. Guarded by mu.
type stripe struct {
	mu      sync.Mutex
	buckets [][bucketAccounts]account // a power of two of them, or none
	_       [32]byte                  // stripes do not share a cache line
}

// choices returns the two buckets in which a client may stand: with two to choose from, a table is nearly full before
// anyone finds both taken. There must be buckets.
func (s *stripe) choices(hash uint64) [2]int {
	mask := len(s.buckets) - 1
	return [2]int{int(hash) & mask, int(bits.RotateLeft64(hash, 32)) & mask}
}

// find returns the account of a client, or nil.
func (s *stripe) find(who client, hash uint64) *account {
	if len(s.buckets) == 0 {
		return nil
	}
	for _, b := range s.choices(hash) {
		bucket := &s.buckets[b]
		for i := range bucket {
			if bucket[i].client == who && bucket[i].expected != 0 {
				return &bucket[i]
			}
		}
	}
	return nil
}

// vacant returns a place that a newcomer can have, in the emptier of its buckets, or nil. A place is vacant if it is
// free or, given a pace, if its client is back at rest.
func (s *stripe) vacant(hash uint64, p *pace, now int64) *account {
	if len(s.buckets) == 0 {
		return nil
	}
	var place *account
	most := 0
	for _, b := range s.choices(hash) {
		bucket := &s.buckets[b]
		var last *account
		count := 0
		for i := range bucket {
			if bucket[i].expected == 0 || p != nil && p.early(bucket[i].expected, now) == 0 {
				last = &bucket[i]
				count++
			}
		}
		if count > most {
			place, most = last, count
		}
	}
	return place
}

// grow doubles the stripe, and reports whether it could. Should a busy account find no place in the larger table, for
// which 17 would have to meet in two buckets again, it is left out: its client is a newcomer when it comes again.
func (s *stripe) grow(c *Clients, p *pace, now int64) bool {
	if len(s.buckets) >= c.buckets {
		return false
	}
	old := s.buckets
	s.buckets = make([][bucketAccounts]account, max(2*len(old), 1))
	for b := range old {
		for _, a := range old[b] {
			if p.early(a.expected, now) == 0 {
				continue
			}
			if place := s.vacant(maphash.Comparable(c.seed, a.client), nil, now); place != nil {
				*place = a
			}
		}
	}
	return true
}
