package proxy

import (
	"net/netip"
	"sync/atomic"

	"culvert/engine"
	"culvert/proxy/limit"
)

// dropReason is why a connection is closed when it is accepted, or a request refused for a limit of the instance. Each is
// a label of the counters.
type dropReason uint8

const (
	dropConnections       dropReason = iota // --max-connections, or the descriptors
	dropNewConnections                      // --max-new-connections
	dropBandwidth                           // --max-bandwidth
	dropRequests                            // --max-requests
	dropRuleRequests                        // a rule's requests-per-second
	dropClientConnections                   // --max-connections-per-client
	dropClientNew                           // --max-new-connections-per-client
	dropClientRequests                      // --max-requests-per-client
	dropProxySource                         // a PROXY header from somewhere that is not believed
	dropReasons
	dropNone = dropReasons
)

var dropNames = [dropReasons]string{
	"max-connections", "max-new-connections", "max-bandwidth", "max-requests", "requests-per-second",
	"max-connections-per-client", "max-new-connections-per-client", "max-requests-per-client", "proxy-protocol-from",
}

// instanceLimits are the rates of the instance, which all loops share. A reload sets them anew; nil, in each: no bound.
type instanceLimits struct {
	newConnections, requests             atomic.Pointer[limit.Rate]
	clientNewConnections, clientRequests atomic.Pointer[limit.Clients]
	prefix6                              int // that they count by; owned by whoever reloads
	bandwidth                            bandwidth
}

// set makes new bounds count. What a rate has let through before still counts.
func (l *instanceLimits) set(c *InstanceLimits) {
	setRate(&l.newConnections, c.NewConnections)
	setRate(&l.requests, c.Requests)
	same := l.prefix6 == c.ClientPrefix6
	l.prefix6 = c.ClientPrefix6
	setClients(&l.clientNewConnections, c.ClientNewConnections, same, l.prefix6)
	setClients(&l.clientRequests, c.ClientRequests, same, l.prefix6)
	l.bandwidth.limit.Store(c.Bandwidth)
}

func setRate(p *atomic.Pointer[limit.Rate], perSecond int) {
	old := p.Load()
	switch {
	case perSecond == 0:
		p.Store(nil)
	case old == nil:
		p.Store(limit.NewRate(perSecond, 0))
	default:
		old.Set(perSecond, 0)
	}
}

// setClients makes a new table only where another prefix names a client.
func setClients(p *atomic.Pointer[limit.Clients], perSecond int, samePrefix bool, prefix int) {
	old := p.Load()
	switch {
	case perSecond == 0:
		p.Store(nil)
	case old == nil || !samePrefix:
		p.Store(limit.NewClients(perSecond, 0, prefix))
	default:
		old.Set(perSecond, 0)
	}
}

// admit counts a client connection of this loop in; ok is false when a bound of the instance is reached, which one.
func (h *shard) admit() (reason dropReason, ok bool) {
	s := h.server
	if n := s.active.Add(1); n > int64(h.site.config.Limits.Connections) {
		s.active.Add(-1)
		return dropConnections, false
	}
	reason = dropNone
	if s.limits.bandwidth.exceeded() {
		reason = dropBandwidth
	} else if r := s.limits.newConnections.Load(); r != nil && !r.Allow(h.loop.Now()) {
		reason = dropNewConnections
	}
	if reason != dropNone {
		s.active.Add(-1)
		return reason, false
	}
	return dropNone, true
}

// admitNew keeps the bound on one client's new connections. Those of a trusted peer are nobody's in particular.
func (h *shard) admitNew(client netip.Addr) dropReason {
	if c := h.server.limits.clientNewConnections.Load(); c != nil && !c.Allow(client, h.loop.Now()) {
		return dropClientNew
	}
	return dropNone
}

// admitClient keeps the bound on one client's connections. counted, if it is valid, must leave again.
func (h *shard) admitClient(client netip.Addr) (counted netip.Addr, reason dropReason) {
	counted, ok := h.server.clients.admit(client)
	if !ok {
		return netip.Addr{}, dropClientConnections
	}
	return counted, dropNone
}

// admitRequest keeps the bounds on requests.
func (h *shard) admitRequest(client netip.Addr) dropReason {
	l, now := &h.server.limits, h.loop.Now()
	if c := l.clientRequests.Load(); c != nil && !c.Allow(client, now) {
		return dropClientRequests
	}
	if r := l.requests.Load(); r != nil && !r.Allow(now) {
		return dropRequests
	}
	if l.bandwidth.exceeded() {
		return dropBandwidth
	}
	return dropNone
}

// bandwidth compares what all loops relay with a bound. It is looked at by the watchdog, to which every loop publishes
// what it has relayed: none writes what another does.
type bandwidth struct {
	limit atomic.Int64 // bytes per second; 0: none
	over  atomic.Bool
	rate  atomic.Int64 // bytes per second, as last seen
	meter limit.Meter  // owned by the watchdog
}

func (b *bandwidth) exceeded() bool { return b.over.Load() && b.limit.Load() > 0 }

// look asks the loops how much they have relayed, and judges what they said last time.
func (b *bandwidth) look(shards []*shard) {
	most := b.limit.Load()
	if most == 0 {
		b.forget()
		return
	}
	total := uint64(0)
	for _, h := range shards {
		total += h.relayed.Load()
		h.loop.Post(h.publishRelayed)
	}
	now := engine.Monotonic()
	b.meter.Add(now, total)
	rate := b.meter.Rate(now)
	b.rate.Store(int64(rate))
	b.over.Store(rate >= uint64(most))
}

// forget forgets what was seen: while there is no bound nobody looks, and the next begins anew.
func (b *bandwidth) forget() {
	b.meter = limit.Meter{}
	b.over.Store(false)
	b.rate.Store(0)
}

// publishRelayed publishes what this loop has relayed so far, both directions, in bytes. Only on the loop.
func (h *shard) publishRelayed() {
	c := &h.loop.Counters
	h.relayed.Store(c.Relayed[engine.SideClient] + c.Relayed[engine.SideBackend])
}
