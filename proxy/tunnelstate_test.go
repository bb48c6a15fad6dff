package proxy

import (
	"bytes"
	"net/netip"
	"testing"

	"culvert/engine"
	"culvert/proxy/ws"
)

// idleEnd is an end on which nothing ever happens.
type idleEnd struct{ released bool }

func (*idleEnd) Attach(engine.Owner, engine.Side)              {}
func (*idleEnd) Read([]byte) (int, engine.Status)              { return 0, engine.StatusBlocked }
func (*idleEnd) Write(p []byte) (int, engine.Status)           { return len(p), engine.StatusReady }
func (*idleEnd) Finish()                                       {}
func (*idleEnd) Fault() engine.Fault                           { return engine.FaultReset }
func (e *idleEnd) Reset()                                      { e.released = true }
func (e *idleEnd) Close()                                      { e.released = true }
func (e *idleEnd) Linger(*engine.Pending, engine.LingerLimits) { e.released = true }

func newStateShard(t *testing.T) *shard {
	t.Helper()
	listeners, groups := OneGroup([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		[]BackendConfig{{Name: "b", Address: netip.MustParseAddrPort("127.0.0.1:9"), Weight: 1}})
	s, err := New(Config{Listeners: listeners, Groups: groups, Policy: Policy{Timeouts: DefaultTimeouts()}, Loops: 1}, Logs{})
	if err != nil {
		t.Fatal(err)
	}
	loop, err := engine.NewLoop(engine.LoopOptions{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(loop.Abandon)
	return newShard(s, loop, 0, s.site.Load())
}

// openTunnel returns a tunnel in the middle of a fragmented message, with part of a header on hold.
func openTunnel(h *shard, ends [2]engine.End) *tunnel {
	r := record{id: 7, client: netip.MustParseAddr("2001:db8::1"), backend: h.server.registry.all()[0]}
	r.text = []byte("GETexample.org/chat")
	r.cuts = [recordTexts]uint16{3, 14, 19, 19, 19, 19}
	t := &tunnel{shard: h, record: r.forTunnel(12345, netip.Addr{})}
	for side, sender := range [2]ws.Role{engine.SideClient: ws.Client, engine.SideBackend: ws.Server} {
		t.stages[side].scanner.Init(ws.Options{Sender: sender, Strict: true})
	}
	t.relay.Init(&h.loop.Workspace, ends, h.tunnelStages(t), h.site.policy.tunnel, t)
	h.streams.add(t)
	t.record.backend.active.Add(1)
	t.relay.Feed(engine.SideBackend, []byte{0x01, 0x02, 'h', 'i', 0x80, 126, 0x01})
	t.relay.Start()
	return t
}

func TestATunnelGoesOnFromItsExportedState(t *testing.T) {
	h := newStateShard(t)
	first := openTunnel(h, [2]engine.End{&idleEnd{}, &idleEnd{}})
	state := first.appendState(nil)
	first.relay.Detach()
	h.streams.remove(first)

	second, err := h.restoreTunnel(state, [2]engine.End{&idleEnd{}, &idleEnd{}})
	if err != nil {
		t.Fatal(err)
	}
	if again := second.appendState(nil); !bytes.Equal(again, state) {
		t.Errorf("exported again, the state differs:\n%x\n%x", again, state)
	}
	if second.record.backend != h.server.registry.all()[0] || second.record.opened != 12345 || second.record.id != 7 {
		t.Errorf("identity was lost: %+v", second.record)
	}
	if host, uri := string(second.record.host()), string(second.record.uri()); host != "example.org" || uri != "/chat" {
		t.Errorf("the log would show host %q and URI %q", host, uri)
	}
	if n := second.relay.Bytes(engine.SideBackend); n != 4 {
		t.Errorf("%d bytes counted from the backend, want 4: the partial header is on hold", n)
	}
	second.relay.Start()
	second.shutDown()
	if !second.relay.Over() || h.streams.count != 0 {
		t.Error("the restored tunnel did not end")
	}
}

func TestACutOrForeignTunnelStateIsRefused(t *testing.T) {
	h := newStateShard(t)
	tunnel := openTunnel(h, [2]engine.End{&idleEnd{}, &idleEnd{}})
	state := tunnel.appendState(nil)
	tunnel.relay.Detach()
	h.streams.remove(tunnel)
	for n := range state {
		if _, err := h.restoreTunnel(state[:n], [2]engine.End{&idleEnd{}, &idleEnd{}}); err == nil {
			t.Errorf("%d of %d bytes were taken for a whole state", n, len(state))
		}
	}
	state[0]++
	if _, err := h.restoreTunnel(state, [2]engine.End{&idleEnd{}, &idleEnd{}}); err == nil {
		t.Error("an unknown version was accepted")
	}
	if h.streams.count != 0 {
		t.Errorf("%d half-restored tunnels were left over", h.streams.count)
	}
}
