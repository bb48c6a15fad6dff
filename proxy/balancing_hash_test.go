package proxy_test

import (
	"fmt"
	"net/netip"
	"testing"

	"culvert/proxy"
	"culvert/proxy/balance"
	"culvert/proxy/proxytest"
	"culvert/proxy/route"
)

// Requests that are spread by a part of them.

func hashed(kind proxy.HashKind, name string) proxy.Schedule {
	return proxy.Schedule{Algorithm: "hash", HashBy: proxy.HashKey{Kind: kind, Name: name}}
}

// hashCases are what a request may be spread by, and how one with a key is made. Repeated ones have another key behind it.
var hashCases = []struct {
	name     string
	schedule proxy.Schedule
	with     func(key string) inquiry
	repeated func(key string) inquiry // nil: it cannot be
	without  inquiry
}{
	{
		"header", hashed(proxy.HashHeader, "X-User"),
		func(key string) inquiry { return inquiry{fields: []string{"x-user: " + key}} },
		func(key string) inquiry { return inquiry{fields: []string{"X-User: " + key, "X-USER: another"}} },
		inquiry{fields: []string{"X-Users: 1"}},
	}, {
		"cookie", hashed(proxy.HashCookie, "user"),
		func(key string) inquiry { return inquiry{fields: []string{"Cookie: a=b; user=" + key + "; c=d"}} },
		func(key string) inquiry {
			return inquiry{fields: []string{"Cookie: a=b", `Cookie: user="` + key + `"; user=another`, "Cookie: user=third"}}
		},
		inquiry{fields: []string{"Cookie: User=1; superuser=2"}},
	}, {
		"query", hashed(proxy.HashQuery, "user"),
		func(key string) inquiry { return inquiry{path: "/" + key + "?a=b&user=" + key + "&c=d"} },
		func(key string) inquiry { return inquiry{path: "/?user=" + key + "&user=another"} },
		inquiry{path: "/user?users=1&User=1"},
	}, {
		"path", hashed(proxy.HashPath, ""),
		func(key string) inquiry { return inquiry{path: "/" + key + "?at=random"} },
		nil, inquiry{},
	},
}

// spread asks for 24 keys and returns who answers each. All loops must agree, for upgrades and for others, and more than one
// backend must have some.
func spread(t testing.TB, p *proxytest.Proxy, with func(key string) inquiry) map[string]string {
	t.Helper()
	owners, all := map[string]string{}, map[string]bool{}
	for n := range 24 {
		key := fmt.Sprintf("key%d", n)
		for ask := range 4 {
			q := with(key)
			q.upgrade = ask%2 == 1
			name := who(q.of(t, p, proxytest.ConnOptions{}))
			if before := owners[key]; before != "" && before != name {
				t.Fatalf("%s gets to %s and then to %s", key, before, name)
			}
			owners[key], all[name] = name, true
		}
	}
	if len(all) < 3 {
		t.Fatalf("24 keys get to %v only", all)
	}
	return owners
}

func TestOneKeyGetsToOneBackend(t *testing.T) {
	t.Parallel()
	for _, c := range hashCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := startTellers(t, newTellers(t, "a", "b", "c", "d"), func(_ *proxy.Config, g *proxy.GroupConfig) { g.Schedule = c.schedule })
			owners := spread(t, p, c.with)
			kept := p.Dial(t)
			for key, owner := range owners {
				if name := who(c.with(key).on(t, kept, 200)); name != owner {
					t.Errorf("on a connection that is kept %s gets to %s, on others to %s", key, name, owner)
				}
				if c.repeated == nil {
					continue
				}
				if name := who(c.repeated(key).on(t, kept, 200)); name != owner {
					t.Errorf("%s, said twice, gets to %s; want %s, that of the first", key, name, owner)
				}
			}
			if c.repeated == nil {
				return
			}
			all := map[string]bool{}
			for range 40 {
				all[who(c.without.on(t, kept, 200))] = true
			}
			if len(all) < 2 {
				t.Errorf("40 requests without a key get to %v only", all)
			}
		})
	}
}

