package proxy_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/access"
	"culvert/proxy/proxytest"
	"culvert/proxy/route"
)

// What a rule does to the requests that it is for, on real sockets. Which rule that is, package route tests.

// ruleCase is one request to a listener with one rule, "rule", in front of the default group.
type ruleCase struct {
	name    string
	rule    proxy.RuleConfig
	request string // ¶ is CRLF
	answer  string // the backend's; empty: it must not be asked
	sent    []string
	unsent  []string
	got     []string // what the client is answered, beginning with its status line
	ungot   []string
	log     string
	trusted bool // the client is a trusted proxy
}

const (
	ruleGet   = "GET /a/b?c=d HTTP/1.1¶Host: app.example.com:8080¶X-Old: 1¶X-Old: 2¶¶"
	ruleOK    = "HTTP/1.1 200 OK¶Content-Length: 2¶Server: secret¶X-Kept: yes¶¶ok"
	ruleWS    = "GET /chat HTTP/1.1¶Host: app.example.com¶Connection: Upgrade¶Upgrade: websocket¶Sec-WebSocket-Version: 13¶Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==¶"
	ruleWSOK  = "HTTP/1.1 101 Switching Protocols¶Connection: Upgrade¶Upgrade: websocket¶Server: secret¶Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=¶¶"
	ruleOKLog = "request 200 complete backend"
)

func toGroup(change func(*proxy.RuleConfig)) proxy.RuleConfig {
	r := proxy.RuleConfig{Name: "rule", Group: proxy.DefaultGroup}
	change(&r)
	return r
}

func set(name, value string) proxy.HeaderEdit {
	return proxy.HeaderEdit{Op: proxy.HeaderSet, Name: name, Value: value}
}

func path(text string) *string { return &text }

var loopback = netip.MustParsePrefix("127.0.0.0/8")

