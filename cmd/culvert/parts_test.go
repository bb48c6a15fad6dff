//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"go/build"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
)

// TestDefaultsAreTheProxys: what the flags default to is what the proxy documents.
func TestDefaultsAreTheProxys(t *testing.T) {
	i, err := settings.Parse([]string{"--backend", "127.0.0.1:1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	config := configure(i, nil, nil, 1)
	if want := proxy.DefaultTimeouts(); config.Timeouts != want {
		t.Errorf("timeouts %+v, want %+v", config.Timeouts, want)
	}
	if _, err := settings.Parse([]string{"--backend", "127.0.0.1:1", "--loops", strconv.Itoa(proxy.MaxLoops)}, nil); err != nil {
		t.Errorf("as many loops as the proxy allows: %v", err)
	}
}

// TestEverySettingReachesTheProxy: no field of its configuration is forgotten.
func TestEverySettingReachesTheProxy(t *testing.T) {
	i, err := settings.Parse(strings.Fields("--backend 127.0.0.1:1 --listen 127.0.0.1:80 --max-connections 1 --max-connections-per-client 1 --buffer-memory 1GiB --notsent-lowat 16KiB --source 127.0.0.1 --trusted-proxies ::/0 --access-log-query --max-body 1MiB --min-body-rate 1KiB --abort-on-client-fin --forwarded --spec slb.s1.small --max-bandwidth 1MiB --max-requests-per-client 1 --max-new-connections-per-client 1 --tls-workers 1 --tls-ticket-keys k"), nil)
	if err != nil {
		t.Fatal(err)
	}
	config := configure(i, make([]proxy.ListenerConfig, 1), make([]proxy.GroupConfig, 1), 1)
	for _, v := range []reflect.Value{reflect.ValueOf(config), reflect.ValueOf(config.Timeouts), reflect.ValueOf(config.Policy), reflect.ValueOf(config.Limits)} {
		for n := range v.NumField() {
			if v.Field(n).IsZero() {
				t.Errorf("%s.%s is not set", v.Type(), v.Type().Field(n).Name)
			}
		}
	}
}

// TestNoneIsNotTheDefault: 0 means none to those who set it, and the default to the proxy.
func TestNoneIsNotTheDefault(t *testing.T) {
	i, err := settings.Parse(strings.Fields("--backend 127.0.0.1:1 --splice-threshold 0 --splice-pipes 0"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if config := configure(i, nil, nil, 1); config.SpliceThreshold >= 0 || config.SplicePipes >= 0 {
		t.Errorf("threshold %d, pipes %d", config.SpliceThreshold, config.SplicePipes)
	}
}

func TestResolution(t *testing.T) {
	lookUp := func(_ context.Context, host string) ([]netip.Addr, error) {
		switch host {
		case "one.test":
			return []netip.Addr{netip.MustParseAddr("::ffff:10.0.0.1")}, nil
		case "two.test":
			return []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("10.0.0.2")}, nil
		case "none.test":
			return nil, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: host, Server: "192.0.2.53:53", IsNotFound: true}
	}
	backend := func(host string) settings.Backend {
		return settings.Backend{Name: host + ":80", Host: host, Port: 80, Weight: 7}
	}
	got, err := resolveBackends(context.Background(), []settings.Backend{backend("one.test"), backend("two.test"), backend("192.0.2.1"), backend("::1")}, lookUp)
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, b := range slices.Concat(got...) {
		text = append(text, b.Name+" "+b.Address.String())
		if b.Weight != 7 {
			t.Errorf("%s has weight %d", b.Name, b.Weight)
		}
	}
	want := []string{
		"one.test:80 10.0.0.1:80", "two.test:80 (10.0.0.2) 10.0.0.2:80", "two.test:80 (2001:db8::2) [2001:db8::2]:80",
		"192.0.2.1:80 192.0.2.1:80", "::1:80 [::1]:80",
	}
	if !slices.Equal(text, want) {
		t.Errorf("got %q, want %q", text, want)
	}
	for host, want := range map[string]string{
		"unknown.test": "backend unknown.test:80: the name cannot be resolved: no such host",
		"none.test":    "backend none.test:80: the name has no address",
	} {
		if _, err := resolveBackends(context.Background(), []settings.Backend{backend("one.test"), backend(host)}, lookUp); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestNameOfThisMachineIsResolved(t *testing.T) {
	got, err := resolveBackends(context.Background(), []settings.Backend{{Name: "localhost:80", Host: "localhost", Port: 80}}, systemResolver)
	if err != nil || len(got) == 0 || !got[0][0].Address.Addr().IsLoopback() {
		t.Errorf("%v, %v", got, err)
	}
}

func TestArithmetic(t *testing.T) {
	if loops, processors := loopsAndProcessors(3); loops != 3 || processors != 4 {
		t.Errorf("%d loops, %d processors", loops, processors)
	}
	if loops, processors := loopsAndProcessors(0); loops != min(runtime.GOMAXPROCS(0), proxy.MaxLoops) || processors != loops+1 {
		t.Errorf("%d loops, %d processors", loops, processors)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	secure := proxy.Config{Loops: 4, Listeners: []proxy.ListenerConfig{{}, {TLS: &proxy.ListenerTLS{}}}}
	if allowForHandshakes(&secure); runtime.GOMAXPROCS(0) != 7 {
		t.Errorf("%d processors for 4 loops and 2 threads of handshakes", runtime.GOMAXPROCS(0))
	}
	if allowForHandshakes(&proxy.Config{Loops: 1, TLSWorkers: 9}); runtime.GOMAXPROCS(0) != 7 {
		t.Errorf("%d processors after a smaller configuration", runtime.GOMAXPROCS(0))
	}
	for address, want := range map[string]string{"[::]:8080": "localhost:8080", "0.0.0.0:1": "localhost:1", "[::1]:2": "[::1]:2"} {
		if got := forBrowser(netip.MustParseAddrPort(address)); got != want {
			t.Errorf("%s for a browser is %s, want %s", address, got, want)
		}
	}
	if got := urlOf(&proxy.ListenerConfig{TLS: &proxy.ListenerTLS{}}, netip.MustParseAddrPort("[::]:443")); got != "https://localhost:443" {
		t.Errorf("an HTTPS listener is reached at %s", got)
	}
	if address := netip.MustParseAddrPort("127.0.0.1:1"); reachable(address) != address {
		t.Error("an address that was asked for is replaced")
	}
}

// TestFailedStartLeavesNothing: whichever port is taken, the other one is free again, and nothing runs.
func TestFailedStartLeavesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	other := freeAddress(t)
	used := netip.MustParseAddrPort(taken.Addr().String())
	for name, c := range map[string]struct{ listen, admin netip.AddrPort }{"listener": {used, other}, "admin": {other, used}} {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			s := &service{logs: logs{errors: zerolog.Nop()}}
			config := proxy.Config{Loops: 2, Policy: proxy.Policy{Timeouts: proxy.DefaultTimeouts()}}
			config.Listeners, config.Groups = proxy.OneGroup([]netip.AddrPort{c.listen}, []proxy.BackendConfig{{Name: "b", Address: other}})
			if err := s.start(config, settings.AdminAddress{Address: c.admin}); err == nil {
				t.Fatal("no error")
			}
			free, err := net.Listen("tcp", other.String())
			if err != nil {
				t.Fatalf("the other port is still held: %v", err)
			}
			_ = free.Close()
			waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
		})
	}
}

func freeAddress(t *testing.T) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return netip.MustParseAddrPort(listener.Addr().String())
}

// TestAdminGuard: A01 of the hostile inputs, of whatever is asked for.
func TestAdminGuard(t *testing.T) {
	handler := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	for _, c := range []struct {
		host, origin string
		loopback     bool
		want         int
	}{
		{"127.0.0.1:9900", "", true, 204},
		{"localhost:9900", "", true, 204},
		{"LOCALHOST", "", true, 204},
		{"[::1]:9900", "", true, 204},
		{"::1", "", true, 204},
		{"evil.test:9900", "", true, 403},
		{"localhost.evil.test", "", true, 403},
		{"127.0.0.1.evil.test", "", true, 403},
		{"", "", true, 403},
		{"culvert.internal:9900", "", false, 204},
		{"127.0.0.1:9900", "http://127.0.0.1:9900", true, 204},
		{"127.0.0.1:9900", "http://evil.test", true, 403},
		{"127.0.0.1:9900", "null", true, 403},
		{"127.0.0.1:9900", "http://%", false, 403},
		{"culvert.internal", "https://evil.test", false, 403},
	} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Host = c.host
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		w := httptest.NewRecorder()
		guardAdmin(http.HandlerFunc(handler), c.loopback).ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("Host %q, Origin %q, loopback %v: %d, want %d", c.host, c.origin, c.loopback, w.Code, c.want)
		}
	}
}

