//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
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
		{"--backend 127.0.0.1", "", "--backend 127.0.0.1: a port is missing; allowed: host:port, http://host:port or unix:/path, then optionally ,weight=0 to ,weight=100 (1 if not given)"},
		{backend, "CULVERT_IDLE_TIMEOUT=500ms", "CULVERT_IDLE_TIMEOUT=500ms (--idle-timeout): below the minimum; allowed: 0 (none), or 1s to 24h"},
		{"", "CULVERT_BACKEND=ftp://a:21", "CULVERT_BACKEND=ftp://a:21 (--backend): a backend is spoken to in plain HTTP/1.1, not by ftp://; allowed: host:port, http://host:port or unix:/path, then optionally ,weight=0 to ,weight=100 (1 if not given)"},
		{"demo", "CULVERT_TRUSTED_PROXIES=everyone", "CULVERT_TRUSTED_PROXIES=everyone (--trusted-proxies): not a network or an address; allowed: networks such as 10.0.0.0/8 or 2001:db8::/32, or single addresses"},
		{"demo --backend a:1", "", "culvert demo has no flag --backend"},
		{"dmeo", "", `unknown command dmeo, did you mean "demo"?`},
		{"version 2", "", "unknown command 2; allowed: run, demo, check, config print, config schema, reload, version, help"},
		{"help me", "", "unknown command me; allowed: run, demo, check, config print, config schema, reload, version, help"},
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