var ruleCases = []ruleCase{
	{
		name: "headers of the request are set, added and removed",
		rule: toGroup(func(r *proxy.RuleConfig) {
			r.RequestHeaders = []proxy.HeaderEdit{
				set("X-Old", "{client} {port} {{}}"), {Op: proxy.HeaderAdd, Name: "X-New", Value: "{host-name}|{uri}|{path}|{query}|{method}|{scheme}|{host}"},
				{Op: proxy.HeaderRemove, Name: "user-agent"},
			}
		}),
		request: "GET /a/b?c=d HTTP/1.1¶Host: app.example.com:8080¶X-OLD: 1¶User-Agent: me¶x-old: 2¶¶", answer: ruleOK,
		sent:   []string{"\r\nX-Old: 127.0.0.1 {listener} {}\r\n", "\r\nX-New: app.example.com|/a/b?c=d|/a/b|c=d|GET|{proto}|app.example.com:8080\r\n"},
		unsent: []string{"X-OLD", "x-old", "User-Agent"},
		got:    []string{"HTTP/1.1 200 OK"}, log: ruleOKLog,
	},
	{
		name: "a header of the request goes however its separators are spelled",
		rule: toGroup(func(r *proxy.RuleConfig) {
			r.RequestHeaders = []proxy.HeaderEdit{set("X-Auth-User", "{client}"), {Op: proxy.HeaderRemove, Name: "X-Secret"}, {Op: proxy.HeaderAdd, Name: "X-Kept", Value: "2"}}
		}),
		request: "GET / HTTP/1.1¶Host: a¶X_Auth_User: evil¶x-auth.user: evil¶X_secret: evil¶X_Kept: 1¶X-Auth-Users: me¶¶", answer: ruleOK,
		sent: []string{"\r\nX-Auth-User: 127.0.0.1\r\n", "\r\nX_Kept: 1\r\n", "\r\nX-Kept: 2\r\n", "\r\nX-Auth-Users: me\r\n"}, unsent: []string{"evil"},
		got: []string{"HTTP/1.1 200 OK"}, log: ruleOKLog,
	},
	{
		name: "headers of the answer are set, added and removed",
		rule: toGroup(func(r *proxy.RuleConfig) {
			r.AnswerHeaders = []proxy.HeaderEdit{
				{Op: proxy.HeaderRemove, Name: "Server"}, set("Strict-Transport-Security", "max-age=5"), {Op: proxy.HeaderAdd, Name: "X-Path", Value: "{path}"},
			}
		}),
		request: ruleGet, answer: ruleOK,
		got:   []string{"HTTP/1.1 200 OK", "\r\nStrict-Transport-Security: max-age=5\r\n", "\r\nX-Path: /a/b\r\n", "\r\nX-Kept: yes\r\n", "\r\n\r\nok"},
		ungot: []string{"secret"}, log: ruleOKLog,
	},
	{
		name: "the host is another", rule: toGroup(func(r *proxy.RuleConfig) { r.Host = "internal.{host-name}" }),
		request: ruleGet, answer: ruleOK, sent: []string{"\r\nHost: internal.app.example.com\r\n"}, unsent: []string{"8080\r\n"},
		got: []string{"HTTP/1.1 200 OK"}, log: ruleOKLog,
	},
	{
		name: "the host is another where there was none", rule: toGroup(func(r *proxy.RuleConfig) { r.Host = "internal" }),
		request: "GET / HTTP/1.0¶¶", answer: ruleOK, sent: []string{"\r\nHost: internal\r\n"}, got: []string{"HTTP/1.1 200 OK"}, log: ruleOKLog,
	},
	{
		name:    "the prefix of the path is another",
		rule:    toGroup(func(r *proxy.RuleConfig) { r.Match.Path, r.Rewrite = "/a", path("/v2/x") }),
		request: ruleGet, answer: ruleOK, sent: []string{"GET /v2/x/b?c=d HTTP/1.1\r\n"}, got: []string{"HTTP/1.1 200 OK"}, log: ruleOKLog,
	},
	{
		name:    "the prefix of the path is stripped",
		rule:    toGroup(func(r *proxy.RuleConfig) { r.Match.Path, r.Rewrite = "/a", path("") }),
		request: ruleGet, answer: ruleOK, sent: []string{"GET /b?c=d HTTP/1.1\r\n"}, got: []string{"HTTP/1.1 200 OK"}, log: ruleOKLog,
	},
	{
		name:    "nothing is left behind the prefix",
		rule:    toGroup(func(r *proxy.RuleConfig) { r.Match.Path, r.Rewrite = "/a/b", path("") }),
		request: ruleGet, answer: ruleOK, sent: []string{"GET /?c=d HTTP/1.1\r\n"}, got: []string{"HTTP/1.1 200 OK"}, log: ruleOKLog,
	},
	{
		name:    "another spelling of the prefix is rewritten as it was compared",
		rule:    toGroup(func(r *proxy.RuleConfig) { r.Match.Path, r.Rewrite = "/a", path("/v2") }),
		request: "GET //x/../%61/b%2Fc%20d%25%3f/./e HTTP/1.1¶Host: a¶¶", answer: ruleOK, sent: []string{"GET /v2/b%2Fc%20d%25%3F/e HTTP/1.1\r\n"},
		got: []string{"HTTP/1.1 200 OK"}, log: ruleOKLog,
	},
	{
		name:    "a redirect",
		rule:    proxy.RuleConfig{Redirect: &proxy.RedirectConfig{Status: 308, Location: "https://{host-name}{uri}"}, AnswerHeaders: []proxy.HeaderEdit{set("X-A", "b")}},
		request: ruleGet, got: []string{"HTTP/1.1 308 Permanent Redirect\r\nLocation: https://app.example.com/a/b?c=d\r\n", "\r\nX-A: b\r\n", "Content-Length: 0\r\n"},
		log: "request 308 fixed-answer proxy",
	},
	{
		name:    "a redirect to a host that the request does not name",
		rule:    proxy.RuleConfig{Redirect: &proxy.RedirectConfig{Status: 302, Location: "https://{host-name}{uri}"}},
		request: "GET / HTTP/1.0¶¶", got: []string{"HTTP/1.1 400 Bad Request\r\n"}, ungot: []string{"Location"}, log: "request 400 bad-request client no-host",
	},
	{
		name:    "the same, with its port",
		rule:    proxy.RuleConfig{Redirect: &proxy.RedirectConfig{Status: 302, Location: "https://{host}/"}},
		request: "GET / HTTP/1.0¶¶", got: []string{"HTTP/1.1 400 Bad Request\r\n"}, ungot: []string{"Location"}, log: "request 400 bad-request client no-host",
	},
	{
		name:    "a redirect within the host that the request does not name",
		rule:    proxy.RuleConfig{Redirect: &proxy.RedirectConfig{Status: 302, Location: "/x{uri}"}},
		request: "GET / HTTP/1.0¶¶", got: []string{"HTTP/1.1 302 Found\r\nLocation: /x/\r\n"}, log: "request 302 fixed-answer proxy",
	},
	{
		name:    "a path that would lead a redirect to another host",
		rule:    proxy.RuleConfig{Redirect: &proxy.RedirectConfig{Status: 302, Location: "{path}/"}},
		request: "GET //evil.example/%2e%2e HTTP/1.1¶Host: a¶¶", got: []string{"HTTP/1.1 302 Found\r\nLocation: /evil.example/%2e%2e/\r\n"},
		log: "request 302 fixed-answer proxy",
	},
	{
		name:    "the same with a backslash, behind a slash of the rule's",
		rule:    proxy.RuleConfig{Redirect: &proxy.RedirectConfig{Status: 302, Location: "/{uri}"}},
		request: "GET /\\evil.example HTTP/1.1¶Host: a¶¶", got: []string{"HTTP/1.1 302 Found\r\nLocation: /evil.example\r\n"},
		log: "request 302 fixed-answer proxy",
	},
	{
		name:    "a redirect to another host that is meant",
		rule:    proxy.RuleConfig{Redirect: &proxy.RedirectConfig{Status: 302, Location: "//b.example{uri}"}},
		request: ruleGet, got: []string{"HTTP/1.1 302 Found\r\nLocation: //b.example/a/b?c=d\r\n"}, log: "request 302 fixed-answer proxy",
	},
	{
		name: "a fixed answer",
		rule: proxy.RuleConfig{Answer: &proxy.AnswerConfig{
			Status: 200, Body: proxy.Body{ContentType: "text/html", Bytes: []byte("<h1>soon</h1>")}, Headers: []proxy.HeaderEdit{set("Retry-After", "5")},
		}},
		request: ruleGet, got: []string{"HTTP/1.1 200 OK\r\n", "\r\nContent-Type: text/html\r\n", "\r\nContent-Length: 13\r\n", "\r\nRetry-After: 5\r\n", "\r\n\r\n<h1>soon</h1>"},
		log: "request 200 fixed-answer proxy",
	},
	{
		name:    "a fixed answer to HEAD",
		rule:    proxy.RuleConfig{Answer: &proxy.AnswerConfig{Status: 200, Body: proxy.Body{Bytes: []byte("body")}}},
		request: "HEAD / HTTP/1.1¶Host: a¶¶", got: []string{"HTTP/1.1 200 OK\r\n", "\r\nContent-Length: 4\r\n"}, ungot: []string{"body"},
		log: "request 200 fixed-answer proxy",
	},
	{
		name: "an own body of a refusal",
		rule: toGroup(func(r *proxy.RuleConfig) {
			r.Access = access.Lists{Black: []netip.Prefix{loopback}}
			r.ErrorBodies = map[int]proxy.Body{403: {ContentType: "application/json", Bytes: []byte(`{"no":1}`)}}
		}),
		request: ruleGet, got: []string{"HTTP/1.1 403 Forbidden\r\n", "\r\nContent-Type: application/json\r\n", "\r\nConnection: close\r\n", "\r\n\r\n{\"no\":1}"},
		log: "request 403 access-denied client rule",
	},
	{
		name:    "an empty white list lets nobody in",
		rule:    toGroup(func(r *proxy.RuleConfig) { r.Access = access.Lists{HasWhite: true} }),
		request: ruleGet, got: []string{"HTTP/1.1 403 Forbidden\r\n"}, log: "request 403 access-denied client rule",
	},
	{
		name:    "no rule is for the request",
		rule:    proxy.RuleConfig{Match: route.Match{Host: "app.example.com", Path: "/other"}, Group: proxy.DefaultGroup},
		request: ruleGet, got: []string{"HTTP/1.1 404 Not Found\r\n"}, log: "request 404 no-rule proxy",
	},
	{
		name:    "an origin that is allowed",
		rule:    toGroup(func(r *proxy.RuleConfig) { r.AllowedOrigins = []string{"https://*.example.com"} }),
		request: ruleWS + "Origin: https://app.example.com¶¶", answer: ruleWSOK, got: []string{"HTTP/1.1 101 Switching Protocols\r\n"}, log: "",
	},
	{
		name:    "an origin that is not allowed",
		rule:    toGroup(func(r *proxy.RuleConfig) { r.AllowedOrigins = []string{"https://*.example.com", "same-host"} }),
		request: ruleWS + "Origin: https://evil.example¶¶", got: []string{"HTTP/1.1 403 Forbidden\r\n"}, log: "request 403 origin-denied client rule",
	},
	{
		name: "the same host, over TLS to a trusted proxy in front",
		rule: toGroup(func(r *proxy.RuleConfig) {
			r.AllowedOrigins, r.AnswerHeaders = []string{"same-host"}, []proxy.HeaderEdit{set("X-Scheme", "{scheme}")}
		}),
		request: ruleWS + "Origin: https://app.example.com¶X-Forwarded-Proto: https¶¶", answer: ruleWSOK, trusted: true,
		got: []string{"HTTP/1.1 101 Switching Protocols\r\n", "\r\nX-Scheme: https\r\n"}, log: "",
	},
	{
		name:    "the same host, over TLS as anybody may say",
		rule:    toGroup(func(r *proxy.RuleConfig) { r.AllowedOrigins = []string{"same-host"} }),
		request: ruleWS + "Origin: https://app.example.com¶X-Forwarded-Proto: https¶¶",
		got:     []string{"HTTP/1.1 403 Forbidden\r\n"}, log: "request 403 origin-denied client rule",
	},
	{
		name:    "no origin where one is asked for",
		rule:    toGroup(func(r *proxy.RuleConfig) { r.AllowedOrigins = []string{"same-host"} }),
		request: ruleWS + "¶", got: []string{"HTTP/1.1 403 Forbidden\r\n"}, log: "request 403 origin-denied client rule",
	},
	{
		name:    "two origins",
		rule:    toGroup(func(r *proxy.RuleConfig) { r.AllowedOrigins = []string{"same-host", "none"} }),
		request: ruleWS + "Origin: http://app.example.com¶Origin: http://app.example.com¶¶", got: []string{"HTTP/1.1 403 Forbidden\r\n"},
		log: "request 403 origin-denied client rule",
	},
	{
		name:    "no origin where that is allowed",
		rule:    toGroup(func(r *proxy.RuleConfig) { r.AllowedOrigins = []string{"none"} }),
		request: ruleWS + "¶", answer: ruleWSOK, got: []string{"HTTP/1.1 101 Switching Protocols\r\n"}, log: "",
	},
	{
		name:    "origins do not matter to ordinary requests",
		rule:    toGroup(func(r *proxy.RuleConfig) { r.AllowedOrigins = []string{"same-host"} }),
		request: "GET / HTTP/1.1¶Host: a¶Origin: https://evil.example¶¶", answer: ruleOK, got: []string{"HTTP/1.1 200 OK"}, log: ruleOKLog,
	},
	{
		name: "headers of a 101",
		rule: toGroup(func(r *proxy.RuleConfig) {
			r.AnswerHeaders = []proxy.HeaderEdit{{Op: proxy.HeaderRemove, Name: "Server"}, set("X-A", "{path}")}
		}),
		request: ruleWS + "¶", answer: ruleWSOK, got: []string{"HTTP/1.1 101 Switching Protocols\r\n", "\r\nX-A: /chat\r\n", "\r\nSec-WebSocket-Accept: "},
		ungot: []string{"secret"}, log: "",
	},
	{
		name:    "a body over the rule's limit",
		rule:    toGroup(func(r *proxy.RuleConfig) { r.Policy = &proxy.Policy{Timeouts: proxy.DefaultTimeouts(), MaxBody: 10} }),
		request: "POST / HTTP/1.1¶Host: a¶Content-Length: 11¶¶", got: []string{"HTTP/1.1 413 "}, log: "request 413 body-too-large client",
	},
}

