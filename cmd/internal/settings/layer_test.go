package settings

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/proxy/limit"
)

func someLayer() *Layer {
	return &Layer{Values: map[string]LayerValue{
		"idle-timeout":    {Items: []string{"2m"}, Place: "c.yaml:3:5"},
		"stalled-timeout": {Items: []string{"2m"}, Place: "c.yaml:4:5"},
		"max-body":        {Items: []string{"1MiB"}, Place: "c.yaml:5:5"},
		"via":             {Items: []string{"true"}, Place: "c.yaml:6:5"},
		"trusted-proxies": {Items: []string{"10.0.0.0/8", "192.0.2.1"}, Place: "c.yaml:7:5"},
		"watch-config":    {Items: []string{"true"}, Place: "c.yaml:8:5"},
	}}
}

func withLayer(t *testing.T, file *Layer, args string, environ ...string) *Invocation {
	t.Helper()
	i, err := parse(t, args, environ...).With(file)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestPrecedenceOfAFile: flag, then variable, then file, then default.
func TestPrecedenceOfAFile(t *testing.T) {
	i := withLayer(t, someLayer(), someBackend+" --config c.yaml --idle-timeout 4m", "CULVERT_STALLED_TIMEOUT=3m", "CULVERT_IDLE_TIMEOUT=5m")
	s := i.Settings
	if s.Timeouts.Idle != 4*time.Minute || s.Timeouts.Stalled != 3*time.Minute || s.HTTP.MaxBody != 1<<20 || s.Timeouts.HalfClosed != time.Minute {
		t.Errorf("%+v %+v", s.Timeouts, s.HTTP)
	}
	if want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32")}; !slices.Equal(s.Trust.TrustedProxies, want) {
		t.Errorf("trusted %v, want %v", s.Trust.TrustedProxies, want)
	}
	if !i.WatchConfig || !s.HTTP.Via || i.ConfigFile != "c.yaml" || !i.Given("max-body") || i.Given("max-head") {
		t.Errorf("%+v", i)
	}
	origins := map[string]string{}
	for _, v := range i.Effective() {
		origins[v.Flag.Name] = v.Origin
	}
	for flag, want := range map[string]string{"idle-timeout": "--idle-timeout", "stalled-timeout": "CULVERT_STALLED_TIMEOUT", "max-body": "c.yaml:5:5", "max-head": "default"} {
		if origins[flag] != want {
			t.Errorf("%s comes from %q, want %q", flag, origins[flag], want)
		}
	}
	again, err := i.With(&Layer{})
	if err != nil || again.Settings.HTTP.MaxBody != 0 || again.Settings.Timeouts.Idle != 4*time.Minute {
		t.Errorf("another file does not take the place of the first: %+v, %v", again, err)
	}
}

