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

// Accepted implements engine.Acceptor.
func (h *shard) Accepted(c *engine.Conn, peer netip.AddrPort, listener *engine.Listener) {
	c.Attach(nobody{}, engine.SideClient)
	if !h.server.admit() {
		h.counters.refusedConnections++
		c.Close()
		return
	}
	to := h.server.place(h)
	to.load.Add(1)
	if to == h {
		h.welcome(c, peer, listener.Address())
		return
	}
	address, fd := listener.Address(), c.Release()
	if to.loop.Post(func() { to.adopt(fd, peer, address) }) {
		h.counters.movedConnections++
		return
	}
	to.load.Add(-1)
	h.load.Add(1)
	h.adopt(fd, peer, address)
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
func (h *shard) adopt(fd int32, peer, listener netip.AddrPort) {
	c, err := h.loop.Adopt(fd, nobody{}, engine.SideClient)
	if err != nil {
		h.counters.refusedConnections++
		h.leave(netip.Addr{})
		return
	}
	h.welcome(c, peer, listener)
}

// welcome begins an exchange on a connection of this loop. The per-client bound is kept here for those who speak for
// themselves; behind a trusted proxy the client is known only with the head.
func (h *shard) welcome(c *engine.Conn, peer, listener netip.AddrPort) {
	trusted := h.server.trusted.contains(peer.Addr())
	if !trusted && !h.server.clients.admit(peer.Addr()) {
		h.counters.refusedByClient++
		c.Close()
		h.leave(netip.Addr{})
		return
	}
	h.counters.connections++
	x := h.newExchange()
	if !trusted {
		x.admittedFor = peer.Addr()
	}
	x.begin(c, peer, listener)
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
