package proxy_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/discovery/nsdtest"
	"culvert/proxy/proxytest"
	"culvert/proxy/route"
)

// Servers that come and go while the proxy runs.

// TestAReloadKnowsWhatIsDiscovered: of a source that is new, that is asked in another way, and after a reload that was
// refused, a group has the servers as soon as the reload is over.
func TestAReloadKnowsWhatIsDiscovered(t *testing.T) {
	t.Parallel()
	tellers := newTellers(t, "a", "b")
	list, other := filepath.Join(t.TempDir(), "servers.yaml"), filepath.Join(t.TempDir(), "others.yaml")
	replace(t, list, fmt.Sprintf("- %s\n", tellers[0].Address()))
	replace(t, other, fmt.Sprintf("- %s\n", tellers[1].Address()))
	p := startTellers(t, tellers, nil)
	discovers := func(d proxy.Discovery) func(*proxy.Config) {
		return func(c *proxy.Config) { c.Groups[0].Backends, c.Groups[0].Discovery = nil, &d }
	}
	wants := func(name string) {
		t.Helper()
		for range 3 {
			if head := (inquiry{}).try(t, p); who(head) != name {
				t.Fatalf("%s is the only server, and the answer is %q", name, head)
			}
		}
	}
	p.Reload(t, discovers(proxy.Discovery{File: list}))
	wants("a")
	p.Reload(t, discovers(proxy.Discovery{File: list, MinTTL: 2 * time.Second}))
	wants("a")
	p.Reload(t, discovers(proxy.Discovery{File: other, MinTTL: 2 * time.Second}))
	wants("b")
	if err := p.TryReload(func(c *proxy.Config) {
		discovers(proxy.Discovery{File: other})(c)
		c.Groups[0].RetryShare = -1
	}); err == nil {
		t.Fatal("a share of -1 % is taken")
	}
	wants("b")
	p.Reload(t, func(c *proxy.Config) { c.Groups[0].RetryShare = 10 })
	wants("b")
	if text := p.ErrorLog(); strings.Contains(text, "do not answer") {
		t.Errorf("the log says %s", text)
	}
}

// TestServersThatCouldNotBeEnteredAreTriedAgain: a file that the configuration needs was not whole when they were found.
func TestServersThatCouldNotBeEnteredAreTriedAgain(t *testing.T) {
	t.Parallel()
	tellers := newTellers(t, "a", "b")
	list, keys := filepath.Join(t.TempDir(), "servers.yaml"), filepath.Join(t.TempDir(), "keys")
	replace(t, list, fmt.Sprintf("- %s\n", tellers[0].Address()))
	whole := strings.Repeat("5a", 32) + "\n"
	replace(t, keys, whole)
	p := startTellers(t, tellers, func(c *proxy.Config, _ *proxy.GroupConfig) {
		c.Groups[0].Backends, c.Groups[0].Discovery = nil, &proxy.Discovery{File: list}
		c.Groups[0].Sticky = &proxy.Stickiness{KeyFile: keys}
	})
	replace(t, keys, whole[:10])
	replace(t, list, fmt.Sprintf("- %s\n", tellers[1].Address()))
	proxytest.Eventually(t, "the log tells of it", func() bool { return strings.Contains(p.ErrorLog(), "cannot be used yet") })
	if head := (inquiry{}).try(t, p); who(head) != "a" {
		t.Errorf("with half a key the answer is %q", head)
	}
	replace(t, keys, whole)
	proxytest.Eventually(t, "the other server is used", func() bool { return who((inquiry{}).try(t, p)) == "b" })
}

// TestWhatWasNeverKnownIsNotKept: the log of a list that is not there yet says so, and of no servers that hold or change.
func TestWhatWasNeverKnownIsNotKept(t *testing.T) {
	t.Parallel()
	list := filepath.Join(t.TempDir(), "servers.yaml")
	p := proxytest.Start(t, proxytest.Options{Config: func(c *proxy.Config) {
		c.Groups[0].Backends, c.Groups[0].Discovery = nil, &proxy.Discovery{File: list}
	}})
	text := p.ErrorLog()
	if !strings.Contains(text, "the servers are not known yet") || strings.Contains(text, "holds") || strings.Contains(text, "have changed") {
		t.Errorf("the log says %s", text)
	}
	replace(t, list, "- 127.0.0.1:1\n")
	proxytest.Eventually(t, "the list is read", func() bool { return len(p.Server().Backends()) == 1 })
	if text := p.ErrorLog(); !strings.Contains(text, `"added":1`) || strings.Contains(text, "holds") {
		t.Errorf("the log says %s", text)
	}
}

