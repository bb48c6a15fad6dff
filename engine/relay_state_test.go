package engine

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

// move exports the relay, destroys it, and goes on with it from the exported bytes on another loop, or on the same one
// with the same connections.
func (r *relayRig) move(to driver) {
	r.t.Helper()
	var state []byte
	var fds [2]int32
	r.do(func() {
		state = r.relay.AppendState(nil)
		r.relay.Detach()
		for side, c := range r.conns {
			if to != r.driver {
				fds[side] = c.Release()
			}
		}
	})
	same := to == r.driver
	r.driver = to
	r.do(func() {
		for side := range r.conns {
			if !same {
				c, err := to.engine().Adopt(fds[side], ignore, Side(side))
				if err != nil {
					r.t.Error(err)
				}
				r.conns[side] = c
			}
		}
		r.relay = new(Relay)
		behind := []byte("what follows")
		rest, err := r.relay.RestoreState(append(state, behind...), &to.engine().Workspace, r.ends(), newStages(), r)
		if err != nil || !bytes.Equal(rest, behind) {
			r.t.Errorf("restored with %v, %q follows", err, rest)
			return
		}
		if again := r.relay.AppendState(nil); !bytes.Equal(again, state) {
			r.t.Error("exported again, the state differs")
		}
		r.relay.Start()
	})
}

func newStages() [2]Stage { return [2]Stage{new(frameStage), new(frameStage)} }

func TestAMovedTunnelLosesNoByteAndNoEnding(t *testing.T) {
	for _, test := range []struct {
		name  string
		loops int
	}{{"on one loop", 1}, {"between two loops", 2}} {
		t.Run(test.name, func(t *testing.T) {
			loops := make([]*runningLoop, test.loops)
			for i := range loops {
				loops[i] = startLoop(t)
			}
			r := newRelay(t, loops[0], rigOptions{
				stages: newStages(), sizes: [2]socketSizes{small, small},
				limits: RelayLimits{Idle: int64(time.Hour), Stalled: int64(time.Hour)},
			})
			moves := r.moveWhileBusy(t, loops, 6<<20)
			t.Logf("%d moves", moves)
			r.peers[SideClient].finish()
			r.peers[SideBackend].receiveFIN()
			r.move(loops[0])
			r.peers[SideBackend].finish()
			r.peers[SideClient].receiveFIN()
			r.wantEnd(EndClosed, SideClient)
		})
	}
}

// moveWhileBusy moves the relay again and again while frames of all kinds go both ways.
func (r *relayRig) moveWhileBusy(t *testing.T, loops []*runningLoop, size int) (moves int) {
	t.Helper()
	var work sync.WaitGroup
	for side := range r.peers {
		stream, passed := frames(newRandom(uint64(20+side)), "FHDSF", size, 30_000)
		work.Go(func() { r.peers[side].sendInPieces(newRandom(1), stream, 10_000) })
		work.Go(func() {
			got := r.peers[1-side].receiveInPieces(newRandom(2), len(passed), 10_000, true)
			if !bytes.Equal(got, passed) {
				t.Errorf("from the %s %d of %d bytes arrived, or others", Side(side), len(got), len(passed))
			}
		})
	}
	done := make(chan struct{})
	go func() {
		work.Wait()
		close(done)
	}()
	for {
		select {
		case <-done:
			if moves < 3 {
				t.Errorf("only %d moves", moves)
			}
			return moves
		case <-time.After(50 * time.Microsecond):
			moves++
			r.move(loops[moves%len(loops)])
		}
	}
}

