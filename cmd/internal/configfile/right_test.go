package configfile

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
	"culvert/proxy/access"
	"culvert/proxy/route"
	"culvert/tls/certs"
)

// read reads a text that has nothing wrong with it.
func read(t testing.TB, text string) *File {
	t.Helper()
	f, problems := parseWith([]byte(text), "c", func(name string) ([]byte, error) { return []byte("the body " + name), nil })
	if len(problems) > 0 {
		t.Fatalf("of\n%s\nit says\n%v", text, problems)
	}
	return f
}

// withoutPlaces forgets where things stood, and in which order settings did.
func withoutPlaces(f *File) *File {
	forget(reflect.ValueOf(f).Elem())
	slices.SortFunc(f.Settings, func(a, b Setting) int { return cmp.Compare(a.Flag, b.Flag) })
	f.Name = ""
	return f
}

func forget(v reflect.Value) {
	if v.Type() == reflect.TypeFor[place]() {
		reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem().SetZero() // some are not exported
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			forget(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			forget(v.Index(i))
		}
	case reflect.Pointer:
		if !v.IsNil() && v.Type() != reflect.TypeFor[*netip.Addr]() {
			forget(v.Elem())
		}
	}
}

const everything = `
timeouts: {idle-timeout: 2m}
trust: {trusted-proxies: [10.0.0.0/8, ::1]}
sockets: {backlog: 128}
backends: {source: 192.0.2.1}
config: {watch-config: true}
limits:
admin: {admin: "off"}
listeners:
  - name: web
    address: ":8080"
    group: app
    allow: 10.0.0.0/8
    deny: [192.0.2.0/24, 2001:db8::1]
    proxy-protocol: required
    proxy-protocol-from: [10.0.0.0/8]
    max-body: 1MiB
    rules:
      - name: chat
        host: "*.example.com"
        path: /chat
        method: [GET]
        headers: {X-Canary: 1, X-A: {present: true}, X-B: {absent: true}, X-C: {prefix: abc}, X-D: {equal: "true"}}
        cookies: {a: b}
        query: {q: ""}
        upgrade: true
        subprotocol: graphql-ws
        group: chat
        deny: [192.0.2.9]
        allowed-origins: ["https://app.example.com", same-host, none]
        requests-per-second: 100
        request-headers: {remove: [X-D], set: {X-A: "v {client} {{}}"}, add: {X-B: [a, b], X-C: c}}
        answer-headers: {remove: Server}
        rewrite-host: "{host-name}.internal"
        rewrite-path: ""
        error-bodies: {503: {body: later, content-type: text/html}, 502: {body-file: m.html}}
        idle-timeout: 10m
        via: true
      - {path: /x, answer: {status: 204, headers: {X-A: "{id}"}}}
      - {path: /y, answer: {body: ""}}
      - {host: "*.example.com", redirect: https}
  - {address: "127.0.0.1:81", rules: [{redirect: {status: 308, location: /new}}]}
  - address: ":443"
    group: tls
    tls-handshake-timeout: 5s
    tls:
      certificates: [{cert: a.crt, key: /etc/a.key}, {cert: b.pem, key: b.pem}]
      folders: [certs, "more certs"]
      strict-sni: true
      policy: modern
      client-ca: clients.pem
      client-auth: optional
      hsts: 17520h
      hsts-subdomains: true
  - {address: ":444", group: tls, tls: {certificates: {cert: a.crt, key: a.key}, client-ca: "off", client-auth: require, hsts: 0}}
  - {address: ":82", https-redirect: 308, https-port: 444}
  - {address: ":83", https-redirect: "off", group: app}
groups:
  app:
    send-proxy: v2
    servers: [10.0.0.1:9000, {address: "http://app.internal:80", weight: 5, secondary: true}, "unix:/run/a.sock,weight=0"]
  chat: {servers: ["[::1]:1"]}
  tls:
    tls: {server-name: b.example, ca: ca.pem, verify: true}
    servers: ["https://a.example.:443", {address: "https://[::1]:444", weight: 2, tls: {server-name: host, ca: system}}, {address: "https://b:445", tls: {verify: false}}, c:80]
`