// found is a proxy before groups whose servers are discovered, each behind the path of its name, by a real DNS server and in a
// file. All are the same two servers: one at 127.0.0.1, the other with the same port at another address.
type found struct {
	t       *testing.T
	p       *proxytest.Proxy
	dns     *nsdtest.Server
	file    string
	servers map[string]*teller // one, two, and spare, which is among the services only, with another priority
	tunnels map[string]*proxytest.Conn
}

// foundGroups are the groups. What DNS says of "bounded" holds for an hour by its TTL, and for a second by the bound on that;
// of "slow" for a second and for five minutes.
var foundGroups = []string{"bounded", "slow", "void", "services", "listed"}

func startFound(t *testing.T) *found {
	t.Helper()
	f := &found{t: t, file: filepath.Join(t.TempDir(), "servers.yaml"), servers: map[string]*teller{}, tunnels: map[string]*proxytest.Conn{}}
	one := newTeller(t, "one", nil)
	elsewhere := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 7, 7, 7}), one.Address().Port())
	f.servers["one"] = one
	f.servers["two"] = tell(proxytest.NewBackendWith(t, proxytest.BackendOptions{Name: "two", Address: elsewhere}), "two", nil)
	f.servers["spare"] = newTeller(t, "spare", nil)
	f.dns = nsdtest.Start(t, f.zone("one", "one")...)
	f.list("one")
	f.p = startTellers(t, []*teller{one, f.servers["two"], f.servers["spare"]}, func(c *proxy.Config, g *proxy.GroupConfig) {
		c.Groups, c.Listeners[0].Group = nil, ""
		for _, name := range foundGroups {
			d := proxy.Discovery{DNS: name + ".app.test", Port: one.Address().Port(), Weight: 1, Resolvers: []netip.AddrPort{f.dns.Address()}, MinTTL: time.Second, MaxTTL: time.Second}
			switch name {
			case "slow":
				d.MinTTL, d.MaxTTL = 5*time.Minute, time.Hour
			case "services":
				d.DNS, d.SRV, d.Port = "_ws._tcp.app.test", true, 0
			case "listed":
				d = proxy.Discovery{File: f.file}
			}
			c.Groups = append(c.Groups, proxy.GroupConfig{Name: name, RetryShare: g.RetryShare, Discovery: &d})
			c.Listeners[0].Rules = append(c.Listeners[0].Rules, proxy.RuleConfig{Match: route.Match{Path: "/" + name}, Group: name})
		}
	})
	return f
}

// zone has these servers at all names. Of services the one that comes first has three times the weight of the other. The
// name "void" has an address only if void is not empty.
func (f *found) zone(void string, servers ...string) (lines []string) {
	for i, name := range servers {
		s := f.servers[name].Address()
		lines = append(lines, fmt.Sprintf("bounded 3600 IN A %s", s.Addr()), fmt.Sprintf("slow 1 IN A %s", s.Addr()), fmt.Sprintf("%s 1 IN A %s", name, s.Addr()))
		lines = append(lines, fmt.Sprintf("_ws._tcp 1 IN SRV 0 %d %d %s", []int{30, 10}[i], s.Port(), name))
	}
	lines = append(lines, fmt.Sprintf("_ws._tcp 1 IN SRV 5 1 %d spare", f.servers["spare"].Address().Port()), "spare 1 IN A 127.0.0.1")
	if void == "" {
		return append(lines, "void 1 IN TXT empty")
	}
	return append(lines, fmt.Sprintf("void 1 IN A %s", f.servers[void].Address().Addr()))
}

func (f *found) list(servers ...string) {
	text := ""
	for _, name := range servers {
		text += fmt.Sprintf("- %s\n", f.servers[name].Address())
	}
	replace(f.t, f.file, text)
}

