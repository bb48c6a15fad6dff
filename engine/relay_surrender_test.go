package engine

import (
	"testing"
	"time"
)

// A relay that surrenders its ends moves one message each way and leaves both ends as they are.

// messageStage forwards a message of a declared length. Where it says something in front of the message it emits it,
// and the first byte that it reads, a mark, is dropped.
type messageStage struct {
	rest   int
	says   string
	begun  bool
	broken EndReason // what a FIN inside the message means
}

func (s *messageStage) Judge(p []byte, v []Verdict) []Verdict {
	if !s.begun && s.says != "" {
		s.begun = true
		v = append(v, Verdict{Action: ActionDrop, N: 1}, Verdict{Action: ActionEmit, N: int64(len(s.says))})
		p = p[1:]
	}
	n := min(s.rest, len(p))
	s.rest -= n
	if n > 0 {
		v = append(v, Verdict{Action: ActionForward, N: int64(n)})
	}
	if s.rest == 0 {
		v = append(v, Verdict{Action: ActionDone})
	}
	return v
}

func (s *messageStage) Emission(n int) []byte                 { return []byte(s.says)[:n] }
func (s *messageStage) Finish() EndReason                     { return s.broken }
func (s *messageStage) AppendState(b []byte) []byte           { return b }
func (s *messageStage) RestoreState(b []byte) ([]byte, error) { return b, nil }

// surrendered is the observer: it keeps what the relay gives up.
type surrendered struct {
	rig            *relayRig
	pending, rests [2]string
	done           [2]bool
}

func (o *surrendered) RelayOver(r *Relay, outcome Outcome) {
	w := r.Workspace()
	for side := SideClient; side <= SideBackend; side++ {
		p, rest := r.TakePending(side), r.TakeRest(side)
		o.pending[side], o.rests[side], o.done[side] = string(p.Bytes()), string(rest.Bytes()), r.Done(side)
		w.Release(p)
		w.Release(rest)
	}
	o.rig.RelayOver(r, outcome)
}

const messageCut = FirstOuterReason + 4

// startMessages puts a surrendering relay between two new ends.
func startMessages(t *testing.T, request, answer int, sizes [2]socketSizes) (*relayRig, *surrendered) {
	t.Helper()
	l := startLoop(t)
	r := newRelay(t, l, rigOptions{sizes: sizes})
	o := &surrendered{rig: r}
	l.do(func() {
		r.relay.Detach()
		r.relay = new(Relay)
		limits := &RelayLimits{Surrender: true, Idle: int64(time.Minute), Stalled: int64(time.Minute)}
		r.relay.Init(&l.loop.Workspace, r.ends(), [2]Stage{
			&messageStage{rest: request, broken: messageCut}, &messageStage{rest: answer, says: "head ", broken: messageCut},
		}, limits, o)
		r.relay.Start()
	})
	return r, o
}

func TestSurrenderedEndsLiveOnBehindTheirMessages(t *testing.T) {
	r, o := startMessages(t, 5, 6, [2]socketSizes{})
	r.peers[SideClient].send([]byte("hellonext"))
	r.peers[SideBackend].receive([]byte("hello"))
	r.peers[SideBackend].send([]byte("^answer"))
	r.peers[SideClient].receive([]byte("head answer"))
	r.wantEnd(EndClosed, SideNone)
	r.do(func() {
		if o.rests != [2]string{"next", ""} || o.done != [2]bool{true, true} {
			t.Errorf("left over %q, done %v", o.rests, o.done)
		}
		if n, status := r.conns[SideBackend].Write([]byte("alive")); n != 5 || status != StatusReady {
			t.Errorf("the backend's end was let go: %d, %v", n, status)
		}
	})
	r.peers[SideBackend].receive([]byte("alive"))
}

func TestAFinInsideAMessageSurrendersWithItsReason(t *testing.T) {
	r, o := startMessages(t, 5, 6, [2]socketSizes{})
	r.peers[SideClient].send([]byte("hel"))
	r.peers[SideBackend].receive([]byte("hel"))
	r.peers[SideClient].finish()
	r.wantEnd(messageCut, SideClient)
	r.do(func() {
		if o.done != [2]bool{false, false} {
			t.Errorf("done %v", o.done)
		}
	})
}

func TestAWholeAnswerOutlivesItsBackend(t *testing.T) {
	const size = 500 << 10
	r, _ := startMessages(t, 1, size, [2]socketSizes{SideClient: small})
	r.peers[SideClient].send([]byte("?"))
	r.peers[SideBackend].receive([]byte("?"))
	answer := append([]byte("^"), randomBytes(1, size)...)
	sent := r.peers[SideBackend].sendInBackground(answer)
	passed := append([]byte("head "), answer[1:]...)
	r.background(func() { r.peers[SideClient].receive(passed[:size-200<<10]) })
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	whole := func() bool {
		return r.relay.flags&(relayWhole<<SideBackend) != 0 && r.relay.PendingBytes(SideBackend) > 0
	}
	at := size - 200<<10
	for met := false; !met && at < size-20<<10; r.do(func() { met = whole() }) {
		r.background(func() { r.peers[SideClient].receive(passed[at : at+4<<10]) })
		at += 4 << 10
	}
	r.until("the whole answer to be with the relay", whole)
	r.peers[SideBackend].reset()
	r.background(func() { r.peers[SideClient].receive(passed[at:]) })
	r.wantEnd(EndClosed, SideNone)
}

func TestWhatASlowPeerDidNotTakeIsSurrendered(t *testing.T) {
	r, o := startMessages(t, 1, 64<<20, [2]socketSizes{small, small})
	r.peers[SideClient].send([]byte("?"))
	r.peers[SideBackend].receive([]byte("?"))
	r.peers[SideBackend].sendInBackground(append([]byte("^"), randomBytes(1, 64<<20)...))
	r.until("a pause", func() bool { return r.relay.PendingBytes(SideBackend) > 0 })
	r.do(func() { r.relay.End(Outcome{Reason: EndShutdown, By: SideNone}) })
	r.wantEnd(EndShutdown, SideNone)
	r.do(func() {
		if o.pending[SideBackend] == "" {
			t.Error("the pending bytes were discarded")
		}
		for _, c := range r.conns {
			c.Reset()
		}
	})
}

// blockedEnd takes nothing.
type blockedEnd struct{ countingEnd }

func (*blockedEnd) Write([]byte) (int, Status) { return 0, StatusBlocked }

// TestAWholeAnswerIsSurrenderedWhenItsBackendBreaks: the request was not delivered, and nobody minds any more.
func TestAWholeAnswerIsSurrenderedWhenItsBackendBreaks(t *testing.T) {
	client := &blockedEnd{countingEnd{input: []byte("request")}}
	backend := &blockedEnd{countingEnd{input: []byte("^answer")}}
	w := NewWorkspace(0, 1)
	r := new(Relay)
	var got Outcome
	var pending string
	r.Init(w, [2]End{client, backend}, [2]Stage{&messageStage{rest: 7}, &messageStage{rest: 6, says: "head "}},
		&RelayLimits{Surrender: true, Idle: 1 << 40}, observerFunc(func(outcome Outcome) {
			got = outcome
			pending = string(r.TakePending(SideBackend).Bytes())
		}))
	r.Start()
	r.Ready(SideBackend, Readable|Broken)
	if got != (Outcome{EndClosed, SideBackend}) || pending != "head answer" {
		t.Errorf("ended with %v, %q pending", got, pending)
	}
}
