package proxy_test

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"time"

	"culvert/proxy"
	"culvert/proxy/access"
	"culvert/proxy/proxytest"
)

// P01: connections to a listener that requires the PROXY protocol, or does not know it. Package proxyproto has the
// headers themselves, byte by byte.

const (
	proxyLine      = "PROXY TCP4 192.0.2.1 198.51.100.7 51234 443¶"
	proxyForwarded = "GET / HTTP/1.1¶Host: a¶X-Forwarded-For: 192.0.2.1¶X-Forwarded-Proto: http¶X-Forwarded-Port: {port}¶X-Forwarded-Client-Srcport: 51234¶Connection: close¶¶"
)

// proxyV2 is a header of version 2: command and family as in the specification, then the given bytes.
func proxyV2(command, family byte, rest string) string {
	head := "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{command, family})
	return head + string(binary.BigEndian.AppendUint16(nil, uint16(len(rest)))) + rest
}

const proxyV4 = "\xc0\x00\x02\x01\xc6\x33\x64\x07\xc8\x22\x01\xbb" // as in proxyLine

func requiresProxy(c *proxy.Config) {
	c.Listeners[0].ProxyProtocol = true
	c.Listeners[0].ProxyProtocolFrom = []netip.Prefix{loopback}
}

// prefaced is a request that passes behind a PROXY header.
func prefaced(name, header, backend string) hostileCase {
	return passed("P01/"+name, header+plain(""), backend).with(func(c *hostileCase) { c.change = requiresProxy })
}

// unprefaced is a connection that is reset for its first bytes. Fed byte by byte, it is a write that learns of the reset.
func unprefaced(name, send, detail string) hostileCase {
	return hostileCase{
		name: "P01/" + name, send: send, clientReset: true, log: []string{"request 0 bad-proxy-header client " + detail}, change: requiresProxy, onlyWhole: true,
	}
}

var proxyCases = []hostileCase{
	prefaced("v1", proxyLine, proxyForwarded),
	prefaced("v2", proxyV2(0x21, 0x11, proxyV4), proxyForwarded),
	prefaced("v2-with-vectors", proxyV2(0x21, 0x11, proxyV4+"\x04\x00\x03abc"), proxyForwarded),
	prefaced("v1-unknown", "PROXY UNKNOWN¶", ordinaryForwarded),
	prefaced("v2-local", proxyV2(0x20, 0x00, ""), ordinaryForwarded),
	prefaced("v2-local-with-addresses", proxyV2(0x20, 0x11, proxyV4), ordinaryForwarded),
	prefaced("v2-unix", proxyV2(0x21, 0x31, strings.Repeat("\x00", 216)), ordinaryForwarded),
	unprefaced("none", plain(""), "wrong-signature"),
	unprefaced("wrong-signature", "\r\n\r\n\x00\r\nQUIX\n"+plain(""), "wrong-signature"),
	unprefaced("v2-wrong-version", proxyV2(0x31, 0x11, proxyV4)+plain(""), "bad-version"),
	unprefaced("v2-wrong-command", proxyV2(0x22, 0x11, proxyV4)+plain(""), "bad-command"),
	unprefaced("v2-too-short", proxyV2(0x21, 0x11, proxyV4[:11])+plain(""), "bad-length"),
	unprefaced("v2-vector-past-the-end", proxyV2(0x21, 0x11, proxyV4+"\x04\x00\x04abc")+plain(""), "bad-tlv"),
	unprefaced("v1-too-long", "PROXY UNKNOWN "+strings.Repeat("1", 200)+"¶"+plain(""), "too-long"),
	unprefaced("v1-wrong-address", "PROXY TCP4 192.0.2.256 198.51.100.7 51234 443¶"+plain(""), "bad-address"),
	unprefaced("v1-wrong-port", "PROXY TCP4 192.0.2.1 198.51.100.7 051234 443¶"+plain(""), "bad-port"),
	bad("P01/v1-where-forbidden", proxyLine+plain(""), "proxy-header"),
	bad("P01/v2-where-forbidden", proxyV2(0x21, 0x11, proxyV4)+plain(""), "too-many-empty-lines"),
	{
		name: "P01/access-by-the-named-client", send: proxyLine + plain(""), client: "{403}",
		log: []string{"request 403 access-denied client listener"},
		change: func(c *proxy.Config) {
			requiresProxy(c)
			c.Listeners[0].Access = access.Lists{Black: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
		},
	},
	passed("P01/sent-on-v1", plain(""), "PROXY TCP4 127.0.0.1 127.0.0.1 {client-port} {port}¶"+ordinaryForwarded).with(func(c *hostileCase) {
		c.change = func(config *proxy.Config) { config.Groups[0].SendProxy = 1 }
	}),
	prefaced("passed-on-v2", proxyLine, proxyV2(0x21, 0x11, proxyV4)+proxyForwarded).with(func(c *hostileCase) {
		c.change = func(config *proxy.Config) { requiresProxy(config); config.Groups[0].SendProxy = 2 }
	}),
}

// proxyTests are those of P01 that are no exchange.
func proxyTests() []hostileTest {
	return []hostileTest{
		{"P01/untrusted-source", func(t *proxytest.T) {
			p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{proxytest.NewBackend(t)}, Config: func(c *proxy.Config) {
				requiresProxy(c)
				c.Listeners[0].ProxyProtocolFrom = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
			}})
			p.Dial(t).ReadUntilGone()
			p.WaitMetric(t, 1, "culvert_dropped_total", "limit=proxy-protocol-from")
		}},
		{"P01/unfinished", func(t *proxytest.T) {
			p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{proxytest.NewBackend(t)}, Config: func(c *proxy.Config) {
				requiresProxy(c)
				c.Timeouts.ClientHead = 100 * time.Millisecond
			}})
			client := p.Dial(t)
			client.Send("PROXY TCP4 192.0.2.1 198")
			client.WantReset()
			wantLog(t, p, "request 0 bad-proxy-header client incomplete")
		}},
		{"P01/cut", func(t *proxytest.T) {
			p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{proxytest.NewBackend(t)}, Config: requiresProxy})
			client := p.Dial(t)
			client.Send("PROXY TCP4 192.0.2.1 198")
			client.CloseWrite()
			client.ReadUntilGone()
			wantLog(t, p, "request 0 bad-proxy-header client incomplete")
		}},
	}
}
