//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestWrongSettingsStartNothing runs the program with settings of every kind that are wrong: one line, exit status 2,
// and neither a file nor a listener comes to be. What the line says for each is tested with the settings.
func TestWrongSettingsStartNothing(t *testing.T) {
	const backend = "--backend=127.0.0.1:9001"
	for _, c := range []struct{ args, variable, want string }{
		{"", "", "no backend: give at least one, --backend host:port (or CULVERT_BACKEND); culvert demo starts two of its own"},
		{backend + " --idle-timeout 500ms", "", "--idle-timeout 500ms: below the minimum; allowed: 0 (none), or 1s to 24h"},
		{backend + " --idel-timeout 5s", "", `unknown flag --idel-timeout, did you mean "--idle-timeout"?`},
		{backend + " --loops 0x10", "", "--loops 0x10: not a whole number; allowed: 0 (one per CPU), or 1 to 256"},
		{backend + " --loops", "", "--loops: a value is missing; allowed: 0 (one per CPU), or 1 to 256"},
		{backend + " --log-format xml", "", "--log-format xml: unknown; allowed: auto, json, console"},
		{backend + " --listen :8080 --listen :8080", "", "--listen [::]:8080: given twice"},
		{backend + " --listen :9900 --admin [::]:9900", "", "--admin [::]:9900: a listener's address too"},
		{"--backend 127.0.0.1", "", "--backend 127.0.0.1: a port is missing; allowed: host:port, http://host:port, https://host:port or unix:/path, then optionally ,weight=0 to ,weight=100 (1 if not given)"},
		{backend, "CULVERT_IDLE_TIMEOUT=500ms", "CULVERT_IDLE_TIMEOUT=500ms (--idle-timeout): below the minimum; allowed: 0 (none), or 1s to 24h"},
		{"", "CULVERT_BACKEND=ftp://a:21", "CULVERT_BACKEND=ftp://a:21 (--backend): a backend is spoken to by http:// or https://, not by ftp://; allowed: host:port, http://host:port, https://host:port or unix:/path, then optionally ,weight=0 to ,weight=100 (1 if not given)"},
		{"demo", "CULVERT_TRUSTED_PROXIES=everyone", "CULVERT_TRUSTED_PROXIES=everyone (--trusted-proxies): not a network or an address; allowed: networks such as 10.0.0.0/8 or 2001:db8::/32, or single addresses"},
		{"demo --backend a:1", "", "culvert demo has no flag --backend"},
		{"--backend https://a:443/x", "", "--backend https://a:443/x: a backend is a host and a port, without path or user; allowed: host:port, http://host:port, https://host:port or unix:/path, then optionally ,weight=0 to ,weight=100 (1 if not given)"},
		{backend + " --tls-listen :8443", "", "--tls-listen [::]:8443: there is no certificate; give --tls-cert and --tls-key, or --tls-dir"},
		{backend + " --tls-listen :8443 --tls-cert a.crt", "", "--tls-cert: 1 of it and 0 of --tls-key: each certificate has its key, in the same order"},
		{backend + " --tls-listen :8443 --tls-cert none.crt --tls-key none.key", "", "--tls-cert none.crt: does not exist"},
		{backend, "CULVERT_TLS_TICKET_KEYS=none.keys", "CULVERT_TLS_TICKET_KEYS=none.keys (--tls-ticket-keys): does not exist"},
		{"demo --tls --tls-dir none", "", "--tls-dir none: does not exist"},
		{backend + " --tls", "", "culvert run has no flag --tls"},
		{"dmeo", "", `unknown command dmeo, did you mean "demo"?`},
		{"version 2", "", "unknown command 2; allowed: run, demo, check, config print, config schema, reload, backend list, backend drain, backend undrain, backend weight, version, help"},
		{"help me", "", "unknown command me; allowed: run, demo, check, config print, config schema, reload, backend list, backend drain, backend undrain, backend weight, version, help"},
	} {
		t.Run(c.args+" "+c.variable, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "access.log")
			r := runToEnd(t, []string{"CULVERT_ACCESS_LOG=" + log, c.variable}, strings.Fields(c.args)...)
			if want := "culvert: " + c.want + "\n"; r.status != exitUsage || r.stderr != want || r.stdout != "" {
				t.Errorf("exit status %d, it says\n\t%s%sand should say\n\t%s", r.status, r.stderr, r.stdout, want)
			}
			if _, err := os.Stat(log); err == nil {
				t.Error("the access log was opened")
			}
		})
	}
}

const (
	someSite   = "listeners: [{address: \"127.0.0.1:0\", group: a, rules: [{group: a, allowed-origins: any}]}]\ngroups: {a: {servers: [127.0.0.1:9]}}\n"
	wrongSite  = "listeners: [{address: \"127.0.0.1:0\", group: b}]\ngroups: {a: {servers: [127.0.0.1:9]}}\ntimeouts: {idle-timeout: 5}\n"
	secureSite = "listeners: [{address: \"127.0.0.1:0\", tls: {certificates: {cert: none.crt, key: none.key}}, rules: [{redirect: https}]}]\n"
	wrongLines = "FILE:1:45: group b: there is no such group; there are: a\nFILE:3:26: idle-timeout 5: a unit is missing, such as 5s; allowed: 0 (none), or 1s to 24h\n"
)

