package proxy

import (
	"sync/atomic"

	"culvert/engine"
	"culvert/proxy/health"
)

// streams are the live tunnels of a loop, by the backend that they lead to, the oldest of each first. Owned by the loop.
type streams struct {
	byBackend map[*backend]*ring
	count     int
}

func (s *streams) init() { s.byBackend = make(map[*backend]*ring) }

func (s *streams) add(t *tunnel) {
	r := s.byBackend[t.record.backend]
	if r == nil {
		r = new(ring)
		r.init()
		s.byBackend[t.record.backend] = r
	}
	r.add(&t.link, t)
	t.record.backend.tunnels.Add(1)
	s.count++
}

func (s *streams) remove(t *tunnel) {
	b := t.record.backend
	r := s.byBackend[b]
	r.remove(&t.link)
	b.tunnels.Add(-1)
	s.count--
	if r.count == 0 {
		delete(s.byBackend, b)
	}
}

// grown tells whether a live tunnel to a backend has outgrown the age of an early reset since some time.
func (s *streams) grown(b *backend, since, now int64) bool {
	r := s.byBackend[b]
	if r == nil {
		return false
	}
	for l := r.root.prev; l != &r.root; l = l.prev {
		if grew := l.value.(*tunnel).record.opened + health.EarlyReset; grew <= now {
			return grew > since
		}
	}
	return false
}

// endOldest ends up to n tunnels: of every backend its share, the oldest first.
func (s *streams) endOldest(n int) {
	n = min(n, s.count)
	loads, rings := make([]int64, 0, len(s.byBackend)), make([]*ring, 0, len(s.byBackend))
	for _, r := range s.byBackend {
		loads, rings = append(loads, int64(r.count)), append(rings, r)
	}
	for i, share := range shares(int64(n), loads) {
		rings[i].endOldest(int(share))
	}
}

// endTunnelsOf ends tunnels to a backend as long as any are left to be ended, which all loops share: one that has none must
// not claim any, not even for a moment.
func (h *shard) endTunnelsOf(b *backend, left *atomic.Int64, reason engine.EndReason) {
	for h.streams.byBackend[b] != nil && left.Add(-1) >= 0 {
		h.streams.byBackend[b].root.next.value.(*tunnel).relay.End(engine.Outcome{Reason: reason, By: engine.SideNone})
	}
}
