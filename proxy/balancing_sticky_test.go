package proxy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/health"
	"culvert/proxy/proxytest"
	"culvert/proxy/route"
	"culvert/proxy/sticky"
)

// Clients that come back to their backend by a cookie of ours.

// setCookies returns the values of all Set-Cookie lines of a head.
func setCookies(head string) (values []string) {
	for line := range strings.SplitSeq(head, "\r\n") {
		if name, value, ok := strings.Cut(line, ": "); ok && strings.EqualFold(name, "Set-Cookie") {
			values = append(values, value)
		}
	}
	return values
}

// sentBack returns what a client sends of a Set-Cookie line: the name and the value.
func sentBack(line string) string {
	value, _, _ := strings.Cut(line, ";")
	return value
}

// jar is a client of a proxy that keeps the one cookie it is given.
type jar struct {
	t      testing.TB
	p      *proxytest.Proxy
	cookie string // as it is sent; "": none
}

// ask asks with the cookie, and returns who answers, and the line that sets another, if there is one.
func (j *jar) ask(q inquiry) (name, line string) {
	j.t.Helper()
	if j.cookie != "" {
		q.fields = append(slices.Clip(q.fields), "Cookie: "+j.cookie)
	}
	head := q.of(j.t, j.p, proxytest.ConnOptions{})
	all := setCookies(head)
	if len(all) > 1 {
		j.t.Fatalf("%d cookies are set by %q", len(all), head)
	}
	if len(all) == 1 {
		line = all[0]
		j.cookie = sentBack(line)
	}
	return who(head), line
}

// mustStay asks some times, for WebSockets too, and wants to get to the same backend each time without a new cookie.
func (j *jar) mustStay(name string) {
	j.t.Helper()
	for n := range 4 {
		if now, line := j.ask(inquiry{upgrade: n%2 == 1}); now != name || line != "" {
			j.t.Fatalf("who has a cookie of %s gets to %s, and %q is set", name, now, line)
		}
	}
}

// mustMove asks once and wants to get elsewhere, with a new cookie that holds.
func (j *jar) mustMove(from string) string {
	j.t.Helper()
	name, line := j.ask(inquiry{})
	if name == from || line == "" {
		j.t.Fatalf("who has a cookie of %s gets to %s, and %q is set", from, name, line)
	}
	j.mustStay(name)
	return name
}

func sticks(_ *proxy.Config, g *proxy.GroupConfig) { g.Sticky = &proxy.Stickiness{HTTPOnly: true} }

func TestACookieComesWithEveryAnswerButRefusals(t *testing.T) {
	t.Parallel()
	var status atomic.Value
	s := newTeller(t, "a", func(string) (string, []string) { return status.Load().(string), nil })
	p := startTellers(t, []*teller{s}, sticks)
	for line, want := range map[string]int{"HTTP/1.1 200 OK": 1, "HTTP/1.1 302 Found": 1, "HTTP/1.1 500 Broken": 1, "HTTP/1.1 404 Not Found": 0, "HTTP/1.1 401 No": 0} {
		status.Store(line)
		for _, upgrade := range []bool{false, true} {
			c := p.Dial(t)
			c.Send(inquiry{upgrade: upgrade}.head())
			head := c.ReadHead()
			c.Close()
			if all := setCookies(head); len(all) != want {
				t.Errorf("%q for an upgrade (%v) comes with the cookies %q; want %d", line, upgrade, all, want)
			}
		}
	}
}

