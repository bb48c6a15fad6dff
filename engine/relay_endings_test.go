package engine

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// How a relay ends on real sockets. The sides are told apart by name, because the rules are the same for both.

// bothSides runs a test once from each side.
func bothSides(t *testing.T, test func(t *testing.T, side Side)) {
	t.Helper()
	for side := SideClient; side <= SideBackend; side++ {
		t.Run(side.String(), func(t *testing.T) { test(t, side) })
	}
}

func TestAHalfCloseIsPassedOnAndTheOtherDirectionLivesOn(t *testing.T) {
	bothSides(t, func(t *testing.T, side Side) {
		l := startLoop(t)
		r := newRelay(t, l, rigOptions{})
		here, there := r.peers[side], r.peers[side.Other()]
		here.send([]byte("all of it"))
		here.finish()
		if got := there.receiveAll(); string(got) != "all of it" {
			t.Errorf("got %q before the FIN", got)
		}
		for range 3 {
			there.send([]byte("an answer"))
			here.receive([]byte("an answer"))
		}
		l.do(func() {
			if r.relay.Over() {
				t.Error("the relay is over while one direction is open")
			}
		})
		there.finish()
		here.receiveFIN()
		r.wantEnd(EndClosed, side)
	})
}

func TestBytesBeforeAFINAreDeliveredBeforeIt(t *testing.T) {
	bothSides(t, func(t *testing.T, side Side) {
		l := newSteppedLoop(t)
		r := newRelay(t, l, rigOptions{sizes: [2]socketSizes{small, small}})
		// Bytes wait in the relay, in the kernel's queue before it, and in the peer's; the FIN comes behind them all.
		stream := r.fill(side)
		r.peers[side].finish()
		l.settle()
		before := l.loop.Counters.Events
		for range 50 {
			l.turn()
		}
		if events := l.loop.Counters.Events - before; events > 4 {
			t.Errorf("%d events with a hang-up while paused", events)
		}
		var got []byte
		r.background(func() { got = r.peers[side.Other()].receiveAll() })
		if !bytes.Equal(got, stream) {
			t.Errorf("got %d of %d bytes before the FIN", len(got), len(stream))
		}
		r.peers[side.Other()].finish()
		r.wantEnd(EndClosed, side)
	})
}

func TestBothFinishWithBytesPendingBothWays(t *testing.T) {
	l := newSteppedLoop(t)
	r := newRelay(t, l, rigOptions{sizes: [2]socketSizes{small, small}})
	streams := [2][]byte{r.fill(SideClient), r.fill(SideBackend)}
	for _, p := range r.peers {
		p.finish()
	}
	l.settle()
	for side, p := range r.peers {
		var got []byte
		r.background(func() { got = p.receiveAll() })
		if want := streams[Side(side).Other()]; !bytes.Equal(got, want) {
			t.Errorf("the %s got %d of %d bytes", Side(side), len(got), len(want))
		}
	}
	r.wantEnd(EndClosed, SideBackend) // its FIN was passed on first, since the client read first
}

func TestBytesOnHoldAreDeliveredBeforeTheFIN(t *testing.T) {
	l := startLoop(t)
	r := newRelay(t, l, rigOptions{stages: [2]Stage{new(frameStage), new(frameStage)}})
	cut := frame(kindHold, 100, 'h')[:60]
	r.peers[SideClient].send(cut)
	r.peers[SideClient].finish()
	if got := r.peers[SideBackend].receiveAll(); !bytes.Equal(got, cut) {
		t.Errorf("got %q", got)
	}
}

func TestAStageThatRefusesTheFINEndsTheRelay(t *testing.T) {
	bothSides(t, func(t *testing.T, side Side) {
		l := startLoop(t)
		stages := [2]Stage{new(frameStage), new(frameStage)}
		stages[side] = &frameStage{finish: endByStage}
		r := newRelay(t, l, rigOptions{stages: stages})
		r.peers[side].send(frame(kindForward, 10, 'x'))
		r.peers[side].finish()
		r.wantEnd(endByStage, side)
		if got := r.peers[side.Other()].receiveAll(); len(got) != frameHeader+10 {
			t.Errorf("got %q", got)
		}
		r.peers[side].receiveFIN()
	})
}

