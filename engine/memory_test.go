package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// What a loop may hold for its connections: first reads shrink, then the relays that were stalled the longest end.

func TestHeldBytesAreTheCapacitiesOfTheBuffersInUse(t *testing.T) {
	w := NewWorkspace(0, 0)
	random := newRandom(1)
	var held []*Pending
	peak := uint64(0)
	for range 2000 {
		switch i := random.IntN(len(held) + 2); {
		case i < len(held) && random.IntN(2) == 0:
			w.Release(held[i])
			held = slices.Delete(held, i, i+1)
		case i < len(held):
			held[i] = w.Append(held[i], make([]byte, random.IntN(5000)))
			held[i].Advance(random.IntN(held[i].Len() + 1))
		case len(held) < 50:
			held = append(held, w.Acquire(randomSize(random)))
		}
		want := uint64(0)
		for _, p := range held {
			want += uint64(cap(p.buffer.B))
		}
		peak = max(peak, want)
		if w.Counters.HeldBytes != want || w.Counters.HeldPeak < peak {
			t.Fatalf("%d bytes held and %d at most, want %d and at least %d", w.Counters.HeldBytes, w.Counters.HeldPeak, want, peak)
		}
	}
	for _, p := range held {
		w.Release(p)
	}
	if w.Counters.HeldBytes != 0 {
		t.Errorf("%d bytes held in the end", w.Counters.HeldBytes)
	}
}

// randomSize returns sizes of all classes of buffers, most of them small.
func randomSize(random *rand.Rand) int {
	return random.IntN(1 + classSizes[random.IntN(len(classSizes))])
}

func TestAboveHalfOfTheMemoryReadsShrink(t *testing.T) {
	const limit = 64 << 10
	w := NewWorkspace(0, 0)
	w.memory.limit = limit
	var held []*Pending
	for w.Counters.HeldBytes < limit {
		want := DefaultReadBuffer
		if w.Counters.HeldBytes > limit/2 {
			want = MinReadBuffer
		}
		if n := len(w.ReadBuffer()); n != want {
			t.Errorf("with %d of %d bytes held a read takes %d, want %d", w.Counters.HeldBytes, limit, n, want)
		}
		if w.Exhausted() {
			t.Errorf("exhausted with %d of %d bytes held", w.Counters.HeldBytes, limit)
		}
		held = append(held, w.Acquire(classSizes[0]))
	}
	if !w.Exhausted() {
		t.Error("not exhausted at the limit")
	}
	for _, p := range held {
		w.Release(p)
	}
	if len(w.ReadBuffer()) != DefaultReadBuffer || w.Exhausted() {
		t.Errorf("with nothing held a read takes %d bytes; exhausted: %v", len(w.ReadBuffer()), w.Exhausted())
	}
}

func TestWithoutALimitMemoryIsNeverTight(t *testing.T) {
	w := NewWorkspace(0, 0)
	defer w.Release(w.Acquire(MaxReadBuffer))
	if w.Exhausted() || len(w.ReadBuffer()) != DefaultReadBuffer {
		t.Errorf("exhausted %v, reads of %d bytes", w.Exhausted(), len(w.ReadBuffer()))
	}
}

// The list against a slice: the relay that was touched last is last.
func TestTheStalledListKeepsTheOrderOfProgress(t *testing.T) {
	var list stalledList
	relays := make([]*Relay, 8)
	for i := range relays {
		relays[i] = new(Relay)
	}
	var model []*Relay
	random := newRandom(2)
	for range 10_000 {
		r := relays[random.IntN(len(relays))]
		model = slices.DeleteFunc(model, func(m *Relay) bool { return m == r })
		if random.IntN(3) == 0 {
			list.remove(r)
		} else {
			list.touch(r)
			model = append(model, r)
		}
		var forward, backward []*Relay
		for m := list.first; m != nil && len(forward) <= len(model); m = m.stalledAfter {
			forward = append(forward, m)
		}
		for m := list.last; m != nil && len(backward) <= len(model); m = m.stalledBefore {
			backward = append(backward, m)
		}
		slices.Reverse(backward)
		if !slices.Equal(forward, model) || !slices.Equal(backward, model) {
			t.Fatalf("forwards %v, backwards %v, want %v", forward, backward, model)
		}
	}
}

// stalledRig is a workspace with relays of which one byte waits for the backend, in the order in which they stalled.
type stalledRig struct {
	*Workspace
	t        *testing.T
	relays   []*Relay
	backends []*stubEnd
	over     [][]Outcome
}

