package proxy

import "culvert/engine"

// counters are one loop's plain counters of exchanges and tunnels, beside those of the engine. Written and read on the
// loop only; a scrape asks the loop for a copy.
type counters struct {
	connections       uint64
	dropped           [dropReasons]uint64
	movedConnections  uint64 // accepted here, passed on to another loop
	requests, retries uint64
	retriesRefused    uint64 // for there were too many
	queued            uint64 // requests that waited for a backend with a free place
	reused, resent    uint64 // exchanges on a pooled connection; those sent once more for it was dead
	tunnelsOpened     uint64
	tunnelsEnded      [endReasons]uint64
	exchangesEnded    [endReasons]uint64
	statuses          [6]uint64 // by class: 101 is counted in class 1 when the tunnel opens
	limits            [httpLimits]uint64
	checks            [2]uint64 // good ones, and others
	handshakesResumed uint64
	handshakesShed    uint64    // given up for others that waited
	messages          [2]uint64 // in tunnels, by the side they come from
}

// exchangeOver counts an exchange that did not become a tunnel.
func (c *counters) exchangeOver(reason engine.EndReason, status int) {
	c.exchangesEnded[reason]++
	if class := status / 100; class > 0 && class < len(c.statuses) {
		c.statuses[class]++
	}
}
