package settings

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	scheduleAllowed = "allowed: wrr, rr, wlc, least-time, p2c, hash"
	hashAllowed     = "allowed: address, path, header:NAME, cookie:NAME, query:NAME"
	stickyAllowed   = "allowed: off, insert, insert:NAME, rewrite:NAME"
	pathAllowed     = "allowed: a path such as /health"
	discoverAllowed = "allowed: dns://name:port, srv://_service._tcp.name, file:///path, or off"
	askedAllowed    = "allowed: an address such as 127.0.0.1:9900, [::1]:9900 or :9900, or unix:/path"
	allCommands     = "run, demo, check, config print, config schema, reload, backend list, backend drain, backend undrain, backend weight, version, help"
	someHash        = someBackend + " --schedule hash"
)

// wrongBalancingLines are those of wrongLines that have to do with how requests are balanced.
var wrongBalancingLines = []struct{ args, want string }{
	{someBackend + " --schedule round-robin", "--schedule round-robin: unknown; " + scheduleAllowed},
	{someBackend + " --schedule last-time", "--schedule last-time: did you mean least-time?; " + scheduleAllowed},
	{someHash + " --hash-by adress", "--hash-by adress: unknown; " + hashAllowed},
	{someHash + " --hash-by address:1", "--hash-by address:1: address has no name; " + hashAllowed},
	{someHash + " --hash-by header", "--hash-by header: a name is missing; " + hashAllowed},
	{someHash + " --hash-by header:X(User)", `--hash-by header:X(User): '(' cannot stand in a name; ` + hashAllowed},
	{someHash + " --hash-by cookie:" + strings.Repeat("a", MaxCookieName+1), "--hash-by cookie:" + strings.Repeat("a", shownBytes-len("cookie:")) + "...: a name longer than 200 characters; " + hashAllowed},
	{someBackend + " --hash-by path", "--hash-by path: only --schedule hash goes by it"},
	{someBackend + " --sticky on", "--sticky on: unknown; " + stickyAllowed},
	{someBackend + " --sticky rewrite", "--sticky rewrite: the name of the backend's cookie is missing; " + stickyAllowed},
	{someBackend + " --sticky rewrite:", "--sticky rewrite:: a name is missing; " + stickyAllowed},
	{someBackend + " --sticky insert:a=b", "--sticky insert:a=b: '=' cannot stand in a name; " + stickyAllowed},
	{someBackend + " --sticky insert:__Host-lb", "--sticky insert:__Host-lb: browsers take a cookie of such a name with the attribute Secure only, which a configuration file can ask for; " + stickyAllowed},
	{someBackend + " --sticky-lifetime 1h", "--sticky-lifetime 1h: there is no cookie without --sticky"},
	{someBackend + " --sticky rewrite:sid --sticky-lifetime 1h", "--sticky-lifetime 1h: the backend's own cookie has the lifetime that it gives it"},
	{someBackend + " --sticky insert --sticky-lifetime 25h", "--sticky-lifetime 25h: above the maximum; allowed: 0 (as long as the browser runs), or 1s to 24h"},
	{someBackend + " --sticky insert --sticky-lifetime 1500ms", "--sticky-lifetime 1500ms: not a multiple of 1s; allowed: 0 (as long as the browser runs), or 1s to 24h"},
	{someBackend + " --sticky-key-file k", "--sticky-key-file k: there is no cookie to sign without --sticky"},
	{someBackend + " --check https", "--check https: did you mean http?; allowed: off, http, tcp, websocket"},
	{someBackend + " --check-path /up", "--check-path /up: nothing is checked without --check"},
	{someBackend + " --check tcp --check-path /up", "--check-path /up: a TCP check asks for nothing"},
	{someBackend + " --check http --check-path up", "--check-path up: no path; " + pathAllowed},
	{someBackend + " --check http --check-path /ü", `--check-path "/\u00fc": '\u00fc' is sent percent-encoded: write it so; ` + pathAllowed},
	{someBackend + " --check http --check-path /" + strings.Repeat("a", maxCheckPath), "--check-path /" + strings.Repeat("a", shownBytes-1) + "...: longer than 1024 characters; " + pathAllowed},
	{someBackend + " --check-interval 3s", "--check-interval 3s: nothing is checked without --check"},
	{someBackend + " --check-timeout 3s", "--check-timeout 3s: nothing is checked without --check"},
	{someBackend + " --check-healthy 2", "--check-healthy 2: nothing is checked without --check"},
	{someBackend + " --check-unhealthy 2", "--check-unhealthy 2: nothing is checked without --check"},
	{someBackend + " --outlier-failures 101", "--outlier-failures 101: above the maximum; allowed: 0 (never), or 1 to 100"},
	{someBackend + " --slow-start off", "--slow-start off: not a duration such as 60s, 1m30s or 500ms; allowed: 0 (at once), or 1s to 1h"},
	{someBackend + " --queue 5", "--queue 5: no request waits without --max-connections-per-backend"},
	{someBackend + " --max-connections-per-backend 5 --queue-timeout 3s", "--queue-timeout 3s: no request waits without --queue"},
	{"--discover dns://app:80 --max-connections-per-backend 5", "--max-connections-per-backend 5: it is for each --backend, and there is none"},
	{"--discover app:80", "--discover app:80: unknown; " + discoverAllowed},
	{"--discover dns://app", "--discover dns://app: a port is missing; " + discoverAllowed},
	{"--discover dns://app:http", "--discover dns://app:http: http is not a port; " + discoverAllowed},
	{"--discover dns://app:0", "--discover dns://app:0: port 0 cannot be connected to; " + discoverAllowed},
	{"--discover dns://10.0.0.1:80", "--discover dns://10.0.0.1:80: 10.0.0.1 is an address, and no name to be looked up; " + discoverAllowed},
	{"--discover srv://_http._tcp.app:80", "--discover srv://_http._tcp.app:80: SRV records have ports of their own; " + discoverAllowed},
	{"--discover srv://", `--discover srv://: "" is no name; ` + discoverAllowed},
	{"--discover file://list.yaml", "--discover file://list.yaml: a file is named by an absolute path; " + discoverAllowed},
	{"--discover file:///etc/", "--discover file:///etc/: a folder, not a file; " + discoverAllowed},
	{"demo --schedule rr", "culvert demo has no flag --schedule"},

	// What operators ask for.
	{"backend", "backend: a word is missing: culvert backend list, drain, undrain or weight"},
	{"backend lst", `unknown command backend lst, did you mean "backend list"?`},
	{"backend enable a", "unknown command backend enable; allowed: backend list, backend drain, backend undrain, backend weight"},
	{"backend drian a", `unknown command backend drian, did you mean "backend drain"?`},
	{"backend --admin :9900 list", "culvert backend has no flag --admin: flags stand behind the whole command, as in culvert backend list --help"},
	{"run backend", "the command backend stands in the wrong place"},
	{"backend drain", "backend drain: a word is missing: culvert backend drain NAME"},
	{"backend drain a b", "backend drain: b is one too many: one backend at a time"},
	{"backend drain a --for 25h", "--for 25h: above the maximum; allowed: 0 (as long as they live), or 1s to 24h"},
	{"backend undrain a --for 1h", "unknown flag --for; culvert help backend undrain lists them"},
	{"backend weight a", "backend weight: a word is missing: culvert backend weight NAME WEIGHT"},
	{"backend weight a 101", "WEIGHT 101: not such a weight; allowed: 0 to 100, or configured"},
	{"backend weight a default", "WEIGHT default: not such a weight; allowed: 0 to 100, or configured"},
	{"backend list --schedule rr", "culvert backend list has no flag --schedule"},
	{"backend list --admin off", "--admin off: a proxy is asked for this at its admin port"},
	{"reload --admin unix:admin.sock", "--admin unix:admin.sock: a Unix socket is named by an absolute path of at most 107 bytes; " + askedAllowed},
}