// TestFilesThatContradictFlags: the message names both places.
func TestFilesThatContradictFlags(t *testing.T) {
	site := &Layer{Site: "c.yaml:1:1", Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9900")}}
	admin := &Layer{Site: "c.yaml:1:1", Listen: site.Listen, Values: map[string]LayerValue{"admin": {Items: []string{"127.0.0.1:9900"}, Place: "c.yaml:9:1"}}}
	for _, c := range []struct {
		file *Layer
		args string
		env  string
		want string
	}{
		{site, someBackend, "", "--backend: the configuration file says what is served, at c.yaml:1:1; give either that or --listen and --backend"},
		{site, "--listen :80", "", "--listen: the configuration file says what is served, at c.yaml:1:1; give either that or --listen and --backend"},
		{site, "", "CULVERT_LISTEN=:80", "CULVERT_LISTEN (--listen): the configuration file says what is served, at c.yaml:1:1; give either that or --listen and --backend"},
		{site, "", "", "--admin 127.0.0.1:9900: a listener's address too"},
		{admin, "", "", "c.yaml:9:1: admin 127.0.0.1:9900: a listener's address too"},
		{&Layer{}, "", "", "c.yaml has no listeners and groups, and there is no backend: write them there, or give at least one --backend host:port (or CULVERT_BACKEND)"},
	} {
		i, err := Parse(strings.Fields("--config c.yaml "+c.args), []string{c.env})
		if err == nil {
			_, err = i.With(c.file)
		}
		if err == nil || err.Error() != c.want {
			t.Errorf("%s %s: it says\n\t%v\nwant\n\t%s", c.args, c.env, err, c.want)
		}
	}
	withLayer(t, site, "--config c.yaml --admin off")
}

// TestSpecs: a size sets limits that are not given, wherever they could be.
func TestSpecs(t *testing.T) {
	for _, c := range []struct {
		args, env                     string
		connections, created, queries int
	}{
		{"", "", 0, 0, 0},
		{"--spec slb.s1.small", "", 5000, 3000, 1000},
		{"--spec slb.s3.xxlarge", "", 5_000_000, 500_000, 100_000},
		{"--spec slb.s1.small --max-connections 7", "CULVERT_MAX_REQUESTS=0", 7, 3000, 0},
		{"--spec none --max-new-connections 9", "", 0, 9, 0},
	} {
		l := parseRun(t, c.args, c.env).Limits
		if l.MaxConnections != c.connections || l.MaxNewConnections != c.created || l.MaxRequests != c.queries {
			t.Errorf("%s %s: %+v", c.args, c.env, l)
		}
	}
	words := Flags(Run)
	i := slices.IndexFunc(words, func(f Flag) bool { return f.Name == "spec" })
	want := []string{"none"}
	for _, s := range limit.Specs() {
		want = append(want, s.Name)
	}
	if !slices.Equal(words[i].Words, want) {
		t.Errorf("allowed are %q, and there are %q", words[i].Words, want)
	}
	if !strings.Contains(HelpText(Run), "docs/flags.md has their numbers") {
		t.Error("the help does not say where the numbers are")
	}
}

// TestEffectiveIsReadAgain: what is written of a setting is read as the same, for defaults and for odd values.
func TestEffectiveIsReadAgain(t *testing.T) {
	for _, args := range []string{
		"", "--idle-timeout 1h --stalled-timeout 90s --connect-timeout 1500ms --read-buffer 4097 --buffer-memory 1024GiB --max-body 1025KiB",
		"--admin off --access-log off --log-level warn --trusted-proxies ::1,10.0.0.0/8 --via --source 192.0.2.1 --source ::1 --slb-id a",
		"--tls-workers 2 --tls-handshakes-max 7 --tls-ticket-keys keys --tls-handshake-timeout 2s",
		"--access-log /var/log/x --admin [::]:9 --shutdown-delay 0 --loops 2 --spec slb.s2.small",
	} {
		first := parse(t, args+" "+someBackend)
		layer := &Layer{Values: map[string]LayerValue{}}
		for _, v := range first.Effective() {
			if len(v.Items) > 0 {
				layer.Values[v.Flag.Name] = LayerValue{Items: v.Items}
			}
			if err := CheckValue(v.Flag.Name, v.Items...); err != nil {
				t.Errorf("%s: %v", args, err)
			}
		}
		second := withLayer(t, layer, someBackend)
		for n, v := range second.Effective() {
			if one := first.Effective()[n]; !slices.Equal(one.Items, v.Items) {
				t.Errorf("%s: %s was %q and is %q", args, v.Flag.Name, one.Items, v.Items)
			}
		}
	}
}

func TestDecodeAndSet(t *testing.T) {
	s := *parseRun(t, "")
	for _, v := range parse(t, someBackend).Effective() {
		if v.Flag.Name == "source" || v.Flag.Name == "watch-config" {
			continue
		}
		if err := s.Set(v.Flag.Name, v.Items...); err != nil {
			t.Errorf("%s: %v", v.Flag.Name, err)
		}
	}
	if err := s.Set("idle-timeout", "5"); err == nil || err.Error() != "--idle-timeout 5: a unit is missing, such as 5s; allowed: 0 (none), or 1s to 24h" {
		t.Errorf("%v", err)
	}
	if d, err := Decode[time.Duration]("idle-timeout", "5s"); d != 5*time.Second || err != nil {
		t.Errorf("%v, %v", d, err)
	}
	if _, err := Decode[int]("idle-timeout", "5s"); err == nil {
		t.Error("a duration passes for a count")
	}
	for _, flag := range []string{"source", "nonsense", "config"} {
		if err := s.Set(flag, "::1"); err == nil {
			t.Errorf("%s is none of the settings, and can be set", flag)
		}
	}
}

func TestOtherCommands(t *testing.T) {
	if i := parse(t, "check c.yaml --json"); i.Command != Check || i.ConfigFile != "c.yaml" || !i.JSON {
		t.Errorf("%+v", i)
	}
	if i := parse(t, "config print --config c.yaml --loops 2", "CULVERT_BACKEND=a:1"); i.Command != ConfigPrint || i.ConfigFile != "c.yaml" || i.Settings.Limits.Loops != 2 || len(i.Backends) != 1 {
		t.Errorf("%+v", i)
	}
	if i := parse(t, "config schema"); i.Command != ConfigSchema {
		t.Errorf("%+v", i)
	}
	if i := parse(t, "reload", "CULVERT_ADMIN=[::1]:9"); i.Command != Reload || i.Admin.Address != netip.MustParseAddrPort("[::1]:9") {
		t.Errorf("%+v", i)
	}
	if i := parse(t, "", "CULVERT_CONFIG=c.yaml"); i.ConfigFile != "c.yaml" || i.Command != Run {
		t.Errorf("%+v", i)
	}
	if i := parse(t, someBackend+" --config off", "CULVERT_CONFIG=c.yaml"); i.ConfigFile != "" {
		t.Errorf("%+v", i)
	}
	for args, topic := range map[string]string{"config print --help": ConfigPrint, "config --help": "config", "help config schema": ConfigSchema, "check --help": Check} {
		if i := parse(t, args); i.Command != Help || i.Topic != topic || HelpText(topic) == "" {
			t.Errorf("%s: %+v", args, i)
		}
	}
}