func TestAMovedTunnelKeepsItsDeadlinesAndItsCounts(t *testing.T) {
	const idle, stalled = 60 * time.Second, 90 * time.Second
	l := newSteppedLoop(t)
	r := newRelay(t, l, rigOptions{stages: newStages(), sizes: [2]socketSizes{small, small}, limits: RelayLimits{Idle: int64(idle), Stalled: int64(stalled)}})
	r.peers[SideBackend].send(frame(kindForward, 10, 'x'))
	r.background(func() { r.peers[SideClient].receive(frame(kindForward, 10, 'x')) })
	for range 3 {
		l.pass(idle / 4)
		r.move(l)
	}
	if n := r.relay.Bytes(SideBackend); n != frameHeader+10 {
		t.Errorf("%d bytes counted", n)
	}
	l.pass(idle/4 - WheelTick)
	if r.relay.Over() {
		t.Fatalf("over early: %v", r.over)
	}
	l.pass(2 * WheelTick)
	r.wantEnd(EndIdle, SideNone)
}

func TestDetachTouchesNothing(t *testing.T) {
	l := newSteppedLoop(t)
	r := newRelay(t, l, rigOptions{sizes: [2]socketSizes{small, small}, limits: RelayLimits{Idle: 1, Stalled: 1, HalfClosed: 1}})
	r.fill(SideClient)
	r.relay.Detach()
	l.pass(time.Hour)
	r.peers[SideClient].finish()
	l.settle()
	if c := l.loop.Counters; len(r.over) != 0 || c.PendingBytes != 0 || l.loop.Wheel.Len() != 0 || c.Lingering != 0 {
		t.Errorf("told %v, %d bytes pending, %d timers", r.over, c.PendingBytes, l.loop.Wheel.Len())
	}
	for side, c := range r.conns {
		if c.flags&connClosed != 0 {
			t.Errorf("the %s's connection was closed", Side(side))
		}
	}
}

// stubEnd is an end without a socket: it has input for one read, and takes room bytes.
type stubEnd struct {
	input []byte
	room  int
}

func (e *stubEnd) Attach(Owner, Side) {}
func (e *stubEnd) Read(p []byte) (int, Status) {
	n := copy(p, e.input)
	e.input = e.input[n:]
	return n, StatusBlocked
}
func (e *stubEnd) Write(p []byte) (int, Status) {
	n := min(e.room, len(p))
	e.room -= n
	if n < len(p) {
		return n, StatusBlocked
	}
	return n, StatusReady
}
func (e *stubEnd) Finish()                       {}
func (e *stubEnd) Fault() Fault                  { return FaultReset }
func (e *stubEnd) Reset()                        {}
func (e *stubEnd) Close()                        {}
func (e *stubEnd) Linger(*Pending, LingerLimits) {}

// observerFunc is a RelayObserver made of a function.
type observerFunc func(Outcome)

func (f observerFunc) RelayOver(_ *Relay, outcome Outcome) { f(outcome) }

// someStates returns exported relays with something in every field.
func someStates() map[string][]byte {
	states := map[string][]byte{}
	limits := &RelayLimits{Idle: 1e9, Stalled: 2e9, HalfClosed: 3e9, Linger: 4e9}
	export := func(name string, rooms [2]int, inputs [2][]byte, act func(r *Relay)) {
		w := NewWorkspace(MinReadBuffer, 5e9)
		r := new(Relay)
		ends := [2]End{&stubEnd{inputs[0], rooms[0]}, &stubEnd{inputs[1], rooms[1]}}
		r.Init(w, ends, newStages(), limits, observerFunc(func(Outcome) {}))
		r.Start()
		act(r)
		states[name] = r.AppendState(nil)
	}
	nothing := func(*Relay) {}
	export("fresh", [2]int{100, 100}, [2][]byte{}, nothing)
	export("pending both ways", [2]int{3, 5}, [2][]byte{frame(kindForward, 50, 'a'), frame(kindForward, 60, 'b')}, nothing)
	export("held and spliced", [2]int{1000, 1000}, [2][]byte{frame(kindHold, 100, 'a')[:70], frame(kindSplice, 5000, 'b')[:900]}, nothing)
	export("insertions in mid-frame", [2]int{1000, 1000}, [2][]byte{frame(kindForward, 50, 'a')[:20], nil}, func(r *Relay) {
		r.Insert(SideBackend, frame(kindInsert, 3, '!'))
		r.Insert(SideBackend, frame(kindInsert, 4, '!'))
	})
	export("half-closed", [2]int{1000, 1000}, [2][]byte{}, func(r *Relay) { r.sourceEnded(&r.directions[SideClient]) })
	export("broken", [2]int{0, 0}, [2][]byte{frame(kindForward, 50, 'a'), nil}, func(r *Relay) { r.broken[SideBackend] = true })
	return states
}

