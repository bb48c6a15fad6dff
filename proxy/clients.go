package proxy

import (
	"hash/maphash"
	"net/netip"
	"sync"
)

// clientStripes keeps loops that admit different clients from waiting for one another.
const clientStripes = 64

// clientLimit bounds the connections per client address over all loops. It is asked when a connection comes and when
// it goes, never on the data path. A zero limit admits all and keeps nothing.
type clientLimit struct {
	limit   int
	seed    maphash.Seed
	stripes [clientStripes]struct {
		mu    sync.Mutex
		count map[netip.Addr]int
	}
}

func newClientLimit(limit int) *clientLimit {
	l := &clientLimit{limit: limit, seed: maphash.MakeSeed()}
	for i := range l.stripes {
		l.stripes[i].count = make(map[netip.Addr]int)
	}
	return l
}

// admit counts a connection of this client in; false: it has as many as it may.
func (l *clientLimit) admit(client netip.Addr) bool {
	if l.limit == 0 {
		return true
	}
	s := &l.stripes[maphash.Comparable(l.seed, client)%clientStripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[client] >= l.limit {
		return false
	}
	s.count[client]++
	return true
}

// leave counts a connection out that was admitted.
func (l *clientLimit) leave(client netip.Addr) {
	if l.limit == 0 {
		return
	}
	s := &l.stripes[maphash.Comparable(l.seed, client)%clientStripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[client]--; s.count[client] <= 0 {
		delete(s.count, client)
	}
}
