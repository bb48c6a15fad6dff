package proxy_test

import (
	"crypto/tls"
	"crypto/x509"
	"strings"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// The endings of TLS handshakes, and those that only TLS knows: phase S of docs/endings.md. On the plain way they go over
// TLS 1.3.

// greeting leaves so many bytes of a client's hello with the proxy; -1: all.
func (e *ending) greeting(length int, change func(*proxy.Config)) {
	e.t.Helper()
	e.start(change)
	e.dialRaw()
	hello := proxytest.ClientHello(e.t.Way().Client)
	if length < 0 {
		length = len(hello)
	}
	if length > 0 {
		e.client.Send(hello[:length])
		e.client.UntilRead()
	}
}

// greeted leaves a client's hello with the proxy, and the proxy's answer with a client that says no more.
func (e *ending) greeted(change func(*proxy.Config)) {
	e.t.Helper()
	e.greeting(-1, change)
	e.client.ReadExactly(1)
}

func (e *ending) dialRaw() {
	e.t.Helper()
	e.client = e.p.DialRaw(e.t, proxytest.ConnOptions{})
	e.p.Watch(e.t, e.client)
}

// securing leaves a request with the proxy, and the proxy's hello with the row's backend.
func (e *ending) securing(request string, change func(*proxy.Config)) {
	e.t.Helper()
	e.start(change)
	e.dial()
	e.client.Send(request)
	e.server = e.backend.AcceptRaw()
	e.server.ReadExactly(1)
	e.p.Watch(e.t, e.server)
}

// another has a second backend behind the row's own, and returns it.
func (e *ending) another(change func(*proxy.Config)) (b *proxytest.Backend, both func(*proxy.Config)) {
	b = proxytest.NewBackend(e.t)
	return b, func(c *proxy.Config) {
		c.Groups[0].Backends = append(c.Groups[0].Backends, b.Member("another"))
		if change != nil {
			change(c)
		}
	}
}

// goesOn: another backend answers.
func (e *ending) goesOn(another *proxytest.Backend) {
	e.t.Helper()
	e.p.WaitReleased(e.t, e.server)
	e.server = another.Accept()
	e.server.ReadHead()
	e.answered()
	another.Close()
}

// quickHandshake has clients be late soon.
func quickHandshake(c *proxy.Config) { c.Timeouts.TLSHandshake = shortTimeout }

// handshakeFailure is an alert in clear (RFC 8446 6.2).
const handshakeFailure = "\x15\x03\x03\x00\x02\x02\x28"

var handshakeEndings = map[string]func(*ending){
	"S01": func(e *ending) {
		e.greeting(0, nil)
		e.client.CloseWrite()
		e.client.WantEOF()
		e.released(e.client)
	},
	"S02": func(e *ending) {
		e.greeting(100, nil)
		e.client.CloseWrite()
		e.client.WantEOF()
		e.released(e.client)
	},
	"S03": func(e *ending) {
		e.greeted(nil)
		e.client.CloseWrite()
		e.client.ReadUntilEOF()
		e.released(e.client)
	},
	"S04": func(e *ending) {
		e.greeting(0, nil)
		e.client.Reset()
		e.released(e.client)
	},
	"S05": func(e *ending) {
		e.greeted(nil)
		e.client.Reset()
		e.released(e.client)
	},
	"S06": func(e *ending) {
		e.greeting(0, quickHandshake)
		e.client.WantEOF()
		e.released(e.client)
	},
	"S07": func(e *ending) {
		e.greeting(100, quickHandshake)
		e.client.WantEOF()
		e.released(e.client)
	},
	"S08": func(e *ending) {
		e.greeted(func(c *proxy.Config) { c.Timeouts.TLSHandshake = stallTimeout })
		e.client.ReadUntilEOF()
		e.released(e.client)
	},
	"S09": func(e *ending) {
		e.start(func(c *proxy.Config) { c.HandshakesMax = 1 })
		e.dialRaw()
		e.client.Send(proxytest.ClientHello(e.t.Way().Client))
		e.client.ReadExactly(1)
		other := e.p.Dial(e.t) // waits, until the first has waited for too long
		e.client.ReadUntilEOF()
		e.released(e.client)
		other.CloseWrite()
		other.WantEOF()
	},
	"S10": func(e *ending) {
		e.start(nil)
		e.dialRaw()
		e.client.Send(plainRequest + strings.Repeat("more input ", 4000))
		e.refused(400)
		e.lingers(e.client)
	},
	"S11": func(e *ending) {
		e.start(nil)
		e.dialRaw()
		e.client.Send("SSH-2.0-OpenSSH_9.7\r\n")
		e.client.WantEOF()
		e.lingers(e.client)
	},
	"S12": func(e *ending) {
		e.start(nil)
		e.client = e.p.DialWith(e.t, proxytest.ConnOptions{TLS: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }})
		e.client.WantAlert("protocol version")
		e.logged()
	},
	"S13": func(e *ending) {
		e.start(nil)
		e.client = e.p.DialWith(e.t, proxytest.ConnOptions{TLS: func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }})
		e.logged()
	},
	"S14": func(e *ending) {
		e.greeted(nil)
		e.p.Shutdown(e.t)
		e.client.ReadUntilEOF()
		e.released(e.client)
	},
	"S20": func(e *ending) {
		another, both := e.another(nil)
		e.securing(plainRequest, both)
		e.server.CloseWrite()
		e.goesOn(another)
	},
	"S21": func(e *ending) {
		e.securing(plainRequest, nil)
		e.server.CloseWrite()
		e.refused(502)
		e.released(e.server)
		e.lingers(e.client)
	},
	"S22": func(e *ending) {
		e.securing(plainRequest, nil)
		e.server.Reset()
		e.refused(502)
		e.released(e.server)
		e.lingers(e.client)
	},
	"S23": func(e *ending) {
		another, both := e.another(func(c *proxy.Config) { c.Timeouts.Connect = stallTimeout })
		e.securing(plainRequest, both)
		e.goesOn(another)
	},
	"S24": func(e *ending) {
		e.securing(plainRequest, func(c *proxy.Config) { c.Timeouts.Connect = stallTimeout })
		e.refused(504)
		e.released(e.server)
		e.lingers(e.client)
	},
	"S25": func(e *ending) {
		e.start(func(c *proxy.Config) {
			other := *c.Groups[0].Backends[0].TLS
			other.ServerName = "other.example"
			c.Groups[0].Backends[0].TLS = &other
		})
		e.dial()
		e.client.Send(plainRequest)
		e.server = e.backend.Accept()
		e.server.WantAlert("bad certificate")
		e.refused(502)
		e.logged()
		e.lingers(e.client)
	},
	"S26": func(e *ending) {
		e.securing(plainRequest, nil)
		e.server.Send(handshakeFailure)
		e.refused(502)
		e.lingers(e.client)
	},
	"S27": func(e *ending) {
		e.securing(proxytest.UpgradeRequest(), nil)
		e.client.CloseWrite()
		e.client.WantEOF()
		e.released(e.client, e.server)
	},
	"S28": func(e *ending) {
		e.securing(plainRequest, nil)
		e.client.Reset()
		e.released(e.client, e.server)
	},
	"S29": func(e *ending) {
		e.securing(plainRequest, nil)
		e.p.Shutdown(e.t)
		e.client.ReadUntilGone()
		e.released(e.client, e.server)
	},
	"S30": func(e *ending) {
		s := &sides{ending: e}
		s.open(nil)
		s.near.Send(s.nearText)
		s.near.Truncate()
		s.far.Want(s.nearText)
		s.far.WantEOF()
		s.far.Send(s.farText)
		s.near.Want(s.farText)
		s.over()
	},
	"S31": func(e *ending) {
		s := &sides{ending: e, swapped: true}
		s.open(nil)
		s.near.Truncate()
		s.far.WantEOF()
		s.over()
	},
	"S32": func(e *ending) {
		e.start(nil)
		e.answering(plainRequest, untilClose, "hello")
		e.server.Truncate()
		e.client.WantReset()
		e.released(e.client, e.server)
	},
	"S33": func(e *ending) {
		e.start(nil)
		e.answering(plainRequest, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "hello")
		e.server.Send("world")
		e.server.Truncate()
		e.client.Want("world")
		e.client.WantEOF()
	},
	"S34": func(e *ending) {
		e.livesOn(nil)
		e.client.Truncate()
		e.client.WantEOF()
		e.goneQuietly()
	},
	"S35": func(e *ending) {
		s := &sides{ending: e}
		s.open(nil)
		s.near.Tamper()
		s.far.WantReset()
		s.near.WantAlert("bad record MAC")
		e.logged()
	},
}
