package proxy_test

import (
	"net/netip"
	"runtime"
	"testing"

	"culvert/proxy"
)

// BenchmarkKeepAliveRequest is one GET with a short answer over connections that live on, through a proxy in this
// process, with all that both far ends do for it. The far ends allocate nothing, so what is allocated is the proxy's.
func BenchmarkKeepAliveRequest(b *testing.B) {
	// The loop keeps its processor while it waits on its own set.
	processors := runtime.GOMAXPROCS(3)
	b.Cleanup(func() { runtime.GOMAXPROCS(processors) })
	q := newRequester(b)
	server, err := proxy.New(proxy.Config{
		Listen:            []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		Backends:          []proxy.BackendConfig{{Name: "b", Address: q.backend, Weight: 1}},
		Loops:             1,
		KeepAliveRequests: 1 << 30,
		Timeouts:          proxy.DefaultTimeouts(),
	}, proxy.Logs{})
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Close() })
	q.connect(server.Addresses()[0], 1)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		q.ask(q.clients[0])
	}
}
