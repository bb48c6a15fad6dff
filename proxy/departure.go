package proxy

import (
	"net/netip"

	"culvert/engine"
)

// departure counts a client connection out once none of its two descriptors is left: a lingering close holds one for a
// while, and what is bounded by a number of connections is, in the end, descriptors.
type departure struct {
	shard  *shard
	client netip.Addr // who it was admitted for; not valid: nobody
	open   int
}

// depart counts a client connection out when the last of these ends is closed, at once if all are. nil: there is none.
func (h *shard) depart(client netip.Addr, ends ...engine.End) {
	var d *departure
	for _, end := range ends {
		c, ok := end.(engine.Connection)
		if !ok || c.Closed() {
			continue
		}
		if d == nil {
			d = &departure{shard: h, client: client}
		}
		d.open++
		c.WhenClosed(d)
	}
	if d == nil {
		h.leave(client)
	}
}

// ConnClosed implements engine.CloseObserver.
func (d *departure) ConnClosed() {
	if d.open--; d.open == 0 {
		d.shard.leave(d.client)
	}
}