func TestTheAttributesOfACookie(t *testing.T) {
	t.Parallel()
	cases := []struct {
		sticky proxy.Stickiness
		secure bool // the client has come by HTTPS
		name   string
		want   string
	}{
		{proxy.Stickiness{}, false, "SERVERID", "; Path=/"},
		{proxy.Stickiness{}, true, "SERVERID", "; Path=/; Secure"},
		{proxy.Stickiness{HTTPOnly: true, Lifetime: time.Hour}, false, "SERVERID", "; Max-Age=3600; Path=/; HttpOnly"},
		{proxy.Stickiness{Secure: true, SameSite: "None", Name: "own"}, false, "own", "; Path=/; Secure; SameSite=None"},
		{proxy.Stickiness{SameSite: "Lax", Domain: "example.com", Path: "/chat"}, false, "SERVERID", "; Path=/chat; Domain=example.com; SameSite=Lax"},
		{proxy.Stickiness{SameSite: "strict", HTTPOnly: true}, true, "SERVERID", "; Path=/; Secure; HttpOnly; SameSite=Strict"},
	}
	s := newTellers(t, "a")
	for _, way := range []proxytest.Way{{}, {Name: "by HTTPS", Client: proxytest.TLS13}} {
		over := proxytest.Over(t, way)
		p := startTellers(over, s, sticks)
		for _, c := range cases {
			if c.secure != (way.Client != proxytest.Plain) {
				continue
			}
			p.Reload(t, func(config *proxy.Config) { config.Groups[0].Sticky = &c.sticky })
			for _, upgrade := range []bool{false, true} {
				j := jar{t: t, p: p}
				_, line := j.ask(inquiry{upgrade: upgrade})
				name, token, _ := strings.Cut(j.cookie, "=")
				if attributes := strings.TrimPrefix(line, j.cookie); name != c.name || len(token) != sticky.TokenLength || attributes != c.want {
					t.Errorf("%+v %s: the cookie is %q", c.sticky, way.Name, line)
				}
				j.mustStay("a")
			}
		}
	}
}

// TestACookieOfATrustedProxysClientIsSecure: who has come to that by HTTPS.
func TestACookieOfATrustedProxysClientIsSecure(t *testing.T) {
	t.Parallel()
	p := startTellers(t, newTellers(t, "a"), func(c *proxy.Config, g *proxy.GroupConfig) {
		sticks(c, g)
		c.TrustedProxies = append(c.TrustedProxies, loopback)
	})
	for scheme, want := range map[string]bool{"https": true, "http": false} {
		_, line := (&jar{t: t, p: p}).ask(inquiry{fields: []string{"X-Forwarded-Proto: " + scheme}})
		if strings.Contains(line, "; Secure") != want {
			t.Errorf("who has come by %s gets %q", scheme, line)
		}
	}
}

func TestWhatIsNoCookieOfOursIsIgnored(t *testing.T) {
	t.Parallel()
	tellers := newTellers(t, "a", "b", "c")
	p := startTellers(t, tellers, func(c *proxy.Config, g *proxy.GroupConfig) {
		sticks(c, g)
		other := *g
		other.Name = "other"
		c.Groups = append(c.Groups, other)
		c.Listeners[0].Rules = []proxy.RuleConfig{{Match: route.Match{Path: "/other"}, Group: "other"}}
	})
	stranger := startTellers(t, tellers, sticks) // with a key of its own
	mine := jar{t: t, p: p}
	name, _ := mine.ask(inquiry{})
	good := mine.cookie
	theirs, others := jar{t: t, p: stranger}, jar{t: t, p: p}
	_, _ = theirs.ask(inquiry{})
	_, _ = others.ask(inquiry{path: "/other"})
	changed := []byte(good)
	changed[len(changed)-20] ^= 1
	for what, cookie := range map[string]string{
		"forged": string(changed), "cut": good[:len(good)-1], "longer": good + "A", "empty": "SERVERID=", "of another key": theirs.cookie,
		"of another group": others.cookie, "of another name": strings.Replace(good, "SERVERID", "serverid", 1), "of letters": "SERVERID=" + strings.Repeat("A", sticky.TokenLength),
	} {
		served := map[string]bool{}
		for range 6 {
			j := jar{t: t, p: p, cookie: cookie}
			now, line := j.ask(inquiry{})
			if line == "" {
				t.Fatalf("a cookie that is %s is taken for good", what)
			}
			served[now] = true
			j.mustStay(now)
		}
		if len(served) != 3 {
			t.Errorf("who have cookies that are %s get to %v", what, served)
		}
	}
	mine.mustStay(name)
	for _, lines := range [][]string{
		{"Cookie: a=b", "Cookie: " + good}, {"Cookie: a=b; " + good + "; c=d"}, {"Cookie: " + string(changed) + "; " + good},
		{"Cookie: SERVERID=x", "cookie: " + theirs.cookie, "COOKIE:" + good}, {`Cookie: SERVERID="` + strings.TrimPrefix(good, "SERVERID=") + `"`},
	} {
		if head := (inquiry{fields: lines}).of(t, p, proxytest.ConnOptions{}); who(head) != name || len(setCookies(head)) != 0 {
			t.Errorf("%q: it gets to %s with the cookies %q; want %s and none", lines, who(head), setCookies(head), name)
		}
	}
}

