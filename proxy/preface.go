package proxy

import (
	"errors"
	"net/netip"

	"culvert/engine"
	"culvert/proxy/proxyproto"
)

// prefaceV1 begins a PROXY header of version 1, and no request.
const prefaceV1 = "PROXY "

// takePreface reads the PROXY header that a connection begins with, from all bytes received so far. What follows it is
// the request.
func (x *exchange) takePreface(bytes []byte) {
	x.record.received = len(bytes)
	n, header, err := proxyproto.Parse(bytes)
	switch {
	case err != nil:
		x.record.detail = "malformed"
		if wrong := (*proxyproto.Error)(nil); errors.As(err, &wrong) {
			x.record.detail = wrong.Reason.String()
		}
		x.badPreface()
		return
	case n == 0:
		if x.received == nil {
			x.hold(bytes)
		}
		return
	}
	x.preface = false
	x.record.received = 0
	if !header.Local {
		x.peer, x.asked = header.Source, header.Destination
		x.record.peer, x.record.client = x.peer, x.peer.Addr()
		if reason := x.admitNamed(); reason != dropNone {
			x.shard.counters.dropped[reason]++
			x.client.Close()
			x.finish(EndSilent, engine.SideNone) // as when it is accepted: no line in the log
			return
		}
	}
	x.keepEarly(bytes[n:])
	x.letGo()
	if l := x.shard.site.listeners[x.port]; l != nil && l.tls != nil {
		first := x.received
		x.received = nil
		x.greet(l, first.Bytes())
		x.shard.loop.Release(first)
		return
	}
	if x.received == nil {
		return
	}
	x.look(x.received.Bytes())
}

// admitNamed keeps the bounds on one client's connections, once a PROXY header has named it.
func (x *exchange) admitNamed() (reason dropReason) {
	h, client := x.shard, x.peer.Addr()
	if h.site.trusted.contains(client) {
		return dropNone
	}
	if reason = h.admitNew(client); reason == dropNone {
		x.admittedFor, reason = h.admitClient(client)
	}
	return reason
}

// badPreface ends a connection that does not begin as it must. Nobody knows who it is for: it is reset.
func (x *exchange) badPreface() {
	x.client.Reset()
	x.finish(EndBadPreface, engine.SideClient)
}

// appendPreface appends the PROXY header for the backend, if its group wants one. asked is the address that the client
// asked for.
func (x *exchange) appendPreface(dst []byte, asked netip.AddrPort) []byte {
	source := netip.AddrPortFrom(x.record.client, 0)
	if x.record.client == x.peer.Addr() {
		source = x.peer
	}
	switch x.rule.group.config.SendProxy {
	case 1:
		return proxyproto.AppendV1(dst, source, asked)
	case 2:
		return proxyproto.AppendV2(dst, source, asked)
	}
	return dst
}
