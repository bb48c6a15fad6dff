package engine

import (
	"bytes"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Large payloads go through a pipe; what the bytes and the endings are must not depend on it.

// large is a stream of one spliced frame after the other, small ones between them.
func large(count, size int) (stream []byte) {
	for i := range count {
		f := frame(kindSplice, size, 0)
		copy(f[frameHeader:], randomBytes(byte(i), size))
		stream = append(append(stream, f...), frame(kindForward, 10*i, 's')...)
	}
	return stream
}

func TestLargePayloadsPassThroughPipesUnchanged(t *testing.T) {
	bothSides(t, func(t *testing.T, from Side) {
		for name, sizes := range map[string][2]socketSizes{"large buffers": {}, "small buffers": {small, small}} {
			t.Run(name, func(t *testing.T) {
				l := startLoop(t)
				r := newRelay(t, l, rigOptions{stages: newStages(), sizes: sizes})
				stream := large(8, 1<<20)
				sent := r.peers[from].sendInBackground(stream)
				got := r.peers[from.Other()].receiveInPieces(newRandom(1), len(stream), 200_000, sizes[0] == small)
				if !bytes.Equal(got, stream) {
					t.Errorf("got %d of %d bytes, or others", len(got), len(stream))
				}
				if err := <-sent; err != nil {
					t.Error(err)
				}
				l.do(func() {
					c := l.loop.Counters
					if r.relay.Bytes(from) != uint64(len(stream)) || c.PendingBytes != 0 || c.HeldBytes != 0 {
						t.Errorf("%d bytes counted, %d pending, %d held", r.relay.Bytes(from), c.PendingBytes, c.HeldBytes)
					}
					// Small buffers send a direction back to copying: a splice of a few bytes costs more.
					if sizes[0] != small && c.Spliced < uint64(len(stream))/2 {
						t.Errorf("%d of %d bytes were spliced", c.Spliced, len(stream))
					}
				})
			})
		}
	})
}

// largeStream is more than the sockets hold.
var largeStream = sync.OnceValue(func() []byte { return large(6, 4<<20) })

// fillPipe brings a relay to where a pipe holds bytes that the other side does not take. It returns how much of
// largeStream was sent, and how much of that was received.
func fillPipe(t *testing.T, r *relayRig, from Side) (sent, received int) {
	t.Helper()
	stream := largeStream()
	for sent < len(stream) {
		n := 0
		r.background(func() {
			const moment = 20 * time.Millisecond
			_ = r.peers[from].SetWriteDeadline(time.Now().Add(moment))
			n, _ = r.peers[from].Write(stream[sent:])
		})
		sent += n
		waiting, piped := false, false
		r.do(func() {
			d := &r.relay.directions[from]
			waiting, piped = d.waiting(), d.pipe != nil
		})
		if n > 0 || !waiting {
			continue
		}
		if piped {
			_ = r.peers[from].SetWriteDeadline(time.Time{})
			return sent, received
		}
		// What waits was copied, because little had come at once: the next read finds more.
		const some = 200_000
		r.background(func() { r.peers[from.Other()].receive(stream[received : received+some]) })
		received += some
	}
	t.Fatal("no pipe holds bytes")
	return sent, received
}

// narrow lets much arrive at once and little leave: the pipe fills.
var narrow = [2]socketSizes{{ourReceive: 4 << 20}, {ourSend: 64 << 10, peerReceive: 64 << 10}}

func pipeRig(t *testing.T, l driver) *relayRig {
	t.Helper()
	return newRelay(t, l, rigOptions{stages: newStages(), sizes: narrow, limits: RelayLimits{Stalled: int64(time.Minute), Idle: int64(time.Minute)}})
}

func TestAPipeHoldsAtMostItsSizeAndPausesTheSource(t *testing.T) {
	l := newSteppedLoop(t)
	r := pipeRig(t, l)
	sent, received := fillPipe(t, r, SideClient)
	held := r.relay.PendingBytes(SideClient)
	if c := l.loop.Counters; held > pipeBytes || c.PendingBytes != uint64(held) || c.HeldBytes < uint64(held) {
		t.Errorf("%d bytes in the pipe of %d, %d counted as pending, %d as held", held, pipeBytes, c.PendingBytes, c.HeldBytes)
	}
	l.until("the kernel's buffers to be full", func() bool {
		before := l.loop.Counters.Events
		for range 50 {
			l.turn()
		}
		return l.loop.Counters.Events == before
	})
	r.background(func() { r.peers[SideBackend].receive(largeStream()[received:sent]) })
	l.settle()
	if c := l.loop.Counters; c.PendingBytes != 0 || c.HeldBytes != 0 || r.relay.directions[SideClient].pipe != nil {
		t.Errorf("%d bytes pending, %d held after all was taken", c.PendingBytes, c.HeldBytes)
	}
}

func TestARelayEndsRightWithBytesInAPipe(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(l *steppedLoop, r *relayRig)
		want Outcome
		// delivered: what the relay had taken arrives, then a FIN; else a reset comes.
		delivered bool
	}{
		"stalled":            {func(l *steppedLoop, _ *relayRig) { l.pass(2 * time.Minute) }, Outcome{EndStalled, SideBackend}, false},
		"a client's reset":   {func(_ *steppedLoop, r *relayRig) { r.peers[SideClient].reset() }, Outcome{EndClientReset, SideClient}, false},
		"our end":            {func(_ *steppedLoop, r *relayRig) { r.relay.End(Outcome{EndShutdown, SideNone}) }, Outcome{EndShutdown, SideNone}, true},
		"our abort":          {func(_ *steppedLoop, r *relayRig) { r.relay.Abort(Outcome{EndShutdown, SideNone}) }, Outcome{EndShutdown, SideNone}, false},
		"a backend's reset":  {func(_ *steppedLoop, r *relayRig) { r.peers[SideBackend].reset() }, Outcome{EndBackendReset, SideBackend}, false},
		"both are moved out": {nil, Outcome{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newSteppedLoop(t)
			r := pipeRig(t, l)
			sent, received := fillPipe(t, r, SideClient)
			if test.end == nil {
				r.move(l)
				r.background(func() { r.peers[SideBackend].receive(largeStream()[received:sent]) })
				return
			}
			taken := largeStream()[received:r.relay.Bytes(SideClient)]
			test.end(l, r)
			r.wantEnd(test.want.Reason, test.want.By)
			if test.delivered {
				var got []byte
				r.background(func() { got = r.peers[SideBackend].receiveAll() })
				if !bytes.Equal(got, taken) {
					t.Errorf("got %d bytes, want the %d that the relay had taken", len(got), len(taken))
				}
			} else if name != "a backend's reset" {
				r.peers[SideBackend].receiveReset()
			}
			if c := l.loop.Counters; c.PendingBytes != 0 || c.HeldBytes != 0 {
				t.Errorf("%d bytes pending, %d held", c.PendingBytes, c.HeldBytes)
			}
		})
	}
}

