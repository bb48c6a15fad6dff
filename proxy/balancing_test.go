package proxy_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/health"
	"culvert/proxy/proxytest"
	"culvert/proxy/route"
)

// site is a backend that answers by its name, and whose checks can be made to fail.
type site struct {
	name    string
	address netip.AddrPort
	failing atomic.Bool
	checks  atomic.Int64
	served  atomic.Int64
}

func newSite(t *testing.T, name string) *site {
	t.Helper()
	s := &site{name: name}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/check" {
			s.checks.Add(1)
			if s.failing.Load() {
				w.WriteHeader(503)
			}
			return
		}
		s.served.Add(1)
		w.Header().Set("Content-Length", fmt.Sprint(len(name)))
		_, _ = fmt.Fprint(w, name)
	}))
	t.Cleanup(server.Close)
	s.address = netip.MustParseAddrPort(server.Listener.Addr().String())
	return s
}

func addresses(sites ...*site) (list []netip.AddrPort) {
	for _, s := range sites {
		list = append(list, s.address)
	}
	return list
}

// ask sends a request of its own connection and returns the status line and the body.
func ask(t testing.TB, p *proxytest.Proxy, headers string) (head, body string) {
	t.Helper()
	c := p.Dial(t)
	defer c.Close()
	c.Send("GET /page HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n")
	head, body, _ = strings.Cut(c.ReadUntilEOF(), "\r\n\r\n")
	return head, body
}

func TestABackendThatIsDrainedKeepsItsTunnels(t *testing.T) {
	b0, b1 := proxytest.NewBackend(t), proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b0, b1}, Config: func(c *proxy.Config) {
		c.Groups[0].Backends[1].Weight = 0
	}})
	client, backend := p.Tunnel(t)
	if err := p.Server().DrainBackend(proxy.DefaultGroup, "b0", 0); err != nil {
		t.Fatal(err)
	}
	if head, _ := ask(t, p, ""); !strings.HasPrefix(head, "HTTP/1.1 503 ") {
		t.Errorf("with one backend drained and one of weight 0 the answer is %q", head)
	}
	client.Send(proxytest.ClientText("still here"))
	backend.Want(proxytest.ClientText("still here"))
	if err := p.Server().DrainBackend(proxy.DefaultGroup, "b0", 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	client.WantEOF()
	p.WaitLog(t, func(l proxytest.Line) bool { return l.Text("reason") == "drained" }).Want(t, "drained", 101, "proxy")
	if err := p.Server().UndrainBackend(proxy.DefaultGroup, "b0"); err != nil {
		t.Fatal(err)
	}
	_, _ = p.Tunnel(t)
	if err := p.Server().DrainBackend(proxy.DefaultGroup, "nobody", 0); err == nil {
		t.Error("a backend that is not there can be drained")
	}
}

// TestAReloadBeginsNobodyAnew: who was there has its whole share, and stands as long as it has; who is new begins slowly.
func TestAReloadBeginsNobodyAnew(t *testing.T) {
	b0, b1 := proxytest.NewBackend(t), proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b0}, Config: func(c *proxy.Config) {
		c.Groups[0].SlowStart = health.SlowStart{Duration: int64(time.Hour), Least: 10}
	}})
	before := p.Server().Backends()[0].Since
	for queue := range 3 { // the group is the same, and then another one
		p.Reload(t, func(c *proxy.Config) {
			c.Groups[0].Backends = append(c.Groups[0].Backends, proxy.BackendConfig{Name: "b1", Address: b1.Address(), Weight: 1})
			c.Groups[0].Queue = queue
		})
		list := p.Server().Backends()
		if list[0].Share != 100 || list[0].Since <= before || list[1].Share != 10 {
			t.Errorf("%+v", list)
		}
		before = list[0].Since
	}
}

func TestClientsComeBackToTheirBackend(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	p := proxytest.Start(t, proxytest.Options{Addresses: addresses(a, b), Config: func(c *proxy.Config) {
		c.Groups[0].Sticky = &proxy.Stickiness{Lifetime: time.Hour, HTTPOnly: true}
	}})
	for range 4 {
		head, first := ask(t, p, "")
		cookie := proxytest.Field(head, "Set-Cookie")
		value, attributes, _ := strings.Cut(cookie, ";")
		if !strings.HasPrefix(value, "SERVERID=") || !strings.Contains(attributes, "Max-Age=3600") || !strings.Contains(attributes, "HttpOnly") {
			t.Fatalf("the cookie is %q", cookie)
		}
		for range 3 {
			head, again := ask(t, p, "Cookie: x=1; "+value+"\r\n")
			if again != first || strings.Contains(head, "Set-Cookie") {
				t.Errorf("who had %s gets %s, by %q", first, again, head)
			}
		}
		name := map[string]string{"a": "b0", "b": "b1"}[first]
		_ = p.Server().DrainBackend(proxy.DefaultGroup, name, 0)
		if head, other := ask(t, p, "Cookie: "+value+"\r\n"); other == first || proxytest.Field(head, "Set-Cookie") == "" {
			t.Errorf("the backend is drained, and who had %s gets %s, by %q", first, other, head)
		}
		_ = p.Server().UndrainBackend(proxy.DefaultGroup, name)
	}
}

