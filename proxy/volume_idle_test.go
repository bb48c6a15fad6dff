package proxy_test

import (
	"io"
	"net"
	"testing"
	"time"

	"culvert/engine"
	"culvert/proxy"
	"culvert/proxy/proxytest"
	"culvert/proxy/ws"

	gobwas "github.com/gobwas/ws"
)

// limits of the relays that run in virtual time.
const (
	virtualIdle    = time.Second
	virtualStalled = 1500 * time.Millisecond
)

// virtualEnd is an end without a socket: what the test gives it can be read, and it takes what there is room for.
type virtualEnd struct {
	owner    engine.Owner
	side     engine.Side
	incoming []byte
	room     int // bytes that a Write takes from now on
	taken    []byte
	lingers  bool // given to a lingering close
	reset    bool
}

func (e *virtualEnd) Attach(owner engine.Owner, side engine.Side) { e.owner, e.side = owner, side }

func (e *virtualEnd) Read(p []byte) (int, engine.Status) {
	n := copy(p, e.incoming)
	e.incoming = e.incoming[n:]
	return n, engine.StatusBlocked
}

func (e *virtualEnd) Write(p []byte) (int, engine.Status) {
	n := min(len(p), e.room)
	e.room -= n
	e.taken = append(e.taken, p[:n]...)
	if n < len(p) {
		return n, engine.StatusBlocked
	}
	return n, engine.StatusReady
}

func (e *virtualEnd) Finish()                                     {}
func (e *virtualEnd) Fault() engine.Fault                         { return engine.FaultReset }
func (e *virtualEnd) Reset()                                      { e.reset = true }
func (e *virtualEnd) Close()                                      {}
func (e *virtualEnd) Linger(*engine.Pending, engine.LingerLimits) { e.lingers = true }
func (e *virtualEnd) receive(p []byte) {
	e.incoming = append(e.incoming, p...)
	e.owner.Ready(e.side, engine.Readable)
}
func (e *virtualEnd) makeRoom(n int) { e.room += n; e.owner.Ready(e.side, engine.Writable) }
func (e *virtualEnd) free()          { e.room = 1 << 30 }

// virtualTunnel is the shipped relay with the shipped stages, whose time is the test's.
type virtualTunnel struct {
	t         *testing.T
	workspace *engine.Workspace
	relay     engine.Relay
	ends      [2]*virtualEnd
	begin     int64
	over      engine.Outcome
}

// RelayOver implements engine.RelayObserver.
func (v *virtualTunnel) RelayOver(_ *engine.Relay, o engine.Outcome) { v.over = o }

// newVirtualTunnel starts a tunnel whose far ends take everything.
func newVirtualTunnel(t *testing.T) *virtualTunnel {
	t.Helper()
	// A time that is no multiple of a tick, as it is in life.
	v := &virtualTunnel{t: t, begin: int64(1234567 * time.Microsecond)}
	v.workspace = engine.NewWorkspace(0, v.begin)
	var ends [2]engine.End
	var stages [2]engine.Stage
	for side, sender := range [2]ws.Role{engine.SideClient: ws.Client, engine.SideBackend: ws.Server} {
		v.ends[side] = &virtualEnd{}
		v.ends[side].free()
		ends[side] = v.ends[side]
		stages[side] = proxy.NewFrameStage(ws.Options{Sender: sender, Strict: true})
	}
	limits := &engine.RelayLimits{Idle: int64(virtualIdle), Stalled: int64(virtualStalled), HalfClosed: int64(time.Hour)}
	v.relay.Init(v.workspace, ends, stages, limits, v)
	v.relay.Start()
	return v
}

// at goes on to a time after the begin, in turns a millisecond apart, and then does something.
func (v *virtualTunnel) at(after time.Duration, do func()) {
	v.t.Helper()
	for v.workspace.Now() < v.begin+int64(after) {
		v.workspace.BeginTurn(v.workspace.Now() + int64(time.Millisecond))
		if v.relay.Over() {
			v.t.Fatalf("the tunnel ended for %s after %v, earlier than %v", proxy.ReasonName(v.over.Reason), v.elapsed(), after)
		}
	}
	do()
}

func (v *virtualTunnel) elapsed() time.Duration { return time.Duration(v.workspace.Now() - v.begin) }