func TestRules(t *testing.T) { overWays(t, rules) }

func rules(t *proxytest.T) {
	expand := strings.NewReplacer("¶", "\r\n").Replace
	for _, c := range ruleCases {
		if !goes("TestRules/"+c.name, t.Way()) {
			continue
		}
		t.Run(c.name, func(t *proxytest.T) {
			b := proxytest.NewBackend(t)
			p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(config *proxy.Config) {
				config.Listeners[0].Rules = []proxy.RuleConfig{c.rule}
				if c.trusted {
					config.TrustedProxies = []netip.Prefix{loopback}
				}
			}})
			client := p.Dial(t)
			client.Send(expand(c.request))
			if c.answer != "" {
				conn := b.Accept()
				head := conn.ReadHead()
				for _, want := range c.sent {
					want = strings.NewReplacer("{listener}", fmt.Sprint(p.Address().Port()), "{proto}", p.Scheme()).Replace(want)
					if !strings.Contains(head, want) {
						t.Errorf("the backend was sent\n%s\nwithout %q", head, want)
					}
				}
				for _, wrong := range c.unsent {
					if strings.Contains(head, wrong) {
						t.Errorf("the backend was sent\n%s\nwith %q", head, wrong)
					}
				}
				conn.Send(expand(c.answer))
				if c.log == "" { // a tunnel
					conn.CloseWrite()
				}
			}
			if c.log == "" {
				client.CloseWrite()
			}
			answer := client.ReadUntilEOF()
			if !strings.HasPrefix(answer, c.got[0]) {
				t.Errorf("answered %q, want %q", answer, c.got[0])
			}
			for _, want := range c.got {
				if !strings.Contains(answer, want) {
					t.Errorf("answered\n%s\nwithout %q", answer, want)
				}
			}
			for _, wrong := range c.ungot {
				if strings.Contains(answer, wrong) {
					t.Errorf("answered\n%s\nwith %q", answer, wrong)
				}
			}
			if c.log != "" {
				wantLog(t, p, c.log)
			}
			if c.answer == "" && len(b.Connections()) > 0 {
				t.Error("the backend was asked")
			}
		})
	}
}