func TestTheEndVerdictDeliversWhatCameBeforeAndFinishesBoth(t *testing.T) {
	bothSides(t, func(t *testing.T, side Side) {
		l := newSteppedLoop(t)
		r := newRelay(t, l, rigOptions{stages: [2]Stage{new(frameStage), new(frameStage)}, sizes: [2]socketSizes{small, small}})
		before, after := frame(kindForward, 500_000, 'x'), frame(kindForward, 10, 'y')
		stream := append(append(bytes.Clone(before), frame(kindEnd, 0, 0)...), after...)
		sent := r.peers[side].sendInBackground(stream)
		var got []byte
		r.background(func() { got = r.peers[side.Other()].receiveAll() })
		if !bytes.Equal(got, before) {
			t.Errorf("got %d bytes before the FIN, want %d", len(got), len(before))
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		r.background(r.peers[side].receiveFIN)
		r.wantEnd(endByStage, side)
		if l.loop.Counters.Lingering == 0 {
			t.Error("nobody waits for the peers' FIN")
		}
		for _, p := range r.peers {
			p.finish()
		}
		l.until("the end of both lingering closes", func() bool { return l.loop.Counters.Lingering == 0 })
	})
}

func TestEndDeliversWhatIsPendingBothWays(t *testing.T) {
	l := newSteppedLoop(t)
	r := newRelay(t, l, rigOptions{sizes: [2]socketSizes{small, small}})
	var forwarded [2]uint64
	streams := [2][]byte{r.fill(SideClient), r.fill(SideBackend)}
	for side := range streams {
		forwarded[side] = r.relay.Bytes(Side(side))
	}
	r.relay.End(Outcome{EndShutdown, SideNone})
	r.wantEnd(EndShutdown, SideNone)
	for side, p := range r.peers {
		var got []byte
		r.background(func() { got = p.receiveAll() })
		from := Side(side).Other()
		if uint64(len(got)) != forwarded[from] || !bytes.HasPrefix(streams[from], got) {
			t.Errorf("the %s got %d bytes, want the %d that the relay had read", Side(side), len(got), forwarded[from])
		}
	}
}

func TestAResetDiscardsWhatIsPendingAndResetsTheOtherSide(t *testing.T) {
	bothSides(t, func(t *testing.T, side Side) {
		for name, prepare := range map[string]func(r *relayRig){
			"nothing pending":                   func(*relayRig) {},
			"bytes pending towards the other":   func(r *relayRig) { r.fill(side) },
			"bytes pending from the other":      func(r *relayRig) { r.fill(side.Other()) },
			"bytes pending both ways":           func(r *relayRig) { r.fill(side); r.fill(side.Other()) },
			"the one that resets had finished":  func(r *relayRig) { r.peers[side].finish() },
			"the other one had finished before": func(r *relayRig) { r.peers[side.Other()].finish() },
		} {
			t.Run(name, func(t *testing.T) {
				l := newSteppedLoop(t)
				r := newRelay(t, l, rigOptions{sizes: [2]socketSizes{small, small}})
				prepare(r)
				l.settle()
				r.peers[side].reset()
				inState(t, r.conns[side], tcpClose)
				turns := l.loop.Counters.Turns
				r.wantEnd([2]EndReason{EndClientReset, EndBackendReset}[side], side)
				if turns = l.loop.Counters.Turns - turns; turns > 1 {
					t.Errorf("it took %d turns", turns)
				}
				if r.relay.firstFIN != side {
					r.peers[side.Other()].receiveReset()
					return
				}
				// It has seen the FIN; the reset behind it shows in a write.
				r.peers[side.Other()].receiveFIN()
				if _, err := r.peers[side.Other()].Write([]byte("x")); !errors.Is(err, unix.EPIPE) {
					t.Errorf("a write behind the reset: %v", err)
				}
			})
		}
	})
}

// Bytes that came before the reset, in the same event.
func TestAResetInTheSameEventAsDataEndsTheRelayWithoutASpin(t *testing.T) {
	bothSides(t, func(t *testing.T, side Side) {
		l := newSteppedLoop(t)
		r := newRelay(t, l, rigOptions{})
		l.settle()
		r.peers[side].send([]byte("last words"))
		arrived(t, r.conns[side], 10)
		r.peers[side].reset()
		inState(t, r.conns[side], tcpClose)
		events := l.loop.Counters.Events
		r.wantEnd([2]EndReason{EndClientReset, EndBackendReset}[side], side)
		if got := r.peers[side.Other()].receiveReset(); len(got) > 0 && string(got) != "last words" {
			t.Errorf("the other side got %q", got)
		}
		l.settle()
		if events = l.loop.Counters.Events - events; events > 2 {
			t.Errorf("%d events", events)
		}
	})
}

// The failing call may be the send; the side that broke is named all the same.
func TestASideThatRefusesBytesIsTheOneThatBroke(t *testing.T) {
	bothSides(t, func(t *testing.T, side Side) {
		l := newSteppedLoop(t)
		r := newRelay(t, l, rigOptions{})
		l.settle()
		r.peers[side].reset()
		inState(t, r.conns[side], tcpClose)
		r.peers[side.Other()].send([]byte("too late"))
		arrived(t, r.conns[side.Other()], 8)
		// The other side's event alone, as if it stood first in the batch.
		r.relay.Ready(side.Other(), Readable)
		r.wantEnd([2]EndReason{EndClientReset, EndBackendReset}[side], side)
		r.peers[side.Other()].receiveReset()
	})
}

func TestAbortResetsBoth(t *testing.T) {
	l := startLoop(t)
	r := newRelay(t, l, rigOptions{})
	l.do(func() {
		r.relay.Abort(Outcome{EndShutdown, SideNone})
		r.relay.Abort(Outcome{EndIdle, SideClient}) // the first end counts
		r.relay.End(Outcome{EndIdle, SideClient})
		if r.relay.Insert(SideClient, []byte("x")) {
			t.Error("an insertion into a relay that is over")
		}
	})
	r.wantEnd(EndShutdown, SideNone)
	for _, p := range r.peers {
		p.receiveReset()
	}
}