// TestACookieMovesOnWithoutItsBackend: one that is drained, down by its weight, full, removed.
func TestACookieMovesOnWithoutItsBackend(t *testing.T) {
	t.Parallel()
	p := startTellers(t, newTellers(t, "a", "b", "c"), sticks)
	j := jar{t: t, p: p}
	name, _ := j.ask(inquiry{})
	server := p.Server()
	for _, end := range []func(name string) (undo func()){
		func(name string) func() {
			_ = server.DrainBackend(proxy.DefaultGroup, name, 0)
			return func() { _ = server.UndrainBackend(proxy.DefaultGroup, name) }
		},
		func(name string) func() {
			_ = server.WeighBackend(proxy.DefaultGroup, name, 0)
			return func() { _ = server.WeighBackend(proxy.DefaultGroup, name, -1) }
		},
		func(name string) func() {
			p.WaitMetric(t, 0, "culvert_tunnels_active")
			full := p.Dial(t)
			inquiry{upgrade: true, fields: []string{"Cookie: " + j.cookie}}.on(t, full, 101)
			bound := func(most int) {
				p.Reload(t, func(c *proxy.Config) {
					for i := range c.Groups[0].Backends {
						if c.Groups[0].Backends[i].Name == name {
							c.Groups[0].Backends[i].MaxConnections = most
						}
					}
				})
			}
			bound(1)
			return func() { bound(0); full.Close() }
		},
		func(name string) func() {
			var all []proxy.BackendConfig
			p.Reload(t, func(c *proxy.Config) {
				all = slices.Clone(c.Groups[0].Backends)
				c.Groups[0].Backends = slices.DeleteFunc(c.Groups[0].Backends, func(b proxy.BackendConfig) bool { return b.Name == name })
			})
			return func() { p.Reload(t, func(c *proxy.Config) { c.Groups[0].Backends = all }) }
		},
	} {
		before := j.cookie
		undo := end(name)
		next := j.mustMove(name)
		undo()
		j.mustStay(next) // the new cookie counts, not who was first
		again := jar{t: t, p: p, cookie: before}
		again.mustStay(name)
		name = next
	}
}

// TestACookieIsRenewed: in its second half it is set anew, for the same backend.
func TestACookieIsRenewed(t *testing.T) {
	t.Parallel()
	p := startTellers(t, newTellers(t, "a", "b", "c"), func(_ *proxy.Config, g *proxy.GroupConfig) { g.Sticky = &proxy.Stickiness{Lifetime: time.Second} })
	j := jar{t: t, p: p}
	name, _ := j.ask(inquiry{})
	proxytest.Eventually(t, "the cookie is renewed", func() bool {
		now, line := j.ask(inquiry{})
		return now == name && line != ""
	})
}

