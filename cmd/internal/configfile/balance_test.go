package configfile

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
	"culvert/proxy/health"
)

// balanced says all that a file can of how servers are chosen.
const balanced = `
listeners:
  - address: ":80"
    group: chat
    rules:
      - {group: app, path: /a, schedule: rr, sticky: "insert:LB", allowed-origins: any}
      - {group: app, path: /b, schedule: {algorithm: hash, hash-by: query:room}, sticky: {cookie: rewrite, name: sid, key-file: keys}, allowed-origins: any}
      - {group: found, path: /c}
      - {group: services, path: /d}
      - {group: listed, path: /e}
      - {group: secure, path: /f}
groups:
  app:
    schedule: {algorithm: hash, hash-by: "header:X-User", load-factor: 2.5}
    sticky: {cookie: insert, name: LB, lifetime: 24h, domain: example.com, path: /app, same-site: none, secure: true, http-only: false, key-file: /etc/keys}
    check: {kind: http, method: GET, path: "/up?x=1", host: "app.example.com:80", port: 8081, interval: 3s, timeout: 4s, healthy: 2, unhealthy: 10, good: [2xx, 4xx]}
    outliers: {failures: 1, base: 1s, longest: 24h, most-ejected: 100%}
    slow-start: 1h
    end-rate: 0
    end-when-down: true
    queue: 10
    queue-timeout: 10ms
    retry-share: 0
    servers:
      - {address: a:1, max-connections: 100}
      - {address: a:2, drain: true}
      - {address: a:3, drain-for: 10m}
  chat: {schedule: wlc, sticky: insert, check: websocket, outliers: off, slow-start: 30s, servers: [a:1]}
  found: {discovery: {dns: app.internal., port: 8080, weight: 3, https: true, resolvers: [10.0.0.2, "[::1]:5353"], min-ttl: 1s, max-ttl: 1h}, tls: {ca: ca.pem}}
  services: {discovery: {srv: _http._tcp.app.internal}, check: {kind: websocket, path: /ws}, schedule: p2c, servers: [a:1]}
  listed: {discovery: {file: servers.yaml}, check: {kind: tcp, interval: 50s}, schedule: least-time, sticky: "rewrite:sid"}
  secure: {discovery: {file: servers.yaml, https: true}, tls: {server-name: app.internal}, check: {good: 5xx}}
`

// unsaidConfig adds what counts where nothing is said of how servers are chosen.
func unsaidConfig(c *proxy.GroupConfig) {
	c.Schedule.Algorithm = "wrr"
	c.Outliers = &health.OutlierSettings{Failures: 5, Base: int64(10 * time.Second), Longest: int64(5 * time.Minute), MostEjected: 50}
	c.SlowStart.Least = 10
	c.EndRate, c.QueueTimeout, c.RetryShare = 100, 5*time.Second, 20
}

func unsaidGroup(name string, change func(*proxy.GroupConfig)) proxy.GroupConfig {
	c := proxy.GroupConfig{Name: name}
	unsaidConfig(&c)
	change(&c)
	return c
}

func checks(change func(*health.Settings)) *health.Settings {
	s := health.DefaultSettings()
	change(&s)
	return &s
}