func stalledRelays(t *testing.T, count int) *stalledRig {
	t.Helper()
	s := &stalledRig{Workspace: NewWorkspace(0, 0), t: t, over: make([][]Outcome, count)}
	for i := range count {
		r, backend := new(Relay), new(stubEnd)
		ends := [2]End{&stubEnd{input: []byte("waits")}, backend}
		r.Init(s.Workspace, ends, newStages(), &RelayLimits{}, observerFunc(func(o Outcome) { s.over[i] = append(s.over[i], o) }))
		r.Feed(SideClient, frame(kindForward, 10, 'x'))
		r.Start()
		s.relays, s.backends = append(s.relays, r), append(s.backends, backend)
	}
	return s
}

// wantShed sets the limit so that just one relay has to go, and wants those with these numbers to be over for want of
// memory by the backend that took nothing, and no other.
func (s *stalledRig) wantShed(numbers ...int) {
	s.t.Helper()
	s.memory.limit = s.memory.used
	s.EndTurn()
	for i := range s.relays {
		want := []Outcome(nil)
		if slices.Contains(numbers, i) {
			want = []Outcome{{EndNoMemory, SideBackend}}
		}
		if !slices.Equal(s.over[i], want) {
			s.t.Errorf("relay %d ended with %v, want %v", i, s.over[i], want)
		}
	}
	if s.Counters.RelaysShed != uint64(len(numbers)) {
		s.t.Errorf("%d counted as shed, want %d", s.Counters.RelaysShed, len(numbers))
	}
}

func TestTheRelayStalledTheLongestEndsFirst(t *testing.T) {
	s := stalledRelays(t, 4)
	s.wantShed(0)
	// Progress makes the next one the last; to be told of room that there is none of does not.
	s.backends[1].room = 3
	s.relays[1].Ready(SideBackend, Writable)
	s.relays[2].Ready(SideBackend, Writable)
	s.wantShed(0, 2)
	s.wantShed(0, 2, 3)
	s.wantShed(0, 2, 3, 1)
	if c := s.Counters; c.HeldBytes != 0 || c.PendingBytes != 0 {
		t.Errorf("%d bytes held, %d pending after all are over", c.HeldBytes, c.PendingBytes)
	}
}

// exceed sets the limit so that just one relay has to go.
func exceed(l *steppedLoop) {
	l.loop.memory.limit = l.loop.memory.used
	l.turn()
}

func TestARelayThatIsShedResetsBothSides(t *testing.T) {
	l := newSteppedLoop(t)
	r := newRelay(t, l, rigOptions{sizes: [2]socketSizes{small, small}})
	r.fill(SideClient)
	exceed(l)
	r.wantEnd(EndNoMemory, SideBackend)
	for _, p := range r.peers {
		p.receiveReset() // a clean end would be a lie
	}
}

func TestARelayOfWhichNothingWaitsAnyMoreIsNotShed(t *testing.T) {
	l := newSteppedLoop(t)
	r := newRelay(t, l, rigOptions{sizes: [2]socketSizes{small, small}})
	stream := r.fill(SideClient)
	r.background(func() { r.peers[SideBackend].receive(stream) })
	l.settle()
	other := l.loop.Acquire(MaxReadBuffer) // somebody else takes it all
	exceed(l)
	if !l.loop.Exhausted() || r.relay.Over() {
		t.Errorf("exhausted %v, ended %v", l.loop.Exhausted(), r.over)
	}
	// Tight as it is, a message passes, in small reads. It fits the kernel's buffers: were any of it to wait, the relay
	// would rightly be shed.
	message := randomBytes(3, 6_000)
	sent := r.peers[SideClient].sendInBackground(message)
	r.background(func() { r.peers[SideBackend].receive(message) })
	if err := <-sent; err != nil {
		t.Error(err)
	}
	l.loop.Release(other)
}