func TestRequestsWaitForABackendWithAFreePlace(t *testing.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		c.Groups[0].Backends[0].MaxConnections = 1
		c.Groups[0].Queue, c.Groups[0].QueueTimeout = 2, time.Second
	}})
	first, backend := p.Tunnel(t)
	second, third := p.Dial(t), p.Dial(t)
	second.Send(proxytest.UpgradeRequest())
	p.WaitMetric(t, 1, "culvert_requests_waiting")
	if one := p.Server().Backends()[0]; one.Connections != one.MaxConnections || one.Waiting != 1 {
		t.Errorf("while one waits, it stands like this: %+v", one)
	}
	third.Send(proxytest.UpgradeRequest())
	p.WaitMetric(t, 2, "culvert_requests_waiting")
	if head, _ := ask(t, p, ""); !strings.HasPrefix(head, "HTTP/1.1 503 ") {
		t.Errorf("with two in line the third gets %q", head)
	}
	first.Close()
	backend.Close()
	next := b.Accept()
	next.Send(proxytest.SwitchingProtocols(next.ReadHead()))
	if head := second.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Errorf("the first in line gets %q", head)
	}
	if head := third.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 503 ") {
		t.Errorf("who waits too long gets %q", head)
	}
	p.WaitLog(t, func(l proxytest.Line) bool { return l.Text("reason") == "queue-timeout" })
}

func TestABackendThatCannotBeReachedIsEjected(t *testing.T) {
	good := newSite(t, "good")
	p := proxytest.Start(t, proxytest.Options{Addresses: []netip.AddrPort{proxytest.Refuses(t), good.address}, Config: func(c *proxy.Config) {
		outliers := health.DefaultOutlierSettings()
		outliers.Failures = 3
		c.Groups[0].Outliers = &outliers
		c.Groups[0].RetryShare = 100
	}})
	for range 12 {
		if _, body := ask(t, p, ""); body != "good" {
			t.Fatalf("%q answers", body)
		}
	}
	p.WaitStatus(t, "b0", "ejected")
	p.WaitMetric(t, 1, "culvert_backend_ejections_total", "backend=b0")
	if n := p.Server().Backends()[0].FailuresInRow; n < 3 {
		t.Errorf("it has failed %d requests in a row", n)
	}
	before := p.Metric(t, "culvert_dials_total")
	for range 10 {
		_, _ = ask(t, p, "")
	}
	if n := p.Metric(t, "culvert_dials_total") - before; n != 10 {
		t.Errorf("10 requests took %v dials: the ejected backend is tried", n)
	}
}

func TestLeastConnectionsOverAllLoops(t *testing.T) {
	var backends []*proxytest.Backend
	for range 4 {
		b := proxytest.NewBackend(t)
		b.Serve(func(c *proxytest.Conn) {
			if c.TryReadHead() {
				_ = c.TrySend(proxytest.SwitchingProtocols(c.Received()))
				c.TryReadHead()
			}
		})
		backends = append(backends, b)
	}
	p := proxytest.Start(t, proxytest.Options{Backends: backends, Config: func(c *proxy.Config) {
		c.Loops = 3
		c.Groups[0].Schedule.Algorithm = "wlc"
	}})
	for range 40 {
		c := p.Dial(t)
		c.Send(proxytest.UpgradeRequest())
		c.ReadHead()
	}
	for _, b := range p.Server().Backends() {
		if b.Connections != 10 {
			t.Errorf("%s has %d of 40 tunnels", b.Name, b.Connections)
		}
	}
	if n := p.Metric(t, "culvert_backend_answers_total", "class=1xx"); n != 40 {
		t.Errorf("the metric says that %v tunnels were opened", n)
	}
	if s := p.Metric(t, "culvert_backend_answer_seconds"); s <= 0 {
		t.Errorf("the metric says that answers take %v s", s)
	}
}

