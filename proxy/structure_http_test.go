//go:build !race

package proxy_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"culvert/proxy"
)

// What is promised of the structure for ordinary requests, as structure_test.go has it for tunnels.

const (
	// idleClients is how many idle clients the memory of one is measured with; idleClientBytes the most that one may cost.
	idleClients     = 2000
	idleClientBytes = 2048
)

func TestAnIdleClientCostsAtMostTwoKilobytes(t *testing.T) {
	program := buildProgram(t)
	var used []int64
	for range memoryRuns {
		used = append(used, measureIdleClients(t, program))
	}
	slices.Sort(used)
	t.Logf("figure: a client that is idle after a request costs %d bytes of PSS (median of %d processes)", used[memoryRuns/2], memoryRuns)
	if n := used[memoryRuns/2]; n > idleClientBytes {
		t.Errorf("an idle client costs %d bytes, allowed are %d (all runs: %v)", n, idleClientBytes, used)
	}
}

// measureIdleClients returns the bytes per idle client of a fresh process. Nothing forces a collection.
func measureIdleClients(t *testing.T, program string) (used int64) {
	t.Helper()
	q := newRequester(t)
	defer func() { q.disconnect(); q.close() }()
	address, pid, stop := startProgram(t, program, "--backend", q.backend.String(), "--keep-alive-timeout", "60s")
	defer stop()
	none, noneAnonymous := proportionalSetOf(t, pid)
	q.connect(address, idleClients)
	connected, _ := proportionalSetOf(t, pid)
	for _, client := range q.clients {
		q.ask(client)
	}
	asked, askedAnonymous := proportionalSetOf(t, pid)
	used = (asked - none) / idleClients
	t.Logf("%d clients: %d bytes each before their request, %d after it (%d without what files back)", idleClients,
		(connected-none)/idleClients, used, (askedAnonymous-noneAnonymous)/idleClients)
	return used
}

func TestTwoThousandClientsStartNoGoroutine(t *testing.T) {
	q := newRequester(t)
	timeouts := proxy.DefaultTimeouts()
	timeouts.KeepAlive = time.Minute
	p := startProxy(t, childSettings{Backends: []netip.AddrPort{q.backend}, Loops: 1, Timeouts: timeouts})
	p.scrape() // the connection that scrapes come over has goroutines of its own, from now on
	none := p.scrape().sum("go_goroutines")
	q.connect(p.address, idleClients)
	for _, client := range q.clients {
		q.ask(client)
	}
	with := p.scrape()
	if n := with.sum("culvert_client_connections_active"); n != idleClients {
		t.Errorf("%v clients are connected, want %d", n, idleClients)
	}
	if n := with.sum("go_goroutines"); n > none+2 {
		t.Errorf("%v goroutines with %d clients, %v with none", n, idleClients, none)
	}
	t.Logf("figure: %v goroutines without clients, %v with %d", none, with.sum("go_goroutines"), idleClients)
}

func TestAKeepAliveRequestAllocatesLittle(t *testing.T) {
	const (
		requests = 20_000
		clients  = 16
		allowed  = 2.5 // objects per request: a transfer and its place in the pool, and a margin
	)
	q := newRequester(t)
	p := startProxy(t, childSettings{Backends: []netip.AddrPort{q.backend}, Loops: 1, KeepAliveRequests: requests})
	q.connect(p.address, clients)
	rounds := func(n int) {
		for i := range n {
			q.ask(q.clients[i%clients])
		}
	}
	rounds(requests / 10)
	asking := p.mallocs()
	before := p.mallocs()
	asking = before - asking
	begin := time.Now()
	rounds(requests)
	took := since(begin)
	grown := p.mallocs() - before - asking
	t.Logf("figure: %d requests in %v: %.2f objects allocated for each", requests, took, grown/requests)
	if grown > allowed*requests {
		t.Errorf("%.0f objects were allocated over %d requests, allowed are %.1f for each", grown, requests, allowed)
	}
	if n := p.scrape().sum("culvert_backend_connections_reused_total"); n != requests+requests/10-1 {
		t.Errorf("%v requests went over the one connection to the backend", n)
	}
}
