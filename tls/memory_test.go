package tls

import (
	"os"
	"runtime"
	"runtime/pprof"
	"testing"
)

// profileVariable names the file into which TestIdleConnectionsAreSmall writes where its last servers were allocated.
const profileVariable = "CULVERT_TLS_HEAP_PROFILE"

// heapInUse returns how many bytes of the heap are in use.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // what pools keep goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// idle returns what an idle connection takes, in bytes of the heap, fresh or after 16 KiB each way.
func idle(t *testing.T, version Version, exchanged bool) (server, client int64) {
	const count = 300
	o := newOwner(t)
	config, clients := configOf(t, true, version), configOf(t, false, version)
	pairs := make([][2]*Conn, count)
	begin := heapInUse()
	for i := range pairs {
		pairs[i] = [2]*Conn{o.open(config), o.open(clients)}
		o.conns = nil
		shuttle(o, pairs[i][0], pairs[i][1])
		if !exchanged {
			continue
		}
		for side, from := range pairs[i] {
			if err := from.Seal(make([]byte, plaintextMax)); err != nil {
				t.Fatal(err)
			}
			if plain, _ := feed(pairs[i][1-side], take(from), 64<<10); len(plain) != plaintextMax {
				t.Fatalf("%d bytes came", len(plain))
			}
		}
	}
	both := heapInUse()
	for i := range pairs {
		pairs[i][1] = nil
	}
	servers := heapInUse()
	if name := os.Getenv(profileVariable); name != "" {
		writeProfile(t, name)
	}
	for _, p := range pairs {
		p[0].Abandon()
	}
	return (servers - begin) / count, (both - servers) / count
}

// TestIdleConnectionsAreSmall measures what docs/tls-memory.md says.
func TestIdleConnectionsAreSmall(t *testing.T) {
	const most = 5000
	for _, known := range []bool{false, true} {
		how := map[bool]string{false: "with crypto/tls's own buffers", true: "without"}[known]
		for _, version := range []Version{Version12, Version13} {
			for _, exchanged := range []bool{false, true} {
				cryptoTLS.found = known
				server, client := idle(t, version, exchanged)
				cryptoTLS.found = true
				when := map[bool]string{false: "fresh", true: "after 16 KiB each way"}[exchanged]
				t.Logf("%v, %s, %s: server %d bytes, client %d", version, when, how, server, client)
				if known && max(server, client) > most {
					t.Errorf("at most %d bytes are allowed", most)
				}
			}
		}
	}
}

// TestSuspendedHandshakesAreSmall measures what a client costs that stops after its hello, and before it is whole.
func TestSuspendedHandshakesAreSmall(t *testing.T) {
	const count, most = 300, 40_000
	hello := helloOf(t)
	for when, fed := range map[string]int{"after the first byte": 1, "in front of the last byte": len(hello) - 1, "after the hello": len(hello)} {
		o := newOwner(t)
		config := configOf(t, true, Version13)
		stacks := func() int64 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.StackInuse)
		}
		begin, beginStacks := heapInUse(), stacks()
		for range count {
			c := o.open(config)
			c.Feed(hello[:fed])
			if fed == len(hello) {
				o.wait("the server's flight", func() bool { return len(c.Pending()) > 0 })
				take(c)
			}
		}
		heap, stack := (heapInUse()-begin)/count, (stacks()-beginStacks)/count
		t.Logf("%s of %d: %d bytes of heap, %d of stack", when, len(hello), heap, stack)
		if heap+stack > most {
			t.Errorf("at most %d bytes are allowed", most)
		}
	}
}

func writeProfile(t *testing.T, name string) {
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := pprof.WriteHeapProfile(f); err != nil {
		t.Error(err)
	}
}
