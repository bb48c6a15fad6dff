package proxy

import (
	"net/netip"

	"culvert/engine"
)

// SO_REUSEPORT spreads connections over the loops by a hash: evenly in the long run, unevenly for the few thousand that
// are alive now, and tunnels stay where they are for life. So a loop that has clearly more than its share passes an
// accepted socket on, before anything is read from it.

// placementSlack is how many connections over the mean a loop may have before its share counts: with a handful of
// connections the mean means nothing.
const placementSlack = 2

// accepted takes a new connection to a port.
func (h *shard) accepted(c *engine.Conn, peer netip.AddrPort, p *port) {
	c.Attach(nobody{}, engine.SideClient)
	if limit, ok := h.admit(); !ok {
		h.counters.dropped[limit]++
		c.Close()
		return
	}
	to := h.server.place(h)
	to.load.Add(1)
	if to == h {
		h.welcome(c, peer, p)
		return
	}
	fd := c.Release()
	if to.loop.Post(func() { to.adopt(fd, peer, p) }) {
		h.counters.movedConnections++
		return
	}
	to.load.Add(-1)
	h.load.Add(1)
	h.adopt(fd, peer, p)
}

// place returns the loop that an accepted connection goes to: h itself, unless it has over 1.25 times the mean.
func (s *Server) place(h *shard) *shard {
	own := h.load.Load()
	mean := s.active.Load() / int64(len(s.shards))
	if len(s.shards) == 1 || own < mean+placementSlack || own*4 < mean*5 {
		return h
	}
	lightest := h
	for _, other := range s.shards {
		if n := other.load.Load(); n < own {
			lightest, own = other, n
		}
	}
	return lightest
}

// adopt takes a socket that another loop accepted.
func (h *shard) adopt(fd int32, peer netip.AddrPort, p *port) {
	c, err := h.loop.Adopt(fd, nobody{}, engine.SideClient)
	if err != nil {
		h.counters.dropped[dropConnections]++
		h.leave(netip.Addr{})
		return
	}
	h.welcome(c, peer, p)
}

// welcome begins an exchange on a connection of this loop. The per-client bounds are kept here for those who speak for
// themselves; behind a trusted proxy the client is known only with the head, behind a PROXY header only with that.
func (h *shard) welcome(c *engine.Conn, peer netip.AddrPort, p *port) {
	l := h.site.listeners[p]
	var counted netip.Addr
	drop := dropNone
	switch {
	case l == nil: // the listener is gone; what it had accepted is told so
	case l.preface:
		if !trustedProxies(l.trustsFor).contains(peer.Addr()) {
			drop = dropProxySource
		}
	case !h.site.trusted.contains(peer.Addr()):
		if drop = h.admitNew(peer.Addr()); drop == dropNone {
			counted, drop = h.admitClient(peer.Addr())
		}
	}
	if drop != dropNone {
		h.counters.dropped[drop]++
		c.Close()
		h.leave(netip.Addr{})
		return
	}
	h.counters.connections++
	x := h.newExchange()
	x.admittedFor = counted
	x.begin(c, peer, p, l)
}

// leave counts a client connection out; client is who it was admitted for, if anybody.
func (h *shard) leave(client netip.Addr) {
	h.load.Add(-1)
	h.server.active.Add(-1)
	if client.IsValid() {
		h.server.clients.leave(client)
	}
}

// nobody owns a connection that belongs to no exchange yet: what happens to it is seen by the first read.
type nobody struct{}

// Ready implements engine.Owner.
func (nobody) Ready(engine.Side, engine.Readiness) {}
