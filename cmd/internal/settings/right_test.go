package settings

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func parse(t *testing.T, args string, environ ...string) *Invocation {
	t.Helper()
	i, err := Parse(strings.Fields(args), environ)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// parseRun is parse for a line that names no backend.
func parseRun(t *testing.T, args string, environ ...string) *Settings {
	t.Helper()
	i := parse(t, args+" "+someBackend, environ...)
	if i.Command != Run {
		t.Fatalf("the command is %s", i.Command)
	}
	return i.Settings
}

func addresses(text ...string) []netip.AddrPort {
	var list []netip.AddrPort
	for _, one := range text {
		list = append(list, netip.MustParseAddrPort(one))
	}
	return list
}

func TestDefaults(t *testing.T) {
	want := &Settings{
		Listeners: Listeners{Listen: addresses("[::]:8080"), Backlog: 4096},
		Timeouts: Timeouts{
			Idle: time.Minute, Stalled: time.Minute, HalfClosed: time.Minute, TLSHandshake: 10 * time.Second, ClientHead: 15 * time.Second,
			Connect: 5 * time.Second, ConnectTotal: 10 * time.Second, Answer: time.Minute, ClientWrite: time.Minute,
			Linger: 5 * time.Second,
		},
		HTTP: HTTP{
			KeepAliveTimeout: 15 * time.Second, KeepAliveRequests: 100, BackendIdleTimeout: 30 * time.Second,
			BackendIdleConnections: 256, MaxHead: 32 << 10, MaxRequestLine: 8 << 10, MaxHeaders: 128, SLBID: "off",
		},
		TLS:      TLS{TLSPolicy: "intermediate", TLSClientAuth: "require", HTTPSRedirect: "off", TLSHandshakesMax: 1000},
		Limits:   Limits{Spec: "none", ClientPrefixIPv6: 64, ReadBuffer: 64 << 10, SpliceThreshold: 64 << 10, SplicePipes: 64},
		Logs:     Logs{LogLevel: "info", LogFormat: "auto", AccessLog: AccessLog{Path: "-"}},
		Admin:    Admin{Admin: AdminAddress{Address: netip.MustParseAddrPort("127.0.0.1:9900")}},
		Shutdown: Shutdown{ShutdownDelay: 5 * time.Second, ShutdownGrace: 20 * time.Second},
	}
	if got := parseRun(t, ""); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	want.Listeners.Listen = addresses("127.0.0.1:8080")
	want.Logs.AccessLog = AccessLog{Off: true}
	want.Shutdown = Shutdown{ShutdownDelay: 0, ShutdownGrace: time.Second}
	i := parse(t, "demo")
	if i.Command != Demo || !reflect.DeepEqual(i.Settings, want) {
		t.Errorf("%s: got %+v\nwant %+v", i.Command, i.Settings, want)
	}
	if i.Given("listen") {
		t.Error("a default passes for a given value")
	}
}

func TestListeners(t *testing.T) {
	for args, want := range map[string][]netip.AddrPort{
		"":                    addresses("[::]:8080"),
		"--listen :80":        addresses("[::]:80"),
		"--listen :0":         addresses("[::]:0"),
		"--listen 1.2.3.4:80": addresses("1.2.3.4:80"),
		"--listen [::1]:80 --listen 127.0.0.1:80":   addresses("[::1]:80", "127.0.0.1:80"),
		"--listen [::]:80":                          addresses("[::]:80"),
		"--listen [fe80::1%lo]:80":                  addresses("[fe80::1%lo]:80"),
		"--listen [::ffff:1.2.3.4]:80":              addresses("1.2.3.4:80"),
		"--listen=127.0.0.1:0 --listen=127.0.0.1:0": addresses("127.0.0.1:0", "127.0.0.1:0"),
	} {
		if got := parseRun(t, args).Listeners.Listen; !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", args, got, want)
		}
	}
}