// TestKeysAreSharedAndRotated: two proxies honour each other's cookies by a file of keys, whose first key makes them.
func TestKeysAreSharedAndRotated(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keys")
	keys := []string{strings.Repeat("01", 32), strings.Repeat("23", 32)}
	write := func(keys ...string) { replace(t, file, strings.Join(keys, "\n")+"\n") }
	write(keys[0])
	tellers := newTellers(t, "a", "b", "c")
	shared := func(_ *proxy.Config, g *proxy.GroupConfig) { g.Sticky = &proxy.Stickiness{KeyFile: file} }
	one, two := startTellers(t, tellers, shared), startTellers(t, tellers, shared)
	reload := func(keys ...string) {
		write(keys...)
		for _, p := range []*proxytest.Proxy{one, two} {
			p.Reload(t, func(*proxy.Config) {})
		}
	}
	j := jar{t: t, p: one}
	name, _ := j.ask(inquiry{})
	old := j.cookie
	stays := func(cookie string) {
		t.Helper()
		for _, p := range []*proxytest.Proxy{one, two} {
			(&jar{t: t, p: p, cookie: cookie}).mustStay(name)
		}
	}
	stays(old)
	reload(keys[0], keys[1]) // known everywhere
	stays(old)
	reload(keys[1], keys[0]) // used everywhere
	stays(old)
	j = jar{t: t, p: two}
	for now := ""; now != name; {
		j.cookie = ""
		now, _ = j.ask(inquiry{})
	}
	reload(keys[1]) // the old one is gone
	stays(j.cookie)
	if _, line := (&jar{t: t, p: one, cookie: old}).ask(inquiry{}); line == "" {
		t.Error("a cookie of a key that is gone is honoured")
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := one.TryReload(func(*proxy.Config) {}); err == nil || !strings.Contains(err.Error(), "keys") {
		t.Errorf("a file of keys that everybody may read is taken: %v", err)
	}
	(&jar{t: t, p: one, cookie: j.cookie}).mustStay(name)
}

// TestARuleSticksByItself: its group does not, or by another cookie.
func TestARuleSticksByItself(t *testing.T) {
	t.Parallel()
	p := startTellers(t, newTellers(t, "a", "b"), func(c *proxy.Config, g *proxy.GroupConfig) {
		c.Listeners[0].Rules = []proxy.RuleConfig{
			{Match: route.Match{Path: "/room"}, Group: g.Name, Sticky: &proxy.Stickiness{Name: "room"}},
			{Match: route.Match{Path: "/hall"}, Group: g.Name, Sticky: &proxy.Stickiness{Name: "hall", Path: "/hall"}},
		}
	})
	room, hall := jar{t: t, p: p}, jar{t: t, p: p}
	inRoom, _ := room.ask(inquiry{path: "/room"})
	inHall, _ := hall.ask(inquiry{path: "/hall"})
	if !strings.HasPrefix(room.cookie, "room=") || !strings.HasPrefix(hall.cookie, "hall=") || inRoom == inHall {
		t.Errorf("the cookies are %q of %s and %q of %s", room.cookie, inRoom, hall.cookie, inHall)
	}
	both := "Cookie: " + hall.cookie + "; " + room.cookie
	for range 3 {
		for path, want := range map[string]string{"/room": inRoom, "/hall": inHall} {
			head := inquiry{path: path, fields: []string{both}}.of(t, p, proxytest.ConnOptions{})
			if who(head) != want || len(setCookies(head)) != 0 {
				t.Errorf("%s gets to %s with %q; want %s", path, who(head), setCookies(head), want)
			}
		}
	}
	counts := map[string]int{}
	for range 6 {
		head := inquiry{fields: []string{both}}.of(t, p, proxytest.ConnOptions{})
		counts[who(head)]++
		if len(setCookies(head)) != 0 {
			t.Errorf("without stickiness the answer sets %q", setCookies(head))
		}
	}
	if fmt.Sprint(counts) != "map[a:3 b:3]" {
		t.Errorf("without stickiness the requests get to %v", counts)
	}
}

// TestACookieOfABackendThatRefusesMovesOn: with the dial that fails, and once the backend is ejected for it.
func TestACookieOfABackendThatRefusesMovesOn(t *testing.T) {
	t.Parallel()
	tellers := newTellers(t, "a", "b", "c")
	p := startTellers(t, tellers, func(c *proxy.Config, g *proxy.GroupConfig) {
		sticks(c, g)
		c.BackendIdle = -1
		g.RetryShare = 100
		outliers := health.DefaultOutlierSettings()
		outliers.Failures = 2
		g.Outliers = &outliers
	})
	j := jar{t: t, p: p}
	name, _ := j.ask(inquiry{})
	cookie := j.cookie
	for _, s := range tellers {
		if s.name == name {
			s.StopListening()
		}
	}
	for range 2 {
		(&jar{t: t, p: p, cookie: cookie}).mustMove(name)
	}
	p.WaitStatus(t, name, "ejected")
	before := p.Metric(t, "culvert_dials_total")
	head := inquiry{fields: []string{"Cookie: " + cookie}}.of(t, p, proxytest.ConnOptions{})
	if dials := p.Metric(t, "culvert_dials_total") - before; who(head) == name || len(setCookies(head)) != 1 || dials != 1 {
		t.Errorf("who has a cookie of an ejected backend gets to %s by %v dials, with %q", who(head), dials, setCookies(head))
	}
}