func TestTheAddressOfAClientIsItsKey(t *testing.T) {
	t.Parallel()
	trusts := false
	p := startTellers(t, newTellers(t, "a", "b", "c", "d"), func(_ *proxy.Config, g *proxy.GroupConfig) { g.Schedule = hashed(proxy.HashAddress, "") })
	behind := func(address string) string {
		return who(inquiry{fields: []string{"X-Forwarded-For: " + address}}.of(t, p, proxytest.ConnOptions{}))
	}
	// wantTogether wants clients at the addresses to get to one backend each, or to several in all.
	wantTogether := func(together bool, spelled func(n int) string) {
		t.Helper()
		all := map[string]bool{}
		for n := range 24 {
			all[behind(spelled(n))] = true
		}
		if together != (len(all) == 1) {
			t.Errorf("with the peer trusted (%v), clients at %s and the like get to %v", trusts, spelled(1), all)
		}
	}
	v4 := func(n int) string { return fmt.Sprintf("192.0.2.%d", n) }
	inOne64 := func(n int) string { return fmt.Sprintf("2001:db8:1:1:%x::%x", n, n+1) }
	inOne48 := func(n int) string { return fmt.Sprintf("2001:db8:1:%x::1", n) }
	wantTogether(true, v4) // nobody is believed
	direct := map[netip.Addr]string{}
	for n := range 24 {
		from := netip.AddrFrom4([4]byte{127, 0, 1, byte(n + 1)})
		for range 3 {
			name := who(inquiry{upgrade: n%2 == 0}.of(t, p, proxytest.ConnOptions{From: from}))
			if before := direct[from]; before != "" && before != name {
				t.Errorf("%s gets to %s and to %s", from, before, name)
			}
			direct[from] = name
		}
	}
	trusts = true
	p.Reload(t, func(c *proxy.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	wantTogether(false, v4)
	wantTogether(true, inOne64)
	wantTogether(false, inOne48)
	p.Reload(t, func(c *proxy.Config) {
		c.TrustedProxies, c.Limits.ClientPrefix6 = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, 48
	})
	for from, name := range direct {
		if seen, mapped := behind(from.String()), behind("::ffff:"+from.String()); seen != name || mapped != name {
			t.Errorf("%s gets to %s by itself, and to %s and %s through a proxy", from, name, seen, mapped)
		}
	}
	wantTogether(true, inOne48)
}

// TestAKeyMovesWithItsBackendAndComesBack: those of others stay where they are.
func TestAKeyMovesWithItsBackendAndComesBack(t *testing.T) {
	t.Parallel()
	c := hashCases[0]
	p := startTellers(t, newTellers(t, "a", "b", "c", "d"), func(_ *proxy.Config, g *proxy.GroupConfig) { g.Schedule = c.schedule })
	before := spread(t, p, c.with)
	wantBut := func(gone string) {
		t.Helper()
		for key, name := range spread(t, p, c.with) {
			if name == gone || before[key] != gone && name != before[key] {
				t.Errorf("with %q gone, %s gets from %s to %s", gone, key, before[key], name)
			}
		}
	}
	if err := p.Server().DrainBackend(proxy.DefaultGroup, "b", 0); err != nil {
		t.Fatal(err)
	}
	wantBut("b")
	if err := p.Server().UndrainBackend(proxy.DefaultGroup, "b"); err != nil {
		t.Fatal(err)
	}
	wantBut("")
	all := []proxy.BackendConfig(nil)
	p.Reload(t, func(c *proxy.Config) {
		all = c.Groups[0].Backends
		c.Groups[0].Backends = []proxy.BackendConfig{all[3], all[0], all[1]}
	})
	wantBut("c")
	p.Reload(t, func(c *proxy.Config) { c.Groups[0].Backends = all })
	wantBut("")
}

// TestARuleHasAScheduleOfItsOwn: its group's is another one, and each goes on over a reload.
func TestARuleHasAScheduleOfItsOwn(t *testing.T) {
	t.Parallel()
	schedule := hashed(proxy.HashHeader, "X-User")
	p := startTellers(t, newTellers(t, "a", "b", "c", "d"), func(c *proxy.Config, g *proxy.GroupConfig) {
		c.Listeners[0].Rules = []proxy.RuleConfig{{Match: route.Match{Path: "/room"}, Group: g.Name, Schedule: &schedule}}
	})
	inRoom := func(key string) inquiry {
		return inquiry{path: "/room/1", fields: []string{"X-User: " + key}}
	}
	before := spread(t, p, inRoom)
	inTurn := func() {
		t.Helper()
		counts := map[string]int{}
		for range 8 {
			counts[who(inquiry{fields: []string{"X-User: key1"}}.of(t, p, proxytest.ConnOptions{}))]++
		}
		for name, n := range counts {
			if n != 2 {
				t.Errorf("%s gets %d of 8 requests that no rule is for: %v", name, n, counts)
			}
		}
	}
	inTurn()
	p.Reload(t, func(c *proxy.Config) { c.Groups[0].RetryShare = 30 })
	inTurn()
	for key, name := range spread(t, p, inRoom) {
		if before[key] != name {
			t.Errorf("over a reload %s gets from %s to %s", key, before[key], name)
		}
	}
}

// TestWhatNoSchedulerTakesIsRefused, and does not come out when schedulers are made, of rules and groups alike.
func TestWhatNoSchedulerTakesIsRefused(t *testing.T) {
	t.Parallel()
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{proxytest.NewBackend(t)}})
	for name, change := range map[string]func(*proxy.Config){
		"a load factor of a group": func(c *proxy.Config) { c.Groups[0].Schedule.LoadFactor = 0.5 },
		"a load factor of a rule": func(c *proxy.Config) {
			c.Listeners[0].Rules = []proxy.RuleConfig{{
				Match: route.Match{Path: "/r/"}, Group: proxy.DefaultGroup, Schedule: &proxy.Schedule{Algorithm: "hash", LoadFactor: 0.5},
			}}
		},
		"more servers than a scheduler has room for": func(c *proxy.Config) {
			one := c.Groups[0].Backends[0]
			for i := range balance.MaxMembers {
				one.Address = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)}), 80)
				c.Groups[0].Backends = append(c.Groups[0].Backends, one)
			}
		},
	} {
		if err := p.TryReload(change); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}

// TestAnOverloadedBackendGivesKeysAway: as the load factor says, for tunnels of all loops.
func TestAnOverloadedBackendGivesKeysAway(t *testing.T) {
	t.Parallel()
	p := startTellers(t, newTellers(t, "a", "b", "c", "d"), func(_ *proxy.Config, g *proxy.GroupConfig) {
		g.Schedule = hashed(proxy.HashHeader, "X-User")
		g.Schedule.LoadFactor = 1.25
	})
	counts := map[string]int{}
	for range 40 {
		counts[who(inquiry{fields: []string{"X-User: everybody"}, upgrade: true}.on(t, p.Dial(t), 101))]++
	}
	for name, n := range counts {
		if n > 13 {
			t.Errorf("%s has %d of 40 tunnels with one key; 13 are 1.25 times its share: %v", name, n, counts)
		}
	}
}
