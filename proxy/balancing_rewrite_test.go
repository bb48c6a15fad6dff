package proxy_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"culvert/proxy"
	"culvert/proxy/proxytest"
	"culvert/proxy/sticky"
)

// Clients that come back to their backend by that backend's own cookie.

// startMarking starts a proxy that marks the cookie "session" of three tellers, which answer with the lines of fields.
func startMarking(t testing.TB) (p *proxytest.Proxy, tellers []*teller, fields *atomic.Value) {
	t.Helper()
	fields = new(atomic.Value)
	fields.Store([]string{"Set-Cookie: session=s1; Path=/; HttpOnly"})
	more := func(string) (string, []string) { return "HTTP/1.1 200 OK", fields.Load().([]string) }
	for _, name := range []string{"a", "b", "c"} {
		tellers = append(tellers, newTeller(t, name, more))
	}
	return startTellers(t, tellers, func(_ *proxy.Config, g *proxy.GroupConfig) {
		g.Sticky = &proxy.Stickiness{Rewrite: true, Name: "session"}
	}), tellers, fields
}

// seen returns the Cookie lines of the last request that a teller of this name got.
func seen(tellers []*teller, name string) (lines []string) {
	for _, s := range tellers {
		if s.name != name {
			continue
		}
		for line := range strings.SplitSeq(s.last(), "\r\n") {
			if field, value, ok := strings.Cut(line, ": "); ok && strings.EqualFold(field, "Cookie") {
				lines = append(lines, value)
			}
		}
	}
	return lines
}

func TestABackendsCookieIsMarkedAndBringsBack(t *testing.T) {
	t.Parallel()
	p, tellers, fields := startMarking(t)
	fields.Store([]string{
		"Set-Cookie: other=1; Path=/", "set-cookie: session=\"two words\"; Path=/app; SameSite=Lax; session=3", "SET-COOKIE:session=again", "Set-Cookie: sessions=4",
	})
	for _, upgrade := range []bool{false, true} {
		head := inquiry{upgrade: upgrade}.of(t, p, proxytest.ConnOptions{})
		all := setCookies(head)
		if len(all) != 4 || all[0] != "other=1; Path=/" || all[3] != "sessions=4" {
			t.Fatalf("upgrade %v: the answer sets %q", upgrade, all)
		}
		tag := all[1][len(`session="`):][:sticky.TokenLength]
		if all[1] != `session="`+tag+`~two words"; Path=/app; SameSite=Lax; session=3` || !strings.HasSuffix(all[2], "~again") {
			t.Fatalf("upgrade %v: the answer sets %q", upgrade, all)
		}
		cookie := `session="` + tag + `~two words"`
		for _, lines := range [][]string{
			{"Cookie: " + cookie}, {"Cookie: a=b; " + cookie + "; c=d"}, {"Cookie: a=b", "cookie: " + cookie, "Cookie: c=d"}, {"Cookie: session=theirs; " + cookie},
		} {
			for _, again := range []bool{false, true} {
				back := inquiry{upgrade: again, fields: lines}.of(t, p, proxytest.ConnOptions{})
				if who(back) != who(head) {
					t.Errorf("with %q who had %s gets to %s", lines, who(head), who(back))
				}
				for i, line := range seen(tellers, who(back)) {
					_, sent, _ := strings.Cut(lines[i], ": ")
					if want := strings.Replace(sent, tag+"~", "", 1); line != want {
						t.Errorf("of %q the backend sees %q; want %q", lines[i], line, want)
					}
				}
				if n := len(seen(tellers, who(back))); n != len(lines) {
					t.Errorf("of %q the backend sees %d lines", lines, n)
				}
			}
		}
	}
}

// TestABackendRemovesItsCookie: by an empty value it stays as it is; a value that is to be forgotten at once may be marked.
func TestABackendRemovesItsCookie(t *testing.T) {
	t.Parallel()
	p, _, fields := startMarking(t)
	fields.Store([]string{"Set-Cookie: session=; Max-Age=0; Path=/", "Set-Cookie: session=gone; Max-Age=0; Path=/"})
	all := setCookies(inquiry{}.of(t, p, proxytest.ConnOptions{}))
	if len(all) != 2 || all[0] != "session=; Max-Age=0; Path=/" || !strings.HasSuffix(all[1], "gone; Max-Age=0; Path=/") {
		t.Errorf("the answer sets %q", all)
	}
	fields.Store([]string(nil))
	if all := setCookies(inquiry{}.of(t, p, proxytest.ConnOptions{})); len(all) != 0 {
		t.Errorf("the backend sets no cookie, and the client is given %q", all)
	}
}

// TestAMarkedCookieMovesOn: its backend is drained; the next one gets the value without the mark, and marks its own.
func TestAMarkedCookieMovesOn(t *testing.T) {
	t.Parallel()
	p, tellers, fields := startMarking(t)
	head := inquiry{}.of(t, p, proxytest.ConnOptions{})
	cookie := sentBack(setCookies(head)[0])
	if err := p.Server().DrainBackend(proxy.DefaultGroup, who(head), 0); err != nil {
		t.Fatal(err)
	}
	fields.Store([]string{"Set-Cookie: session=s2"})
	next := inquiry{fields: []string{"Cookie: " + cookie}}.of(t, p, proxytest.ConnOptions{})
	if who(next) == who(head) {
		t.Fatalf("%s is drained, and gets a request", who(head))
	}
	if lines := seen(tellers, who(next)); len(lines) != 1 || lines[0] != "session=s1" {
		t.Errorf("the next backend sees %q", lines)
	}
	moved := sentBack(setCookies(next)[0])
	for range 4 {
		if again := (inquiry{fields: []string{"Cookie: " + moved}}).of(t, p, proxytest.ConnOptions{}); who(again) != who(next) {
			t.Errorf("who has moved to %s gets to %s", who(next), who(again))
		}
	}
	stranger := strings.Replace(cookie, "~", "x~", 1) // a mark that is none
	last := inquiry{fields: []string{"Cookie: " + stranger}}.of(t, p, proxytest.ConnOptions{})
	if lines := seen(tellers, who(last)); len(lines) != 1 || lines[0] != stranger {
		t.Errorf("of %q the backend sees %q", stranger, lines)
	}
}

// TestARefusalOfABackendIsNotMarked: an answer of class 4xx may be for anybody.
func TestARefusalOfABackendIsNotMarked(t *testing.T) {
	t.Parallel()
	s := newTeller(t, "a", func(string) (string, []string) {
		return "HTTP/1.1 403 Forbidden", []string{"Set-Cookie: session=s1"}
	})
	p := startTellers(t, []*teller{s}, func(_ *proxy.Config, g *proxy.GroupConfig) {
		g.Sticky = &proxy.Stickiness{Rewrite: true, Name: "session"}
	})
	for _, upgrade := range []bool{false, true} {
		if all := setCookies(inquiry{upgrade: upgrade}.try(t, p)); len(all) != 1 || all[0] != "session=s1" {
			t.Errorf("upgrade %v: the answer sets %q", upgrade, all)
		}
	}
}