// TestAdminConnectionsAreBounded: those over the bound are closed, and one that ends makes room.
func TestAdminConnectionsAreBounded(t *testing.T) {
	a, err := bindAdmin(anyPort)
	if err != nil {
		t.Fatal(err)
	}
	a.serve(http.NotFoundHandler(), zerolog.Nop())
	defer a.close(context.Background())
	held := make([]net.Conn, 0, adminMaxConnections)
	for range adminMaxConnections {
		held = append(held, dialAdmin(t, a))
	}
	if over := dialAdmin(t, a); ask(over) {
		t.Error("a connection over the bound is served")
	}
	for i, c := range held {
		if !ask(c) {
			t.Fatalf("connection %d is not served", i)
		}
	}
	_ = held[0].Close()
	waitFor(t, "room", func() bool { return ask(dialAdmin(t, a)) })
	for _, c := range held {
		_ = c.Close()
	}
}

// anyPort is an admin port of this machine.
var anyPort = settings.AdminAddress{Address: netip.MustParseAddrPort("127.0.0.1:0")}

func dialAdmin(t *testing.T, a *adminServer) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", a.address().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask reports whether a request on the connection is answered.
func ask(c net.Conn) bool {
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")); err != nil {
		return false
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	answer := make([]byte, 12)
	n, err := c.Read(answer)
	return err == nil && bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 404"))
}