func TestBackends(t *testing.T) {
	for _, c := range []struct {
		args string
		want []Backend
	}{
		{"--backend 127.0.0.1:9001", []Backend{{Name: "127.0.0.1:9001", Host: "127.0.0.1", Port: 9001, Weight: 1}}},
		{"--backend http://127.0.0.1:9001/,weight=0", []Backend{{Name: "127.0.0.1:9001", Host: "127.0.0.1", Port: 9001, Weight: 0}}},
		{"--backend https://app.example:8443/,weight=2", []Backend{{Name: "https://app.example:8443", Host: "app.example", Port: 8443, TLS: true, Weight: 2}}},
		{"--backend [::1]:9001,weight=100", []Backend{{Name: "[::1]:9001", Host: "::1", Port: 9001, Weight: 100}}},
		{"--backend app-1.example.:80 --backend my_app:65535,weight=7", []Backend{{Name: "app-1.example.:80", Host: "app-1.example.", Port: 80, Weight: 1}, {Name: "my_app:65535", Host: "my_app", Port: 65535, Weight: 7}}},
		{"--backend unix:/run/app.sock,weight=3", []Backend{{Name: "unix:/run/app.sock", Path: "/run/app.sock", Weight: 3}}},
		{"run --backend localhost:1", []Backend{{Name: "localhost:1", Host: "localhost", Port: 1, Weight: 1}}},
	} {
		if got := parse(t, c.args).Backends; !slices.Equal(got, c.want) {
			t.Errorf("%q: got %+v, want %+v", c.args, got, c.want)
		}
	}
}

func TestSources(t *testing.T) {
	i := parse(t, someBackend, "CULVERT_SOURCE=192.0.2.1; 2001:db8::1 ::ffff:192.0.2.2")
	if want := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.2")}; !slices.Equal(i.Sources, want) {
		t.Errorf("sources %v, want %v", i.Sources, want)
	}
}

func TestListsInTheEnvironment(t *testing.T) {
	i := parse(t, "", "CULVERT_BACKEND=a:1,weight=2; b:2\n\tc:3;;", "CULVERT_LISTEN=:80 127.0.0.1:81", "CULVERT_TRUSTED_PROXIES=10.0.0.0/8,192.0.2.1 ::1;2001:db8::/32")
	if want := []Backend{{Name: "a:1", Host: "a", Port: 1, Weight: 2}, {Name: "b:2", Host: "b", Port: 2, Weight: 1}, {Name: "c:3", Host: "c", Port: 3, Weight: 1}}; !slices.Equal(i.Backends, want) {
		t.Errorf("backends %+v, want %+v", i.Backends, want)
	}
	if want := addresses("[::]:80", "127.0.0.1:81"); !slices.Equal(i.Settings.Listeners.Listen, want) {
		t.Errorf("listeners %v, want %v", i.Settings.Listeners.Listen, want)
	}
	var want []netip.Prefix
	for _, network := range []string{"10.0.0.0/8", "192.0.2.1/32", "::1/128", "2001:db8::/32"} {
		want = append(want, netip.MustParsePrefix(network))
	}
	if !slices.Equal(i.Settings.Trust.TrustedProxies, want) {
		t.Errorf("trusted %v, want %v", i.Settings.Trust.TrustedProxies, want)
	}
}

// TestPrecedence: flag, then variable, then default; a list is replaced as a whole.
func TestPrecedence(t *testing.T) {
	environ := []string{"CULVERT_IDLE_TIMEOUT=2m", "CULVERT_BACKEND=a:1;b:1", "CULVERT_LISTEN=:80", "CULVERT_ACCESS_LOG_QUERY=true", "CULVERT_LOOPS=nonsense"}
	i := parse(t, "--idle-timeout 3m --backend c:1 --loops 2", environ...)
	if i.Settings.Timeouts.Idle != 3*time.Minute || i.Settings.Limits.Loops != 2 {
		t.Errorf("idle %v, loops %d: the flags do not override", i.Settings.Timeouts.Idle, i.Settings.Limits.Loops)
	}
	if len(i.Backends) != 1 || i.Backends[0].Name != "c:1" {
		t.Errorf("backends %+v: the flag does not replace the list", i.Backends)
	}
	if !slices.Equal(i.Settings.Listeners.Listen, addresses("[::]:80")) || !i.Settings.Logs.AccessLogQuery {
		t.Errorf("listen %v, query %v: the variables do not count", i.Settings.Listeners.Listen, i.Settings.Logs.AccessLogQuery)
	}
	if i.Settings.Timeouts.Stalled != time.Minute {
		t.Errorf("stalled %v, want the default", i.Settings.Timeouts.Stalled)
	}
	for flag, want := range map[string]bool{"idle-timeout": true, "listen": true, "stalled-timeout": false} {
		if i.Given(flag) != want {
			t.Errorf("Given(%s) = %v", flag, !want)
		}
	}
	if s := parseRun(t, "--access-log-query=false", environ[3:4]...); s.Logs.AccessLogQuery {
		t.Error("the variable counts and not the flag")
	}
}