func wantEverything() *File {
	empty := ""
	prefix := netip.MustParsePrefix
	set := func(flag string, items ...string) Setting { return Setting{Flag: flag, Items: items} }
	return &File{
		Settings: []Setting{set("admin", "off"), set("backlog", "128"), set("idle-timeout", "2m"), set("source", "192.0.2.1"), set("trusted-proxies", "10.0.0.0/8", "::1"), set("watch-config", "true")},
		Listeners: []Listener{
			{
				Name: "web", Address: netip.MustParseAddrPort("[::]:8080"), Group: "app",
				Access:        access.Lists{White: []netip.Prefix{prefix("10.0.0.0/8")}, HasWhite: true, Black: []netip.Prefix{prefix("192.0.2.0/24"), prefix("2001:db8::1/128")}},
				ProxyProtocol: true, ProxyProtocolFrom: []netip.Prefix{prefix("10.0.0.0/8")}, Policy: []Setting{set("max-body", "1MiB")},
				Rules: []Rule{
					{
						Name: "chat", Group: "chat", Requests: 100, Host: "{host-name}.internal", Rewrite: &empty,
						Match: route.Match{
							Host: "*.example.com", Path: "/chat", Methods: []string{"GET"}, Upgrade: route.OnlyUpgrades, Subprotocols: []string{"graphql-ws"},
							Headers: []route.Condition{{Name: "X-Canary", Value: "1"}, {Name: "X-A", Op: route.Present}, {Name: "X-B", Op: route.Absent}, {Name: "X-C", Op: route.Prefix, Value: "abc"}, {Name: "X-D", Value: "true"}},
							Cookies: []route.Condition{{Name: "a", Value: "b"}}, Query: []route.Condition{{Name: "q"}},
						},
						Access:         access.Lists{Black: []netip.Prefix{prefix("192.0.2.9/32")}},
						AllowedOrigins: []string{"https://app.example.com", "same-host", "none"},
						RequestHeaders: []proxy.HeaderEdit{{Op: proxy.HeaderRemove, Name: "X-D"}, {Name: "X-A", Value: "v {client} {{}}"}, {Op: proxy.HeaderAdd, Name: "X-B", Value: "a"}, {Op: proxy.HeaderAdd, Name: "X-B", Value: "b"}, {Op: proxy.HeaderAdd, Name: "X-C", Value: "c"}},
						AnswerHeaders:  []proxy.HeaderEdit{{Op: proxy.HeaderRemove, Name: "Server"}},
						ErrorBodies:    map[int]Body{503: {Body: proxy.Body{Bytes: []byte("later"), ContentType: "text/html"}}, 502: {Body: proxy.Body{Bytes: []byte("the body m.html")}, File: "m.html"}},
						Policy:         []Setting{set("idle-timeout", "10m"), set("via", "true")},
					},
					{Match: route.Match{Path: "/x"}, Answer: &Answer{Status: 204, Headers: []proxy.HeaderEdit{{Name: "X-A", Value: "{id}"}}}},
					{Match: route.Match{Path: "/y"}, Answer: &Answer{Status: 200, Body: Body{Body: proxy.Body{Bytes: []byte{}}}}},
					{Match: route.Match{Host: "*.example.com"}, Redirect: &proxy.RedirectConfig{Status: 302, Location: "https://{host-name}{uri}"}},
				},
			},
			{Address: netip.MustParseAddrPort("127.0.0.1:81"), Rules: []Rule{{Redirect: &proxy.RedirectConfig{Status: 308, Location: "/new"}}}},
			{Address: netip.MustParseAddrPort("[::]:443"), Group: "tls", Policy: []Setting{set("tls-handshake-timeout", "5s")}, TLS: &ListenerTLS{pairs: make([]place, 4), folders: make([]place, 2), ListenerTLS: proxy.ListenerTLS{
				Certificates: certs.Source{Pairs: []certs.Pair{{CertFile: "a.crt", KeyFile: "/etc/a.key"}, {CertFile: "b.pem", KeyFile: "b.pem"}}, Folders: []string{"certs", "more certs"}, Strict: true},
				Policy:       "modern", ClientCA: "clients.pem", ClientOptional: true, HSTS: 17520 * time.Hour, HSTSSubdomains: true,
			}}},
			{Address: netip.MustParseAddrPort("[::]:444"), Group: "tls", TLS: &ListenerTLS{pairs: make([]place, 2), ListenerTLS: proxy.ListenerTLS{Certificates: certs.Source{Pairs: []certs.Pair{{CertFile: "a.crt", KeyFile: "a.key"}}}}}},
			{Address: netip.MustParseAddrPort("[::]:82"), HTTPSRedirect: 308, HTTPSPort: 444},
			{Address: netip.MustParseAddrPort("[::]:83"), Group: "app"},
		},
		Groups: []Group{
			unsaid(Group{Name: "app", SendProxy: 2, Servers: []Server{
				{Backend: settings.Backend{Name: "10.0.0.1:9000", Host: "10.0.0.1", Port: 9000, Weight: 1}},
				{Backend: settings.Backend{Name: "app.internal:80", Host: "app.internal", Port: 80, Weight: 5}, Secondary: true},
				{Backend: settings.Backend{Name: "unix:/run/a.sock", Path: "/run/a.sock"}},
			}}),
			unsaid(Group{Name: "chat", Servers: []Server{{Backend: settings.Backend{Name: "[::1]:1", Host: "::1", Port: 1, Weight: 1}}}}),
			unsaid(Group{Name: "tls", OverTLS: &BackendTLS{ServerName: new("b.example"), CA: new("ca.pem"), Verify: new(true)}, Servers: []Server{
				{Backend: settings.Backend{Name: "https://a.example.:443", Host: "a.example.", Port: 443, TLS: true, Weight: 1}},
				{Backend: settings.Backend{Name: "https://[::1]:444", Host: "::1", Port: 444, TLS: true, Weight: 2}, OverTLS: &BackendTLS{ServerName: new(""), CA: new("")}},
				{Backend: settings.Backend{Name: "https://b:445", Host: "b", Port: 445, TLS: true, Weight: 1}, OverTLS: &BackendTLS{Verify: new(false)}},
				{Backend: settings.Backend{Name: "c:80", Host: "c", Port: 80, Weight: 1}},
			}}),
		},
	}
}

