package proxy

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"

	"culvert/proxy/limit"
)

// clientStripes keeps loops that admit different clients from waiting for one another.
const clientStripes = 64

// clientLimit bounds the connections per client address over all loops. It is asked when a connection comes and when
// it goes, never on the data path. Without a limit it admits all and counts nobody.
type clientLimit struct {
	limit   atomic.Int64
	prefix6 atomic.Int64 // bits of the network that an IPv6 client counts as, as in package limit
	seed    maphash.Seed
	stripes [clientStripes]struct {
		mu    sync.Mutex
		count map[netip.Addr]int
	}
}

func newClientLimit() *clientLimit {
	l := &clientLimit{seed: maphash.MakeSeed()}
	for i := range l.stripes {
		l.stripes[i].count = make(map[netip.Addr]int)
	}
	return l
}

// set changes the limit, 0 for none, and the length of the networks that IPv6 clients count as, 0 for the default. Who is
// connected already stays.
func (l *clientLimit) set(most, prefix6 int) {
	if prefix6 == 0 {
		prefix6 = limit.DefaultPrefix6
	}
	l.prefix6.Store(int64(prefix6))
	l.limit.Store(int64(most))
}

// key is what a client counts as: its address, or the first of its network.
func (l *clientLimit) key(client netip.Addr) netip.Addr {
	client = client.Unmap()
	if !client.Is6() {
		return client
	}
	network, err := client.WithZone("").Prefix(int(l.prefix6.Load()))
	if err != nil {
		return client // never: the bits were checked
	}
	return network.Addr()
}

// admit counts a connection of this client in, where there is a limit; ok is false when it has as many as it may. What
// it was counted as, if that is valid, must leave again.
func (l *clientLimit) admit(client netip.Addr) (counted netip.Addr, ok bool) {
	most := int(l.limit.Load())
	if most == 0 {
		return netip.Addr{}, true
	}
	client = l.key(client)
	s := &l.stripes[maphash.Comparable(l.seed, client)%clientStripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[client] >= most {
		return netip.Addr{}, false
	}
	s.count[client]++
	return client, true
}

// leave counts a connection out, by what it was counted in as.
func (l *clientLimit) leave(client netip.Addr) {
	s := &l.stripes[maphash.Comparable(l.seed, client)%clientStripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[client]--; s.count[client] <= 0 {
		delete(s.count, client)
	}
}