// withTimeouts is a policy of the documented timeouts but those that set changes.
func withTimeouts(set func(*proxy.Timeouts)) *proxy.Policy {
	policy := &proxy.Policy{Timeouts: proxy.DefaultTimeouts()}
	set(&policy.Timeouts)
	return policy
}

// TestRulesHaveTimeoutsAndErrorBodiesOfTheirOwn: of what fails behind them, too.
func TestRulesHaveTimeoutsAndErrorBodiesOfTheirOwn(t *testing.T) {
	overWays(t, rulesHaveTimeoutsAndErrorBodiesOfTheirOwn)
}

func rulesHaveTimeoutsAndErrorBodiesOfTheirOwn(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	bodies := map[int]proxy.Body{502: {Bytes: []byte("five oh two")}, 503: {Bytes: []byte("five oh three")}, 504: {Bytes: []byte("five oh four")}}
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		c.Groups = append(c.Groups,
			proxy.GroupConfig{Name: "refuses", Backends: []proxy.BackendConfig{{Name: "r", Address: proxytest.Refuses(t), Weight: 1}}},
			proxy.GroupConfig{Name: "drained", Backends: []proxy.BackendConfig{{Name: "d", Address: b.Address()}}})
		c.Listeners[0].Rules = []proxy.RuleConfig{
			{Match: route.Match{Path: "/refused"}, Group: "refuses", ErrorBodies: bodies},
			{Match: route.Match{Path: "/drained"}, Group: "drained", ErrorBodies: bodies},
			{Match: route.Match{Path: "/slow"}, Group: proxy.DefaultGroup, ErrorBodies: bodies, Policy: withTimeouts(func(t *proxy.Timeouts) { t.Answer = 50 * time.Millisecond })},
			{Match: route.Match{Path: "/idle"}, Group: proxy.DefaultGroup, Policy: withTimeouts(func(t *proxy.Timeouts) { t.Idle = 50 * time.Millisecond })},
		}
	}})
	for path, want := range map[string]string{"/refused": "502 Bad Gateway", "/drained": "503 Service Unavailable", "/slow": "504 Gateway Timeout"} {
		client := p.Dial(t)
		client.Send("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		if path == "/slow" {
			b.Accept()
		}
		answer := client.ReadUntilEOF()
		words := map[string]string{"/refused": "two", "/drained": "three", "/slow": "four"}
		if !strings.HasPrefix(answer, "HTTP/1.1 "+want) || !strings.HasSuffix(answer, "\r\n\r\nfive oh "+words[path]) {
			t.Errorf("%s is answered %q", path, answer)
		}
	}
	client := p.Dial(t)
	client.Send(strings.ReplaceAll(strings.Replace(ruleWS, "/chat", "/idle", 1), "¶", "\r\n") + "\r\n")
	conn := b.Accept()
	conn.ReadHead()
	conn.Send(strings.ReplaceAll(ruleWSOK, "¶", "\r\n"))
	client.ReadHead()
	client.WantEOF()
	p.WaitMetric(t, 1, "culvert_tunnels_ended_total", "reason=idle-timeout")
}

func TestEveryRedirectHasItsPhrase(t *testing.T) { overWays(t, everyRedirectHasItsPhrase) }

func everyRedirectHasItsPhrase(t *proxytest.T) {
	for status, phrase := range map[int]string{301: "Moved Permanently", 302: "Found", 307: "Temporary Redirect", 308: "Permanent Redirect"} {
		b := proxytest.NewBackend(t)
		p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
			c.Listeners[0].Rules = []proxy.RuleConfig{{Redirect: &proxy.RedirectConfig{Status: status, Location: "https://{host-name}{uri}"}}}
		}})
		client := p.Dial(t)
		client.Send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
		if head := client.ReadHead(); !strings.HasPrefix(head, fmt.Sprintf("HTTP/1.1 %d %s\r\nLocation: https://a/\r\n", status, phrase)) {
			t.Errorf("answered %q", head)
		}
	}
}