// configsOf translates the groups of a file, with servers that have their names and weights.
func configsOf(t *testing.T, f *File) []proxy.GroupConfig {
	t.Helper()
	groups, err := f.GroupConfigs(func(servers []settings.Backend) ([][]proxy.BackendConfig, error) {
		all := make([][]proxy.BackendConfig, len(servers))
		for n, s := range servers {
			all[n] = []proxy.BackendConfig{{Name: s.Name, Weight: s.Weight}}
		}
		return all, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return groups
}

func wantBalanced() []proxy.GroupConfig {
	second := int64(time.Second)
	one := []proxy.BackendConfig{{Name: "a:1", Weight: 1}}
	return []proxy.GroupConfig{
		{
			Name: "app", Schedule: proxy.Schedule{Algorithm: "hash", HashBy: proxy.HashKey{Kind: proxy.HashHeader, Name: "X-User"}, LoadFactor: 2.5},
			Sticky: &proxy.Stickiness{Name: "LB", Lifetime: 24 * time.Hour, Domain: "example.com", Path: "/app", SameSite: "None", Secure: true, KeyFile: "/etc/keys"},
			Check: &health.Settings{
				Kind: health.HTTP, Method: "GET", Path: "/up?x=1", Host: "app.example.com:80", Port: 8081, Interval: 3 * second, Timeout: 4 * second, Healthy: 2, Unhealthy: 10,
				Good: health.Class2xx | health.Class4xx,
			},
			Outliers:  &health.OutlierSettings{Failures: 1, Base: second, Longest: 24 * 3600 * second, MostEjected: 100},
			SlowStart: health.SlowStart{Duration: 3600 * second, Least: 10}, EndWhenDown: true, Queue: 10, QueueTimeout: 10 * time.Millisecond,
			Backends: []proxy.BackendConfig{
				{Name: "a:1", Weight: 1, MaxConnections: 100}, {Name: "a:2", Weight: 1, Drain: true}, {Name: "a:3", Weight: 1, Drain: true, DrainFor: 10 * time.Minute},
			},
		},
		unsaidGroup("chat", func(c *proxy.GroupConfig) {
			c.Schedule.Algorithm, c.Sticky, c.Outliers, c.Backends = "wlc", &proxy.Stickiness{HTTPOnly: true}, nil, one
			c.Check = checks(func(s *health.Settings) { s.Kind = health.WebSocket })
			c.SlowStart.Duration = 30 * second
		}),
		unsaidGroup("found", func(c *proxy.GroupConfig) {
			c.Discovery = &proxy.Discovery{
				DNS: "app.internal.", Port: 8080, Weight: 3, Resolvers: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:53"), netip.MustParseAddrPort("[::1]:5353")},
				MinTTL: time.Second, MaxTTL: time.Hour, TLS: &proxy.BackendTLS{ServerName: "app.internal", CA: "folder/ca.pem"},
			}
		}),
		unsaidGroup("services", func(c *proxy.GroupConfig) {
			c.Schedule.Algorithm, c.Backends, c.Discovery = "p2c", one, &proxy.Discovery{DNS: "_http._tcp.app.internal", SRV: true, Weight: 1}
			c.Check = checks(func(s *health.Settings) { s.Kind, s.Path = health.WebSocket, "/ws" })
		}),
		unsaidGroup("listed", func(c *proxy.GroupConfig) {
			c.Schedule.Algorithm, c.Sticky = "least-time", &proxy.Stickiness{Rewrite: true, Name: "sid"}
			c.Discovery = &proxy.Discovery{File: "folder/servers.yaml", Weight: 1}
			c.Check = checks(func(s *health.Settings) { s.Kind, s.Interval = health.TCP, 50*second })
		}),
		unsaidGroup("secure", func(c *proxy.GroupConfig) {
			c.Discovery = &proxy.Discovery{File: "folder/servers.yaml", Weight: 1, TLS: &proxy.BackendTLS{ServerName: "app.internal"}}
			c.Check = checks(func(s *health.Settings) { s.Good = health.Class5xx })
		}),
	}
}

// TestBalancingIsTranslated: every key arrives, and files are found from the folder of the configuration.
func TestBalancingIsTranslated(t *testing.T) {
	f := read(t, strings.ReplaceAll(balanced, "end-rate: 0", "end-rate: 0 # all at once"))
	f.Name = "folder/c.yaml"
	got, want := configsOf(t, f), wantBalanced()
	for n := range want {
		if !reflect.DeepEqual(got[n], want[n]) {
			t.Errorf("got  %+v\nwant %+v", got[n], want[n])
		}
		if check := got[n].Check; check != nil && check.Validate() != nil {
			t.Errorf("group %s: %v", got[n].Name, check.Validate())
		}
		if outliers := got[n].Outliers; outliers != nil && outliers.Validate() != nil {
			t.Errorf("group %s: %v", got[n].Name, outliers.Validate())
		}
		if err := got[n].SlowStart.Validate(); err != nil {
			t.Errorf("group %s: %v", got[n].Name, err)
		}
	}
	s := defaults()
	rules := f.ListenerConfigs(&s)[0].Rules
	wantRules := []proxy.RuleConfig{
		{Group: "app", Schedule: &proxy.Schedule{Algorithm: "rr"}, Sticky: &proxy.Stickiness{Name: "LB", HTTPOnly: true}},
		{Group: "app", Schedule: &proxy.Schedule{Algorithm: "hash", HashBy: proxy.HashKey{Kind: proxy.HashQuery, Name: "room"}}, Sticky: &proxy.Stickiness{Rewrite: true, Name: "sid", KeyFile: "folder/keys"}},
	}
	for n := range wantRules {
		if !reflect.DeepEqual(rules[n].Schedule, wantRules[n].Schedule) || !reflect.DeepEqual(rules[n].Sticky, wantRules[n].Sticky) {
			t.Errorf("rule %d: %+v, %+v", n, rules[n].Schedule, rules[n].Sticky)
		}
	}
}

// TestFlagsBalanceTheirGroup: they say of the one group what a file says of each.
func TestFlagsBalanceTheirGroup(t *testing.T) {
	for args, text := range map[string]string{
		"": "{servers: [a:1]}",
		"--schedule hash --hash-by cookie:sid --sticky rewrite:sid --sticky-key-file /k --check http --check-path /up --check-interval 3s --check-timeout 4s --check-healthy 4 --check-unhealthy 5": "{servers: [a:1], schedule: {algorithm: hash, hash-by: \"cookie:sid\"}, " +
			"sticky: {cookie: rewrite, name: sid, key-file: /k}, check: {path: /up, interval: 3s, timeout: 4s, healthy: 4, unhealthy: 5}}",
		"--sticky insert --sticky-lifetime 1h --outlier-failures 0 --slow-start 30s --max-connections-per-backend 9 --queue 3 --queue-timeout 1s": "{sticky: {lifetime: 1h}, outliers: off, slow-start: 30s, queue: 3, queue-timeout: 1s, servers: [{address: a:1, max-connections: 9}]}",
		"--check tcp --outlier-failures 7 --discover dns://app:80":                                                                                "{check: tcp, outliers: {failures: 7}, servers: [a:1], discovery: {dns: app, port: 80}}",
		"--check websocket --discover srv://_ws._tcp.app":                                                                                         "{check: websocket, servers: [a:1], discovery: {srv: _ws._tcp.app}}",
		"--schedule wlc --discover file:///etc/servers --hash-by path":                                                                            "",
		"--schedule wlc --discover file:///etc/servers":                                                                                           "{schedule: wlc, servers: [a:1], discovery: {file: /etc/servers}}",
	} {
		i, err := settings.Parse(append(strings.Fields(args), "--backend=a:1"), nil)
		if text == "" {
			if err == nil {
				t.Errorf("%s: accepted", args)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		got := configsOf(t, Served(nil, i))
		want := configsOf(t, read(t, "listeners: [{address: \":80\", group: default}]\ngroups: {default: "+text+"}"))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngot  %+v\nwant %+v", args, got[0], want[0])
		}
	}
}

// TestDiscoveryNeedsNoBackend: also not on the command line.
func TestDiscoveryNeedsNoBackend(t *testing.T) {
	i, err := settings.Parse([]string{"--discover=dns://app.internal:80"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := configsOf(t, Served(nil, i)); len(got[0].Backends) != 0 || got[0].Discovery == nil || got[0].Discovery.DNS != "app.internal" {
		t.Errorf("%+v", got)
	}
}

// TestEffectiveBalancing: what counts though nobody has said it is printed too.
func TestEffectiveBalancing(t *testing.T) {
	i, err := settings.Parse([]string{"config", "print", "--backend=a:1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = `
groups:
  default:
    schedule: wrr
    check: off
    outliers: {failures: 5, base: 10s, longest: 5m, most-ejected: 50%}
    slow-start: 0
    end-rate: 100
    retry-share: 20%
    servers:
      - {address: a:1, weight: 1}
`
	if text := Effective(nil, i); !strings.HasSuffix(text, want) {
		t.Errorf("it is\n%s\nand should end in\n%s", text, want)
	}
}

// TestTheSchemaTakesWhatIsRight: in the short forms and in the long ones.
func TestTheSchemaTakesWhatIsRight(t *testing.T) {
	schema := compiledSchema(t)
	for _, text := range []string{balanced, everything, "groups: {a: {servers: [], retry-share: 20%, outliers: {most-ejected: 5}, schedule: {algorithm: wrr}}}"} {
		if err := schema.Validate(plainYAML(t, []byte(text))); err != nil {
			t.Errorf("of\n%s\nthe schema says: %v", text, err)
		}
	}
}

// TestDoubtsOfBalancing: what can be used and surprises.
func TestDoubtsOfBalancing(t *testing.T) {
	const listener = "listeners: [{address: \":80\", group: a}]\n"
	for _, c := range []struct{ text, want string }{
		{listener + "groups: {a: {servers: [{address: a:1, drain: true}, \"a:2,weight=0\"]}}", "2:10: warning: group a: every server is drained, or has weight 0; its requests get 503"},
		{listener + "groups: {a: {servers: [{address: a:1, drain: true}], discovery: {dns: a, port: 1}}}", ""},
		{listener + "groups: {a: {servers: [a:1], schedule: rr, slow-start: 30s}}", "2:56: warning: slow-start: it has no effect with schedule: rr, to which all servers are equal"},
		{"listeners: [{address: \":80\", rules: [{redirect: https, schedule: rr, sticky: insert}, {path: /x, group: a}]}]\ngroups: {a: {servers: [a:1]}}",
			"1:66: warning: schedule: it has no effect, since this rule asks no server\n1:78: warning: sticky: it has no effect, since this rule asks no server"},
	} {
		f, problems := Parse([]byte(c.text), "c")
		if got := strings.ReplaceAll(problems.Error(), "c:", ""); got != c.want || f == nil {
			t.Errorf("of\n%s\nit says\n%s\nand should say\n%s", c.text, got, c.want)
		}
	}
}

// TestSameSiteWords: of a file, and of the cookie.
func TestSameSiteWords(t *testing.T) {
	for word, want := range map[string]string{"lax": "Lax", "strict": "Strict", "none": "None"} {
		f := read(t, fmt.Sprintf("listeners: [{address: \":80\", group: a}]\ngroups: {a: {servers: [a:1], sticky: {same-site: %s, secure: true}}}", word))
		if got := f.Groups[0].Sticky.SameSite; got != want {
			t.Errorf("%s is %s", word, got)
		}
	}
}

// TestServersWrittenAsText: what a text cannot say.
func TestServersWrittenAsText(t *testing.T) {
	const alone = `: a text says the weight alone; more is said by a mapping, such as {address: "10.0.0.1:80", weight: 2, max-connections: 100}`
	for servers, want := range map[string]string{
		"[a:1,weight=2]":                       "2:28: servers weight=2: in brackets, a text with a comma needs quotes",
		`["a:1,max-connections=5"]`:            "2:24: servers a:1,max-connections=5" + alone,
		`["a:1,weight=2,secondary"]`:           "2:24: servers a:1,weight=2,secondary" + alone,
		`["a:1,"]`:                             "2:24: servers a:1," + alone,
		`["a:1,weight=101"]`:                   "2:24: servers a:1,weight=101: the weight is above the maximum; allowed: " + serverAllowed + ", then optionally ,weight=0 to ,weight=100 (1 if not given)",
		`["a:1,weight=2", "unix:/a,weight=0"]`: "",
	} {
		_, problems := Parse([]byte("listeners: [{address: \":80\", group: a}]\ngroups: {a: {servers: "+servers+"}}"), "c")
		if got := strings.ReplaceAll(problems.Error(), "c:", ""); got != want {
			t.Errorf("%s: it says\n%s\nand should say\n%s", servers, got, want)
		}
	}
}
