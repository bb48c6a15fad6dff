package engine

import (
	"io"
	"testing"
	"time"
)

// The deadlines of a relay on real sockets, in the test's own time.

func TestOnlyTheBackendsSocketKeepsATunnelFromBeingIdle(t *testing.T) {
	const idle = 60 * time.Second
	for name, test := range map[string]struct {
		act   func(r *relayRig)
		keeps bool
	}{
		"nothing at all":            {func(*relayRig) {}, false},
		"dropped bytes of a client": {func(r *relayRig) { r.peers[SideClient].send(frame(kindDrop, 10, 'x')) }, false},
		"held bytes of a client":    {func(r *relayRig) { r.peers[SideClient].send([]byte{'F'}) }, false},
		"an insertion to the client": {func(r *relayRig) {
			r.relay.Insert(SideClient, []byte("x"))
		}, false},
		"bytes to the backend":       {func(r *relayRig) { r.peers[SideClient].send(frame(kindForward, 10, 'x')) }, true},
		"bytes from the backend":     {func(r *relayRig) { r.peers[SideBackend].send(frame(kindForward, 10, 'x')) }, true},
		"dropped bytes of a backend": {func(r *relayRig) { r.peers[SideBackend].send(frame(kindDrop, 10, 'x')) }, true},
		"an insertion to the backend": {func(r *relayRig) {
			r.relay.Insert(SideBackend, []byte("x"))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newSteppedLoop(t)
			r := newRelay(t, l, rigOptions{stages: [2]Stage{new(frameStage), new(frameStage)}, limits: RelayLimits{Idle: int64(idle)}})
			begin := l.now
			l.pass(idle / 2)
			test.act(r)
			moved := func() bool {
				return unread(r.conns[SideClient].Descriptor())+unread(r.conns[SideBackend].Descriptor()) == 0
			}
			r.peers[SideClient].acknowledged()
			r.peers[SideBackend].acknowledged()
			l.until("the bytes to be read", moved)
			l.pass(idle/2 - WheelTick)
			if r.relay.Over() {
				t.Fatalf("over early: %v", r.over)
			}
			l.pass(2 * WheelTick)
			if r.relay.Over() == test.keeps {
				t.Fatalf("over %v after %v", r.relay.Over(), time.Duration(l.now-begin))
			}
			if test.keeps {
				l.pass(idle)
			}
			r.wantEnd(EndIdle, SideNone)
			if late := r.overAt - r.relay.activity - int64(idle); late < 0 {
				t.Errorf("ended %v early", time.Duration(-late))
			}
		})
	}
}

func TestWithoutAnIdleTimeoutATunnelLivesOn(t *testing.T) {
	l := newSteppedLoop(t)
	r := newRelay(t, l, rigOptions{})
	l.pass(1000 * time.Hour)
	if r.relay.Over() || l.loop.Wheel.Len() != 0 {
		t.Errorf("over %v, %d timers", r.relay.Over(), l.loop.Wheel.Len())
	}
}

func TestAConsumerThatTakesNothingIsStalledNotIdle(t *testing.T) {
	bothSides(t, func(t *testing.T, slow Side) {
		const idle, stalled = 10 * time.Second, 60 * time.Second
		l := newSteppedLoop(t)
		limits := RelayLimits{Idle: int64(idle), Stalled: int64(stalled)}
		r := newRelay(t, l, rigOptions{sizes: [2]socketSizes{small, small}, limits: limits})
		r.fill(slow.Other())
		// The other direction is busy all the while: it does not count.
		for passed := time.Duration(0); passed < stalled-idle; passed += idle / 2 {
			r.peers[slow].send([]byte("busy"))
			r.background(func() { r.peers[slow.Other()].receive([]byte("busy")) })
			l.pass(idle / 2)
		}
		l.pass(idle - 2*WheelTick)
		if r.relay.Over() {
			t.Fatalf("over early: %v", r.over)
		}
		l.pass(3 * WheelTick)
		r.wantEnd(EndStalled, slow)
		for _, p := range r.peers {
			p.receiveReset() // a clean end would be a lie
		}
	})
}