func TestBytesInAPipeArePassedOnBeforeTheFIN(t *testing.T) {
	l := newSteppedLoop(t)
	r := pipeRig(t, l)
	sent, received := fillPipe(t, r, SideClient)
	r.peers[SideClient].finish()
	l.settle()
	var got []byte
	r.background(func() { got = r.peers[SideBackend].receiveAll() })
	if !bytes.Equal(got, largeStream()[received:sent]) {
		t.Errorf("got %d of %d bytes before the FIN", len(got), sent-received)
	}
}

// The relay still runs: nobody gives its pipe back.
func TestStopClosesThePipesInUse(t *testing.T) {
	before := openDescriptors()
	l := &runningLoop{t: t, loop: newTestLoop(t)}
	l.loop.Start()
	r := pipeRig(t, l)
	fillPipe(t, r, SideClient)
	if err := l.loop.Stop(); err != nil {
		t.Error(err)
	}
	for fd, kind := range openDescriptors() {
		if before[fd] == "" && len(kind) > 5 && kind[:5] == "pipe:" {
			t.Errorf("descriptor %s, %s, is still open", fd, kind)
		}
	}
}

func TestWithoutPipesLargePayloadsAreCopied(t *testing.T) {
	l := startLoop(t)
	l.do(func() { l.loop.pipes.limit = 0 })
	r := newRelay(t, l, rigOptions{stages: newStages()})
	stream := large(4, 1<<20)
	sent := r.peers[SideClient].sendInBackground(stream)
	r.peers[SideBackend].receive(stream)
	if err := <-sent; err != nil {
		t.Error(err)
	}
	l.do(func() {
		if c := l.loop.Counters; c.Spliced != 0 || c.PipesOpen != 0 || c.PipesRefused == 0 {
			t.Errorf("%d bytes spliced through %d pipes, %d refused", c.Spliced, c.PipesOpen, c.PipesRefused)
		}
	})
}

// splice(2) stops in front of an urgent byte for good, and says then that there is nothing, or that the peer has
// finished.
func TestBytesBehindAnUrgentByteInASplicedPayloadAreRelayed(t *testing.T) {
	for _, finish := range []bool{false, true} {
		l := newSteppedLoop(t)
		r := newRelay(t, l, rigOptions{stages: newStages(), sizes: [2]socketSizes{{ourReceive: 4 << 20}, {}}})
		stream := frame(kindSplice, 1<<20, 'x')
		half := len(stream) / 2
		p := r.peers[SideClient]
		r.background(func() {
			p.send(stream[:half])
			raw, err := p.SyscallConn()
			if err == nil {
				_ = raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), []byte("!"), unix.MSG_OOB, nil) })
			}
			if err != nil {
				t.Error(err)
			}
			p.send(stream[half:])
			if finish {
				p.finish()
			}
		})
		r.background(func() { r.peers[SideBackend].receive(stream) })
		if finish {
			r.background(r.peers[SideBackend].receiveFIN)
		}
	}
}

func TestAnInsertionWaitsForTheEndOfASplicedPayload(t *testing.T) {
	l := newSteppedLoop(t)
	r := pipeRig(t, l)
	sent, received := fillPipe(t, r, SideClient)
	stream := largeStream()
	inserted := frame(kindInsert, 10, '!')
	if !r.relay.Insert(SideBackend, inserted) {
		t.Error("refused")
	}
	ends := frameEnds(stream)
	at, _ := slices.BinarySearch(ends, int(r.relay.Bytes(SideClient))) // the frame under way
	sending := r.peers[SideClient].sendInBackground(stream[sent:])
	var got []byte
	r.background(func() {
		got = r.peers[SideBackend].receiveInPieces(newRandom(1), len(stream)-received+len(inserted), 200_000, false)
	})
	if err := <-sending; err != nil {
		t.Error(err)
	}
	if found := received + bytes.Index(got, inserted); found != ends[at] {
		t.Errorf("inserted at %d, want %d", found, ends[at])
	}
}

// frameEnds returns where the whole frames of a stream end.
func frameEnds(stream []byte) (ends []int) {
	for at := 0; at+frameHeader <= len(stream); {
		at += frameHeader + int(stream[at+1])<<16 + int(stream[at+2])<<8 + int(stream[at+3])
		if at <= len(stream) {
			ends = append(ends, at)
		}
	}
	return ends
}
