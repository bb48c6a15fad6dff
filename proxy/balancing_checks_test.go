package proxy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/health"
	"culvert/proxy/proxytest"

	gobwas "github.com/gobwas/ws"
)

// What a check says to a backend, and what it makes of the answer. These checks begin when their tests say so.

// seldom are the settings of checks that are so far between that a test sees none but those it asks for.
func seldom(change func(*health.Settings)) *health.Settings {
	s := health.DefaultSettings()
	s.Interval, s.Timeout, s.Healthy, s.Unhealthy = health.MaxInterval, health.MaxTimeout, 2, 2
	if change != nil {
		change(&s)
	}
	return &s
}

// checked is a proxy before one backend, which it checks.
type checked struct {
	t *proxytest.T
	p *proxytest.Proxy
	b *proxytest.Backend
}

func startChecked(t *proxytest.T, settings *health.Settings, change func(*proxy.Config)) *checked {
	t.Helper()
	k := &checked{t: t, b: proxytest.NewBackend(t)}
	k.p = proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{k.b}, Config: func(c *proxy.Config) {
		c.Groups[0].Check = settings
		if change != nil {
			change(c)
		}
	}})
	return k
}

// found wants the n-th check to be over, and b0 to be known for this: "" is good.
func (k *checked) found(n float64, reason string) {
	k.t.Helper()
	waitChecks(k.t, k.p, n)
	status, result := "serving", "good"
	if reason != "" {
		status, result = "down", "bad"
	}
	if got := standing(k.p, "b0"); got.Status != status || got.Reason != reason {
		k.t.Errorf("the backend is %s, %q; want %s, %q", got.Status, got.Reason, status, reason)
	}
	if k.p.Metric(k.t, "culvert_health_checks_total", "result="+result) == 0 {
		k.t.Errorf("no check is counted as %s", result)
	}
}

// waitChecks waits until at least so many checks are over: now and then one begins by itself.
func waitChecks(t testing.TB, p *proxytest.Proxy, n float64) {
	t.Helper()
	proxytest.Eventually(t, fmt.Sprintf("%v checks are over", n), func() bool { return p.Metric(t, "culvert_health_checks_total") >= n })
}

// standing tells how a backend stands once all that is known has been looked at.
func standing(p *proxytest.Proxy, name string) (status proxy.BackendStatus) {
	p.Server().Tend(p.Server().Now())
	return reported(p, name)
}

// reported tells how a backend stands, as was found when it was last looked at.
func reported(p *proxytest.Proxy, name string) (status proxy.BackendStatus) {
	for _, b := range p.Server().Backends() {
		if b.Name == name {
			return b
		}
	}
	return proxy.BackendStatus{Status: "not there"}
}

// checkCase is a check of a backend that answers so.
type checkCase struct {
	name   string
	change func(*health.Settings)
	answer func(*checked, *proxytest.Conn)
	reason string // "": good
	raw    bool   // the backend answers below TLS
}

// says has the backend read the check's request and answer with a text.
func says(text string) func(*checked, *proxytest.Conn) {
	return func(_ *checked, c *proxytest.Conn) {
		c.ReadHead()
		_ = c.TrySend(text) // the check may have seen enough before the end
	}
}

// asked wants the check's request to begin so, and have these fields.
func asked(line string, fields ...string) func(*checked, *proxytest.Conn) {
	return func(k *checked, c *proxytest.Conn) {
		head := c.ReadHead()
		if !strings.HasPrefix(head, line+"\r\n") {
			k.t.Errorf("the check asks %q, want %q", head, line)
		}
		for _, field := range fields {
			name, value, _ := strings.Cut(field, ": ")
			if got := proxytest.Field(head, name); got != value {
				k.t.Errorf("the check says %s: %q, want %q", name, got, value)
			}
		}
		c.Send("HTTP/1.1 204 No Content\r\n\r\n")
	}
}

const statusOK = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// silence has the backend say this, and no more until the check's time is over.
func silence(text string) func(*checked, *proxytest.Conn) {
	return func(k *checked, c *proxytest.Conn) {
		c.ReadHead()
		c.Send(text)
		k.p.Server().ExpireChecks()
	}
}

