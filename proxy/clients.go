package proxy

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
)

// clientStripes keeps loops that admit different clients from waiting for one another.
const clientStripes = 64

// clientLimit bounds the connections per client address over all loops. It is asked when a connection comes and when
// it goes, never on the data path. Without a limit it admits all and counts nobody.
type clientLimit struct {
	limit   atomic.Int64
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

// setLimit changes the limit; 0: none. Who is connected already stays.
func (l *clientLimit) setLimit(limit int) { l.limit.Store(int64(limit)) }

// admit counts a connection of this client in, where there is a limit; ok is false when it has as many as it may. What
// was counted must leave again.
func (l *clientLimit) admit(client netip.Addr) (counted, ok bool) {
	limit := int(l.limit.Load())
	if limit == 0 {
		return false, true
	}
	s := &l.stripes[maphash.Comparable(l.seed, client)%clientStripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[client] >= limit {
		return false, false
	}
	s.count[client]++
	return true, true
}

// leave counts a connection out that was counted in.
func (l *clientLimit) leave(client netip.Addr) {
	s := &l.stripes[maphash.Comparable(l.seed, client)%clientStripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[client]--; s.count[client] <= 0 {
		delete(s.count, client)
	}
}
