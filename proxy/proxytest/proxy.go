package proxytest

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"culvert/proxy"

	"github.com/rs/zerolog"
)

// Options are what a proxy under test is started with.
type Options struct {
	// Backends get the names b0, b1 and so on unless they have one, and weight 1.
	Backends []*Backend
	// Addresses are further backends, behind Backends in order, that no Backend stands for.
	Addresses []netip.AddrPort
	// Config may change everything before the start: one loop, one listener at 127.0.0.1 with a free port, the
	// documented timeouts, one exchange per connection. Timeouts may be shorter than the command line allows.
	Config func(*proxy.Config)
}

// Proxy is a real proxy in this process.
type Proxy struct {
	config   proxy.Config // as it was started
	way      Way
	server   *proxy.Server
	backends []*Backend
	clients  []*Conn
	access   *logBook
	errors   *logBook
	watched  map[*Conn]watched
	closed   bool
}

// Start runs a proxy until the test is over. Then its clients and backends are closed, and everything of it must be
// gone by itself: connections, tunnels, timers, pending bytes.
func Start(t testing.TB, o Options) *Proxy {
	t.Helper()
	config := proxy.Config{
		Loops:   1,
		Version: "test",
		// One exchange per connection on both sides, unless a test is about those that live on.
		Policy:      proxy.Policy{Timeouts: proxy.DefaultTimeouts(), KeepAliveRequests: 1},
		BackendIdle: -1,
	}
	var backends []proxy.BackendConfig
	for i, b := range o.Backends {
		name := b.name
		if name == "" {
			name = "b" + strconv.Itoa(i)
		}
		backends = append(backends, b.Member(name))
	}
	for _, address := range o.Addresses {
		name := "b" + strconv.Itoa(len(backends))
		backends = append(backends, proxy.BackendConfig{Name: name, Address: address, Weight: 1})
	}
	way := wayOf(t)
	config.Listeners, config.Groups = proxy.OneGroup([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, backends)
	if way.Client != Plain {
		config.Listeners[0].TLS = ListenerTLS()
	}
	if o.Config != nil {
		o.Config(&config)
	}
	p := &Proxy{config: config, way: way, backends: o.Backends, access: newLogBook(), errors: newLogBook(), watched: map[*Conn]watched{}}
	server, err := proxy.New(config, proxy.Logs{Error: zerolog.New(p.errors), Access: p.access})
	if err != nil {
		t.Fatalf("the proxy cannot be made: %v", err)
	}
	if err := server.Start(); err != nil {
		t.Fatalf("the proxy cannot start: %v", err)
	}
	p.server = server
	t.Cleanup(func() { p.end(t) })
	return p
}

// end checks that nothing of the proxy outlives its peers, and closes it.
func (p *Proxy) end(t testing.TB) {
	for _, c := range p.clients {
		c.Close()
	}
	for _, b := range p.backends {
		b.Close()
	}
	if !p.closed && !t.Failed() {
		p.drain(t)
	}
	if err := p.server.Close(); err != nil {
		t.Errorf("the proxy cannot be closed: %v", err)
	}
	if t.Failed() {
		t.Logf("access log:\n%s", p.access.text())
	}
	if text := p.errors.text(); text != "" {
		t.Logf("error log:\n%s", text)
	}
}

// remains are the gauges that stand at zero when a proxy has nothing to do.
var remains = []string{
	"culvert_client_connections_active", "culvert_backend_connections_active", "culvert_exchanges_active",
	"culvert_tunnels_active", "culvert_relay_pending_bytes", "culvert_lingering_closes_active", "culvert_timers", "culvert_buffer_bytes",
	"culvert_tls_handshakes_active", "culvert_tls_handshakes_waiting",
}

func (p *Proxy) drain(t testing.TB) {
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	tick := time.NewTicker(pollPeriod)
	defer tick.Stop()
	for {
		left := p.left()
		if left == "" {
			return
		}
		select {
		case <-tick.C:
		case <-timer.C:
			t.Errorf("all clients and backends are closed, but of the proxy is left after %v:%s", Patience, left)
			return
		}
	}
}

func (p *Proxy) left() string {
	text, left := p.metrics(), ""
	for _, name := range remains {
		n := sum(text, name, nil)
		if name == "culvert_timers" { // of which each check has one
			n -= sum(text, "culvert_backends_checked", nil)
		}
		if n != 0 {
			left += fmt.Sprintf(" %s %v", name, n)
		}
	}
	return left
}

// Reload changes the configuration that the proxy has now, and makes it take the change over.
func (p *Proxy) Reload(t testing.TB, change func(*proxy.Config)) {
	t.Helper()
	if err := p.TryReload(change); err != nil {
		t.Fatalf("the proxy does not take the configuration: %v", err)
	}
}

// TryReload is Reload, which may fail. Listeners and groups are copied, so that change may change them in place.
func (p *Proxy) TryReload(change func(*proxy.Config)) error {
	config := p.config
	config.Listeners, config.Groups = slices.Clone(config.Listeners), slices.Clone(config.Groups)
	for i := range config.Groups {
		config.Groups[i].Backends = slices.Clone(config.Groups[i].Backends)
	}
	change(&config)
	if err := p.server.Reload(config); err != nil {
		return err
	}
	p.config = config
	return nil
}

// Server returns the proxy itself.
func (p *Proxy) Server() *proxy.Server { return p.server }

// Address is where the proxy's first listener is.
func (p *Proxy) Address() netip.AddrPort { return p.server.Addresses()[0] }

// Dial connects a client to the proxy.
func (p *Proxy) Dial(t testing.TB) *Conn {
	t.Helper()
	return p.DialWith(t, ConnOptions{})
}

// DialWith connects a client with options, over TLS if that is the test's way. Dial and DialWith belong to the test's goroutine.
func (p *Proxy) DialWith(t testing.TB, o ConnOptions) *Conn {
	t.Helper()
	c := p.DialRaw(t, o)
	if p.way.Client != Plain {
		config := ClientConfig(p.way.Client)
		if o.TLS != nil {
			o.TLS(config)
		}
		c.over(config, tls.Client)
		c.greet()
	}
	return c
}

// DialRaw is DialWith without a TLS handshake.
func (p *Proxy) DialRaw(t testing.TB, o ConnOptions) *Conn {
	t.Helper()
	c := DialWith(t, p.Address(), o)
	p.clients = append(p.clients, c)
	return c
}

// Scheme is what the proxy's clients come by: http or https.
func (p *Proxy) Scheme() string {
	if p.way.Client != Plain {
		return "https"
	}
	return "http"
}

// WaitGreeted waits until a proxy that has nothing else to do has no handshake under way: a client that speaks TLS 1.3 has
// its own behind it before the proxy has.
func (p *Proxy) WaitGreeted(t testing.TB) {
	t.Helper()
	if p.way.Client == TLS13 {
		p.WaitMetric(t, 0, "culvert_buffer_bytes") // one under way counts there until its loop is told of the end
	}
}

// Shutdown ends the proxy gracefully, as a signal would, within Patience.
func (p *Proxy) Shutdown(t testing.TB) {
	t.Helper()
	p.closed = true
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := p.server.Shutdown(ctx); err != nil {
		t.Errorf("the proxy cannot shut down: %v", err)
	}
	if ctx.Err() != nil {
		t.Errorf("the shutdown took longer than %v", Patience)
	}
}

// Close ends the proxy at once.
func (p *Proxy) Close(t testing.TB) {
	t.Helper()
	p.closed = true
	if err := p.server.Close(); err != nil {
		t.Errorf("the proxy cannot be closed: %v", err)
	}
}

// Metric returns the value of a metric, the sum over all its series that have the given labels, each spelled as
// "reason=idle-timeout". 0 if there is none.
func (p *Proxy) Metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	return p.Scrape(t).Sum(name, labels...)
}

