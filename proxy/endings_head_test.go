package proxy_test

import (
	"net/netip"
	"strings"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// The endings of the phases N, H and D of docs/endings.md.

const (
	plainRequest = "GET /page HTTP/1.1\r\nHost: example.com\r\n\r\n"
	partialHead  = "GET /page HTTP/1.1\r\nHost: exam"
	badHead      = "GET /page HTTP/1.1\r\nno field\r\n\r\n"
)

var headEndings = map[string]func(*ending){
	"N01": func(e *ending) {
		e.start(nil)
		e.dial()
		e.client.CloseWrite()
		e.client.WantEOF()
		e.released(e.client)
	},
	"N02": func(e *ending) {
		e.start(nil)
		e.dial()
		e.client.Reset()
		e.released(e.client)
	},
	"N03": func(e *ending) {
		e.start(func(c *proxy.Config) { c.Timeouts.ClientHead = shortTimeout })
		e.dial()
		e.client.WantEOF()
		e.released(e.client)
	},
	"N04": func(e *ending) {
		e.start(nil)
		e.dial()
		e.p.Shutdown(e.t)
		e.client.WantEOF()
		e.released(e.client)
	},
	"N05": func(e *ending) {
		e.start(func(c *proxy.Config) { c.Limits.Connections = 1 })
		e.dial()
		second := e.p.Dial(e.t)
		if e.t.Way().Client == proxytest.Plain {
			second.WantEOF()
		} else {
			second.ReadUntilGone() // its handshake has come
		}
		e.logged()
		if e.p.Holds(second) {
			e.t.Error("the proxy keeps a connection that it refused")
		}
	},
	"H01": func(e *ending) {
		e.start(nil)
		e.dial()
		e.client.Send(partialHead)
		e.client.CloseWrite()
		e.refused(400)
		e.logged()
		e.p.WaitReleased(e.t, e.client)
	},
	"H02": func(e *ending) {
		e.start(nil)
		e.dial()
		e.client.Send(partialHead)
		e.client.UntilRead()
		e.client.Reset()
		e.released(e.client)
	},
	"H03": func(e *ending) {
		e.start(func(c *proxy.Config) { c.Timeouts.ClientHead = shortTimeout })
		e.dial()
		e.client.Send(partialHead)
		e.refused(408)
		e.lingers(e.client)
	},
	"H04": func(e *ending) {
		e.start(nil)
		e.dial()
		e.client.Send(badHead + strings.Repeat("more input ", 4000))
		e.refused(400)
		e.lingers(e.client)
	},
	"H05": func(e *ending) {
		e.start(nil)
		e.dial()
		e.client.Send(partialHead)
		e.client.UntilRead()
		e.p.Shutdown(e.t)
		e.client.ReadUntilGone()
		e.released(e.client)
	},
}

// dialing leaves a request with the proxy while it dials addresses, in this order, and then the row's own backend.
func (e *ending) dialing(request string, change func(*proxy.Config), addresses ...netip.AddrPort) {
	e.t.Helper()
	e.start(func(c *proxy.Config) {
		own := c.Groups[0].Backends
		c.Groups[0].Backends = nil
		for _, address := range addresses {
			c.Groups[0].Backends = append(c.Groups[0].Backends, proxy.BackendConfig{Name: address.String(), Address: address, Weight: 1})
		}
		for _, b := range own {
			b.Priority = 1 // tried behind the others: whom a retry goes to is not said otherwise
			c.Groups[0].Backends = append(c.Groups[0].Backends, b)
		}
		if change != nil {
			change(c)
		}
	})
	e.dial()
	e.client.Send(request)
	proxytest.Eventually(e.t, "the proxy dials", func() bool { return e.p.Metric(e.t, "culvert_dials_total") > 0 })
}

// tried wants the proxy to have dialed so many backends.
func (e *ending) tried(dials float64) {
	e.t.Helper()
	if n := e.p.Metric(e.t, "culvert_dials_total"); n != dials {
		e.t.Errorf("the proxy dialed %v times, want %v", n, dials)
	}
}

// undialed wants no connection to any backend any more.
func (e *ending) undialed() {
	e.t.Helper()
	if n := e.p.Metric(e.t, "culvert_backend_connections_active"); n != 0 {
		e.t.Errorf("the proxy still has %v connections to backends", n)
	}
}

// quickConnect has a connect given up soon: the handshake with a backend is part of it.
func (e *ending) quickConnect(c *proxy.Config) {
	c.Timeouts.Connect = shortTimeout
	if e.t.Way().Backend != proxytest.Plain {
		c.Timeouts.Connect = stallTimeout
	}
}

var dialEndings = map[string]func(*ending){
	"D01": func(e *ending) {
		e.dialing(proxytest.UpgradeRequest(), nil, proxytest.NeverAnswers(e.t))
		e.client.CloseWrite()
		e.client.WantEOF()
		e.released(e.client)
		e.undialed()
	},
	"D02": func(e *ending) {
		e.dialing(proxytest.UpgradeRequest()+proxytest.ClientText("early"), nil, proxytest.NeverAnswers(e.t))
		e.client.CloseWrite()
		e.client.WantEOF()
		e.released(e.client)
		e.undialed()
	},
	"D03": func(e *ending) {
		e.dialing(plainRequest, e.quickConnect, proxytest.NeverAnswers(e.t))
		e.client.CloseWrite()
		e.accept()
		e.answered()
	},
	"D04": func(e *ending) {
		e.dialing(proxytest.UpgradeRequest(), nil, proxytest.NeverAnswers(e.t))
		e.client.Reset()
		e.released(e.client)
		e.undialed()
	},
	"D05": func(e *ending) {
		e.dialing(plainRequest, nil, proxytest.NeverAnswers(e.t))
		e.client.Reset()
		e.released(e.client)
		e.undialed()
	},
	"D06": func(e *ending) {
		early := proxytest.ClientText("early")
		e.dialing(proxytest.UpgradeRequest()+early, nil, proxytest.Refuses(e.t))
		e.server = e.backend.Accept()
		e.server.Send(proxytest.SwitchingProtocols(e.server.ReadHead()))
		e.client.ReadHead()
		e.server.Want(early)
		e.tried(2)
		e.p.WaitMetric(e.t, 1, "culvert_backend_connections_active")
		e.client.CloseWrite()
		e.server.WantEOF()
		e.server.CloseWrite()
		e.client.WantEOF()
	},
	"D07": func(e *ending) {
		e.dialing(plainRequest, nil, proxytest.Refuses(e.t), proxytest.Refuses(e.t), proxytest.Refuses(e.t))
		e.refused(502)
		e.tried(3)
		e.undialed()
		e.lingers(e.client)
	},
	"D08": func(e *ending) {
		e.dialing(plainRequest, e.quickConnect, proxytest.NeverAnswers(e.t))
		e.accept()
		e.p.WaitMetric(e.t, 1, "culvert_backend_connections_active")
		e.tried(2)
		e.answered()
	},
	"D09": func(e *ending) {
		never := proxytest.NeverAnswers
		e.dialing(plainRequest, func(c *proxy.Config) { c.Timeouts.Connect = shortTimeout }, never(e.t), never(e.t), never(e.t))
		e.refused(504)
		e.tried(3)
		e.undialed()
		e.lingers(e.client)
	},
	"D10": func(e *ending) {
		e.dialing(plainRequest, func(c *proxy.Config) { c.Timeouts.ConnectTotal = shortTimeout }, proxytest.NeverAnswers(e.t))
		e.refused(504)
		e.tried(1)
		e.undialed()
		e.lingers(e.client)
	},
	"D11": func(e *ending) {
		e.start(func(c *proxy.Config) { c.Groups[0].Backends[0].Weight = 0 })
		e.dial()
		e.client.Send(plainRequest)
		e.refused(503)
		e.lingers(e.client)
	},
	"D12": func(e *ending) {
		e.dialing(plainRequest, nil, proxytest.NeverAnswers(e.t))
		e.p.Shutdown(e.t)
		e.client.ReadUntilGone()
		e.released(e.client)
	},
	"D13": func(e *ending) {
		early := proxytest.ClientFrame(0x2, strings.Repeat("early", 12<<10))
		e.dialing(proxytest.UpgradeRequest()+early, func(c *proxy.Config) { c.BufferMemory = 64 << 10 }, proxytest.NeverAnswers(e.t))
		e.refused(503) // it holds all there is, and is the first to go
		e.lingers(e.client)
	},
}