func TestWarnings(t *testing.T) {
	var log bytes.Buffer
	p := &preparation{
		config: proxy.Config{
			Limits: proxy.InstanceLimits{Connections: 1 << 40}, Groups: []proxy.GroupConfig{{Backends: []proxy.BackendConfig{{Weight: 0}}}},
		},
		admin: settings.AdminAddress{Address: netip.MustParseAddrPort("[::]:9900")},
	}
	p.service.logs.errors = zerolog.New(&log)
	p.warn(false)
	for _, want := range []string{"--max-connections is more", "asks for no password", "every backend has weight 0"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is missing in\n%s", want, log.String())
		}
	}
	log.Reset()
	p.service.tokenFile = "t"
	if p.warn(true); !strings.Contains(log.String(), "whoever is in between the token") {
		t.Errorf("a token on the network: %s", log.String())
	}
	log.Reset()
	p.admin = settings.AdminAddress{Path: "/run/culvert.sock"}
	if p.warn(true); strings.Contains(log.String(), "admin port") {
		t.Errorf("a Unix socket is open to nobody else: %s", log.String())
	}
	p.service.tokenFile = ""
	log.Reset()
	if p.warn(true); strings.Contains(log.String(), "weight 0") {
		t.Errorf("told beside the file's own warning: %s", log.String())
	}
	log.Reset()
	p.config.Limits.Connections, p.config.Groups[0].Backends[0].Weight, p.admin.Off = 1, 1, true
	p.warn(false)
	if log.Len() > 0 {
		t.Errorf("warned without cause: %s", log.String())
	}
}

// TestAGroupThatIsFoundIsNoneWithoutWeight: nobody knows yet what will be found.
func TestAGroupThatIsFoundIsNoneWithoutWeight(t *testing.T) {
	var log bytes.Buffer
	p := &preparation{admin: settings.AdminAddress{Off: true}}
	p.config.Groups = []proxy.GroupConfig{{Discovery: &proxy.Discovery{DNS: "app.internal", Port: 80}}}
	p.config.Limits.Connections = 1
	p.service.logs.errors = zerolog.New(&log)
	if p.warn(false); strings.Contains(log.String(), "weight 0") {
		t.Errorf("it says %s", log.String())
	}
	for want, d := range map[string]proxy.Discovery{
		"at port 80 of the addresses of app.internal": *p.config.Groups[0].Discovery, "in servers.yaml": {File: "servers.yaml"},
		"by the SRV records of _ws._tcp.app": {DNS: "_ws._tcp.app", SRV: true},
	} {
		if got := describeDiscovery(&d); got != want {
			t.Errorf("found %s, want %s", got, want)
		}
	}
}

// TestLastWordsAreNotQueued: the process ends right behind them.
func TestLastWordsAreNotQueued(t *testing.T) {
	for _, console := range []bool{false, true} {
		var queued, direct bytes.Buffer
		log := newErrorLog("info", console, false, lastWords{&queued, &direct})
		log.Debug().Msg("hidden")
		log.Error().Msg("later")
		log.WithLevel(zerolog.FatalLevel).Msg("now")
		if !strings.Contains(queued.String(), "later") || strings.Contains(queued.String(), "hidden") || strings.Contains(queued.String(), "now") {
			t.Errorf("console %v: queued %q", console, queued.String())
		}
		if !strings.Contains(direct.String(), "now") || strings.Contains(direct.String(), "later") {
			t.Errorf("console %v: written at once %q", console, direct.String())
		}
		if json := strings.HasPrefix(queued.String(), "{"); json == console {
			t.Errorf("console %v: %q", console, queued.String())
		}
	}
}

// TestOtherPlatforms: where it cannot run, one error says so, instead of a hundred.
func TestOtherPlatforms(t *testing.T) {
	for _, platform := range []string{"darwin", "windows", "freebsd"} {
		context := build.Default
		context.GOOS = platform
		files, err := context.ImportDir(".", 0)
		if err != nil || !slices.Equal(files.GoFiles, []string{"unsupported.go"}) {
			t.Errorf("on %s, %v is built (%v)", platform, files.GoFiles, err)
		}
	}
	source, err := os.ReadFile("unsupported.go")
	if err != nil || !strings.Contains(string(source), "culvert_runs_on_linux_only") {
		t.Errorf("the error does not say it: %v", err)
	}
}

func TestFailureOfAResolverThatIsNotDNS(t *testing.T) {
	if got := lookupFailure(errors.New("broken")); got != "broken" {
		t.Error(got)
	}
}
