//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestServesTunnelsAndRequests(t *testing.T) {
	p := start(t, nil, quick(startBackend(t))...)
	openTunnel(t, p.listener()).echo("through the proxy")
	if status, body := get(t, p.proxyURL()); status != http.StatusOK || body != "hello" {
		t.Errorf("a request was answered with %d %q", status, body)
	}
	ready := p.line("ready")
	for key, want := range map[string]string{"version": "v0.0.0-test", "loops": "2", "level": "info"} {
		if got := fmt.Sprint(ready[key]); got != want {
			t.Errorf("the line says %s %s, want %s", key, got, want)
		}
	}
	descriptors, _ := ready["descriptors"].(float64)
	if tunnels, _ := ready["tunnels_max"].(float64); tunnels == 0 || tunnels*2 >= descriptors {
		t.Errorf("%v descriptors are said to be enough for %v tunnels", descriptors, tunnels)
	}
	if status, body := p.get("/readyz"); status != http.StatusOK {
		t.Errorf("readyz says %d %q", status, body)
	}
	p.signal(syscall.SIGTERM)
	p.wantStatus(exitOK)
	wantAccessLog(t, p.output())
}

// wantAccessLog expects the lines of one tunnel and one request, and no token.
func wantAccessLog(t *testing.T, log string) {
	t.Helper()
	var events []string
	for line := range strings.Lines(log) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("not a line of the access log: %q", line)
		}
		events = append(events, fmt.Sprint(fields["event"]))
	}
	for _, event := range []string{"tunnel-open", "tunnel-end", "request"} {
		if !strings.Contains(strings.Join(events, " "), event) {
			t.Errorf("the access log has no %s, only %v", event, events)
		}
	}
	if strings.Contains(log, "secret") {
		t.Error("the access log tells a query")
	}
}

// TestSettingsFromTheEnvironmentAlone is how a container is started.
func TestSettingsFromTheEnvironmentAlone(t *testing.T) {
	p := start(t, []string{
		"CULVERT_BACKEND=" + startBackend(t) + ",weight=3; 127.0.0.1:1,weight=0", "CULVERT_LISTEN=127.0.0.1:0 127.0.0.1:0",
		"CULVERT_ADMIN=127.0.0.1:0", "CULVERT_SHUTDOWN_DELAY=0", "CULVERT_SHUTDOWN_GRACE=0", "CULVERT_IDEL_TIMEOUT=5s",
	})
	openTunnel(t, p.listener()).echo("x")
	ready := p.line("ready")
	if list, _ := ready["listeners"].([]any); len(list) != 2 {
		t.Errorf("listeners: %v, want two", list)
	}
	if list, _ := ready["backends"].([]any); len(list) != 2 {
		t.Errorf("backends: %v, want two", list)
	}
	p.line("CULVERT_IDEL_TIMEOUT is not a setting")
	p.signal(syscall.SIGINT)
	p.wantStatus(exitOK)
}

// TestLoopsKeepAProcessorFree: GOMAXPROCS is one more than the loops.
func TestLoopsKeepAProcessorFree(t *testing.T) {
	p := start(t, nil, quick(startBackend(t), "--loops", "3")...)
	_, metrics := p.get("/metrics")
	found := regexp.MustCompile(`(?m)^go_sched_gomaxprocs_threads (\d+)$`).FindStringSubmatch(metrics)
	if found == nil || found[1] != "4" {
		t.Errorf("GOMAXPROCS is %v, want 4", found)
	}
	if !strings.Contains(metrics, `culvert_build_info{version="v0.0.0-test"} 1`) || !strings.Contains(metrics, "culvert_access_log_dropped_total 0") {
		t.Error("the metrics lack the build, or the dropped lines")
	}
}

// TestShutdownIsAnnounced: while /readyz already fails, clients are still served.
func TestShutdownIsAnnounced(t *testing.T) {
	p := start(t, nil, quick(startBackend(t), "--shutdown-delay", longDelay, "--shutdown-grace", longGrace)...)
	before := openTunnel(t, p.listener())
	p.signal(syscall.SIGTERM)
	waitFor(t, "readyz to fail", func() bool { status, _ := p.get("/readyz"); return status == http.StatusServiceUnavailable })
	if status, _ := p.get("/livez"); status != http.StatusOK {
		t.Errorf("livez says %d", status)
	}
	before.echo("still there")
	late := openTunnel(t, p.listener())
	late.echo("still welcome")

	// A second signal ends everything at once.
	p.signal(syscall.SIGTERM)
	before.wantEnd()
	late.wantEnd()
	p.wantStatus(exitFailed)
	p.line("ending everything at once")
}

// TestTunnelsLiveOnDuringTheGrace: the listeners are closed, the tunnels are not; when the last one has ended, so has
// the process, with the grace not yet over.
func TestTunnelsLiveOnDuringTheGrace(t *testing.T) {
	p := start(t, nil, quick(startBackend(t), "--shutdown-grace", longGrace)...)
	address := p.listener()
	var tunnels []*tunnel
	for range 20 {
		tunnels = append(tunnels, openTunnel(t, address))
	}
	p.signal(syscall.SIGTERM)
	waitFor(t, "the listener to close", func() bool { return refused(address) })
	tunnels[len(tunnels)-1].echo("alive")
	for _, one := range tunnels {
		_ = one.conn.Close()
	}
	p.wantStatus(exitOK)
}