func TestServersComeFromAFile(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, "a"), newSite(t, "b")
	list := filepath.Join(t.TempDir(), "servers.yaml")
	write := func(text string) {
		next := list + ".next"
		if err := errors.Join(os.WriteFile(next, []byte(text), 0o600), os.Rename(next, list)); err != nil {
			t.Fatal(err)
		}
	}
	write("- " + a.address.String() + "\n")
	p := proxytest.Start(t, proxytest.Options{Config: func(c *proxy.Config) {
		c.Groups[0].Backends = nil
		c.Groups[0].Discovery = &proxy.Discovery{File: list}
	}})
	if _, body := ask(t, p, ""); body != "a" {
		t.Errorf("%q answers", body)
	}
	write("- " + b.address.String() + "\n")
	proxytest.Eventually(t, "b takes a's place", func() bool {
		all := p.Server().Backends()
		return len(all) == 1 && all[0].Address == b.address.String()
	})
	waitEntered(p)
	if _, body := ask(t, p, ""); body != "b" {
		t.Errorf("%q answers", body)
	}
	write("- what is this?\n")
	proxytest.Eventually(t, "a warning is logged", func() bool { return strings.Contains(p.ErrorLog(), "servers.yaml:1") })
	p.WaitMetric(t, 1, "culvert_discovery_stale", "group=default")
	p.WaitMetric(t, 1, "culvert_discovery_servers", "group=default")
	if _, body := ask(t, p, ""); body != "b" {
		t.Errorf("%q answers after a broken list", body)
	}
	write("[]\n")
	proxytest.Eventually(t, "nobody is left", func() bool { return len(p.Server().Backends()) == 0 })
	waitEntered(p)
	if head, _ := ask(t, p, ""); !strings.HasPrefix(head, "HTTP/1.1 503 ") {
		t.Errorf("without servers the answer is %q", head)
	}
	p.WaitLog(t, func(l proxytest.Line) bool {
		return l.Text("reason") == "no-backend" && l.Text("group") == proxy.DefaultGroup
	})
}

// TestABackendThatIsRemovedIsThereWhileItHasTunnels: in the list, and nowhere else.
func TestABackendThatIsRemovedIsThereWhileItHasTunnels(t *testing.T) {
	t.Parallel()
	b0, b1 := proxytest.NewBackend(t), proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b0, b1}, Config: func(c *proxy.Config) { c.Groups[0].Backends[1].Weight = 0 }})
	client, backend := p.Tunnel(t)
	p.Reload(t, func(c *proxy.Config) { c.Groups[0].Backends = c.Groups[0].Backends[1:] })
	list := p.Server().Backends()
	if len(list) != 2 || list[1].Name != "b0" || list[1].Status != proxy.StatusRemoved || list[1].Tunnels != 1 || list[1].Connections != 1 {
		t.Errorf("%+v", list)
	}
	if err := p.Server().DrainBackend(proxy.DefaultGroup, "b0", 0); !errors.Is(err, proxy.ErrNoSuchBackend) {
		t.Errorf("draining it: %v", err)
	}
	client.Close()
	backend.Close()
	proxytest.Eventually(t, "it is gone", func() bool { return len(p.Server().Backends()) == 1 })
}

// TestOurCookieIsNotForTheBackend, which sees the other cookies only; and a rule may do without its group's stickiness.
func TestOurCookieIsNotForTheBackend(t *testing.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) {
		c.Groups[0].Sticky = &proxy.Stickiness{Lifetime: time.Hour}
		c.Listeners[0].Rules = []proxy.RuleConfig{{Match: route.Match{Path: "/free"}, Group: proxy.DefaultGroup, Sticky: &proxy.Stickiness{Off: true}}}
	}})
	exchange := func(path, cookies string) (answer, request string) {
		client := p.Dial(t)
		client.Send("GET " + path + " HTTP/1.1\r\nHost: a\r\n" + cookies + "\r\n")
		backend := b.Accept()
		request = backend.ReadHead()
		backend.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		return client.ReadHead(), request
	}
	answer, _ := exchange("/", "")
	_, rest, _ := strings.Cut(answer, "Set-Cookie: ")
	cookie, _, found := strings.Cut(rest, ";")
	if !found {
		t.Fatalf("no cookie in %q", answer)
	}
	for _, c := range []struct{ sent, want string }{
		{"Cookie: " + cookie + "\r\n", ""},
		{"Cookie: a=b; " + cookie + "; c=d\r\nCookie: e\r\n", "Cookie: a=b; c=d\r\nCookie: e\r\n"},
		{"Cookie: e\r\nCookie: " + cookie + "\r\n", "Cookie: e\r\n"},
	} {
		answer, request := exchange("/", c.sent)
		if strings.Contains(answer, "Set-Cookie") || strings.Contains(request, "SERVERID") || !strings.Contains(request, c.want) || strings.Count(request, "Cookie:") != strings.Count(c.want, "Cookie:") {
			t.Errorf("of %q the backend sees %q; the answer is %q", c.sent, request, answer)
		}
	}
	if answer, request := exchange("/free", "Cookie: "+cookie+"\r\n"); strings.Contains(answer, "Set-Cookie") || !strings.Contains(request, cookie) {
		t.Errorf("without stickiness the backend sees %q; the answer is %q", request, answer)
	}
}

// TestACheckEndsWithoutAReset: a backend whose answer has a body sees its connection end in order.
func TestACheckEndsWithoutAReset(t *testing.T) {
	b := proxytest.NewBackend(t)
	settings := health.DefaultSettings()
	settings.Method = "GET"
	proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}, Config: func(c *proxy.Config) { c.Groups[0].Check = &settings }})
	check := b.Accept()
	check.ReadHead()
	check.Send("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" + strings.Repeat("x", 10_000))
	check.WantEOF()
	check.Close()
}
