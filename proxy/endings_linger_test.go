package proxy_test

import (
	"strings"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// The lingering close, phase L of docs/endings.md. Its timeouts do not run out in these tests unless they are the point.

func patientLinger(c *proxy.Config) { c.Timeouts.Linger = longTimeout }

// refuse has the client refused for a malformed head with something behind it, and waits until the line is logged.
func (e *ending) refuse(change func(*proxy.Config), behind string) {
	e.t.Helper()
	e.start(change)
	e.dial()
	e.client.Send(badHead + behind)
	e.p.WaitEnd(e.t).Want(e.t, "bad-request", 400, "client")
}

// cutAtTheBound wants a lingering close to have ended by its time.
func (e *ending) cutAtTheBound() {
	e.t.Helper()
	e.p.WaitReleased(e.t, e.client)
	e.p.WaitMetric(e.t, 1, "culvert_lingering_closes_cut_total")
}

var lingerEndings = map[string]func(*ending){
	"L01": func(e *ending) {
		e.refuse(patientLinger, "")
		e.refused(400)
		e.lingers(e.client)
	},
	"L02": func(e *ending) {
		e.refuse(patientLinger, "")
		e.client.Send(strings.Repeat("more", 8<<10))
		e.client.CloseWrite()
		e.p.WaitReleased(e.t, e.client)
		e.refused(400)
	},
	"L03": func(e *ending) {
		e.refuse(patientLinger, "")
		e.client.Reset()
		e.p.WaitReleased(e.t, e.client)
	},
	"L04": func(e *ending) {
		e.narrowClient = true
		e.start(patientLinger)
		e.pendingRest()
		e.client.Reset()
		e.p.WaitReleased(e.t, e.client)
	},
	"L05": func(e *ending) {
		e.refuse(func(c *proxy.Config) { c.Timeouts.Linger = shortTimeout }, "")
		e.cutAtTheBound()
		e.refused(400)
	},
	"L06": func(e *ending) {
		e.refuse(func(c *proxy.Config) { c.Timeouts.Linger = stallTimeout }, "")
		flood := strings.Repeat("more", 64<<10)
		proxytest.Eventually(e.t, "flow control stops the client", func() bool { return e.client.SendAvailable(flood) == 0 })
		e.refused(400)
		e.cutAtTheBound()
		e.client.WantResetAfterEOF()
	},
	"L07": func(e *ending) {
		e.narrowClient = true
		e.start(func(c *proxy.Config) { c.Timeouts.ClientWrite = stallTimeout })
		body := e.pendingRest()
		e.cutAtTheBound()
		e.prefix(e.bodyBeforeReset(), body, false)
	},
	"L08": func(e *ending) {
		e.narrowClient = true
		e.start(func(c *proxy.Config) { c.Timeouts.Linger = shortTimeout })
		body := e.pendingRest()
		other := e.p.Dial(e.t) // its lingering close shows that the time is over
		other.Send(badHead)
		other.ReadUntilEOF()
		e.p.WaitMetric(e.t, 2, "culvert_lingering_closes_cut_total") // the backend's side of the row's exchange too
		e.client.ReadHead()
		e.client.Want(body)
		e.client.WantEOF()
		e.client.CloseWrite()
		e.p.WaitReleased(e.t, e.client)
	},
	"L09": func(e *ending) {
		e.refuse(patientLinger, "")
		e.p.Shutdown(e.t)
		e.p.WaitReleased(e.t, e.client)
		e.refused(400)
	},
	"L10": func(e *ending) {
		e.start(func(c *proxy.Config) { c.Timeouts.Linger, c.Timeouts.Idle = longTimeout, shortTimeout })
		e.tunnel()
		e.client.WantEOF()
		e.server.WantEOF()
		e.client.CloseWrite()
		e.p.WaitReleased(e.t, e.client)
		e.lingers(e.server)
	},
}