func TestSecondSignalDuringTheGrace(t *testing.T) {
	p := start(t, nil, quick(startBackend(t), "--shutdown-grace", longGrace)...)
	address := p.listener()
	var tunnels []*tunnel
	for range 20 {
		tunnels = append(tunnels, openTunnel(t, address))
	}
	p.signal(syscall.SIGINT)
	waitFor(t, "the listener to close", func() bool { return refused(address) })
	p.signal(syscall.SIGINT)
	for _, one := range tunnels {
		one.wantEnd()
	}
	p.wantStatus(exitFailed)
}

// TestRotation: USR1 opens the access log's file again.
func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	p := start(t, nil, quick(startBackend(t), "--access-log", path)...)
	get(t, p.proxyURL()+"before")
	waitFor(t, "the first line", func() bool { return holds(path, "/before") })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGUSR1)
	p.line("USR1: the access log's file was opened again")
	get(t, p.proxyURL()+"after")
	waitFor(t, "the second line", func() bool { return holds(path, "/after") })
	if holds(path+".1", "/after") || holds(path, "/before") {
		t.Error("lines are in the wrong file")
	}
	if p.output() != "" {
		t.Errorf("standard output holds %q", p.output())
	}
	p.signal(syscall.SIGTERM)
	p.wantStatus(exitOK)
}

func holds(path, text string) bool {
	data, err := os.ReadFile(path)
	return err == nil && strings.Contains(string(data), text)
}

// TestHangUpIsNoEnd: HUP reads the settings again; a stray one must not cost a tunnel.
func TestHangUpIsNoEnd(t *testing.T) {
	p := start(t, nil, quick(startBackend(t), "--access-log", "off")...)
	tunnel := openTunnel(t, p.listener())
	p.signal(syscall.SIGHUP)
	p.line("the configuration is taken over")
	p.signal(syscall.SIGUSR1)
	p.line("USR1: the access log is off")
	tunnel.echo("alive")
	p.signal(syscall.SIGTERM)
	p.wantStatus(exitOK)
}

func TestAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	address, log := taken.Addr().String(), filepath.Join(t.TempDir(), "access.log")
	missing := filepath.Join(t.TempDir(), "missing", "access.log")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"listener":        {[]string{"--listen", address, "--admin", "127.0.0.1:0"}, "listen on " + address + ": bind: address already in use"},
		"second listener": {[]string{"--listen", "127.0.0.1:0", "--listen", address, "--admin", "off"}, "listen on " + address + ": bind: address already in use"},
		"admin":           {[]string{"--listen", "127.0.0.1:0", "--admin", address}, "admin port: listen tcp " + address + ": bind: address already in use"},
		"not ours":        {[]string{"--listen", "192.0.2.1:80", "--admin", "off"}, "listen on 192.0.2.1:80: bind: cannot assign requested address"},
		"access log":      {[]string{"--listen", "127.0.0.1:0", "--admin", "off", "--access-log", missing}, "access log: open " + missing + ": no such file or directory"},
		"demo listener":   {[]string{"demo", "--listen", address, "--admin", "off"}, "listen on " + address + ": bind: address already in use"},
		"demo admin":      {[]string{"demo", "--listen", "127.0.0.1:0", "--admin", address}, "admin port: listen tcp " + address + ": bind: address already in use"},
	} {
		t.Run(name, func(t *testing.T) {
			variables := []string{"CULVERT_BACKEND=127.0.0.1:1", "CULVERT_ACCESS_LOG=" + log}
			r := runToEnd(t, variables, c.args...)
			if want := "culvert: " + c.want + "\n"; r.status != exitFailed || r.stderr != want || r.stdout != "" {
				t.Errorf("exit status %d, it says %q and %q; want %d and %q", r.status, r.stderr, r.stdout, exitFailed, want)
			}
		})
	}
}

func TestVersionAndHelp(t *testing.T) {
	if r := runToEnd(t, nil, "version"); r.status != exitOK || !strings.HasPrefix(r.stdout, "culvert v0.0.0-test go1.") || r.stderr != "" {
		t.Errorf("%+v", r)
	}
	for _, args := range [][]string{{"help"}, {"--help"}, {"demo", "--help"}, {"--loops", "x", "-h"}} {
		if r := runToEnd(t, nil, args...); r.status != exitOK || !strings.Contains(r.stdout, "--idle-timeout DURATION, CULVERT_IDLE_TIMEOUT") || r.stderr != "" {
			t.Errorf("%q: %+v", args, r)
		}
	}
}

// TestConsoleFormat reads well: no JSON, no colours where nobody sees them.
func TestConsoleFormat(t *testing.T) {
	backend := startBackend(t)
	p := start(t, nil, quick(backend, "--log-format", "console", "--max-connections", "9999999")...)
	plain := func() string {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.plain.String()
	}
	waitFor(t, "the last line", func() bool { return strings.Contains(plain(), "room for") })
	for _, want := range []string{"Culvert v0.0.0-test, 2 loops", "clients   http://127.0.0.1:", "backend   " + backend + ", weight 1", "metrics   http://127.0.0.1:", "descriptors)", "--max-connections is more than"} {
		if !strings.Contains(plain(), want) {
			t.Errorf("%q is missing in:\n%s", want, plain())
		}
	}
	if text := plain(); strings.ContainsAny(text, "\x1b") || strings.HasPrefix(strings.TrimSpace(text), "{") {
		t.Errorf("not for people:\n%s", text)
	}
	port, err := strconv.Atoi(regexp.MustCompile(`clients   http://127\.0\.0\.1:(\d+)`).FindStringSubmatch(plain())[1])
	if err != nil || port == 0 {
		t.Errorf("port %d, %v", port, err)
	}
	p.signal(syscall.SIGTERM)
	p.wantStatus(exitOK)
}
