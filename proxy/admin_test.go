package proxy_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"culvert/proxy"
	"culvert/proxy/health"
	"culvert/proxy/proxytest"

	"github.com/rs/zerolog"
)

// newServer returns a server before one backend of this weight, that nobody has started.
func newServer(t *testing.T, weight int) *proxy.Server {
	t.Helper()
	listeners, groups := proxy.OneGroup([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		[]proxy.BackendConfig{{Name: "b", Address: netip.MustParseAddrPort("127.0.0.1:1"), Weight: weight}})
	server, err := proxy.New(proxy.Config{
		Listeners: listeners, Groups: groups, Loops: 1, Policy: proxy.Policy{Timeouts: proxy.DefaultTimeouts()},
	}, proxy.Logs{Error: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// adminAnswer asks the admin port.
func adminAnswer(server *proxy.Server, path string) (status int, body string) {
	recorder := httptest.NewRecorder()
	server.Admin().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
	return recorder.Code, recorder.Body.String()
}

func wantAdmin(t *testing.T, server *proxy.Server, path string, wantStatus int, wantBody string) {
	t.Helper()
	if status, body := adminAnswer(server, path); status != wantStatus || body != wantBody {
		t.Errorf("%s says %d %q, want %d %q", path, status, body, wantStatus, wantBody)
	}
}

func TestReadyWhileNewConnectionsAreWelcome(t *testing.T) {
	server := newServer(t, 1)
	wantAdmin(t, server, "/readyz", 503, "not ready: not running\n")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	wantAdmin(t, server, "/readyz", 200, "ready\n")
	if err := server.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantAdmin(t, server, "/readyz", 503, "not ready: shutting down\n")
	wantAdmin(t, server, "/livez", 200, "alive\n")
}

func TestNotReadyWhereEveryBackendHasWeightZero(t *testing.T) {
	server := newServer(t, 0)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	wantAdmin(t, server, "/readyz", 503, "not ready: no backend takes requests\n")
}

// TestNotReadyWhereNoBackendTakesRequests, whatever the reason: weight, drain, checks.
func TestNotReadyWhereNoBackendTakesRequests(t *testing.T) {
	t.Parallel()
	at := newSite(t, "b0")
	p := proxytest.Start(t, proxytest.Options{Addresses: addresses(at, newSite(t, "b1"), newSite(t, "b2")), Config: func(c *proxy.Config) {
		c.Groups[0].Check = seldom(func(c *health.Settings) { c.Path = "/check" })
		c.Groups[0].Backends[2].Weight = 0
	}})
	checkAll(t, p)
	wantAdmin(t, p.Server(), "/readyz", 200, "ready\n")
	if err := p.Server().DrainBackend(proxy.DefaultGroup, "b1", 0); err != nil {
		t.Fatal(err)
	}
	wantAdmin(t, p.Server(), "/readyz", 200, "ready\n")
	at.failing.Store(true)
	checkAll(t, p)
	checkAll(t, p)
	wantAdmin(t, p.Server(), "/readyz", 503, "not ready: no backend takes requests\n")
}
