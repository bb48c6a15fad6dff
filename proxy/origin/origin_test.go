package origin

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func set(t testing.TB, patterns ...string) *Set {
	t.Helper()
	s, err := New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAllowedAndHostileOrigins(t *testing.T) {
	cases := []struct {
		pattern         string
		allowed, denied []string
	}{
		{"https://example.com",
			[]string{"https://example.com", "https://example.com:443", "HTTPS://Example.COM"},
			[]string{"http://example.com", "https://example.com:8443", "https://example.com:80", "https://example.com.evil.org", "https://evilexample.com",
				"https://example.com@evil", "https://example.com:443@evil.org", "https://evil.org/https://example.com", "https://evil.org?https://example.com",
				"https://evil.org#https://example.com", "https://example.com/", "https://example.com/path", "https://example.com?", "https://example.com#",
				"https://example.com.", "https://www.example.com", "https://example.co", "https://example.comm", "https:// example.com", "https://example.com ",
				" https://example.com", "https://example.com,https://example.com", "https://example.com, https://example.com",
				"https://example.com https://example.com", "https://example.com\x00", "https://example.com\x00.evil.org", "https://example.com\\.evil.org",
				"https://example.com%2eevil.org", "https:/example.com", "https:example.com", "https:///example.com", "//example.com", "example.com",
				"null", "", "*", "https://", "https://*", "https://*.example.com", "https://example.com:", "https://example.com:0443", "https://example.com:443:443",
				"https://example.com:x", "https://example.com:-443", "https://example.com:65979", "https://ex\u00e4mple.com", "https://exampl\u0435.com",
				"https://example\uff0ecom", "https://.example.com", "https://example..com", "wss://example.com", "xhttps://example.com", "1https://example.com"}},
		{"https://app.example.com:443", []string{"https://app.example.com", "https://app.example.com:443"}, []string{"http://app.example.com:443"}},
		{"http://example.com", []string{"http://example.com:80"}, []string{"https://example.com:80", "https://example.com", "http://example.com:443"}},
		{"https://app.example.com:8443", []string{"https://app.example.com:8443"}, []string{"https://app.example.com", "https://app.example.com:443", "http://app.example.com:8443"}},
		{"HTTPS://App.Example.COM", []string{"https://app.example.com"}, nil},
		{"https://*.example.com",
			[]string{"https://a.example.com", "https://a.b.c.example.com", "https://A.EXAMPLE.com:443", "https://xn--bcher-kva.example.com"},
			[]string{"https://example.com", "https://evilexample.com", "https://.example.com", "https://a..example.com", "https://a.example.com.evil.org",
				"https://a.example.com.", "http://a.example.com", "https://a.example.com:8443", "https://evil.org/.example.com", "https://evil.org#.example.com",
				"https://evil@a.example.com", "https://*.example.com", "https://[::1].example.com", "https://evil.org:80.example.com", "https://a.example.co"}},
		{"http://*.example.com:8080", []string{"http://a.example.com:8080"}, []string{"http://a.example.com", "https://a.example.com:8080"}},
		{"https://xn--mnchen-3ya.example", []string{"https://xn--mnchen-3ya.example"}, []string{"https://m\u00fcnchen.example"}},
		{"https://example.com.", []string{"https://example.com."}, []string{"https://example.com", "https://example.com.."}},
		{"http://192.0.2.1:3000", []string{"http://192.0.2.1:3000"}, []string{"http://192.0.2.10:3000"}},
		{"https://[2001:db8::1]", []string{"https://[2001:db8::1]", "https://[2001:DB8::1]:443"},
			[]string{"https://[2001:db8::2]", "https://[2001:db8::1", "https://2001:db8::1", "https://[2001:db8::1]443", "https://[2001:db8::1]x", "https://[::1%25eth0]", "https://[]"}},
		{"http://localhost:3000", []string{"http://localhost:3000"}, []string{"http://localhost:3001", "http://localhost", "http://localhost.:3000"}},
		{"capacitor://localhost", []string{"capacitor://localhost"}, []string{"https://localhost", "capacitor://localhost:443", "ionic://localhost"}},
		{"none", nil, []string{"null", "", "none", "https://example.com"}},
	}
	for _, c := range cases {
		t.Run(strings.ReplaceAll(c.pattern, "/", ""), func(t *testing.T) {
			s := set(t, "https://other.example", c.pattern)
			for _, o := range c.allowed {
				if !s.Allows([]byte(o), true, nil, true) {
					t.Errorf("%q is refused", o)
				}
			}
			for _, o := range c.denied {
				if s.Allows([]byte(o), true, []byte("example.com"), true) {
					t.Errorf("%q is allowed", o)
				}
			}
			if got := s.Allows(nil, false, nil, true); got != (c.pattern == "none") {
				t.Errorf("no Origin is allowed: %v", got)
			}
		})
	}
}

func TestTheSameHost(t *testing.T) {
	cases := []struct {
		origin, host string
		secure, want bool
	}{
		{"https://example.com", "example.com", true, true},
		{"https://example.com", "EXAMPLE.com:443", true, true},
		{"https://example.com:443", "example.com", true, true},
		{"https://example.com:8443", "example.com:8443", true, true},
		{"http://example.com", "example.com", false, true},
		{"http://example.com:80", "example.com:80", false, true},
		{"http://example.com:8080", "example.com:8080", false, true},
		{"https://example.com:8443", "example.com:8443", false, true}, // TLS ends in front of us
		{"https://example.com", "example.com:443", false, true},
		{"https://example.com.", "example.com.", true, true},
		{"https://[::1]:8443", "[::1]:8443", true, true},

		{"https://example.com", "example.com", false, false},
		{"http://example.com", "example.com", true, false},
		{"http://example.com:443", "example.com:443", true, false},
		{"http://example.com:443", "example.com", true, false},
		{"https://example.com", "example.com:8443", true, false},
		{"https://example.com:8443", "example.com", true, false},
		{"https://www.example.com", "example.com", true, false},
		{"https://example.com", "www.example.com", true, false},
		{"https://example.com.", "example.com", true, false},
		{"https://example.com", "", true, false},
		{"https://", "", true, false},
		{"null", "null", true, false},
		{"", "", true, false},
		{"https://example.com@evil.org", "example.com", true, false},
		{"https://example.com/", "example.com", true, false},
		{"https://evil.org", "evil.org@example.com", true, false},
		{"https://example.com", "example.com:", true, false},
		{"https://example.com", "example.com, example.com", true, false},
		{"capacitor://example.com", "example.com", true, false},
		{"wss://example.com", "example.com", true, false},
		{"https://[:::]", "[:::]", true, false},
	}
	s := set(t, "same-host")
	for _, c := range cases {
		if got := s.Allows([]byte(c.origin), true, []byte(c.host), c.secure); got != c.want {
			t.Errorf("%q for %q, over TLS %v: allowed %v, want %v", c.origin, c.host, c.secure, got, c.want)
		}
		if set(t, "https://other.example").Allows([]byte(c.origin), true, []byte(c.host), c.secure) {
			t.Errorf("%q for %q is allowed without same-host", c.origin, c.host)
		}
	}
	if s.Allows(nil, false, []byte("example.com"), true) {
		t.Error("no Origin is the same host")
	}
}

func TestNoSetAndTheEmptySet(t *testing.T) {
	var none *Set
	for _, o := range []string{"https://evil.org", "null", ""} {
		if !none.Allows([]byte(o), true, nil, true) || !none.Allows(nil, false, nil, true) {
			t.Errorf("no set refuses %q", o)
		}
		if set(t).Allows([]byte(o), true, nil, true) || set(t).Allows(nil, false, nil, true) {
			t.Errorf("the empty set allows %q", o)
		}
	}
}

func TestPatternsThatAreRefused(t *testing.T) {
	cases := []struct{ pattern, want string }{
		{"*", "to allow all"}, {"null", "sandboxed"}, {"NULL", "sandboxed"}, {"", "no scheme"}, {"example.com", "no scheme"}, {"https:/example.com", "no scheme"},
		{"wss://example.com", "http or https"}, {"ws://example.com", "http or https"}, {"https://user@example.com", "no user"},
		{"https://example.com/", "no path"}, {"https://example.com/chat", "no path"}, {"https://example.com?x", "no path"}, {"https://example.com#x", "no path"},
		{"https://*", "dot and domain"}, {"https://*.", "dot and domain"}, {"https://*example.com", "dot and domain"}, {"https://*:8443", "dot and domain"}, {"https://*.[::1]", "dot and domain"},
		{"https://*..example.com", "dot and domain"}, {"https://*.*.example.com", "labels before"}, {"https://a.*.example.com", "labels before"},
		{"https://**.example.com", "labels before"}, {"https://m\u00fcnchen.example", "punycode"},
		{"https://", "no origin"}, {"https://example.com:0", "no origin"}, {"https://example.com:65536", "no origin"}, {"https://example.com:", "no origin"},
		{"https://a b", "no origin"}, {" https://example.com", "no origin"}, {"1://a", "no origin"}, {"https://a..b", "no origin"},
		{"https://[::1", "no origin"}, {"https://[2001:db8:0:0::1]", "[2001:db8::1]"}, {"https://" + strings.Repeat("a", 256), "no origin"},
		{"none ", "no scheme"}, {"https://a.example,https://b.example", "no path"},
	}
	for _, c := range cases {
		_, err := New([]string{"same-host", c.pattern})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), fmt.Sprintf("%q", c.pattern)) ||
			!strings.Contains(err.Error(), "same-host and none") {
			t.Errorf("%q: %v, want an error with %q", c.pattern, err, c.want)
		}
	}
	if _, err := New(make([]string, MaxPatterns+1)); err == nil || !strings.Contains(err.Error(), "1001 patterns, at most 1000") {
		t.Errorf("too many patterns: %v", err)
	}
}