// TestEnvironmentOfOthers: empty variables, those of another command, and names that only look alike.
func TestEnvironmentOfOthers(t *testing.T) {
	i := parse(t, someBackend, "CULVERT_IDLE_TIMEOUT=", "CULVERT_PORT=tcp://10.0.0.1:80", "CULVERT_SERVICE_HOST=10.0.0.1",
		"CULVERT_HELP=true", "CULVERT_VERSION=1", "CULVERT_=x", "IDLE_TIMEOUT=x", "culvert_loops=x", "broken", "")
	if i.Settings.Timeouts.Idle != time.Minute || len(i.Warnings) != 0 {
		t.Errorf("idle %v, warnings %q", i.Settings.Timeouts.Idle, i.Warnings)
	}
	if i := parse(t, "demo", "CULVERT_BACKEND=nonsense"); i.Command != Demo {
		t.Errorf("the command is %s", i.Command)
	}
	if i := parse(t, "version", "CULVERT_LOOPS=nonsense"); i.Command != Version || i.Settings != nil {
		t.Errorf("%+v", i)
	}
	if s := parseRun(t, "", "CULVERT_ADMIN=off", "CULVERT_LOOPS=3"); !s.Admin.Admin.Off || s.Limits.Loops != 3 {
		t.Errorf("%+v", s)
	}
}

func TestMistypedVariables(t *testing.T) {
	i := parse(t, someBackend, "CULVERT_IDEL_TIMEOUT=5s", "CULVERT_LISTN=:80", "CULVERT_BACKENDS=a:1", "CULVERT_LOOPS=1")
	want := []string{
		"CULVERT_BACKENDS is not a setting, did you mean CULVERT_BACKEND?",
		"CULVERT_IDEL_TIMEOUT is not a setting, did you mean CULVERT_IDLE_TIMEOUT?",
		"CULVERT_LISTN is not a setting, did you mean CULVERT_LISTEN?",
	}
	if !slices.Equal(i.Warnings, want) {
		t.Errorf("warnings %q, want %q", i.Warnings, want)
	}
}

// TestQuestions: help and version are answered whatever else is wrong.
func TestQuestions(t *testing.T) {
	for args, want := range map[string]Invocation{
		"--help":                         {Command: Help},
		"-h":                             {Command: Help},
		"help":                           {Command: Help},
		"help demo":                      {Command: Help, Topic: Demo},
		"demo --help":                    {Command: Help, Topic: Demo},
		"--loops x --help":               {Command: Help},
		"demo --nonsense -h --version":   {Command: Help, Topic: Demo},
		"--version":                      {Command: Version},
		"version":                        {Command: Version},
		"--version --idle-timeout wrong": {Command: Version},
	} {
		got, err := Parse(strings.Fields(args), []string{"CULVERT_LOOPS=nonsense"})
		if err != nil || got.Command != want.Command || got.Topic != want.Topic {
			t.Errorf("%q: %+v, %v; want %+v", args, got, err, want)
		}
	}
	if _, err := Parse([]string{"--", "--help"}, nil); err == nil {
		t.Error("what stands behind -- is taken for a flag")
	}
}

func TestOtherValues(t *testing.T) {
	s := parseRun(t, "--access-log - --admin :9900 --read-buffer 65536B --log-level warn --log-format json --trusted-proxies ::ffff:10.0.0.1 --idle-timeout 0 --access-log-query")
	want := AccessLog{Path: "-"}
	if s.Logs.AccessLog != want || s.Limits.ReadBuffer != 65536 || s.Logs.LogLevel != "warn" || s.Logs.LogFormat != "json" || !s.Logs.AccessLogQuery {
		t.Errorf("%+v %+v", s.Logs, s.Limits)
	}
	if s.Admin.Admin.Address != netip.MustParseAddrPort("[::]:9900") || s.Timeouts.Idle != 0 {
		t.Errorf("%+v %v", s.Admin, s.Timeouts.Idle)
	}
	if got := s.Trust.TrustedProxies[0].String(); got != "10.0.0.1/32" {
		t.Errorf("trusted %s", got)
	}
	if s := parseRun(t, "--access-log off"); !s.Logs.AccessLog.Off {
		t.Errorf("%+v", s.Logs)
	}
	if s := parseRun(t, "--access-log ./off"); s.Logs.AccessLog.Path != "./off" {
		t.Errorf("%+v", s.Logs)
	}
}
