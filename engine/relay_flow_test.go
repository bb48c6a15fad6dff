package engine

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
)

// small makes the kernel take little, so that the relay is full soon.
var small = socketSizes{ourSend: 16 << 10, ourReceive: 16 << 10, peerSend: 16 << 10, peerReceive: 16 << 10}

func TestEveryByteArrivesOnceAndInOrderBothWays(t *testing.T) {
	for _, test := range []struct {
		name  string
		sizes [2]socketSizes
		slow  [2]bool
		bytes int
	}{
		{"large buffers, fast readers", [2]socketSizes{}, [2]bool{}, 16 << 20},
		{"small buffers, fast readers", [2]socketSizes{small, small}, [2]bool{}, 2 << 20},
		{"small buffers, a slow client", [2]socketSizes{small, small}, [2]bool{true, false}, 2 << 20},
		{"small buffers, both slow", [2]socketSizes{small, small}, [2]bool{true, true}, 2 << 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := startLoop(t)
			r := newRelay(t, l, rigOptions{sizes: test.sizes})
			exchange(t, r, test.slow, test.bytes)
			r.peers[SideClient].finish()
			r.peers[SideBackend].receiveFIN()
			r.peers[SideBackend].finish()
			r.wantEnd(EndClosed, SideClient)
			r.peers[SideClient].receiveFIN()
			l.do(func() {
				if n := uint64(test.bytes); r.relay.Bytes(SideClient) != n || r.relay.Bytes(SideBackend) != n {
					t.Errorf("counted %d and %d bytes, want %d", r.relay.Bytes(SideClient), r.relay.Bytes(SideBackend), n)
				}
			})
		})
	}
}

// exchange sends n bytes both ways at once and compares what arrives.
func exchange(t *testing.T, r *relayRig, slow [2]bool, n int) {
	t.Helper()
	var work sync.WaitGroup
	for side := range r.peers {
		stream := randomBytes(byte(side), n)
		work.Go(func() { r.peers[side].sendInPieces(newRandom(1), stream, 40_000) })
		work.Go(func() {
			to := Side(side).Other()
			if got := r.peers[to].receiveInPieces(newRandom(2), n, 50_000, slow[to]); !bytes.Equal(got, stream) {
				t.Errorf("the %s got %d of %d bytes, or others", to, len(got), n)
			}
		})
	}
	r.background(work.Wait)
}

func TestAStandingConsumerPausesTheSourceAndBoundsWhatIsHeld(t *testing.T) {
	for from := SideClient; from <= SideBackend; from++ {
		t.Run("from the "+from.String(), func(t *testing.T) {
			l := startLoop(t)
			r := newRelay(t, l, rigOptions{stages: [2]Stage{new(frameStage), new(frameStage)}})
			const size = 64 << 20
			stream, passed := frames(newRandom(3), "FFFHS", size, 200_000)
			sent := r.peers[from].sendInBackground(stream)
			r.until("a pause", func() bool { return r.relay.PendingBytes(from) > 0 })
			inserted := frame(kindInsert, 121, '!')
			l.do(func() {
				for range InsertMax {
					r.relay.Insert(from.Other(), inserted)
				}
			})
			// Nothing moves any more: the source stays unread however much it has.
			r.until("the kernel to be full", func() bool { return unread(r.conns[from].Descriptor()) > len(l.loop.ReadBuffer()) })
			l.do(func() {
				// What waits is one read in memory, or what was spliced into one pipe.
				inMemory := len(l.loop.ReadBuffer()) + HoldMax + InsertMax*len(inserted)
				bound := inMemory
				if r.relay.directions[from].pipe != nil {
					bound = pipeBytes
				}
				held := r.relay.PendingBytes(from)
				if held == 0 || held > bound || l.loop.Counters.PendingPeak > uint64(inMemory) {
					t.Errorf("%d bytes held, bound %d; %d in memory at most, bound %d", held, bound, l.loop.Counters.PendingPeak, inMemory)
				}
			})
			var got []byte
			r.background(func() {
				got = r.peers[from.Other()].receiveInPieces(newRandom(4), len(passed)+InsertMax*len(inserted), 300_000, false)
			})
			if err := <-sent; err != nil {
				t.Error(err)
			}
			wantFramesWithInserts(t, got, passed, inserted, InsertMax)
			l.do(func() {
				c := l.loop.Counters
				if bound := uint64(len(l.loop.ReadBuffer()) + HoldMax + InsertMax*len(inserted)); c.PendingPeak > bound || c.Pauses == 0 || c.PendingBytes != 0 {
					t.Errorf("peak %d, bound %d; %d pauses, %d still held", c.PendingPeak, bound, c.Pauses, c.PendingBytes)
				}
			})
		})
	}
}

func TestBothDirectionsBlockedCostNothing(t *testing.T) {
	t.Parallel() // it waits, and looks at its own loop only
	l := startLoop(t)
	r := newRelay(t, l, rigOptions{sizes: [2]socketSizes{small, small}, limits: RelayLimits{Stalled: int64(time.Hour), Idle: int64(time.Hour)}})
	var streams [2][]byte
	for side := range r.peers {
		streams[side] = r.fill(Side(side))
	}
	before := l.counters()
	parked(t, l)
	const blocked = 2 * time.Second
	<-time.After(blocked) // that nothing happens is no condition to wait for
	after := l.counters()
	// A window probe or a late acknowledgement may wake the loop a few times; a spin would be tens of thousands.
	if parks, turns, events := after.Parks-before.Parks, after.Turns-before.Turns, after.Events-before.Events; parks > 8 || turns > 8 || events > 8 {
		t.Errorf("%d parks, %d turns, %d events in %v with both directions blocked", parks, turns, events, blocked)
	}
	var work sync.WaitGroup
	for side, p := range r.peers {
		work.Go(func() { p.receive(streams[Side(side).Other()]) })
	}
	r.background(work.Wait)
}