func TestAConsumerThatTakesALittleNowAndThenIsNotStalled(t *testing.T) {
	const stalled = 60 * time.Second
	l := newSteppedLoop(t)
	r := newRelay(t, l, rigOptions{sizes: [2]socketSizes{small, small}, limits: RelayLimits{Stalled: int64(stalled)}})
	sent := len(r.fill(SideClient))
	for r.relay.PendingBytes(SideClient) > 0 {
		l.pass(stalled / 2)
		if r.relay.Over() {
			t.Fatalf("over although bytes were taken: %v", r.over)
		}
		left := r.relay.PendingBytes(SideClient)
		l.until("the relay to write again", func() bool {
			n := len(receiveSome(r.peers[SideBackend]))
			sent -= n
			return r.relay.PendingBytes(SideClient) < left
		})
	}
	r.background(func() { _, _ = io.ReadFull(r.peers[SideBackend], make([]byte, sent)) })
	l.pass(1000 * time.Hour) // neither stalled nor idle
	if r.relay.Over() {
		t.Errorf("over without bytes pending: %v", r.over)
	}
}

// receiveSome reads what is there, if anything.
func receiveSome(p *peer) []byte {
	b := make([]byte, 2000)
	_ = p.SetReadDeadline(time.Now().Add(time.Millisecond))
	n, _ := p.Read(b)
	return b[:n]
}

func TestWithoutAStallTimeoutAStandingConsumerIsWaitedFor(t *testing.T) {
	l := newSteppedLoop(t)
	r := newRelay(t, l, rigOptions{sizes: [2]socketSizes{small, small}, limits: RelayLimits{Idle: int64(time.Second)}})
	r.fill(SideClient)
	l.pass(1000 * time.Hour)
	if r.relay.Over() {
		t.Errorf("over: %v", r.over)
	}
}

// The stall is over when the last byte was taken: from then on the tunnel is idle.
func TestIdlenessBeginsWhenTheStallIsOver(t *testing.T) {
	const idle = 10 * time.Second
	l := newSteppedLoop(t)
	limits := RelayLimits{Idle: int64(idle), Stalled: int64(time.Hour)}
	r := newRelay(t, l, rigOptions{sizes: [2]socketSizes{small, small}, limits: limits})
	stream := r.fill(SideBackend)
	l.pass(10 * idle)
	r.background(func() { r.peers[SideClient].receive(stream) })
	l.pass(idle - WheelTick)
	if r.relay.Over() {
		t.Fatalf("over early: %v", r.over)
	}
	l.pass(2 * WheelTick)
	r.wantEnd(EndIdle, SideNone)
}

func TestAHalfClosedTunnelHasItsOwnDeadline(t *testing.T) {
	bothSides(t, func(t *testing.T, finished Side) {
		const idle, halfClosed = 600 * time.Second, 60 * time.Second
		l := newSteppedLoop(t)
		r := newRelay(t, l, rigOptions{limits: RelayLimits{Idle: int64(idle), HalfClosed: int64(halfClosed)}})
		l.pass(idle / 2)
		r.peers[finished].finish()
		r.background(r.peers[finished.Other()].receiveFIN)
		// What goes the other way touches the backend's socket and counts.
		l.pass(halfClosed / 2)
		r.peers[finished.Other()].send([]byte("still here"))
		r.background(func() { r.peers[finished].receive([]byte("still here")) })
		l.pass(halfClosed - WheelTick)
		if r.relay.Over() {
			t.Fatalf("over early: %v", r.over)
		}
		l.pass(2 * WheelTick)
		r.wantEnd(EndHalfClosed, finished.Other())
		r.background(r.peers[finished].receiveFIN)
	})
}

// Activity costs no work on the wheel: the one timer is armed once, and again when it fires.
func TestActivityDoesNotTouchTheTimer(t *testing.T) {
	const idle = 60 * time.Second
	l := newSteppedLoop(t)
	r := newRelay(t, l, rigOptions{limits: RelayLimits{Idle: int64(idle)}})
	first := r.relay.timer.Deadline()
	for range 10 {
		l.pass(idle / 20)
		r.peers[SideClient].send([]byte("x"))
		r.background(func() { r.peers[SideBackend].receive([]byte("x")) })
	}
	if r.relay.timer.Deadline() != first {
		t.Error("activity moved the timer")
	}
	l.pass(idle/2 + WheelTick)
	if r.relay.Over() || r.relay.timer.Deadline() != r.relay.activity+int64(idle) {
		t.Errorf("over %v, the timer stands %v behind the deadline", r.relay.Over(), time.Duration(r.relay.timer.Deadline()-r.relay.activity-int64(idle)))
	}
}