// FuzzAllows: what is allowed is an origin by the standard library's reading too, and of a host that was meant.
func FuzzAllows(f *testing.F) {
	for _, o := range []string{"https://example.com", "https://a.example.com:443", "https://evil.org/.example.com", "http://[::1]:80", "null", "https://x@y.example.com"} {
		f.Add([]byte(o), []byte("example.com"), true)
	}
	s := set(f, "https://example.com", "https://*.example.net", "same-host")
	f.Fuzz(func(t *testing.T, origin, host []byte, secure bool) {
		before := bytes.Clone(origin)
		if !s.Allows(origin, true, host, secure) {
			return
		}
		u, err := url.Parse(string(origin))
		if err != nil || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" || !bytes.Equal(before, origin) {
			t.Fatalf("%q is allowed: %v, %v", origin, u, err)
		}
		name := strings.ToLower(u.Hostname())
		requested := strings.ToLower(strings.Trim(string(host), "[]"))
		if name != "example.com" && !strings.HasSuffix(name, ".example.net") && !strings.HasPrefix(requested, name) {
			t.Fatalf("%q is allowed for %q", origin, host)
		}
		if secure && u.Scheme != "https" {
			t.Fatalf("%q is allowed over TLS", origin)
		}
	})
}

// FuzzPattern: a pattern that is accepted and has no star allows itself.
func FuzzPattern(f *testing.F) {
	for _, p := range []string{"https://example.com", "http://[::1]:80", "https://*.example.com", "none"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		s, err := New([]string{pattern})
		if err != nil || s.noOrigin || s.sameHost {
			return
		}
		origin := strings.Replace(pattern, "://*", "://a.b", 1)
		if !s.Allows([]byte(origin), true, nil, true) {
			t.Fatalf("%q does not allow %q", pattern, origin)
		}
		if origin != pattern && s.Allows([]byte(strings.Replace(pattern, "://*.", "://", 1)), true, nil, true) {
			t.Fatalf("%q allows the domain itself", pattern)
		}
	})
}