// wantEnd goes on until the tunnel ends, which has to be due at that time: at most a tick of the wheel, and the
// millisecond between two turns, later.
func (v *virtualTunnel) wantEnd(due time.Duration, reason engine.EndReason, by engine.Side) {
	v.t.Helper()
	for !v.relay.Over() && v.elapsed() < time.Minute {
		v.workspace.BeginTurn(v.workspace.Now() + int64(time.Millisecond))
	}
	if v.over != (engine.Outcome{Reason: reason, By: by}) {
		v.t.Errorf("the tunnel ended for %s by %s, want %s by %s", proxy.ReasonName(v.over.Reason), v.over.By, proxy.ReasonName(reason), by)
	}
	if late := v.elapsed() - due; late < 0 || late > engine.WheelTick+time.Millisecond {
		v.t.Errorf("the tunnel ended after %v, want %v and at most a tick", v.elapsed(), due)
	}
}

func TestAnIdleTunnelEndsAtItsTimeoutPlusOneTick(t *testing.T) {
	v := newVirtualTunnel(t)
	v.wantEnd(virtualIdle, engine.EndIdle, engine.SideNone)
	for side, end := range v.ends {
		if !end.lingers || end.reset {
			t.Errorf("the %s's connection was not ended cleanly", sideNames[side])
		}
	}
}