// Scrape is what the metrics were at one moment, in the text format.
type Scrape string

// Scrape returns all metrics at once, for values that are to be compared.
func (p *Proxy) Scrape(t testing.TB) Scrape {
	t.Helper()
	text := p.metrics()
	if text == "" {
		t.Fatal("the proxy's admin handler has no metrics")
	}
	return Scrape(text)
}

// Sum is Metric, of this moment.
func (s Scrape) Sum(name string, labels ...string) float64 { return sum(string(s), name, labels) }

// WaitMetric waits until a metric has the value.
func (p *Proxy) WaitMetric(t testing.TB, value float64, name string, labels ...string) {
	t.Helper()
	what := fmt.Sprintf("%s%v is %v", name, labels, value)
	Eventually(t, what, func() bool { return p.Metric(t, name, labels...) == value })
}

func (p *Proxy) metrics() string {
	recorder := httptest.NewRecorder()
	p.server.Admin().ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	return recorder.Body.String()
}

// sum adds up the series of a scrape in the text format.
func sum(text, name string, labels []string) (total float64) {
	scanner := bufio.NewScanner(strings.NewReader(text))
series:
	for scanner.Scan() {
		rest, ok := strings.CutPrefix(scanner.Text(), name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		for _, label := range labels {
			key, value, _ := strings.Cut(label, "=")
			spelled := key + "=" + strconv.Quote(value)
			if !strings.Contains(rest, "{"+spelled) && !strings.Contains(rest, ","+spelled) {
				continue series
			}
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err == nil {
			total += value
		}
	}
	return total
}
