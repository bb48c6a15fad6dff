package engine

import (
	"testing"

	"golang.org/x/sys/unix"
)

// rawRelay prepares a relay between two new connections on a stepped loop, not started yet.
func rawRelay(t *testing.T, l *steppedLoop, stages [2]Stage) *relayRig {
	t.Helper()
	r := &relayRig{driver: l, t: t, relay: new(Relay), limits: RelayLimits{HalfClosed: int64(patience), Linger: int64(patience)}}
	for side := range r.conns {
		r.conns[side], r.peers[side] = adopt(t, l, ignore, socketSizes{})
	}
	l.settle()
	r.relay.Init(&l.loop.Workspace, r.ends(), stages, &r.limits, r)
	return r
}

func TestWhatIsEmittedAndFedComesBeforeWhatIsRead(t *testing.T) {
	l := newSteppedLoop(t)
	r := rawRelay(t, l, newStages())
	head, early, late := []byte("a head of ours"), frame(kindForward, 10, 'e'), frame(kindForward, 10, 'l')
	r.peers[SideClient].send(late)
	r.relay.Emit(SideBackend, head)
	r.relay.Feed(SideClient, append(frame(kindDrop, 5, 'd'), early...))
	r.relay.Feed(SideClient, nil)
	r.relay.Start()
	want := append(append(head, early...), late...)
	r.background(func() { r.peers[SideBackend].receive(want) })
	if n, want := r.relay.Bytes(SideClient), uint64(len(early)+len(late)); n != want {
		t.Errorf("%d bytes of the stream counted, want %d: neither the head nor what was dropped", n, want)
	}
}

func TestFedBytesMayEndTheRelayBeforeItStarts(t *testing.T) {
	l := newSteppedLoop(t)
	r := rawRelay(t, l, newStages())
	r.relay.Feed(SideClient, append(frame(kindForward, 3, 'x'), frame(kindEnd, 0, 0)...))
	r.relay.Start()
	r.wantEnd(endByStage, SideClient)
	r.background(func() { r.peers[SideBackend].receive(frame(kindForward, 3, 'x')) })
	r.background(r.peers[SideBackend].receiveFIN)
}

func TestASideWithoutAStageIsWatchedButNotRead(t *testing.T) {
	l := newSteppedLoop(t)
	r := rawRelay(t, l, [2]Stage{nil, new(rawStage)})
	r.relay.Start()
	r.peers[SideClient].send([]byte("nobody reads this"))
	r.peers[SideBackend].send([]byte("an answer"))
	r.background(func() { r.peers[SideClient].receive([]byte("an answer")) })
	l.settle()
	if n := unread(r.conns[SideClient].Descriptor()); n != len("nobody reads this") {
		t.Errorf("%d bytes unread", n)
	}
	r.peers[SideClient].reset()
	r.wantEnd(EndClientReset, SideClient)
	r.peers[SideBackend].receiveReset()
}

func TestASideThatBrokeBeforeTheStartEndsTheRelay(t *testing.T) {
	bothSides(t, func(t *testing.T, side Side) {
		l := newSteppedLoop(t)
		r := rawRelay(t, l, newStages())
		r.peers[side].reset()
		inState(t, r.conns[side], tcpClose)
		l.settle() // the event goes to whoever owns the connection before
		r.relay.Start()
		r.wantEnd([2]EndReason{EndClientReset, EndBackendReset}[side], side)
		r.peers[side.Other()].receiveReset()
	})
}

func TestASilentHostIsLostAndNotReset(t *testing.T) {
	bothSides(t, func(t *testing.T, side Side) {
		l := newSteppedLoop(t)
		r := rawRelay(t, l, newStages())
		r.relay.Start()
		// The kernel reports keep-alive and user timeouts as this error; a test cannot wait for them.
		r.conns[side].record(unix.ETIMEDOUT)
		r.relay.Ready(side, Broken)
		r.wantEnd([2]EndReason{EndClientLost, EndBackendLost}[side], side)
	})
}

// interruptedEnd takes nothing at its first write, as a system call that a signal interrupts.
type interruptedEnd struct {
	stubEnd
	writes int
	got    []byte
}

func (e *interruptedEnd) Write(p []byte) (int, Status) {
	if e.writes++; e.writes == 1 {
		return 0, StatusReady
	}
	e.got = append(e.got, p...)
	return len(p), StatusReady
}

func TestAnInterruptedWriteIsRepeatedInTheNextTurn(t *testing.T) {
	w := NewWorkspace(0, 0)
	to := &interruptedEnd{}
	r := new(Relay)
	r.Init(w, [2]End{&stubEnd{input: []byte("bytes")}, to}, [2]Stage{new(rawStage), new(rawStage)}, &RelayLimits{}, observerFunc(func(Outcome) {}))
	r.Start()
	if !w.Unfinished() || r.PendingBytes(SideClient) != len("bytes") {
		t.Errorf("unfinished %v, %d bytes pending", w.Unfinished(), r.PendingBytes(SideClient))
	}
	w.BeginTurn(1)
	if w.Unfinished() || string(to.got) != "bytes" {
		t.Errorf("unfinished %v, got %q", w.Unfinished(), to.got)
	}
}