func TestWhatTouchesTheBackendsSocketKeepsATunnelAlive(t *testing.T) {
	fromClient, fromBackend := binaryFrames(10)
	const last = 900 * time.Millisecond
	for name, touch := range map[string]func(v *virtualTunnel){
		"a message from the backend": func(v *virtualTunnel) { v.ends[engine.SideBackend].receive(fromBackend) },
		"a message to the backend":   func(v *virtualTunnel) { v.ends[engine.SideClient].receive(fromClient) },
		"a part of a header from it": func(v *virtualTunnel) { v.ends[engine.SideBackend].receive(fromBackend[:1]) },
		"our ping to the backend": func(v *virtualTunnel) {
			v.relay.Insert(engine.SideBackend, gobwas.MustCompileFrame(gobwas.MaskFrame(gobwas.NewPingFrame(nil))))
		},
		"the pong that the ping meant": func(v *virtualTunnel) {
			v.ends[engine.SideBackend].receive(gobwas.MustCompileFrame(gobwas.NewPongFrame(nil)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVirtualTunnel(t)
			v.at(last, func() { touch(v) })
			v.wantEnd(last+virtualIdle, engine.EndIdle, engine.SideNone)
		})
	}
}

func TestWhatDoesNotReachTheBackendKeepsNoTunnelAlive(t *testing.T) {
	fromClient, _ := binaryFrames(100 << 10)
	const last = 900 * time.Millisecond
	for name, touch := range map[string]func(v *virtualTunnel){
		"a part of a header": func(v *virtualTunnel) { v.ends[engine.SideClient].receive(fromClient[:1]) },
		"our ping to the client": func(v *virtualTunnel) {
			v.relay.Insert(engine.SideClient, gobwas.MustCompileFrame(gobwas.NewPingFrame(nil)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVirtualTunnel(t)
			v.at(last, func() { touch(v) })
			v.wantEnd(virtualIdle, engine.EndIdle, engine.SideNone)
		})
	}
}

func TestAStalledTunnelEndsByATimeoutOfItsOwn(t *testing.T) {
	fromClient, fromBackend := binaryFrames(1000)
	for slow, frame := range [2][]byte{engine.SideClient: fromBackend, engine.SideBackend: fromClient} {
		t.Run("the "+sideNames[slow]+" takes nothing", func(t *testing.T) {
			v := newVirtualTunnel(t)
			end, other := v.ends[slow], v.ends[1-slow]
			end.room = 0
			v.at(100*time.Millisecond, func() { other.receive(frame) })
			// More of the same is not read, and saves nobody.
			v.at(time.Second, func() { other.receive(frame) })
			v.wantEnd(100*time.Millisecond+virtualStalled, engine.EndStalled, engine.Side(slow))
			if !end.reset || !other.reset {
				t.Error("bytes that will never be taken were followed by a clean end")
			}
		})
		t.Run("the "+sideNames[slow]+" takes a byte now and then", func(t *testing.T) {
			v := newVirtualTunnel(t)
			end, other := v.ends[slow], v.ends[1-slow]
			end.room = 0
			v.at(100*time.Millisecond, func() { other.receive(frame) })
			last := 100 * time.Millisecond
			for range 5 {
				last += 1400 * time.Millisecond // beyond the idle timeout: bytes wait, so it does not apply
				v.at(last, func() { end.makeRoom(1) })
			}
			v.wantEnd(last+virtualStalled, engine.EndStalled, engine.Side(slow))
		})
		t.Run("the "+sideNames[slow]+" takes all at last", func(t *testing.T) {
			v := newVirtualTunnel(t)
			end, other := v.ends[slow], v.ends[1-slow]
			end.room = 0
			v.at(100*time.Millisecond, func() { other.receive(frame) })
			v.at(1400*time.Millisecond, func() { end.free(); end.makeRoom(0) })
			v.wantEnd(1400*time.Millisecond+virtualIdle, engine.EndIdle, engine.SideNone)
		})
	}
}

// The same once more with the kernel's sockets and clock: four tunnels at once, and what ends each.
func TestIdleAndStalledTunnelsEndOnRealSockets(t *testing.T) { overWays(t, idleAndStalledTunnels) }

func idleAndStalledTunnels(t *proxytest.T) {
	timeouts := proxy.DefaultTimeouts()
	timeouts.Idle, timeouts.Stalled = time.Second, time.Second
	listener, settings := listenOver(t.T, t.Way(), childSettings{Loops: 2, Timeouts: timeouts, AccessLog: true})
	defer func() { _ = listener.Close() }()
	p := startProxy(t, settings)
	open := func(path string) *pressure {
		x := &pressure{t: t, proxy: p}
		accepted := make(chan struct{})
		go func() { defer close(accepted); x.ends[1], _, _ = acceptTunnel(listener) }()
		var err error
		if x.ends[0], err = dialTunnel(t.Way(), p.address, path); err != nil {
			t.Fatal(err)
		}
		<-accepted
		t.Cleanup(x.close)
		return x
	}
	active := open("/active")
	open("/idle")
	beats := make(chan error, 1)
	stop := make(chan struct{})
	go func() { beats <- active.beat(stop) }()
	go drip(open("/drip").ends[0], stop)
	open("/stalled").push(0, smallPush, active.pushed())

	ended := func(path string) logLine {
		return p.waitLine("the end of "+path, func(l logLine) bool { return l["event"] == "tunnel-end" && l["uri"] == path })
	}
	for path, want := range map[string][2]string{
		"/idle": {"idle-timeout", "proxy"}, "/drip": {"idle-timeout", "proxy"}, "/stalled": {"stalled-timeout", "backend"},
	} {
		line := ended(path)
		if line["reason"] != want[0] || line["by"] != want[1] {
			t.Errorf("%s ended for %v by %v, want %s by %s", path, line["reason"], line["by"], want[0], want[1])
		}
		if lived, _ := line["duration_ms"].(float64); lived < 1000 {
			t.Errorf("%s ended after %.1f ms, before its timeout", path, lived)
		}
		t.Logf("%s ended for %v after %v ms", path, line["reason"], line["duration_ms"])
	}
	close(stop)
	if err := <-beats; err != nil {
		t.Errorf("the tunnel that was active all the while failed: %v", err)
	}
	_ = halfClose(active.ends[0])
	_, _ = active.drain(1) // a close in front of unread bytes, be they a close_notify, is a reset
	active.close()
	if line := ended("/active"); line["reason"] != "closed" {
		t.Errorf("/active ended for %v", line["reason"])
	}
}

// beat sends a message each way five times a second until stop, and a few more.
func (x *pressure) beat(stop <-chan struct{}) error {
	fromClient, fromBackend := binaryFrames(125)
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for more := 5; more > 0; {
		select {
		case <-ticker.C:
		case <-stop:
			stop = nil
		}
		if stop == nil {
			more--
		}
		for from, frame := range [2][]byte{fromClient, fromBackend} {
			if _, err := x.ends[from].Write(frame); err != nil {
				return err
			}
			if _, err := io.ReadFull(x.ends[1-from], make([]byte, len(frame))); err != nil {
				return err
			}
		}
	}
	return nil
}

// drip sends a frame's header byte by byte, so slowly that the tunnel's timeout passes before it is whole.
func drip(c net.Conn, stop <-chan struct{}) {
	header := frameOf(make([]byte, 70<<10), true)[:13] // of 14 bytes
	ticker := time.NewTicker(90 * time.Millisecond)
	defer ticker.Stop()
	for i := range header {
		select {
		case <-ticker.C:
			_, _ = c.Write(header[i : i+1]) // at last the proxy is gone
		case <-stop:
			return
		}
	}
}
