package configfile

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
	"culvert/tls/certs"
)

// invocation is settings as they count, with what goes with them.
type invocation struct {
	*settings.Invocation
	Settings settings.Settings
}

func defaultSettings(t *testing.T, args ...string) invocation {
	t.Helper()
	i, err := settings.Parse(append(args, "--backend=a:1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return invocation{i, *i.Settings}
}

// TestPoliciesAreMerged: the rule's over the listener's over all others'; where nothing is different there is none.
func TestPoliciesAreMerged(t *testing.T) {
	f := read(t, `
listeners:
  - address: ":80"
    idle-timeout: 2m
    slb-id: edge
    rules:
      - {group: a, path: /r, idle-timeout: 3m, max-body: 1MiB, allowed-origins: any}
      - {group: a, path: /l, allowed-origins: any}
  - address: ":81"
    rules:
      - {group: a, via: true, path: /r, min-body-rate: 1KiB, abort-on-client-fin: true, keep-alive-requests: 3}
      - {group: a}
groups: {a: {servers: [a:1]}}
`)
	s := defaultSettings(t, "--answer-timeout=7s", "--slb-id=all").Settings
	configs := f.ListenerConfigs(&s)
	global := PolicyOf(&s)
	if global.Timeouts.Idle != time.Minute || global.Timeouts.Answer != 7*time.Second || global.Announce.SLBID != "all" || global.Timeouts.BodyRate != 10*time.Second {
		t.Errorf("global: %+v", global)
	}
	listener := *configs[0].Policy
	want := global
	want.Timeouts.Idle, want.Announce.SLBID = 2*time.Minute, "edge"
	if listener != want {
		t.Errorf("listener: got %+v\nwant %+v", listener, want)
	}
	want.Timeouts.Idle, want.MaxBody = 3*time.Minute, 1<<20
	if rule := *configs[0].Rules[0].Policy; rule != want {
		t.Errorf("rule: got %+v\nwant %+v", rule, want)
	}
	if configs[0].Rules[1].Policy != nil || configs[1].Policy != nil || configs[1].Rules[1].Policy != nil {
		t.Error("a policy where nothing is different")
	}
	want = global
	want.Announce.Via, want.MinBodyRate, want.AbortOnClientFIN, want.KeepAliveRequests = true, 1<<10, true, 3
	if rule := *configs[1].Rules[0].Policy; rule != want {
		t.Errorf("rule: got %+v\nwant %+v", rule, want)
	}
}

// TestListenersAreTranslated: every field arrives.
func TestListenersAreTranslated(t *testing.T) {
	f := read(t, everything)
	s := defaultSettings(t).Settings
	c := f.ListenerConfigs(&s)[0]
	l, rule := f.Listeners[0], f.Listeners[0].Rules[0]
	if c.Name != "web" || c.Address != l.Address || c.Group != "app" || !reflect.DeepEqual(c.Access, l.Access) || !c.ProxyProtocol || !slices.Equal(c.ProxyProtocolFrom, l.ProxyProtocolFrom) || len(c.Rules) != 4 {
		t.Errorf("%+v", c)
	}
	got := c.Rules[0]
	if got.Policy == nil {
		t.Fatal("no policy")
	}
	got.Policy = nil
	want := proxy.RuleConfig{
		Name: rule.Name, Match: rule.Match, Access: rule.Access, AllowedOrigins: rule.AllowedOrigins, Requests: 100, Group: "chat",
		RequestHeaders: rule.RequestHeaders, AnswerHeaders: rule.AnswerHeaders, Host: rule.Host, Rewrite: rule.Rewrite,
		ErrorBodies: map[int]proxy.Body{503: {Bytes: []byte("later"), ContentType: "text/html"}, 502: {Bytes: []byte("the body m.html")}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if a := c.Rules[1].Answer; a == nil || a.Status != 204 || len(a.Headers) != 1 {
		t.Errorf("%+v", a)
	}
	if r := c.Rules[3].Redirect; r == nil || r.Status != 302 || r.Location != "https://{host-name}{uri}" {
		t.Errorf("%+v", r)
	}
}

// TestGroupsAreResolvedTogether: a name with two addresses is two backends, both secondary if the server is.
func TestGroupsAreResolvedTogether(t *testing.T) {
	f := read(t, everything)
	calls := 0
	resolve := func(servers []settings.Backend) ([][]proxy.BackendConfig, error) {
		calls++
		var all [][]proxy.BackendConfig
		for _, s := range servers {
			one := proxy.BackendConfig{Name: s.Name, Path: s.Path, Weight: s.Weight}
			if s.Host == "app.internal" {
				all = append(all, []proxy.BackendConfig{one, one})
				continue
			}
			all = append(all, []proxy.BackendConfig{one})
		}
		return all, nil
	}
	got, err := f.GroupConfigs(resolve)
	want := []proxy.GroupConfig{
		{Name: "app", SendProxy: 2, Backends: []proxy.BackendConfig{
			{Name: "10.0.0.1:9000", Weight: 1}, {Name: "app.internal:80", Weight: 5, Priority: 1}, {Name: "app.internal:80", Weight: 5, Priority: 1}, {Name: "unix:/run/a.sock", Path: "/run/a.sock"},
		}},
		{Name: "chat", Backends: []proxy.BackendConfig{{Name: "[::1]:1", Weight: 1}}},
		{Name: "tls", Backends: []proxy.BackendConfig{
			{Name: "https://a.example.:443", Weight: 1, TLS: &proxy.BackendTLS{ServerName: "b.example", CA: "ca.pem"}},
			{Name: "https://[::1]:444", Weight: 2, TLS: &proxy.BackendTLS{ServerName: "::1"}},
			{Name: "https://b:445", Weight: 1, TLS: &proxy.BackendTLS{ServerName: "b.example", Insecure: true}},
			{Name: "c:80", Weight: 1},
		}},
	}
	for n := range want {
		unsaidConfig(&want[n])
	}
	if err != nil || calls != 1 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d calls, %v, got %+v\nwant %+v", calls, err, got, want)
	}
	failure := errors.New("no such name")
	if _, err := f.GroupConfigs(func([]settings.Backend) ([][]proxy.BackendConfig, error) { return nil, failure }); !errors.Is(err, failure) {
		t.Errorf("%v", err)
	}
}

func TestLimitsAreTranslated(t *testing.T) {
	s := defaultSettings(t, "--max-connections=1", "--max-new-connections=2", "--max-requests=3", "--max-bandwidth=4KiB", "--max-connections-per-client=5",
		"--max-new-connections-per-client=6", "--max-requests-per-client=7", "--client-prefix-ipv6=56").Settings
	want := proxy.InstanceLimits{Connections: 1, NewConnections: 2, Requests: 3, Bandwidth: 4096, ClientConnections: 5, ClientNewConnections: 6, ClientRequests: 7, ClientPrefix6: 56}
	if got := LimitsOf(&s); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestEffective: what counts is printed with where it comes from, is a file by itself, and gives no secret away.
func TestEffective(t *testing.T) {
	f := read(t, `
timeouts: {idle-timeout: 2m, stalled-timeout: 2m}
listeners:
  - address: ":80"
    rules:
      - group: a
        headers: {Authorization: Bearer hush, X-Plain: shown}
        cookies: {session-token: {prefix: hush}}
        allowed-origins: any
        request-headers: {set: {X-Api-Key: hush, X-Other: shown}, add: {Cookie: [hush, hush]}}
      - {path: /x, answer: {headers: {Set-Cookie: hush, X-Password-Hint: hush}}}
groups: {a: {servers: [a:1]}}
`)
	i, err := settings.Parse([]string{"--config=c", "--idle-timeout=3m"}, []string{"CULVERT_LOOPS=2"})
	if err != nil {
		t.Fatal(err)
	}
	if i, err = i.With(f.Layer()); err != nil {
		t.Fatal(err)
	}
	text := Effective(f, i)
	for _, line := range []string{
		"  idle-timeout: 3m  # --idle-timeout\n", "  stalled-timeout: 2m  # c:2:47\n", "  loops: 2  # CULVERT_LOOPS\n", "  max-head: 32KiB  # default\n",
		"          X-Api-Key: \"(masked)\"\n", "          Cookie: [\"(masked)\", \"(masked)\"]\n", "          X-Other: shown\n", "          Authorization: \"(masked)\"\n", "          session-token: {prefix: \"(masked)\"}\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is missing in\n%s", line, text)
		}
	}
	if strings.Contains(text, "hush") {
		t.Errorf("a secret in\n%s", text)
	}
	if again := read(t, text); len(again.Listeners) != 1 || len(again.Groups) != 1 || len(again.Settings) < 40 {
		t.Errorf("printed, it is %+v", again)
	}
	flags := defaultSettings(t, "--listen=127.0.0.1:81", "--listen=:82", "--trusted-proxies=::1")
	served := read(t, Effective(nil, flags.Invocation))
	if len(served.Listeners) != 2 || served.Listeners[0].Address != netip.MustParseAddrPort("127.0.0.1:81") || served.Groups[0].Name != proxy.DefaultGroup {
		t.Errorf("%+v", served)
	}
}

// asProxyConfig translates a file whole, each server as one backend.
func asProxyConfig(t testing.TB, f *File) proxy.Config {
	t.Helper()
	base := defaults()
	s := with(base, f.Settings)
	i := &settings.Invocation{Settings: &s, Backends: []settings.Backend{{Name: "a:1", Host: "a", Port: 1}}}
	served := Served(f, i)
	groups, err := served.GroupConfigs(func(servers []settings.Backend) ([][]proxy.BackendConfig, error) {
		all := make([][]proxy.BackendConfig, len(servers))
		for n, server := range servers {
			address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), server.Port)
			all[n] = []proxy.BackendConfig{{Name: server.Name, Path: server.Path, Weight: server.Weight, Address: address}}
		}
		return all, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	listeners := served.ListenerConfigs(&s)
	for n := range listeners {
		if t := listeners[n].TLS; t != nil { // the files are not there
			t.Certificates, t.SelfSigned, t.ClientCA = certs.Source{}, true, ""
		}
		for _, rule := range listeners[n].Rules {
			if rule.Sticky != nil {
				rule.Sticky.KeyFile = ""
			}
		}
	}
	for n := range groups {
		g := &groups[n]
		if g.Discovery != nil && len(g.Backends) == 0 { // nobody looks here for what the proxy would find
			g.Backends = []proxy.BackendConfig{{Name: "found", Address: netip.MustParseAddrPort("192.0.2.1:80"), Weight: 1}}
		}
		if g.Sticky != nil {
			g.Sticky.KeyFile = ""
		}
		for n := range g.Backends {
			if t := g.Backends[n].TLS; t != nil {
				t.CA = ""
			}
		}
	}
	return proxy.Config{Loops: 1, Listeners: listeners, Groups: groups, Policy: PolicyOf(&s), Limits: LimitsOf(&s), TrustedProxies: s.Trust.TrustedProxies}
}

// TestProxyTakesWhatIsAccepted: no mistake is left for the start.
func TestProxyTakesWhatIsAccepted(t *testing.T) {
	for _, source := range append(exampleTexts(t), everything, balanced) {
		if _, err := proxy.New(asProxyConfig(t, read(t, source)), proxy.Logs{}); err != nil {
			t.Errorf("the proxy does not take it: %v\n%s", err, source)
		}
	}
}
