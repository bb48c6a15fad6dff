package engine

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// When payloads are spliced and when they are copied, and what becomes of the pipes.

// splicingRig is a relay on a stepped loop with much room in the kernel on both sides, in the middle of a large frame.
func splicingRig(t *testing.T) (*steppedLoop, *relayRig) {
	t.Helper()
	l := newSteppedLoop(t)
	room := socketSizes{ourReceive: 4 << 20, ourSend: 4 << 20, peerReceive: 4 << 20}
	r := newRelay(t, l, rigOptions{stages: newStages(), sizes: [2]socketSizes{room, room}})
	pass(r, frame(kindSplice, 0xFFFFFF, 'x')[:frameHeader])
	return l, r
}

// pass sends bytes from the client and wants them at the backend.
func pass(r *relayRig, p []byte) {
	r.t.Helper()
	r.background(func() { r.peers[SideClient].send(p) })
	r.background(func() { r.peers[SideBackend].receive(p) })
}

// spliced returns how many of the bytes that pass are spliced.
func spliced(r *relayRig, p []byte) int {
	r.t.Helper()
	before := r.engine().Counters.Spliced
	pass(r, p)
	return int(r.engine().Counters.Spliced - before)
}

// splicedAtOnce sends n bytes of payload which the relay finds all together, and returns how many of them were spliced.
func splicedAtOnce(l *steppedLoop, r *relayRig, n int) int {
	r.t.Helper()
	before := l.loop.Counters.Spliced
	piece := make([]byte, n)
	r.peers[SideClient].send(piece)
	arrived(r.t, r.conns[SideClient], n)
	l.turn()
	r.background(func() { r.peers[SideBackend].receive(piece) })
	return int(l.loop.Counters.Spliced - before)
}

func TestTwoSmallSplicesInARowSendADirectionBackToCopying(t *testing.T) {
	l, r := splicingRig(t)
	const smallPiece, largePiece = smallSplice - 1, smallSplice
	for i, step := range []struct{ size, spliced int }{
		{smallPiece, smallPiece},   // the first small one
		{largePiece, largePiece},   // a large one: they were not in a row
		{smallPiece, smallPiece},   // one
		{smallPiece, smallPiece},   // and two:
		{smallPiece, 0},            // copied from now on
		{largePiece, 0},            // however much comes,
		{DefaultReadBuffer - 1, 0}, // until a read
		{DefaultReadBuffer, 0},     // fills the buffer:
		{largePiece, largePiece},   // now it is worth it again
	} {
		if n := splicedAtOnce(l, r, step.size); n != step.spliced {
			t.Errorf("step %d: of %d bytes %d were spliced, want %d", i, step.size, n, step.spliced)
		}
	}
}

func TestTheLastBytesOfAPayloadAreCopied(t *testing.T) {
	for rest, want := range map[int]int{smallSplice - 1: 0, smallSplice: smallSplice} {
		l := newSteppedLoop(t)
		r := newRelay(t, l, rigOptions{stages: newStages()})
		pass(r, frame(kindSplice, rest, 'x')[:frameHeader])
		if n := splicedAtOnce(l, r, rest); n != want {
			t.Errorf("of a rest of %d bytes %d were spliced, want %d", rest, n, want)
		}
	}
}

// What follows a spliced payload is judged, not taken for more of it.
func TestFramesBehindASplicedPayloadAreJudged(t *testing.T) {
	for seed := range uint64(3) {
		l := startLoop(t)
		r := newRelay(t, l, rigOptions{stages: newStages()})
		var work sync.WaitGroup
		for side := range r.peers {
			stream, passed := frames(newRandom(30+seed+10*uint64(side)), "SFHDS", 8<<20, 1<<20)
			work.Go(func() { r.peers[side].sendInPieces(newRandom(1), stream, 700_000) })
			work.Go(func() {
				if got := r.peers[1-side].receiveInPieces(newRandom(2), len(passed), 300_000, false); !bytes.Equal(got, passed) {
					t.Errorf("from the %s %d of %d bytes arrived, or others", Side(side), len(got), len(passed))
					_ = r.peers[1-side].Close() // its sender is not kept waiting
				}
			})
		}
		work.Wait()
		if c := l.counters(); c.Spliced == 0 {
			t.Error("nothing was spliced")
		}
	}
}