func TestBalancing(t *testing.T) {
	want := Balancing{
		Schedule: "wrr", HashBy: HashBy{Part: "address"}, Check: "off", CheckPath: "/", CheckInterval: 2 * time.Second, CheckTimeout: 5 * time.Second,
		CheckHealthy: 3, CheckUnhealthy: 3, OutlierFailures: 5, QueueTimeout: 5 * time.Second,
	}
	if got := parse(t, someBackend).Balancing; got != want {
		t.Errorf("by default %+v, want %+v", got, want)
	}
	want = Balancing{
		Schedule: "hash", HashBy: HashBy{"header", "X-User"}, Sticky: Sticky{Cookie: "insert"}, StickyLifetime: time.Hour, StickyKeyFile: "keys", Check: "websocket", CheckPath: "/up?x=1",
		CheckInterval: 3 * time.Second, CheckTimeout: 4 * time.Second, CheckHealthy: 2, CheckUnhealthy: 4, SlowStart: 30 * time.Second, MaxConnectionsPerBackend: 7, Queue: 8,
		QueueTimeout: time.Second, Discover: Discover{Kind: "srv", Name: "_ws._tcp.app.example"},
	}
	args := "--schedule hash --hash-by header:X-User --sticky insert --sticky-lifetime 1h --sticky-key-file keys --check websocket --check-path /up?x=1 --check-interval 3s --check-timeout 4s " +
		"--check-healthy 2 --check-unhealthy 4 --outlier-failures 0 --slow-start 30s --max-connections-per-backend 7 --queue 8 --queue-timeout 1s --discover srv://_ws._tcp.app.example"
	if got := parse(t, someBackend+" "+args).Balancing; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestBalancingIsWrittenAsItIsRead: where a message repeats it.
func TestBalancingIsWrittenAsItIsRead(t *testing.T) {
	for _, text := range []string{"address", "path", "header:X-User", "cookie:sid", "query:room"} {
		if got, err := Decode[HashBy]("hash-by", text); err != nil || got.String() != text {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"off", "insert", "insert:LB", "rewrite:sid"} {
		if got, err := Decode[Sticky]("sticky", text); err != nil || got.String() != text {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"off", "dns://app.example:8080", "srv://_http._tcp.app.example.", "file:///etc/culvert/app.json"} {
		if got, err := Decode[Discover]("discover", text); err != nil || got.String() != text {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"off", "unix:/run/culvert.sock", ":9900", "127.0.0.1:9900"} {
		if got, err := Decode[AdminAddress]("admin", text); err != nil || got.String() != text {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// TestBalancingFlagsAreThoseOfTheirFields: in the same order, since values are found by it.
func TestBalancingFlagsAreThoseOfTheirFields(t *testing.T) {
	if n := reflect.TypeFor[Balancing]().NumField(); n != len(balancingFlags) {
		t.Fatalf("%d fields and %d flags", n, len(balancingFlags))
	}
	i := parse(t, someBackend)
	for _, name := range balancingFlags {
		if got := i.textOf(name); got != runSchema().flags[name].Default {
			t.Errorf("the default of --%s is read as %q", name, got)
		}
		if !slices.Contains(SiteFlags, name) {
			t.Errorf("--%s can be given beside a file that says it", name)
		}
	}
}

// TestDefaultsMayBeSaid: what is the default has no effect, with whatever it stands.
func TestDefaultsMayBeSaid(t *testing.T) {
	for _, args := range []string{"--hash-by address", "--check-path /", "--queue-timeout 5s", "--sticky-lifetime 0", "--sticky-key-file off", "--check-healthy 3"} {
		parse(t, someBackend+" "+args)
	}
}

func TestOrders(t *testing.T) {
	for args, want := range map[string]Invocation{
		"backend list": {Command: BackendList},
		"backend list --group app --json --admin unix:/run/culvert.sock": {Command: BackendList, JSON: true, Admin: AdminAddress{Path: "/run/culvert.sock"}, Order: Order{Group: "app"}},
		"backend drain 10.0.0.1:80 --for 10m --admin-token-file t":       {Command: BackendDrain, AdminTokenFile: "t", Order: Order{Name: "10.0.0.1:80", For: 10 * time.Minute}},
		"backend undrain a:1 --group app":                                {Command: BackendUndrain, Order: Order{Group: "app", Name: "a:1"}},
		"backend weight a:1 0":                                           {Command: BackendWeight, Order: Order{Name: "a:1"}},
		"backend weight a:1 100":                                         {Command: BackendWeight, Order: Order{Name: "a:1", Weight: 100}},
		"backend weight a:1 configured":                                  {Command: BackendWeight, Order: Order{Name: "a:1", Weight: Configured}},
		"reload --admin-token-file t":                                    {Command: Reload, AdminTokenFile: "t"},
	} {
		got := parse(t, args)
		if got.Command != want.Command || got.Order != want.Order || got.JSON != want.JSON || got.AdminTokenFile != want.AdminTokenFile || got.Admin.Path != want.Admin.Path {
			t.Errorf("%s: %+v", args, got)
		}
		if want.Admin.Path == "" && got.Admin.String() != "127.0.0.1:9900" {
			t.Errorf("%s asks %s", args, got.Admin)
		}
	}
	if got := parse(t, "backend list", "CULVERT_ADMIN=:1", "CULVERT_ADMIN_TOKEN_FILE=t"); got.Admin.String() != ":1" || got.AdminTokenFile != "t" {
		t.Errorf("the environment does not count: %+v", got)
	}
}

// TestHelpOfCommandsOfTwoWords: of one, and of those that begin with the same word.
func TestHelpOfCommandsOfTwoWords(t *testing.T) {
	for args, want := range map[string]string{
		"help backend": "culvert backend weight NAME WEIGHT [flags]\n", "backend -h": "culvert backend list [flags]\n", "help config": "culvert config print\n",
		"backend drain --help": "culvert backend drain NAME [flags]\n\n  Take a backend out of use", "help backend drain": "  --for DURATION\n",
	} {
		if text := HelpText(parse(t, args).Topic); !strings.Contains(text, want) {
			t.Errorf("%s: %q is missing in\n%s", args, want, text)
		}
	}
}

func TestRanges(t *testing.T) {
	percent := Range{Min: "1", Max: "50", Zero: "none"}
	for text, want := range map[string]int{"0": 0, "0%": 0, "1": 1, "50%": 50, "51%": -1, "-1": -1, "5 %": -1, "%": -1, "5%%": -1} {
		if got, err := percent.Percent(text); (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	if got := percent.Allowed(); got != "0 (none), or 1 to 50" {
		t.Error(got)
	}
}
