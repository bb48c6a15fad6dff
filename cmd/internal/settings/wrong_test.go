package settings

import (
	"slices"
	"strings"
	"testing"
)

const someBackend = "--backend=127.0.0.1:9001"

// wrongLines are command lines (separated by blanks) and what is said about them.
var wrongLines = slices.Concat(wrongTLSLines, wrongBalancingLines, []struct{ args, want string }{
	// What is missing, unknown or in the wrong place.
	{"", "no backend: give at least one, --backend host:port (or CULVERT_BACKEND); culvert demo starts two of its own"},
	{"run", "no backend: give at least one, --backend host:port (or CULVERT_BACKEND); culvert demo starts two of its own"},
	{"--idel-timeout 5s", `unknown flag --idel-timeout, did you mean "--idle-timeout"?`},
	{"--idle 5s", `unknown flag --idle, did you mean "--idle-timeout"?`},
	{"--blackend x", `unknown flag --blackend, did you mean "--backend"?`},
	{"--hepl", `unknown flag --hepl, did you mean "--help"?`},
	{"-listen :80", `unknown flag -listen, did you mean "--listen"?`},
	{"-listen=:80", `unknown flag -listen, did you mean "--listen"?`},
	{"-x", "unknown flag -x; culvert --help lists them"},
	{"--workers 4", "unknown flag --workers; culvert --help lists them"},
	{"--no-access-log-query", "unknown flag --no-access-log-query; culvert --help lists them"},
	{"demo --backend x:1", "culvert demo has no flag --backend"},
	{"demo --backnd x:1", "unknown flag --backnd; culvert help demo lists them"},
	{"version --listen :80", "culvert version has no flag --listen"},
	{"dmeo", `unknown command dmeo, did you mean "demo"?`},
	{"start", "unknown command start; allowed: " + allCommands},
	{"run run", "the command run stands in the wrong place"},
	{"demo extra", "unknown command extra; allowed: " + allCommands},
	{"help everything", "unknown command everything; allowed: " + allCommands},
	{"--log-level debug demo", `flag --log-level applies to the default command "run", not "demo"`},

	{"check", "check: a file is missing: culvert check FILE"},
	{"check a b", "check: b is one too many: one file at a time"},
	{"check folder/", "FILE folder/: a folder, not a file"},
	{"check c.yaml --json=yes", "--json yes: neither true nor false; allowed: true, false"},
	{"config", "config: a word is missing: culvert config print, or culvert config schema"},
	{"config show", "unknown command config show; allowed: config print, config schema"},
	{"config print extra", "config print: extra is one too many: a file is given by --config"},
	{"config schema --loops 2", "culvert config schema has no flag --loops"},
	{"reload --admin off", "--admin off: without its admin port, a proxy is told to reload by the signal HUP"},
	{"reload --admin 9900", "--admin 9900: a port is missing; allowed: an address such as 127.0.0.1:9900, [::1]:9900 or :9900, or unix:/path"},
	{"demo --config c.yaml", "culvert demo has no flag --config"},
	{"--config", "--config: a value is missing; allowed: a file, or off"},
	{"--config /etc/", "--config /etc/: a folder, not a file; allowed: a file, or off"},
	{someBackend + " --watch-config", "--watch-config: there is no configuration file to watch; name it by --config"},
	{someBackend + " --watch-config --config off", "--watch-config: there is no configuration file to watch; name it by --config"},
	{"config print --watch-config", "--watch-config: there is no configuration file to watch; name it by --config"},
	{"--spec slb.s1.smal", "--spec slb.s1.smal: did you mean slb.s1.small?; allowed: none, slb.s1.small, slb.s2.small, slb.s2.medium, slb.s3.small, slb.s3.medium, slb.s3.large, slb.s3.xlarge, slb.s3.xxlarge"},
	{"--client-prefix-ipv6 129", "--client-prefix-ipv6 129: above the maximum; allowed: 1 to 128"},
	{"--max-bandwidth 1", "--max-bandwidth 1: below the minimum; allowed: 0 (no bound), or 1KiB to 1024GiB"},

	// One value only.
	{someBackend + " --idle-timeout 3m --idle-timeout 4m", "--idle-timeout: given twice; it takes one value"},
	{someBackend + " --loops=2 --listen :80 --loops=2", "--loops: given twice; it takes one value"},
	{someBackend + " --access-log-query --access-log-query=false", "--access-log-query: given twice; it takes one value"},
	{"demo --admin off --admin :9900", "--admin: given twice; it takes one value"},

	// Durations.
	{"--idle-timeout", "--idle-timeout: a value is missing; allowed: 0 (none), or 1s to 24h"},
	{"--idle-timeout --listen :80", "--idle-timeout: a value is missing; allowed: 0 (none), or 1s to 24h"},
	{"--idle-timeout=", "--idle-timeout: an empty value; allowed: 0 (none), or 1s to 24h"},
	{"--idle-timeout 500ms", "--idle-timeout 500ms: below the minimum; allowed: 0 (none), or 1s to 24h"},
	{"--idle-timeout 60", "--idle-timeout 60: a unit is missing, such as 60s; allowed: 0 (none), or 1s to 24h"},
	{"--idle-timeout 1.5", "--idle-timeout 1.5: a unit is missing, such as 1.5s; allowed: 0 (none), or 1s to 24h"},
	{"--idle-timeout 1d", "--idle-timeout 1d: not a duration such as 60s, 1m30s or 500ms; allowed: 0 (none), or 1s to 24h"},
	{"--idle-timeout 60S", "--idle-timeout 60S: not a duration such as 60s, 1m30s or 500ms; allowed: 0 (none), or 1s to 24h"},
	{"--idle-timeout 24h1ns", "--idle-timeout 24h1ns: above the maximum; allowed: 0 (none), or 1s to 24h"},
	{"--idle-timeout -5s", "--idle-timeout -5s: below the minimum; allowed: 0 (none), or 1s to 24h"},
	{"--idle-timeout 99999999999h", "--idle-timeout 99999999999h: not a duration such as 60s, 1m30s or 500ms; allowed: 0 (none), or 1s to 24h"},
	{"--idle-timeout none", "--idle-timeout none: not a duration such as 60s, 1m30s or 500ms; allowed: 0 (none), or 1s to 24h"},
	{"--idle-timeout NaN", "--idle-timeout NaN: a unit is missing, such as NaNs; allowed: 0 (none), or 1s to 24h"},
	{"--half-closed-timeout 0", "--half-closed-timeout 0: below the minimum; allowed: 1s to 1h"},
	{"--connect-timeout 99ms", "--connect-timeout 99ms: below the minimum; allowed: 100ms to 60s"},
	{"--shutdown-delay 11m", "--shutdown-delay 11m: above the maximum; allowed: 0 (none), or 10ms to 10m"},
	{"demo --shutdown-grace x", "--shutdown-grace x: not a duration such as 60s, 1m30s or 500ms; allowed: 0 (none), or 10ms to 24h"},

	// Numbers and sizes.
	{"--loops -1", "--loops -1: below the minimum; allowed: 0 (one per CPU), or 1 to 256"},
	{"--loops 257", "--loops 257: above the maximum; allowed: 0 (one per CPU), or 1 to 256"},
	{"--loops two", "--loops two: not a whole number; allowed: 0 (one per CPU), or 1 to 256"},
	{"--loops 2.5", "--loops 2.5: not a whole number; allowed: 0 (one per CPU), or 1 to 256"},
	{"--loops 99999999999999999999", "--loops 99999999999999999999: above the maximum; allowed: 0 (one per CPU), or 1 to 256"},
	{"--loops -99999999999999999999", "--loops -99999999999999999999: below the minimum; allowed: 0 (one per CPU), or 1 to 256"},
	{"--backlog 0", "--backlog 0: below the minimum; allowed: 1 to 65535"},
	{"--read-buffer 4095", "--read-buffer 4095: below the minimum; allowed: 4KiB to 1MiB"},
	{"--read-buffer 1025KiB", "--read-buffer 1025KiB: above the maximum; allowed: 4KiB to 1MiB"},
	{"--read-buffer 99999999999GiB", "--read-buffer 99999999999GiB: above the maximum; allowed: 4KiB to 1MiB"},
	{"--read-buffer 64KB", "--read-buffer 64KB: not a size such as 64KiB, 1MiB or 65536 (bytes); allowed: 4KiB to 1MiB"},
	{"--read-buffer 64k", "--read-buffer 64k: not a size such as 64KiB, 1MiB or 65536 (bytes); allowed: 4KiB to 1MiB"},
	{"--read-buffer KiB", "--read-buffer KiB: not a size such as 64KiB, 1MiB or 65536 (bytes); allowed: 4KiB to 1MiB"},

	// Words.
	{"--log-level inf", "--log-level inf: did you mean info?; allowed: debug, info, warn, error"},
	{"--log-level INFO", "--log-level INFO: unknown; allowed: debug, info, warn, error"},
	{"--log-level trace", "--log-level trace: unknown; allowed: debug, info, warn, error"},
	{"--log-format jsno", "--log-format jsno: did you mean json?; allowed: auto, json, console"},
	{"--access-log-query=yes", "--access-log-query yes: neither true nor false; allowed: true, false"},
	{"--access-log-query yes", "unknown command yes; allowed: " + allCommands},
	{"--access-log logs/", "--access-log logs/: a folder, not a file; allowed: a file, - (standard output) or off"},

	// Listeners and the admin port.
	{"--listen 8080", "--listen 8080: a port is missing; " + listenAllowed},
	{"--listen :", "--listen :: a port is missing; " + listenAllowed},
	{"--listen :http", "--listen :http: http is not a port; " + listenAllowed},
	{"--listen :65536", "--listen :65536: 65536 is not a port; " + listenAllowed},
	{"--listen :080", "--listen :080: 080 is not a port; " + listenAllowed},
	{"--listen :+80", "--listen :+80: +80 is not a port; " + listenAllowed},
	{"--listen 127.0.0.1", "--listen 127.0.0.1: a port is missing; " + listenAllowed},
	{"--listen 127.0.0.1:", "--listen 127.0.0.1:: a port is missing; " + listenAllowed},
	{"--listen 127.0.0.256:80", "--listen 127.0.0.256:80: 127.0.0.256 is not an address; " + listenAllowed},
	{"--listen localhost:80", "--listen localhost:80: localhost is not an address; " + listenAllowed},
	{"--listen *:80", "--listen *:80: * is not an address; " + listenAllowed},
	{"--listen http://127.0.0.1:80", "--listen http://127.0.0.1:80: too many colons; an IPv6 address stands in brackets; " + listenAllowed},
	{"--listen ::1", "--listen ::1: a port is missing; an IPv6 address stands in brackets, [::1]:80; " + listenAllowed},
	{"--listen ::1:80:", "--listen ::1:80:: too many colons; an IPv6 address stands in brackets; " + listenAllowed},
	{"--listen [::1]", "--listen [::1]: not of the form [address]:port; " + listenAllowed},
	{"--listen [127.0.0.1]:80", "--listen [127.0.0.1]:80: not of the form [address]:port; " + listenAllowed},
	{"--listen :80,:81", "--listen :80,:81: not one address; " + listenAllowed},
	{someBackend + " --listen :80 --listen [::]:80", "--listen [::]:80: given twice"},
	{"--admin 9900", "--admin 9900: a port is missing; " + adminAllowed},
	{"--admin none", "--admin none: a port is missing; " + adminAllowed},
	{someBackend + " --listen :9900 --admin [::]:9900", "--admin [::]:9900: a listener's address too"},

	// Backends.
	{"--backend 127.0.0.1", "--backend 127.0.0.1: a port is missing; " + backendAllowed},
	{"--backend 127.0.0.1:0", "--backend 127.0.0.1:0: port 0 cannot be connected to; " + backendAllowed},
	{"--backend :80", "--backend :80: \"\" is neither an address nor a host's name; " + backendAllowed},
	{"--backend a_b-.c:80", "--backend a_b-.c:80: a_b-.c is neither an address nor a host's name; " + backendAllowed},
	{"--backend 1.2.3.400:80", "--backend 1.2.3.400:80: 1.2.3.400 is neither an address nor a host's name; " + backendAllowed},
	{"--backend https://a", "--backend https://a: a port is missing; " + backendAllowed},
	{"--backend https://a:443/chat", "--backend https://a:443/chat: a backend is a host and a port, without path or user; " + backendAllowed},
	{"--backend wss://a:443", "--backend wss://a:443: a backend is spoken to by http:// or https://, not by wss://; " + backendAllowed},
	{"--backend ws://a:80", "--backend ws://a:80: a backend is spoken to by http:// or https://, not by ws://; " + backendAllowed},
	{"--backend http://a", "--backend http://a: a port is missing; " + backendAllowed},
	{"--backend http://a:80/chat", "--backend http://a:80/chat: a backend is a host and a port, without path or user; " + backendAllowed},
	{"--backend u@a:80", "--backend u@a:80: a backend is a host and a port, without path or user; " + backendAllowed},
	{"--backend a:80,weight=101", "--backend a:80,weight=101: the weight is above the maximum; " + backendAllowed},
	{"--backend a:80,weight=-1", "--backend a:80,weight=-1: -1 is not a weight; " + backendAllowed},
	{"--backend a:80,weight=", "--backend a:80,weight=: \"\" is not a weight; " + backendAllowed},
	{"--backend a:80,weight=99999999999", "--backend a:80,weight=99999999999: 99999999999 is not a weight; " + backendAllowed},
	{"--backend unix:app.sock", "--backend unix:app.sock: a Unix socket is named by an absolute path of at most 107 bytes; " + backendAllowed},
	{"--backend a:80,", "--backend a:80,: \"\" is not weight=N; every backend has a --backend of its own; " + backendAllowed},
	{"--backend a:80,wieght=3", "--backend a:80,wieght=3: wieght=3 is not weight=N; every backend has a --backend of its own; " + backendAllowed},
	{"--backend a:80,b:80", "--backend a:80,b:80: b:80 is not weight=N; every backend has a --backend of its own; " + backendAllowed},
	{"--backend a:80,weight=1,weight=2", "--backend a:80,weight=1,weight=2: 1,weight=2 is not a weight; " + backendAllowed},
	{"--backend a:80 --backend https://a:80", "--backend https://a:80: given twice; a larger share of the requests is asked for by ,weight=N"},
	{"--backend a:80 --backend http://a:80,weight=3", "--backend a:80: given twice; a larger share of the requests is asked for by ,weight=N"},

	// Sources.
	{"--source 192.0.2.1:80", "--source 192.0.2.1:80: not an address; " + sourceAllowed},
	{"--source ::", "--source ::: not an address of one machine; " + sourceAllowed},
	{"--source 224.0.0.1", "--source 224.0.0.1: not an address of one machine; " + sourceAllowed},
	{someBackend + " --source 192.0.2.1 --source ::ffff:192.0.2.1", "--source 192.0.2.1: given twice"},
	{"demo --source 192.0.2.1", "culvert demo has no flag --source"},

	// Trust.
	{"--trusted-proxies 10.0.0.0/33", "--trusted-proxies 10.0.0.0/33: not a network or an address; " + trustAllowed},
	{"--trusted-proxies 10.0.0.1/8", "--trusted-proxies 10.0.0.1/8: bits are set behind the prefix, 10.0.0.0/8 would be the network; " + trustAllowed},
	{"--trusted-proxies 10.0.0.0/8,x", "--trusted-proxies x: not a network or an address; " + trustAllowed},
	{"--trusted-proxies 10.0.0.0/8,", "--trusted-proxies: an empty value; " + trustAllowed},
	{"--trusted-proxies ::ffff:10.0.0.0/104", "--trusted-proxies ::ffff:10.0.0.0/104: write an IPv4 network as such; " + trustAllowed},
	{"--trusted-proxies fe80::1%eth0", "--trusted-proxies fe80::1%eth0: not a network or an address; " + trustAllowed},
})