// unsaid returns a group that says nothing of how its servers are chosen.
func unsaid(g Group) Group {
	d := newGroup(g.Name)
	d.SendProxy, d.OverTLS, d.Servers = g.SendProxy, g.OverTLS, g.Servers
	return d
}

// TestEverything: every key arrives in the model.
func TestEverything(t *testing.T) {
	got, want := withoutPlaces(read(t, everything)), wantEverything()
	if !reflect.DeepEqual(got.Settings, want.Settings) || !reflect.DeepEqual(got.Groups, want.Groups) {
		t.Errorf("got  %+v\n     %+v\nwant %+v\n     %+v", got.Settings, got.Groups, want.Settings, want.Groups)
	}
	for i := range want.Listeners {
		for j := range want.Listeners[i].Rules {
			if !reflect.DeepEqual(got.Listeners[i].Rules[j], want.Listeners[i].Rules[j]) {
				t.Errorf("rule %d of listener %d: got  %+v\nwant %+v", j, i, got.Listeners[i].Rules[j], want.Listeners[i].Rules[j])
			}
		}
		got.Listeners[i].Rules, want.Listeners[i].Rules = nil, nil
		if !reflect.DeepEqual(got.Listeners[i], want.Listeners[i]) {
			t.Errorf("listener %d: got  %+v\nwant %+v", i, got.Listeners[i], want.Listeners[i])
		}
	}
}