func TestARelayedMessageAllocatesNothing(t *testing.T) {
	l := startLoop(t)
	r := newRelay(t, l, rigOptions{stages: [2]Stage{new(frameStage), new(frameStage)}, limits: RelayLimits{Idle: int64(time.Hour)}})
	message, answer := frame(kindForward, 121, 'm'), make([]byte, 125)
	echo := func(times int) {
		for range times {
			for side, p := range r.peers {
				if _, err := p.Write(message); err != nil {
					t.Fatal(err)
				}
				if n, err := r.peers[Side(side).Other()].Read(answer); n != len(answer) || err != nil {
					t.Fatal(n, err)
				}
			}
		}
	}
	echo(100)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const messages = 10_000
	echo(messages / 2)
	runtime.ReadMemStats(&after)
	// The runtime itself allocates now and then.
	if n := after.Mallocs - before.Mallocs; n > messages/100 {
		t.Errorf("%d allocations for %d messages", n, messages)
	}
}

func TestAPausedRelayReusesItsBuffers(t *testing.T) {
	l := newSteppedLoop(t)
	r := newRelay(t, l, rigOptions{sizes: [2]socketSizes{small, small}})
	cycle := func() {
		stream := r.fill(SideClient)
		r.background(func() { r.peers[SideBackend].receive(stream) })
		l.settle()
		l.do(func() {
			if r.relay.directions[SideClient].pending != nil {
				t.Error("an idle direction holds a buffer")
			}
		})
	}
	cycle()
	made := map[*Pending]bool{}
	for p := l.loop.shells; p != nil; p = p.next {
		made[p] = true
	}
	for range 5 {
		cycle()
	}
	for p := l.loop.shells; p != nil; p = p.next {
		if !made[p] {
			t.Error("a later pause made a new buffer")
		}
	}
}

func TestOneBusyTunnelDoesNotStarveTheOthers(t *testing.T) {
	l := newSteppedLoop(t)
	busy := newRelay(t, l, rigOptions{sizes: [2]socketSizes{{ourReceive: 4 << 20}, {ourSend: 4 << 20, peerReceive: 4 << 20}}})
	const size = 2 << 20
	busy.peers[SideClient].send(make([]byte, size))
	arrived(t, busy.conns[SideClient], size)
	l.turn()
	budget := uint64(turnReads * len(l.loop.ReadBuffer()))
	if n := busy.relay.Bytes(SideClient); n != budget {
		t.Errorf("one turn relayed %d bytes, want the budget of %d", n, budget)
	}
	turns := l.loop.Counters.Turns
	l.until("the rest", func() bool { return busy.relay.Bytes(SideClient) == size })
	if turns = l.loop.Counters.Turns - turns; turns < size/budget-1 {
		t.Errorf("the rest took %d turns, want one per budget", turns)
	}
}

func TestEveryVerdictAtEveryCut(t *testing.T) {
	var stream, passed []byte
	for i, kind := range "FHDSFDHS" {
		f := frame(byte(kind), 5+i, byte('a'+i))
		stream = append(stream, f...)
		if kind != kindDrop {
			passed = append(passed, f...)
		}
	}
	l := newSteppedLoop(t)
	r := newRelay(t, l, rigOptions{stages: [2]Stage{new(frameStage), new(frameStage)}})
	from := r.peers[SideClient]
	for cut := 1; cut < len(stream); cut++ {
		for _, part := range [][]byte{stream[:cut], stream[cut:]} {
			from.send(part)
			arrived(t, r.conns[SideClient], len(part))
			l.turn()
		}
		r.peers[SideBackend].receive(passed)
	}
	for i := range stream {
		from.send(stream[i : i+1])
		arrived(t, r.conns[SideClient], 1)
		l.turn()
	}
	r.peers[SideBackend].receive(passed)
}

func TestAHeldFrameOfTheLargestSizeIsPresentedAgainInFrontOfAFullRead(t *testing.T) {
	l := newSteppedLoop(t)
	r := newRelay(t, l, rigOptions{stages: [2]Stage{new(frameStage), new(frameStage)}, sizes: [2]socketSizes{{ourReceive: 1 << 20}, {}}})
	held := frame(kindHold, HoldMax-frameHeader, 'h')
	behind := frame(kindForward, 2*len(l.loop.ReadBuffer()), 'b')
	r.peers[SideClient].send(held[:HoldMax-1])
	l.until("a hold", func() bool { return r.relay.directions[SideClient].held.Len() == HoldMax-1 })
	if r.relay.Bytes(SideClient) != 0 {
		t.Error("held bytes count as forwarded")
	}
	r.peers[SideClient].send(append(held[HoldMax-1:HoldMax:HoldMax], behind...))
	r.background(func() { r.peers[SideBackend].receive(append(held, behind...)) })
}

func TestRandomFramesPassInRandomPieces(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			l := startLoop(t)
			r := newRelay(t, l, rigOptions{stages: [2]Stage{new(frameStage), new(frameStage)}, sizes: [2]socketSizes{small, small}})
			stream, passed := frames(newRandom(seed), "FHDS", 500_000, []int{8, 200, 5000, 100_000}[seed])
			go r.peers[SideBackend].sendInPieces(newRandom(seed+10), stream, 3000)
			var got []byte
			r.background(func() {
				got = r.peers[SideClient].receiveInPieces(newRandom(seed+20), len(passed), 3000, true)
			})
			if !bytes.Equal(got, passed) {
				t.Errorf("got %d of %d bytes, or others", len(got), len(passed))
			}
		})
	}
}