// restoreAndUse restores a state and, if it is taken for one, makes the relay do everything.
func restoreAndUse(t testing.TB, state []byte) error {
	w := NewWorkspace(MinReadBuffer, 6e9)
	over := 0
	ends := [2]End{&stubEnd{frame(kindForward, 2000, 'c'), 700}, &stubEnd{frame(kindHold, 130, 'd'), 700}}
	r := new(Relay)
	rest, err := r.RestoreState(state, w, ends, newStages(), observerFunc(func(o Outcome) {
		over++
		if o.By > SideNone || o.Reason == EndNone {
			t.Errorf("ended with %v", o)
		}
	}))
	if err == nil {
		if again := r.AppendState(nil); !bytes.Equal(again, state[:len(state)-len(rest)]) {
			t.Errorf("exported again, %x became %x", state, again)
		}
		r.Start()
		for _, side := range []Side{SideClient, SideBackend} {
			ends[side].(*stubEnd).room = 5000
			r.Ready(side, Readable|Writable)
			r.Insert(side, []byte("x"))
		}
		for now := int64(6e9); now < 6e9+10*int64(time.Second) && over == 0; now += int64(time.Second) {
			w.BeginTurn(now)
		}
		r.Abort(Outcome{EndShutdown, SideNone})
		if over != 1 {
			t.Errorf("told %d times that the relay is over", over)
		}
	}
	if c := w.Counters; c.PendingBytes != 0 || c.Relays != c.RelaysOver || w.Wheel.Len() != 0 {
		t.Errorf("left behind: %d bytes, %d of %d relays over, %d timers (%v)", c.PendingBytes, c.RelaysOver, c.Relays, w.Wheel.Len(), err)
	}
	return err
}

func TestExportedStatesAreRestored(t *testing.T) {
	for name, state := range someStates() {
		if err := restoreAndUse(t, state); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryTruncationOfAStateIsRefused(t *testing.T) {
	for name, state := range someStates() {
		for n := range state {
			if err := restoreAndUse(t, slices.Clone(state[:n])); err == nil {
				t.Errorf("%s: %d of %d bytes were taken for a state", name, n, len(state))
			}
		}
	}
}

func TestADamagedStateIsRefusedOrHarmless(t *testing.T) {
	for _, state := range someStates() {
		for at := range state {
			for _, b := range []byte{0, 1, 0x7F, 0x80, 0xFF, state[at] ^ 1, state[at] + 1} {
				damaged := slices.Clone(state)
				damaged[at] = b
				_ = restoreAndUse(t, damaged)
			}
		}
	}
}

func TestAStateOfOtherStagesOrAnotherVersionIsRefused(t *testing.T) {
	state := someStates()["fresh"]
	w := NewWorkspace(MinReadBuffer, 0)
	ends := [2]End{new(stubEnd), new(stubEnd)}
	if _, err := new(Relay).RestoreState(state, w, ends, [2]Stage{new(frameStage), nil}, nil); !errors.Is(err, errRelayState) {
		t.Errorf("a stage too few: %v", err)
	}
	state[0]++
	if _, err := new(Relay).RestoreState(state, w, ends, newStages(), nil); !errors.Is(err, errRelayState) {
		t.Errorf("another version: %v", err)
	}
}

// FuzzRelayState: no bytes make a restored relay panic, leave something behind, or export other bytes than it was
// restored from.
func FuzzRelayState(f *testing.F) {
	for _, state := range someStates() {
		f.Add(state)
	}
	f.Fuzz(func(t *testing.T, state []byte) { _ = restoreAndUse(t, state) })
}
