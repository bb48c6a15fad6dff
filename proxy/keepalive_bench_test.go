//go:build !race

package proxy_test

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"

	"culvert/proxy"
)

// keepAliveRig is a client and a backend that exchange the same bytes over kept connections and allocate nothing.
type keepAliveRig struct {
	client net.Conn
	answer []byte
}

const keptGet = "GET /index.html HTTP/1.1\r\nHost: example.com\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n"

func newKeepAliveRig(t testing.TB) *keepAliveRig {
	t.Helper()
	processors := runtime.GOMAXPROCS(4) // the loop keeps one while it waits on its own set
	t.Cleanup(func() { runtime.GOMAXPROCS(processors) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		buffer, answer := make([]byte, 4096), []byte(shortAnswer5)
		for {
			n, err := c.Read(buffer)
			if err != nil || n < 4 || string(buffer[n-4:n]) != "\r\n\r\n" {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}()
	listeners, groups := proxy.OneGroup([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		[]proxy.BackendConfig{{Name: "b", Address: netip.MustParseAddrPort(listener.Addr().String()), Weight: 1}})
	server, err := proxy.New(proxy.Config{
		Listeners: listeners, Groups: groups, Loops: 1,
		Policy: proxy.Policy{Timeouts: proxy.DefaultTimeouts(), KeepAliveRequests: 1 << 30},
	}, proxy.Logs{Access: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	client, err := net.Dial("tcp", server.Addresses()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return &keepAliveRig{client: client, answer: make([]byte, len(shortAnswer5))}
}

var keptRequestBytes, keptAnswerBytes = []byte(keptGet), []byte(shortAnswer5)

func (r *keepAliveRig) exchange(t testing.TB) {
	if _, err := r.client.Write(keptRequestBytes); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r.client, r.answer); err != nil || !bytes.Equal(r.answer, keptAnswerBytes) {
		t.Fatalf("%v after %q", err, r.answer)
	}
}

// BenchmarkKeepAliveRequest is one small GET over kept connections, with the access log written; both far ends included,
// which allocate nothing.
func BenchmarkKeepAliveRequest(b *testing.B) {
	r := newKeepAliveRig(b)
	r.exchange(b)
	b.ReportAllocs()
	for b.Loop() {
		r.exchange(b)
	}
}

// TestAKeptRequestAllocatesNothing: a request over connections that have served others costs no allocation.
func TestAKeptRequestAllocatesNothing(t *testing.T) {
	r := newKeepAliveRig(t)
	for range 100 {
		r.exchange(t)
	}
	// Not testing.AllocsPerRun, which leaves one processor to all: the loop keeps one while it waits. What is allowed is
	// the runtime's own, and the log's when its buffers were collected.
	const requests, allowed = 2000, 200
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range requests {
		r.exchange(t)
	}
	runtime.ReadMemStats(&after)
	if n := after.Mallocs - before.Mallocs; n > allowed {
		t.Errorf("%d objects allocated for %d requests", n, requests)
	} else {
		t.Logf("figure: %d requests over kept connections: %d objects allocated", requests, n)
	}
}
