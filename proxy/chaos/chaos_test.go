package chaos

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"culvert/proxy"
)

const (
	upgradeRequest = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	upgradeAnswer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)

// openings are what clients begin with: mostly valid upgrades, with frames right behind.
var openings = []string{
	upgradeRequest, upgradeRequest, upgradeRequest, upgradeRequest, upgradeRequest, upgradeRequest,
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\n", upgradeRequest[:40],
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde", "\x16\x03\x01junk",
	"GET http://b/ HTTP/1.1\r\nHost: c\r\n\r\nGET / HTTP/1.1\r\n",
}

// answers are what the backend puts its answers together from.
var answers = []string{
	upgradeAnswer, upgradeAnswer, upgradeAnswer, upgradeAnswer,
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\n\r\nabc", "garbage\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n",
	"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 101 S\r\n\r\n",
	"HTTP/1.1 204 No\r\n\r\n",
}

const (
	clients   = 48
	perClient = 60
)

func TestChaosLeavesNothingBehind(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	backend := startBackend(t, seed)
	server := startProxy(t, backend)
	address := server.Addresses()[0].String()
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			dice := rand.New(rand.NewPCG(seed, uint64(i)))
			for range perClient {
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Errorf("the proxy is gone: %v", err)
					return
				}
				(&party{conn: c, dice: dice, masked: true}).behave(openings[dice.IntN(len(openings))])
			}
		})
	}
	all.Wait()
	for _, name := range []string{
		"client_connections_active", "tunnels_active", "exchanges_active", "backend_connections_active", "timers",
		"relay_pending_bytes", "buffer_bytes", "lingering_closes_active",
	} {
		eventually(t, fmt.Sprintf("culvert_%s is 0", name), func() bool { return metric(server, "culvert_"+name) == 0 })
	}
	t.Logf("%d connections: %.0f tunnels opened, %.0f ended, %.0f bytes spliced", clients*perClient,
		metric(server, "culvert_tunnels_opened_total"), metric(server, "culvert_tunnels_ended_total"),
		metric(server, "culvert_spliced_bytes_total"))
	if metric(server, "culvert_tunnels_opened_total") < clients {
		t.Error("hardly any tunnel was opened: the test proves nothing")
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	backend.close()
	eventually(t, "no goroutine is left over", func() bool { return runtime.NumGoroutine() <= goroutines })
}

type chaoticBackend struct {
	listener net.Listener
	parties  sync.WaitGroup
}

func startBackend(t *testing.T, seed uint64) *chaoticBackend {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &chaoticBackend{listener: listener}
	b.parties.Go(func() {
		for i := uint64(0); ; i++ {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			b.parties.Go(func() { serve(c, rand.New(rand.NewPCG(^seed, i))) })
		}
	})
	return b
}

func (b *chaoticBackend) close() {
	_ = b.listener.Close()
	b.parties.Wait()
}

func serve(c net.Conn, dice *rand.Rand) {
	p := &party{conn: c, dice: dice}
	if dice.IntN(20) == 0 {
		p.end()
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, _ = c.Read(make([]byte, 2048))
	var first strings.Builder
	for range 1 + dice.IntN(2) {
		first.WriteString(answers[dice.IntN(len(answers))])
	}
	p.behave(first.String())
}

// startProxy starts a proxy with short timeouts and little memory, on two loops. A second backend refuses.
func startProxy(t *testing.T, backend *chaoticBackend) *proxy.Server {
	timeouts := proxy.DefaultTimeouts()
	for _, timeout := range []*time.Duration{
		&timeouts.Idle, &timeouts.Stalled, &timeouts.HalfClosed, &timeouts.ClientHead, &timeouts.Answer, &timeouts.ClientWrite,
		&timeouts.Linger,
	} {
		*timeout = time.Second
	}
	listeners, groups := proxy.OneGroup([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, []proxy.BackendConfig{
		{Name: "chaotic", Weight: 1, Address: netip.MustParseAddrPort(backend.listener.Addr().String())},
		{Name: "refusing", Weight: 1, Address: netip.MustParseAddrPort("127.0.0.1:1")},
	})
	server, err := proxy.New(proxy.Config{
		Listeners: listeners, Groups: groups, Policy: proxy.Policy{Timeouts: timeouts}, Loops: 2, BufferMemory: 2 << 20,
	}, proxy.Logs{})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	return server
}

// metric reads one metric, the sum over its labels.
func metric(server *proxy.Server, name string) float64 {
	recorder := httptest.NewRecorder()
	server.Admin().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	sum := 0.0
	for line := range strings.Lines(recorder.Body.String()) {
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') {
			value, _ := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			sum += value
		}
	}
	return sum
}

// eventually waits until ok, or fails.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Errorf("waited in vain until %s", what)
			return
		}
	}
}