const (
	listenAllowed  = "allowed: :8080, 192.0.2.1:80, [2001:db8::1]:80 or [::]:80; port 0 takes a free one"
	adminAllowed   = "allowed: an address such as 127.0.0.1:9900, [::1]:9900 or :9900, unix:/path, or off"
	backendAllowed = "allowed: host:port, http://host:port, https://host:port or unix:/path, then optionally ,weight=0 to ,weight=100 (1 if not given)"
	sourceAllowed  = "allowed: addresses of this machine, such as 192.0.2.1 or 2001:db8::1"
	trustAllowed   = "allowed: networks such as 10.0.0.0/8 or 2001:db8::/32, or single addresses"
)

func TestWrongLines(t *testing.T) {
	for _, c := range wrongLines {
		t.Run(c.args, func(t *testing.T) {
			wantError(t, strings.Fields(c.args), nil, c.want)
		})
	}
}

// TestWrongVariables: the variable is named, since that is where the reader has to look.
func TestWrongVariables(t *testing.T) {
	for _, c := range []struct{ variable, want string }{
		{"CULVERT_IDLE_TIMEOUT=500ms", "CULVERT_IDLE_TIMEOUT=500ms (--idle-timeout): below the minimum; allowed: 0 (none), or 1s to 24h"},
		{"CULVERT_IDLE_TIMEOUT= 5s", `CULVERT_IDLE_TIMEOUT=" 5s" (--idle-timeout): not a duration such as 60s, 1m30s or 500ms; allowed: 0 (none), or 1s to 24h`},
		{"CULVERT_LOOPS=x", "CULVERT_LOOPS=x (--loops): not a whole number; allowed: 0 (one per CPU), or 1 to 256"},
		{"CULVERT_READ_BUFFER=1", "CULVERT_READ_BUFFER=1 (--read-buffer): below the minimum; allowed: 4KiB to 1MiB"},
		{"CULVERT_ACCESS_LOG_QUERY=1", "CULVERT_ACCESS_LOG_QUERY=1 (--access-log-query): neither true nor false; allowed: true, false"},
		{"CULVERT_BACKEND=a:80 b", "CULVERT_BACKEND=b (--backend): a port is missing; " + backendAllowed},
		{"CULVERT_BACKEND=a:80,b:80", "CULVERT_BACKEND=a:80,b:80 (--backend): b:80 is not weight=N; every backend has a --backend of its own; " + backendAllowed},
		{"CULVERT_BACKEND=a:80;a:80", "CULVERT_BACKEND=a:80 (--backend): given twice; a larger share of the requests is asked for by ,weight=N"},
		{"CULVERT_BACKEND= ; ", `CULVERT_BACKEND=" ; " (--backend): holds nothing; ` + backendAllowed},
		{"CULVERT_LISTEN=:80;:80", "CULVERT_LISTEN=[::]:80 (--listen): given twice"},
		{"CULVERT_ADMIN=off please", `CULVERT_ADMIN="off please" (--admin): a port is missing; ` + adminAllowed},
		{"CULVERT_LOG_LEVEL=\n", `CULVERT_LOG_LEVEL="\n" (--log-level): unknown; allowed: debug, info, warn, error`},
		{"CULVERT_LOG_LEVEL=\x1b[2J", `CULVERT_LOG_LEVEL="\x1b[2J" (--log-level): unknown; allowed: debug, info, warn, error`},
		{"CULVERT_LOG_LEVEL=" + strings.Repeat("x", 1000), "CULVERT_LOG_LEVEL=" + strings.Repeat("x", shownBytes) + "... (--log-level): unknown; allowed: debug, info, warn, error"},
	} {
		t.Run(c.variable, func(t *testing.T) {
			environ := []string{c.variable}
			if !strings.Contains(c.variable, "BACKEND") {
				environ = append(environ, "CULVERT_BACKEND=127.0.0.1:9001")
			}
			wantError(t, nil, environ, c.want)
		})
	}
}

func wantError(t *testing.T, args, environ []string, want string) {
	t.Helper()
	i, err := Parse(args, environ)
	switch {
	case err == nil:
		t.Fatalf("accepted as %+v", i)
	case err.Error() != want:
		t.Errorf("it says\n\t%s\nwant\n\t%s", err, want)
	case strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }):
		t.Errorf("not one plain line: %q", err)
	}
}