func TestALargeTunnelMayBeMovedWithBytesInItsPipes(t *testing.T) {
	loops := []*runningLoop{startLoop(t), startLoop(t)}
	r := newRelay(t, loops[0], rigOptions{stages: newStages(), sizes: [2]socketSizes{narrow[0], narrow[0]}})
	var work sync.WaitGroup
	for side := range r.peers {
		stream, passed := frames(newRandom(uint64(40+side)), "SFHDS", 12<<20, 2<<20)
		work.Go(func() { r.peers[side].sendInPieces(newRandom(1), stream, 900_000) })
		work.Go(func() {
			if got := r.peers[1-side].receiveInPieces(newRandom(2), len(passed), 50_000, true); !bytes.Equal(got, passed) {
				t.Errorf("from the %s %d of %d bytes arrived, or others", Side(side), len(got), len(passed))
			}
		})
	}
	done := make(chan struct{})
	go func() {
		work.Wait()
		close(done)
	}()
	moves := 0
	for moving := true; moving; {
		select {
		case <-done:
			moving = false
		case <-time.After(100 * time.Microsecond):
			moves++
			r.move(loops[moves%2])
		}
	}
	one, two := loops[0].counters(), loops[1].counters()
	t.Logf("%d moves, %d bytes spliced", moves, one.Spliced+two.Spliced)
	if one.Spliced+two.Spliced == 0 || moves < 3 {
		t.Errorf("%d moves, %d and %d bytes spliced", moves, one.Spliced, two.Spliced)
	}
	if one.PendingBytes != 0 || two.PendingBytes != 0 || one.HeldBytes != 0 || two.HeldBytes != 0 {
		t.Errorf("%d and %d bytes pending, %d and %d held", one.PendingBytes, two.PendingBytes, one.HeldBytes, two.HeldBytes)
	}
}

func TestSplicedBytesAreActivityOfTheBackend(t *testing.T) {
	bothSides(t, func(t *testing.T, from Side) {
		const idle = 60 * time.Second
		l := newSteppedLoop(t)
		r := newRelay(t, l, rigOptions{stages: newStages(), limits: RelayLimits{Idle: int64(idle)}})
		stream := frame(kindSplice, 1<<20, 'x')
		send := func(p []byte) {
			r.background(func() { r.peers[from].send(p) })
			r.background(func() { r.peers[from.Other()].receive(p) })
		}
		send(stream[:100])
		l.pass(idle / 2)
		send(stream[100:500_000])
		if l.loop.Counters.Spliced == 0 || r.relay.activity != l.now {
			t.Errorf("%d bytes spliced, the last activity was %v ago", l.loop.Counters.Spliced, time.Duration(l.now-r.relay.activity))
		}
		l.pass(idle - WheelTick)
		if r.relay.Over() {
			t.Fatalf("over early: %v", r.over)
		}
		l.pass(2 * WheelTick)
		r.wantEnd(EndIdle, SideNone)
	})
}

// A consumer that takes a little of what is in the pipe now and then is slow, not stalled.
func TestAPipeThatEmptiesSlowlyIsNotStalled(t *testing.T) {
	const stalled = 60 * time.Second
	l := newSteppedLoop(t)
	r := newRelay(t, l, rigOptions{stages: newStages(), sizes: narrow, limits: RelayLimits{Stalled: int64(stalled)}})
	_, taken := fillPipe(t, r, SideClient)
	stream := largeStream()
	l.pass(stalled / 2)
	left := r.relay.PendingBytes(SideClient)
	l.until("the pipe to empty a little", func() bool {
		b := receiveSome(r.peers[SideBackend])
		if !bytes.Equal(b, stream[taken:taken+len(b)]) {
			t.Fatal("other bytes arrived")
		}
		taken += len(b)
		n := r.relay.PendingBytes(SideClient)
		return n < left && n > 0
	})
	l.pass(stalled - WheelTick)
	if r.relay.Over() {
		t.Fatalf("over early: %v", r.over)
	}
	l.pass(2 * WheelTick)
	r.wantEnd(EndStalled, SideBackend)
}

func TestAPauseWithBytesInAPipeCountsOnce(t *testing.T) {
	l := newSteppedLoop(t)
	r := pipeRig(t, l)
	fillPipe(t, r, SideClient)
	told := 0
	for range 5 {
		before, taken := l.loop.Counters.Pauses, r.relay.Bytes(SideClient)
		r.relay.Ready(SideBackend, Writable) // there is no room, unless the kernel has found some meanwhile
		if r.relay.Bytes(SideClient) != taken {
			continue // so that it was another pause
		}
		told++
		if n := l.loop.Counters.Pauses - before; n != 0 {
			t.Errorf("one pause was counted %d times more", n)
		}
	}
	if told == 0 {
		t.Error("the backend took bytes each time")
	}
}

// A pipe in which bytes were left belongs to nobody any more: the next tunnel gets another.
func TestAPipeWithBytesOfAnEndedTunnelIsNotUsedAgain(t *testing.T) {
	l := newSteppedLoop(t)
	l.do(func() { l.loop.pipes.limit = 1 })
	ended := pipeRig(t, l)
	fillPipe(t, ended, SideClient)
	ended.relay.Abort(Outcome{EndShutdown, SideNone})
	if n := l.loop.Counters.PipesOpen; n != 0 {
		t.Errorf("%d pipes open", n)
	}
	r := newRelay(t, l, rigOptions{stages: newStages()})
	stream := large(3, 1<<20)
	sent := r.peers[SideClient].sendInBackground(stream)
	r.background(func() { r.peers[SideBackend].receive(stream) })
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if c := l.loop.Counters; c.Spliced == 0 || c.PipesOpen != 1 {
		t.Errorf("%d bytes spliced, %d pipes open", c.Spliced, c.PipesOpen)
	}
}