var checkCases = []checkCase{
	{name: "HEAD, as it is asked for", answer: func(k *checked, c *proxytest.Conn) {
		asked("HEAD / HTTP/1.1", "Host: "+k.b.Address().String(), "Connection: close", "User-Agent: culvert-health-check")(k, c)
	}},
	{
		name: "GET of a path, of a host",
		change: func(s *health.Settings) {
			s.Method, s.Path, s.Host = "GET", "/health?deep=1", "app.example.com:81"
		},
		answer: asked("GET /health?deep=1 HTTP/1.1", "Host: app.example.com:81"),
	},
	{name: "302, as it is", answer: says("HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n")},
	{name: "404, as it is", answer: says("HTTP/1.1 404 Not Found\r\n\r\n"), reason: "status"},
	{name: "500, as it is", answer: says("HTTP/1.1 500 No\r\n\r\n"), reason: "status"},
	{name: "404 where 4xx is good", change: good(health.Class4xx), answer: says("HTTP/1.1 404 Not Found\r\n\r\n")},
	{name: "200 where 4xx is good", change: good(health.Class4xx), answer: says(statusOK), reason: "status"},
	{name: "200 behind an interim answer", answer: says("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + statusOK)},
	{name: "200, and a body without an end", answer: says("HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("body", 1000))},
	{name: "one byte at a time", answer: func(_ *checked, c *proxytest.Conn) {
		c.ReadHead()
		c.SendByteByByte(strings.TrimSuffix(statusOK, "\n"))
		_ = c.TrySend("\n")
	}},
	{name: "garbage", answer: says("220 mail.example.com ESMTP\r\n\r\n"), reason: "malformed-answer"},
	{name: "a head without end", answer: func(_ *checked, c *proxytest.Conn) {
		c.ReadHead()
		line := "X-Filler: " + strings.Repeat("x", 1000) + "\r\n"
		for err := c.TrySend("HTTP/1.1 200 OK\r\n"); err == nil; {
			err = c.TrySend(line) // until the check has had enough
		}
	}, reason: "malformed-answer"},
	{name: "no answer", answer: silence(""), reason: "timeout"},
	{name: "half an answer", answer: silence("HTTP/1.1 200 OK\r\nContent-"), reason: "timeout"},
	{name: "a FIN", answer: func(_ *checked, c *proxytest.Conn) { c.ReadHead(); c.CloseWrite() }, reason: "closed"},
	{name: "a FIN in a head", answer: func(k *checked, c *proxytest.Conn) {
		says("HTTP/1.1 200 OK\r\nContent-")(k, c)
		c.CloseWrite()
	}, reason: "closed"},
	{name: "a reset", answer: func(_ *checked, c *proxytest.Conn) { c.ReadHead(); c.Reset() }, reason: "closed"},
	{name: "TCP", change: kind(health.TCP), raw: true, answer: func(_ *checked, c *proxytest.Conn) { c.WantEOF() }},
	{name: "WebSocket", change: webSocketAt("/live"), answer: func(k *checked, c *proxytest.Conn) {
		if head := openChecked(c); !strings.HasPrefix(head, "GET /live HTTP/1.1\r\n") || proxytest.Field(head, "Host") != "ws.example.com" {
			k.t.Errorf("the check asks %q", head)
		}
		c.Send(proxytest.ServerFrame(gobwas.OpPong, readPing(c)))
		readClose(k, c)
		c.Send(proxytest.ServerClose(1000))
	}},
	{name: "WebSocket one byte at a time", change: kind(health.WebSocket), answer: func(k *checked, c *proxytest.Conn) {
		c.SendByteByByte(proxytest.SwitchingProtocols(c.ReadHead()) + proxytest.ServerText("hello"))
		c.SendByteByByte(proxytest.ServerFrame(gobwas.OpPong, readPing(c)))
		readClose(k, c)
		c.Send(proxytest.ServerClose(1000))
	}},
	{name: "WebSocket refused", change: kind(health.WebSocket), answer: says(statusOK), reason: "status"},
	{name: "WebSocket without its key's answer", change: kind(health.WebSocket), answer: func(_ *checked, c *proxytest.Conn) {
		c.Send(proxytest.SwitchingProtocols(strings.Replace(c.ReadHead(), "Sec-WebSocket-Key: ", "Sec-WebSocket-Key: AAAA", 1)))
	}, reason: "bad-handshake"},
	{name: "WebSocket and a masked frame", change: kind(health.WebSocket), answer: func(_ *checked, c *proxytest.Conn) {
		openChecked(c)
		c.Send(proxytest.ClientText("masked"))
	}, reason: "bad-frame"},
	{name: "WebSocket, no pong", change: kind(health.WebSocket), answer: func(k *checked, c *proxytest.Conn) {
		openChecked(c)
		readPing(c)
		k.p.Server().ExpireChecks()
	}, reason: "timeout"},
	{name: "WebSocket, a close for a pong", change: kind(health.WebSocket), answer: func(_ *checked, c *proxytest.Conn) {
		openChecked(c)
		readPing(c)
		c.Send(proxytest.ServerClose(1001))
	}, reason: "no-pong"},
	{name: "WebSocket, another's pong", change: kind(health.WebSocket), answer: func(_ *checked, c *proxytest.Conn) {
		openChecked(c)
		readPing(c)
		c.Send(proxytest.ServerFrame(gobwas.OpPong, "unasked!") + proxytest.ServerClose(1000))
	}, reason: "no-pong"},
	{name: "WebSocket, a FIN for a close", change: kind(health.WebSocket), answer: func(k *checked, c *proxytest.Conn) {
		openChecked(c)
		c.Send(proxytest.ServerFrame(gobwas.OpPong, readPing(c)))
		readClose(k, c)
		c.CloseWrite()
	}, reason: "no-close"},
	{name: "WebSocket that talks and talks", change: kind(health.WebSocket), answer: func(_ *checked, c *proxytest.Conn) {
		openChecked(c)
		for text := proxytest.ServerText(strings.Repeat("x", 8<<10)); c.TrySend(text) == nil; {
		}
	}, reason: "too-much-data"},
}

func kind(k health.Kind) func(*health.Settings) { return func(s *health.Settings) { s.Kind = k } }

func good(classes health.Classes) func(*health.Settings) {
	return func(s *health.Settings) { s.Good = classes }
}

func webSocketAt(path string) func(*health.Settings) {
	return func(s *health.Settings) { s.Kind, s.Path, s.Host = health.WebSocket, path, "ws.example.com" }
}

// openChecked answers a check's upgrade, and returns its head.
func openChecked(c *proxytest.Conn) string {
	head := c.ReadHead()
	c.Send(proxytest.SwitchingProtocols(head))
	return head
}

// readPing reads a check's ping and returns what it carries.
func readPing(c *proxytest.Conn) string {
	const length = 8
	frame := []byte(c.ReadExactly(2 + 4 + length))
	gobwas.Cipher(frame[6:], [4]byte(frame[2:6]), 0)
	if frame[0] != 0x89 || frame[1] != 0x80|length {
		return "this is no ping"
	}
	return string(frame[6:])
}

// readClose wants a check's close frame, of code 1000.
func readClose(k *checked, c *proxytest.Conn) {
	k.t.Helper()
	frame := []byte(c.ReadExactly(2 + 4 + 2))
	gobwas.Cipher(frame[6:], [4]byte(frame[2:6]), 0)
	if frame[0] != 0x88 || frame[1] != 0x82 || string(frame[6:]) != "\x03\xe8" {
		k.t.Errorf("the check says %q behind the pong, want a close frame of 1000", frame)
	}
}

// backendWays are those in which a backend is spoken to.
var backendWays = []proxytest.Way{
	{}, {Name: "TLS1.2", Backend: proxytest.TLS12}, {Name: "TLS1.3", Backend: proxytest.TLS13},
}

// TestChecks runs each case plainly and over TLS. The first result of all counts at once.
func TestChecks(t *testing.T) {
	for _, way := range backendWays {
		for _, test := range checkCases {
			t.Run(onWay(way, test.name), func(t *testing.T) {
				t.Parallel()
				k := startChecked(proxytest.Over(t, way), seldom(test.change), nil)
				k.p.Server().BeginChecks()
				accept := k.b.Accept
				if test.raw {
					accept = k.b.AcceptRaw
				}
				c := accept()
				test.answer(k, c)
				k.found(1, test.reason)
				c.Close()
				k.p.WaitReleased(k.t, c)
			})
		}
	}
}

// TestChecksOfBackendsThatDoNotGreet: a backend that is to speak TLS and does not, or shows another's certificate.
func TestChecksOfBackendsThatDoNotGreet(t *testing.T) {
	way := proxytest.Way{Backend: proxytest.TLS13}
	for _, test := range []checkCase{
		{name: "silence", answer: func(k *checked, _ *proxytest.Conn) { k.p.Server().ExpireChecks() }, reason: "timeout"},
		{name: "garbage", answer: func(_ *checked, c *proxytest.Conn) { c.Send("220 mail.example.com ESMTP\r\n") }, reason: `tls: not TLS: "220 mail.example.com ESMTP\r\n"`},
		{name: "a FIN", answer: func(_ *checked, c *proxytest.Conn) { c.CloseWrite() }, reason: "tls: truncated"},
		{name: "a reset", answer: func(_ *checked, c *proxytest.Conn) { c.Reset() }, reason: "tls-handshake"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k := startChecked(proxytest.Over(t, way), seldom(nil), nil)
			k.p.Server().BeginChecks()
			c := k.b.AcceptRaw()
			c.ReadExactly(1) // of its hello
			test.answer(k, c)
			k.found(1, test.reason)
			c.Close()
			k.p.WaitReleased(k.t, c)
		})
	}
	t.Run("the certificate of another", func(t *testing.T) {
		t.Parallel()
		k := startChecked(proxytest.Over(t, way), seldom(nil), func(c *proxy.Config) {
			c.Groups[0].Backends[0].TLS.ServerName = "other.example"
		})
		k.p.Server().BeginChecks()
		k.b.Accept()
		k.found(1, "tls: alert sent: bad certificate: failed to verify certificate: x509: certificate is valid for example.com, not other.example")
		if head, _ := ask(t, k.p, ""); !strings.HasPrefix(head, "HTTP/1.1 503 ") {
			t.Errorf("a request gets %q", head)
		}
	})
}

// TestChecksOfBackendsThatCannotBeReached: refused at once, or never answered.
func TestChecksOfBackendsThatCannotBeReached(t *testing.T) {
	t.Parallel()
	for _, kind := range []health.Kind{health.HTTP, health.TCP, health.WebSocket} {
		settings := seldom(func(s *health.Settings) { s.Kind = kind })
		p := proxytest.Start(t, proxytest.Options{Config: func(c *proxy.Config) {
			c.Groups[0].Backends = []proxy.BackendConfig{
				{Name: "refuses", Address: proxytest.Refuses(t), Weight: 1}, {Name: "silent", Address: proxytest.NeverAnswers(t), Weight: 1},
				{Name: "no-socket", Path: t.TempDir() + "/nobody", Weight: 1},
			}
			c.Groups[0].Check = settings
		}})
		p.Server().BeginChecks()
		waitChecks(t, p, 2)
		p.Server().ExpireChecks()
		waitChecks(t, p, 3)
		for name, reason := range map[string]string{"refuses": "refused", "silent": "timeout", "no-socket": "no-socket"} {
			if got := standing(p, name); got.Status != "down" || got.Reason != reason {
				t.Errorf("%s: it is %s, %q; want down, %q", kind, got.Status, got.Reason, reason)
			}
		}
	}
}

// TestAnotherPortIsChecked, and named as the host.
func TestAnotherPortIsChecked(t *testing.T) {
	t.Parallel()
	other := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Config: func(c *proxy.Config) {
		c.Groups[0].Backends = []proxy.BackendConfig{{Name: "b0", Address: proxytest.Refuses(t), Weight: 1}}
		c.Groups[0].Check = seldom(func(s *health.Settings) { s.Port = other.Address().Port() })
	}})
	k := &checked{t: proxytest.Over(t, proxytest.Way{}), p: p, b: other}
	p.Server().BeginChecks()
	asked("HEAD / HTTP/1.1", "Host: "+other.Address().String())(k, other.Accept())
	k.found(1, "")
}

// TestChecksBeginByThemselves, the first at some time within an interval.
func TestChecksBeginByThemselves(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	k := startChecked(proxytest.Over(t, proxytest.Way{}), seldom(func(s *health.Settings) { s.Interval = health.MinInterval }), nil)
	for range 2 {
		says(statusOK)(k, k.b.Accept())
	}
	if took := time.Since(begin); took < time.Duration(health.MinInterval)*9/10 {
		t.Errorf("two checks have come within %v", took)
	}
	k.p.WaitMetric(t, 2, "culvert_health_checks_total", "result=good")
}