// configuration writes a configuration file.
func configuration(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "culvert.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestConfigurationCommands runs what looks at a configuration file and starts nothing.
func TestConfigurationCommands(t *testing.T) {
	for _, c := range []struct {
		name, text, args, variable string
		status                     int
		stdout, stderr             string
	}{
		{"check", someSite, "check FILE", "", exitOK, "FILE: 1 listener, 1 group, 1 rule: ok\n", ""},
		{"check wrong", wrongSite, "check FILE", "", exitUsage, "", wrongLines},
		{"check warning", someSite + "timeouts: {connect-timeout: 30s}", "check FILE", "", exitOK, "FILE: 1 listener, 1 group, 1 rule: ok\n", "FILE:3:29: warning: connect-timeout is more than connect-total-timeout: behind a server that does not answer no other one is tried\n"},
		{"check for programs", "timeouts: {idle-timeout: 5}", "check FILE --json", "", exitUsage, `{"file":"FILE","ok":false,"listeners":0,"groups":0,"rules":0,"problems":[{"line":1,"column":26,"severity":"error","message":"idle-timeout 5: a unit is missing, such as 5s; allowed: 0 (none), or 1s to 24h"}]}` + "\n", ""},
		{"check for programs ok", someSite, "check FILE --json", "", exitOK, `{"file":"FILE","ok":true,"listeners":1,"groups":1,"rules":1,"problems":[]}` + "\n", ""},
		{"start wrong", wrongSite, "--config FILE", "", exitUsage, "", wrongLines},
		{"start wrong by variable", wrongSite, "", "CULVERT_CONFIG=FILE", exitUsage, "", wrongLines},
		{"start twice said", someSite, "--config FILE --backend a:1", "", exitUsage, "", "culvert: --backend: the configuration file says what is served, at FILE:1:12; give either that or --listen and --backend\n"},
		{"start without servers", "timeouts: {idle-timeout: 5s}", "--config FILE", "", exitUsage, "", "culvert: FILE has no listeners and groups, and there is no backend: write them there, or give at least one --backend host:port (or CULVERT_BACKEND)\n"},
		{"start a wrong flag", someSite, "--config FILE --idle-timeout 5", "", exitUsage, "", "culvert: --idle-timeout 5: a unit is missing, such as 5s; allowed: 0 (none), or 1s to 24h\n"},
		{"start nothing", someSite, "--config FILE.not", "", exitUsage, "", "FILE.not: the file cannot be read: no such file or directory\n"},
		{"check HTTPS", secureSite, "check FILE", "", exitUsage, "", "FILE:1:65: cert none.crt: does not exist\n"},
		{"start HTTPS", secureSite, "--config FILE", "", exitUsage, "", "FILE:1:65: cert none.crt: does not exist\n"},
		{"start HTTPS twice said", someSite, "--config FILE --tls-policy modern", "", exitUsage, "", "culvert: --tls-policy: the configuration file says what is served, at FILE:1:12; give either that or --listen and --backend\n"},
		{"print wrong", wrongSite, "config print --config FILE", "", exitUsage, "", wrongLines},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := configuration(t, c.text)
			fill := strings.NewReplacer("FILE", file).Replace
			log := filepath.Join(t.TempDir(), "access.log")
			r := runToEnd(t, []string{"CULVERT_ACCESS_LOG=" + log, fill(c.variable)}, strings.Fields(fill(c.args))...)
			if r.status != c.status || r.stdout != fill(c.stdout) || r.stderr != fill(c.stderr) {
				t.Errorf("exit status %d, it says\n%s%sand should exit with %d and say\n%s%s", r.status, r.stdout, r.stderr, c.status, fill(c.stdout), fill(c.stderr))
			}
			if _, err := os.Stat(log); err == nil {
				t.Error("the access log was opened")
			}
		})
	}
}

// TestConfigurationIsPrinted: what counts, as a file that can be used.
func TestConfigurationIsPrinted(t *testing.T) {
	r := runToEnd(t, []string{"CULVERT_LOOPS=2"}, "config", "print", "--config", configuration(t, someSite), "--idle-timeout", "3m")
	for _, want := range []string{"  idle-timeout: 3m  # --idle-timeout\n", "  loops: 2  # CULVERT_LOOPS\n", "  max-head: 32KiB  # default\n", "  - address: 127.0.0.1:0\n"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q is missing in\n%s%s", want, r.stdout, r.stderr)
		}
	}
	if again := runToEnd(t, nil, "check", configuration(t, r.stdout)); again.status != exitOK || again.stderr != "" {
		t.Errorf("exit status %d: %s%s", again.status, again.stdout, again.stderr)
	}
	if r := runToEnd(t, nil, "config", "schema"); r.status != exitOK || !strings.Contains(r.stdout, `"$schema"`) {
		t.Errorf("exit status %d: %s%s", r.status, r.stdout, r.stderr)
	}
}

// TestStartWithAConfiguration: the file is what is served.
func TestStartWithAConfiguration(t *testing.T) {
	p := start(t, nil, "--config", configuration(t, "admin: {admin: 127.0.0.1:0}\nshutdown: {shutdown-delay: 0}\n"+
		"listeners: [{address: \"127.0.0.1:0\", rules: [{path: /hello, answer: {body: hello, headers: {X-Host: \"{host-name}\"}}}, {path: /a, group: a, allowed-origins: any}]}]\ngroups: {a: {servers: [127.0.0.1:9]}}\n"))
	if status, body := get(t, "http://"+p.listener()+"/hello"); status != 200 || body != "hello" {
		t.Errorf("%d %q", status, body)
	}
	if status, _ := get(t, "http://"+p.listener()+"/other"); status != 404 {
		t.Errorf("a path without a rule gets %d", status)
	}
	p.signal(syscall.SIGTERM)
	p.wantStatus(exitOK)
}