// benchSet holds a hundred origins and ten wildcards.
func benchSet(b testing.TB) *Set {
	patterns := []string{"same-host"}
	for i := range 100 {
		patterns = append(patterns, fmt.Sprintf("https://app-%d.example.com", i))
	}
	for i := range 10 {
		patterns = append(patterns, fmt.Sprintf("https://*.site-%d.example", i))
	}
	return set(b, patterns...)
}

var hotOrigins = map[string]string{
	"exact": "https://app-57.example.com", "wildcard": "https://chat.eu.site-9.example", "same-host": "https://www.example.net",
	"refused": "https://www.evil.example:8443", "IPv6": "https://[2001:db8::1]:8443", "malformed": "https://[2001:db8::1::2]",
}

func TestAllowsDoesNotAllocate(t *testing.T) {
	s := benchSet(t)
	for name, o := range hotOrigins {
		origin, host := []byte(o), []byte("www.example.net")
		if n := testing.AllocsPerRun(100, func() { s.Allows(origin, true, host, true) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkAllows(b *testing.B) {
	s := benchSet(b)
	for name, o := range hotOrigins {
		b.Run(name, func(b *testing.B) {
			origin, host := []byte(o), []byte("www.example.net")
			b.ReportAllocs()
			for b.Loop() {
				s.Allows(origin, true, host, true)
			}
		})
	}
}
