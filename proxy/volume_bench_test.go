package proxy_test

import (
	"net/netip"
	"runtime"
	"testing"

	"culvert/proxy"
)

// BenchmarkRelaySmallMessage is one echo of 125 bytes over one tunnel, through a proxy in this process: two messages,
// with all that both far ends do for them. The far ends allocate nothing, so what is allocated is the proxy's.
func BenchmarkRelaySmallMessage(b *testing.B) {
	// The loop keeps its processor while it waits on its own set.
	processors := runtime.GOMAXPROCS(3)
	b.Cleanup(func() { runtime.GOMAXPROCS(processors) })
	l := newLockstep(b)
	server, err := proxy.New(proxy.Config{
		Listen:   []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		Backends: []proxy.BackendConfig{{Name: "b", Address: l.backend, Weight: 1}},
		Loops:    1,
		Timeouts: proxy.DefaultTimeouts(),
	}, proxy.Logs{})
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Close() })
	l.open(server.Addresses()[0], 1)
	question, answer := binaryFrames(125)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		l.echo(l.tunnels[0], question, answer)
	}
}