func TestAFloodOfStalledRelaysKeepsTheBudget(t *testing.T) {
	const count = 40
	for name, test := range map[string]struct {
		kind  byte
		limit int64
	}{
		"copied, more than small reads can help": {kindForward, 256 << 10},
		"copied in small reads":                  {kindForward, 1 << 20},
		"spliced, then copied in small reads":    {kindSplice, 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			l := newSteppedLoop(t)
			l.loop.memory.limit = test.limit
			relays := make([]*relayRig, count)
			stream := frame(test.kind, 2<<20, 'x')
			for i := range relays {
				relays[i] = newRelay(t, l, rigOptions{stages: newStages(), sizes: narrow})
				_ = relays[i].peers[SideClient].sendInBackground(stream)
			}
			l.until("all relays to be stalled or shed", func() bool {
				return !slices.ContainsFunc(relays, func(r *relayRig) bool {
					return !r.relay.Over() && r.relay.PendingBytes(SideClient) == 0
				})
			})
			l.settle()
			// What one turn adds before the budget is looked at, in reads that have shrunk at half of it.
			slack := uint64(count * 2 * MinReadBuffer)
			if c := l.loop.Counters; c.HeldPeak > uint64(test.limit)+slack || c.ReadsShrunk == 0 || l.loop.Exhausted() {
				t.Errorf("%d bytes held, %d at most, of %d; %d turns with small reads", c.HeldBytes, c.HeldPeak, test.limit, c.ReadsShrunk)
			}
			if c := l.loop.Counters; (c.RelaysShed > 0) != (test.limit == 256<<10) || (c.Spliced > 0) != (test.kind == kindSplice) {
				t.Errorf("%d relays shed, %d bytes spliced", c.RelaysShed, c.Spliced)
			}
			for _, r := range relays {
				r.relay.Abort(Outcome{EndShutdown, SideNone})
			}
			if c := l.loop.Counters; c.HeldBytes != 0 || c.PendingBytes != 0 {
				t.Errorf("%d bytes held, %d pending after all are over", c.HeldBytes, c.PendingBytes)
			}
		})
	}
}

func TestNothingIsHeldAfterAnyEnd(t *testing.T) {
	for name, end := range map[string]func(l *steppedLoop, r *relayRig){
		"abort":  func(_ *steppedLoop, r *relayRig) { r.relay.Abort(Outcome{EndShutdown, SideNone}) },
		"detach": func(_ *steppedLoop, r *relayRig) { r.relay.Detach() },
		"end": func(l *steppedLoop, r *relayRig) {
			r.relay.End(Outcome{EndShutdown, SideNone})
			for _, p := range r.peers {
				_ = p.Close()
			}
			// A client that got more into its socket than a lingering close discards has its FIN behind all that: the
			// bound ends such a close, not the FIN.
			l.pass(patience)
			l.until("the end of both lingering closes", func() bool { return l.loop.Counters.Lingering == 0 })
		},
		"reset": func(l *steppedLoop, r *relayRig) {
			r.peers[SideClient].reset()
			l.until("the end", r.relay.Over)
		},
		"export": func(_ *steppedLoop, r *relayRig) {
			r.move(r.driver)
			r.relay.Abort(Outcome{EndShutdown, SideNone})
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newSteppedLoop(t)
			r := newRelay(t, l, rigOptions{stages: newStages(), sizes: [2]socketSizes{small, small}})
			r.peers[SideBackend].send(frame(kindHold, 100, 'h')[:50])
			l.until("a hold", func() bool { return r.relay.directions[SideBackend].held != nil })
			sent := r.peers[SideClient].sendInBackground(frame(kindForward, 8<<20, 'x'))
			l.until("a pause in mid-frame", func() bool { return r.relay.PendingBytes(SideClient) > 0 })
			r.relay.Insert(SideBackend, []byte("waits"))
			if d := &r.relay.directions[SideClient]; d.inserts == nil || l.loop.Counters.HeldBytes == 0 {
				t.Fatalf("%d bytes held, an insertion waits: %v", l.loop.Counters.HeldBytes, d.inserts != nil)
			}
			end(l, r)
			if c := l.loop.Counters; c.HeldBytes != 0 || c.PendingBytes != 0 || l.loop.memory.stalled.first != nil {
				t.Errorf("%d bytes held, %d pending; one is still stalled: %v", c.HeldBytes, c.PendingBytes, l.loop.memory.stalled.first != nil)
			}
			_ = r.peers[SideClient].Close()
			<-sent
		})
	}
}

// A stalled relay that comes from elsewhere waits like any other.
func TestARestoredRelayMayBeShed(t *testing.T) {
	for side := SideClient; side <= SideBackend; side++ {
		t.Run(fmt.Sprint("from the ", side), func(t *testing.T) {
			l := newSteppedLoop(t)
			r := newRelay(t, l, rigOptions{stages: newStages(), sizes: [2]socketSizes{small, small}})
			sent := r.peers[side].sendInBackground(frame(kindForward, 8<<20, 'x'))
			l.until("a pause", func() bool { return r.relay.PendingBytes(side) > 0 })
			r.move(l)
			exceed(l)
			r.wantEnd(EndNoMemory, side.Other())
			_ = r.peers[side].Close()
			<-sent
		})
	}
}
