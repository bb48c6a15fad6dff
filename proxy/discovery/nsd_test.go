package discovery

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"culvert/engine"
	"culvert/proxy/discovery/nsdtest"

	"golang.org/x/net/dns/dnsmessage"
)

// audience is a watcher of real time, and what it told last of each source.
type audience struct {
	t  *testing.T
	mu sync.Mutex
	by map[string]Update
}

// watch asks the server, in a hurry.
func watch(t *testing.T, s *nsdtest.Server, exchange Exchange, sources ...Source) *audience {
	t.Helper()
	a := &audience{t: t, by: map[string]Update{}}
	none := filepath.Join(t.TempDir(), "none")
	w, err := Start(Options{
		Clock: engine.Monotonic, Notify: a.notify, Servers: []netip.AddrPort{s.Address()}, ResolvConf: none, Hosts: none, Exchange: exchange,
		Floor: time.Second, Confirmations: 2, ConfirmOver: time.Second,
	}, sources)
	must(t, err)
	t.Cleanup(w.Stop)
	return a
}

func (a *audience) notify(u Update) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.by[u.Source.Name] = u
}

// wants waits until this is what was told of a source.
func (a *audience) wants(name, warning string, endpoints ...string) Update {
	a.t.Helper()
	var last Update
	eventually(a.t, fmt.Sprintf("%s is %v, with the warning %q", name, endpoints, warning), func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		last = a.by[name]
		return slices.Equal(spell(last.Set), endpoints) && strings.Contains(last.Warning, warning) && (warning == "") == (last.Warning == "") && last.Known
	})
	return last
}

func TestNSDAddressesAreAddedAndRemoved(t *testing.T) {
	t.Parallel()
	server := nsdtest.Start(t, "www 1 IN A 10.0.0.1", "www 1 IN AAAA 2001:db8::1", "slow 3600 IN A 10.0.0.1", "alias 1 IN CNAME www")
	heard := watch(t, server, nil, append(append(name80("www.app.test"), name80("slow.app.test")...), name80("alias.app.test")...)...)
	heard.wants("www.app.test", "", "10.0.0.1:80 1/0", "[2001:db8::1]:80 1/0")
	heard.wants("alias.app.test", "", "10.0.0.1:80 1/0", "[2001:db8::1]:80 1/0")
	heard.wants("slow.app.test", "", "10.0.0.1:80 1/0")
	server.Change("app", "www 1 IN A 10.0.0.2", "www 1 IN A 10.0.0.3", "www 1 IN AAAA 2001:db8::1", "slow 3600 IN A 10.0.0.9", "alias 1 IN CNAME www")
	heard.wants("www.app.test", "", "10.0.0.2:80 1/0", "10.0.0.3:80 1/0", "[2001:db8::1]:80 1/0")
	heard.wants("alias.app.test", "", "10.0.0.2:80 1/0", "10.0.0.3:80 1/0", "[2001:db8::1]:80 1/0")
	heard.wants("slow.app.test", "", "10.0.0.1:80 1/0") // its TTL is an hour, the ceiling 5 min
	server.Change("app", "www 1 IN A 10.0.0.3", "other 1 IN A 10.0.0.1")
	heard.wants("www.app.test", "", "10.0.0.3:80 1/0")
	heard.wants("alias.app.test", "")
}

func TestNSDServices(t *testing.T) {
	t.Parallel()
	server := nsdtest.Start(t, "_ws._tcp 1 IN SRV 0 30 8080 a", "_ws._tcp 1 IN SRV 0 10 8081 b", "_ws._tcp 1 IN SRV 5 0 8082 b", "a 1 IN A 10.0.0.1", "b 1 IN A 10.0.0.2")
	heard := watch(t, server, nil, Source{Kind: Services, Name: "_ws._tcp.app.test"})
	heard.wants("_ws._tcp.app.test", "", "10.0.0.1:8080 30/0", "10.0.0.2:8081 10/0", "10.0.0.2:8082 1/5")
	server.Change("app", "_ws._tcp 1 IN SRV 0 30 8080 a", "a 1 IN A 10.0.0.3")
	heard.wants("_ws._tcp.app.test", "", "10.0.0.3:8080 30/0")
}

func TestNSDFailureKeepsAndEmptinessIsConfirmed(t *testing.T) {
	t.Parallel()
	server := nsdtest.Start(t, "www 1 IN A 10.0.0.1")
	heard := watch(t, server, nil, append(name80("www.app.test"), name80("www.broken.test")...)...)
	heard.wants("www.app.test", "", "10.0.0.1:80 1/0")
	eventually(t, "a zone that cannot be served is a failure", func() bool {
		heard.mu.Lock()
		defer heard.mu.Unlock()
		return strings.Contains(heard.by["www.broken.test"].Warning, "SERVFAIL") && !heard.by["www.broken.test"].Known
	})
	server.Change("broken", "www 1 IN A 10.0.0.5")
	heard.wants("www.broken.test", "", "10.0.0.5:80 1/0")
	server.Change("app", "www 1 IN TXT nothing") // the name is there
	heard.wants("www.app.test", "the name has no such records; what was known stays", "10.0.0.1:80 1/0")
	heard.wants("www.app.test", "")
	server.Change("app", "www 1 IN A 10.0.0.1")
	heard.wants("www.app.test", "", "10.0.0.1:80 1/0")
	server.Change("app", "other 1 IN A 10.0.0.1") // it is not
	heard.wants("www.app.test", "the name does not exist; what was known stays", "10.0.0.1:80 1/0")
	heard.wants("www.app.test", "")
}

// TestNSDIsGone: the port is closed.
func TestNSDIsGone(t *testing.T) {
	t.Parallel()
	server := nsdtest.Start(t, "www 1 IN A 10.0.0.1")
	heard := watch(t, server, nil, name80("www.app.test")...)
	heard.wants("www.app.test", "", "10.0.0.1:80 1/0")
	server.Kill()
	heard.wants("www.app.test", "connection refused, says "+server.Address().String()+"; what was known stays", "10.0.0.1:80 1/0")
}

func TestNSDTruncatesAndIsAskedByTCP(t *testing.T) {
	t.Parallel()
	var lines, want []string
	for i := range 200 {
		lines = append(lines, fmt.Sprintf("many 1 IN A 10.1.0.%d", i))
		want = append(want, fmt.Sprintf("10.1.0.%d:80 1/0", i))
	}
	server := nsdtest.Start(t, lines...)
	var mu sync.Mutex
	used := map[string]int{}
	heard := watch(t, server, func(ctx context.Context, network string, to netip.AddrPort, query []byte) ([]byte, error) {
		message, err := networkExchange(ctx, network, to, query)
		var p dnsmessage.Parser
		if h, failure := p.Start(message); failure == nil && h.Truncated {
			network += ", truncated"
		}
		mu.Lock()
		defer mu.Unlock()
		used[network]++
		return message, err
	}, name80("many.app.test")...)
	heard.wants("many.app.test", "", want...)
	mu.Lock()
	defer mu.Unlock()
	if used["udp, truncated"] == 0 || used["tcp"] == 0 || used["tcp, truncated"] != 0 {
		t.Errorf("used %v", used)
	}
}