// wants waits until a group has these servers.
func (f *found) wants(group string, servers ...string) {
	f.t.Helper()
	var want []string
	for _, name := range servers {
		want = append(want, f.servers[name].Address().String())
	}
	if group == "services" {
		want = append(want, f.servers["spare"].Address().String())
	}
	slices.Sort(want)
	proxytest.Eventually(f.t, fmt.Sprintf("%s has %v", group, servers), func() bool {
		var now []string
		for _, b := range f.p.Server().Backends() {
			if b.Group == group && b.Status != proxy.StatusRemoved {
				now = append(now, b.Address)
			}
		}
		slices.Sort(now)
		return slices.Equal(now, want)
	})
	waitEntered(f.p)
}

// asks sends ten requests to a group, which must get to these servers, and to each of them.
func (f *found) asks(group string, servers ...string) {
	f.t.Helper()
	served := map[string]bool{}
	for range 10 {
		served[who(inquiry{path: "/" + group}.of(f.t, f.p, proxytest.ConnOptions{}))] = true
	}
	for _, name := range servers {
		if !served[name] || len(served) != len(servers) {
			f.t.Errorf("requests to %s get to %v; want %v", group, served, servers)
		}
	}
}

// wantsTunnel waits until all that the first server of a group has is its tunnel.
func (f *found) wantsTunnel(group string) {
	f.t.Helper()
	proxytest.Eventually(f.t, "the tunnel of "+group+" counts, and nothing else", func() bool {
		for _, b := range f.p.Server().Backends() {
			if b.Group == group && b.Address == f.servers["one"].Address().String() {
				return b.Connections == 1
			}
		}
		return false
	})
}

func TestServersComeAndGoByDNSAndByAFile(t *testing.T) {
	t.Parallel()
	f := startFound(t)
	changing := []string{"bounded", "services", "listed"}
	for _, group := range foundGroups {
		f.wants(group, "one")
		f.tunnels[group] = f.p.Dial(t)
		inquiry{path: "/" + group, upgrade: true}.on(t, f.tunnels[group], 101)
	}
	f.dns.Change("app", f.zone("", "two")...)
	f.list("two")
	proxytest.Eventually(t, "a change is found", func() bool { return strings.Contains(f.p.ErrorLog(), `"removed":1`) })
	if err := f.p.TryReload(func(c *proxy.Config) { c.Groups[0].RetryShare = -1 }); err == nil { // it must not swallow the change
		t.Error("a share of -1 % is taken")
	}
	for _, group := range changing {
		f.wants(group, "two")
		f.asks(group, "two")
	}
	f.p.Reload(t, func(c *proxy.Config) { c.KeepAliveRequests = 500 })
	for _, group := range changing {
		f.asks(group, "two")
	}
	f.asks("slow", "one")
	proxytest.Eventually(t, "that there is nothing is not believed at once", func() bool {
		return strings.Contains(f.p.ErrorLog(), "void.app.test: the name has no such records; what was known stays")
	})
	f.asks("void", "one")

	f.dns.Change("app", f.zone("two", "one", "two")...)
	f.list("one", "two")
	for _, group := range changing {
		f.wants(group, "one", "two")
		f.asks(group, "one", "two")
		f.wantsTunnel(group)
	}
	for _, b := range f.p.Server().Backends() {
		if want := map[string]int{"one": 30, "two": 10, "spare": 1}; b.Group == "services" && b.Weight != want[nameOf(f, b.Address)] {
			t.Errorf("%s has the weight %d", b.Address, b.Weight)
		}
	}

	f.dns.Break()
	f.p.Reload(t, func(c *proxy.Config) {
		for i := range c.Groups {
			d := *c.Groups[i].Discovery
			d.MinTTL, d.MaxTTL = 2*time.Second, 2*time.Second // so all are asked anew
			c.Groups[i].Discovery = &d
		}
	})
	proxytest.Eventually(t, "a failure changes nothing", func() bool { return strings.Contains(f.p.ErrorLog(), "SERVFAIL") })
	for _, group := range changing {
		f.asks(group, "one", "two")
	}
	f.asks("slow", "one")
	for group, c := range f.tunnels {
		c.WantNothing()
		f.wantsTunnel(group)
	}
	f.p.Close(t)
	if err := f.p.TryReload(func(*proxy.Config) {}); err == nil {
		t.Error("a proxy that has ended takes a configuration")
	}
}

func nameOf(f *found, address string) string {
	for name, s := range f.servers {
		if s.Address().String() == address {
			return name
		}
	}
	return ""
}