func exampleTexts(t testing.TB) []string {
	t.Helper()
	var texts []string
	for _, name := range examples(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

// TestPrintedIsReadAgain: what a file is printed as says the same.
func TestPrintedIsReadAgain(t *testing.T) {
	for _, source := range append(exampleTexts(t), everything, balanced) {
		first := read(t, source)
		second := read(t, first.Text())
		if a, b := withoutPlaces(first), withoutPlaces(second); !reflect.DeepEqual(a, b) {
			t.Errorf("%s\nis printed as\n%s\nwhich says something else:\n%+v\n%+v", source, first.Text(), a, b)
		}
	}
}

// TestNotations: one thing, written in several ways.
func TestNotations(t *testing.T) {
	want := withoutPlaces(read(t, "listeners: [{address: \":80\", group: a, allow: [::1, 2001:db8::/32]}]\ngroups: {a: {servers: [10.0.0.1:9000, a:80]}}\n"))
	for name, text := range map[string]string{
		"blocks":                   "listeners:\n- address: :80\n  group: a\n  allow:\n  - ::1\n  - 2001:db8::/32\ngroups:\n  a:\n    servers:\n    - 10.0.0.1:9000\n    - address: a:80\n",
		"JSON":                     `{"listeners":[{"address":":80","group":"a","allow":["::1","2001:db8::/32"]}],"groups":{"a":{"servers":["10.0.0.1:9000","a:80"]}}}`,
		"Windows":                  "listeners:\r\n- address: ':80'\r\n  group: a\r\n  allow: ['::1', '2001:db8::/32']\r\ngroups:\r\n  a:\r\n    servers: [10.0.0.1:9000,a:80]\r\n",
		"a byte order mark":        "\ufefflisteners: [{address: \":80\", group: a, allow: [\"::1\",2001:db8::/32]}]\ngroups: {a: {servers: [\"10.0.0.1:9000\", a:80]}}",
		"colons in braces":         "{listeners: [{address: :80, group: a, allow: [::1, 2001:db8::/32]}], groups: {a: {servers: [{address: 10.0.0.1:9000}, {weight: 1, address: a:80}]}}}",
		"a marked document":        "---\nlisteners: [{address: \":80\", group: a, allow: [::1, 2001:db8::/32]}]\ngroups: {a: {servers: [10.0.0.1:9000, a:80]}}\n...\n",
		"weights and empty places": "limits:\nlisteners: [{address: \"[::]:80\", group: a, allow: [::1, 2001:db8::/32], rules: []}]\ngroups: {a: {send-proxy: none, servers: [\"10.0.0.1:9000,weight=1\", {address: a:80, weight: 1, secondary: false}]}}",
	} {
		if got := withoutPlaces(read(t, text)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", name, got, want)
		}
	}
}

// TestEveryFlagCanBeSaid: its default, in its section, or as a listener or a server.
func TestEveryFlagCanBeSaid(t *testing.T) {
	for _, flag := range settings.Flags(settings.Run) {
		if slices.Contains(elsewhere, flag.Name) {
			continue
		}
		value := quote(fmt.Sprint(defaultOf(flag)))
		if flag.List {
			value = "[\"::1\", 192.0.2.1]"
		}
		f := read(t, fmt.Sprintf("%s:\n  %s: %s\n", flag.Section(), flag.Name, value))
		if len(f.Settings) != 1 || f.Settings[0].Flag != flag.Name {
			t.Errorf("%s: %+v", flag.Name, f.Settings)
		}
		i, err := settings.Parse([]string{"--config=c", "--backend=a:1"}, nil)
		if err == nil {
			i, err = i.With(f.Layer())
		}
		if err != nil || !i.Given(flag.Name) {
			t.Errorf("%s: the invocation does not have it: %v", flag.Name, err)
		}
	}
	i, err := settings.Parse([]string{"--config=c"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := read(t, "listeners: [{address: \":80\", group: a}]\ngroups: {a: {servers: [\"b:1,weight=3\"]}}")
	if _, err := i.With(f.Layer()); err != nil {
		t.Error(err)
	}
	flags, err := settings.Parse([]string{"--listen=:80", "--backend=b:1,weight=3"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.Groups[0].Name, f.Listeners[0].Group, f.site = proxy.DefaultGroup, proxy.DefaultGroup, place{}
	if got, want := withoutPlaces(Served(nil, flags)), withoutPlaces(f); !reflect.DeepEqual(got, want) {
		t.Errorf("flags say\n%+v\nand the file\n%+v", got, want)
	}
}

// TestWarnings: what can be used and is to be doubted.
func TestWarnings(t *testing.T) {
	const groups = "\ngroups: {a: {servers: [a:1]}}"
	for _, c := range []struct{ text, want string }{
		{"listeners: [{address: \":80\", group: a, allow: []}]" + groups, "1:47: warning: allow: an empty list refuses every client; leave it out to serve all"},
		{"listeners: [{address: \":80\", group: a, proxy-protocol-from: ::1}]" + groups, "1:13: warning: listeners: proxy-protocol-from has no effect without proxy-protocol: required"},
		{"listeners: [{address: \":80\"}, {address: \":81\", group: a}]" + groups, "1:13: warning: listeners: neither group nor rules; every request gets 404"},
		{"listeners: [{address: \":80\", group: a}]\ngroups: {a: {servers: [a:1]}, b: {servers: [a:1]}}", "2:31: warning: group b: no listener and no rule leads to it"},
		{"listeners: [{address: \":80\", group: a}]\ngroups: {a: {servers: [\"a:1,weight=0\", {address: a:2, weight: 0}]}}", "2:10: warning: group a: every server has weight 0; its requests get 503"},
		{"listeners: [{address: \":80\", group: a, rules: [{host: B.example, path: /x, group: a}, {host: b.example, upgrade: true, group: a}, {host: c.example, redirect: https}]}]" + groups,
			"1:48: warning: rules: requests of host B.example that no rule matches get 404, not group a; add a rule for the host without further conditions"},
		{"listeners: [{address: \":80\", rules: [{host: b.example, path: /x, group: a}]}]" + groups, ""},
		{"listeners: [{address: \":80\", group: a, https-redirect: 302, https-port: 8443, tls-handshake-timeout: 5s}, {address: \":81\", group: a, https-port: 444}]" + groups,
			"1:37: warning: group: it has no effect, since https-redirect answers every request\n1:102: warning: tls-handshake-timeout: it has no effect without tls\n" +
				"1:146: warning: https-port: it has no effect without https-redirect"},
		{"listeners: [{address: \":80\", https-redirect: 302, rules: [{group: a, allowed-origins: any}]}]" + groups,
			"1:58: warning: rules: they have no effect, since https-redirect answers every request"},
		{"listeners: [{address: \":80\", https-redirect: 302}]", ""},
		{"timeouts: {connect-timeout: 20s}", "1:29: warning: connect-timeout is more than connect-total-timeout: behind a server that does not answer no other one is tried"},
		{"http: {max-request-line: 64KiB}", "1:26: warning: max-request-line is more than max-head, which bounds the first line too"},
		{"http: {max-head: 4KiB}", "1:18: warning: max-request-line is more than max-head, which bounds the first line too"},
		{"http: {max-head: 8KiB}", ""},
		{"listeners: [{address: \":80\", connect-total-timeout: 4s, rules: [{group: a, connect-timeout: 3s}, {path: /x, group: a, connect-timeout: 6s}]}]" + groups,
			"1:53: warning: connect-timeout is more than connect-total-timeout: behind a server that does not answer no other one is tried\n" +
				"1:136: warning: connect-timeout is more than connect-total-timeout: behind a server that does not answer no other one is tried"},
		{"listeners:\n- address: \":80\"\n  rules:\n  - {path: /x, group: a}\n  - {path: /x/, method: GET, group: a}\n  - {path: /x, host: a.example, group: a}\n  - {path: /x, upgrade: true, group: a}" + groups,
			"7:5: warning: rules: no request reaches this rule: the one at line 4 takes them all"},
		{"listeners: [{address: \":80\", rules: [{group: a}, {path: /x, redirect: https, rewrite-path: \"\", rewrite-host: x, request-headers: {remove: X}}]}]" + groups,
			"1:92: warning: rewrite-path: it has no effect, since this rule asks no server\n1:110: warning: rewrite-host: it has no effect, since this rule asks no server\n1:130: warning: request-headers: it has no effect, since this rule asks no server"},
	} {
		f, problems := Parse([]byte(c.text), "c")
		if f != nil {
			problems = append(problems, f.together()...).sorted()
		}
		if got := strings.ReplaceAll(problems.Error(), "c:", ""); got != c.want || f == nil {
			t.Errorf("of\n%s\nit says\n%s\nand should say\n%s", c.text, got, c.want)
		}
	}
}

// TestBodiesAreFoundFromTheFile: not from where one happens to stand.
func TestBodiesAreFoundFromTheFile(t *testing.T) {
	folder := t.TempDir()
	config := filepath.Join(folder, "c.yaml")
	text := "listeners: [{address: \":80\", rules: [{group: a, path: /x}, {answer: {body-file: b.html}}, {path: /y, answer: {body-file: big}}]}]\ngroups: {a: {servers: [a:1]}}\n"
	for name, content := range map[string]string{"c.yaml": text, "b.html": "hello", "big": strings.Repeat("x", proxy.MaxFixedBody)} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, problems := Load(config)
	if f == nil || string(f.Listeners[0].Rules[1].Answer.Body.Bytes) != "hello" || len(f.Listeners[0].Rules[2].Answer.Body.Bytes) != proxy.MaxFixedBody {
		t.Fatalf("%+v, %v", f, problems)
	}
	if err := os.WriteFile(filepath.Join(folder, "big"), make([]byte, proxy.MaxFixedBody+1), 0o600); err != nil {
		t.Fatal(err)
	}
	f, problems = Load(config)
	if want := config + ":1:122: body-file big: the file has more than 262144 bytes, which is the most allowed"; f != nil || problems.Error() != want {
		t.Errorf("%v, want %s", problems, want)
	}
}