func TestATunnelThatFindsNoPipeCopies(t *testing.T) {
	l := newSteppedLoop(t)
	l.do(func() { l.loop.pipes.limit = 1 })
	holder := pipeRig(t, l)
	sent, received := fillPipe(t, holder, SideClient)
	r := newRelay(t, l, rigOptions{stages: newStages()})
	pass(r, frame(kindSplice, 1<<20, 'x')[:frameHeader])
	before := l.loop.Counters
	if n := spliced(r, make([]byte, 500_000)); n != 0 || l.loop.Counters.PipesRefused == before.PipesRefused {
		t.Errorf("%d bytes spliced, %d pipes refused", n, l.loop.Counters.PipesRefused)
	}
	holder.background(func() { holder.peers[SideBackend].receive(largeStream()[received:sent]) })
	l.settle()
	if n := spliced(r, make([]byte, 500_000)); n == 0 {
		t.Error("the pipe is free again and not used")
	}
	if n := l.loop.Counters.PipesOpen; n != 1 {
		t.Errorf("%d pipes open, want the one that is allowed", n)
	}
}

func TestPipesAreUsedAgainAndBoundedAndClosed(t *testing.T) {
	before := openDescriptors()
	const limit = 3
	pool, c := pipePool{limit: limit}, new(Counters)
	var taken []*Pipe
	for range limit {
		p := pool.take(c)
		if p == nil || p.Room() != pipeBytes || p.Held() != 0 {
			t.Fatalf("got %+v", p)
		}
		for _, fd := range []int32{p.read, p.write} {
			size, _ := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
			flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			status, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
			if size < pipeBytes || flags&unix.FD_CLOEXEC == 0 || status&unix.O_NONBLOCK == 0 {
				t.Errorf("a pipe of %d bytes, flags %#x, status %#x", size, flags, status)
			}
		}
		taken = append(taken, p)
	}
	if pool.take(c) != nil || c.PipesRefused != 1 || c.PipesOpen != limit {
		t.Errorf("%d pipes open and %d refused, want %d and 1", c.PipesOpen, c.PipesRefused, limit)
	}
	pool.put(taken[1], c)
	if p := pool.take(c); p != taken[1] {
		t.Error("an empty pipe is not used again")
	}
	taken[0].Moved(10) // bytes in it
	pool.put(taken[0], c)
	if n := c.PipesOpen; n != limit-1 {
		t.Errorf("%d pipes open after one was given back with bytes, want %d", n, limit-1)
	}
	if p := pool.take(c); p == nil || p == taken[0] || p.Held() != 0 {
		t.Errorf("in its place comes %+v", p)
	}
	pool.put(taken[2], c)
	pool.close()
	for fd, kind := range openDescriptors() {
		if before[fd] == "" {
			t.Errorf("descriptor %s, %s, is left", fd, kind)
		}
	}
}

// Tunnels of which much is spliced come and go: no pipe is opened for each of them.
func TestPipesDoNotLeakWithTunnels(t *testing.T) {
	l, before := newSteppedLoop(t), openPipes()
	ends := []func(r *relayRig){
		func(r *relayRig) { r.relay.End(Outcome{EndShutdown, SideNone}) },
		func(r *relayRig) { r.relay.Abort(Outcome{EndShutdown, SideNone}) },
		func(r *relayRig) { r.relay.AppendState(nil); r.relay.Detach() },
		func(r *relayRig) {
			r.peers[SideBackend].reset()
			r.until("the end", r.relay.Over)
		},
	}
	for range 3 {
		for _, end := range ends {
			r := pipeRig(t, l)
			fillPipe(t, r, SideClient)
			end(r)
			if c := l.loop.Counters; c.PipesOpen > 1 || int(c.PipesOpen) != len(l.loop.pipes.open) || c.PendingBytes != 0 {
				t.Fatalf("%d pipes counted as open of %d, %d bytes pending", c.PipesOpen, len(l.loop.pipes.open), c.PendingBytes)
			}
			for _, p := range r.peers {
				_ = p.Close()
			}
		}
	}
	if n := openPipes(); n > before+2 {
		t.Errorf("%d descriptors of pipes are open, %d before", n, before)
	}
}

func openPipes() (n int) {
	for _, kind := range openDescriptors() {
		if strings.HasPrefix(kind, "pipe:") {
			n++
		}
	}
	return n
}
