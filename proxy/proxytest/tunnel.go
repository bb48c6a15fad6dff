package proxytest

import (
	"strings"
	"testing"

	"culvert/engine"
)

// Tunnel opens a tunnel from a new client to the proxy's first backend, and returns both far ends, heads read.
func (p *Proxy) Tunnel(t testing.TB) (client, backend *Conn) {
	t.Helper()
	client = p.Dial(t)
	return client, p.Upgrade(t, client)
}

// Upgrade opens a tunnel from a connected client to the proxy's first backend, which must not be serving a script, and
// returns the backend's end.
func (p *Proxy) Upgrade(t testing.TB, client *Conn, fields ...string) (backend *Conn) {
	t.Helper()
	client.Send(UpgradeRequest(fields...))
	backend = p.backends[0].Accept()
	backend.Send(SwitchingProtocols(backend.ReadHead()))
	if head := client.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Fatalf("%s wants a 101, but it got %q", client, head)
	}
	return backend
}

const (
	// stallStep is how much Stall sends before it looks again, and how much more it leaves in front of the proxy.
	stallStep = 256 << 10
	// stallMax is the most that Stall sends before it gives up.
	stallMax = 64 << 20
)

// Stall sends bytes from a connection whose other side does not read, until the proxy holds some that nobody takes and
// there are more to read behind them. It returns what it sent. Within a tunnel a header with a long payload comes
// first: ClientHeader(StallPayload). It is over soon where kernels hold little: SmallBuffer at the other side, and a
// small NotSentLowat.
func (p *Proxy) Stall(t testing.TB, from *Conn) string {
	t.Helper()
	var sent strings.Builder
	relayed := -1.0
	pending := p.Metric(t, "culvert_relay_pending_bytes") // of another direction
	for end := engine.Monotonic() + int64(Patience); sent.Len() < stallMax && engine.Monotonic() < end; {
		step := pattern(sent.Len(), stallStep)
		sent.WriteString(step[:from.SendAvailable(step)])
		text := p.metrics()
		before := relayed
		relayed = sum(text, "culvert_relayed_bytes_total", nil)
		if sum(text, "culvert_relay_pending_bytes", nil) > pending && relayed == before && from.unacknowledged() > 0 {
			return sent.String()
		}
	}
	t.Fatalf("%s sent %d bytes, but the proxy holds none of them back", from, sent.Len())
	return ""
}

// StallPayload is a length for the frame in which Stall sends, in bytes: never reached.
const StallPayload = 1 << 40

// pattern returns n bytes that tell where in a stream they are from.
func pattern(offset, n int) string {
	b := make([]byte, n)
	for i := range b {
		at := offset + i
		b[i] = byte(at>>16) ^ byte(at>>8)*31 ^ byte(at)*7
	}
	return string(b)
}
