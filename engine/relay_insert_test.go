package engine

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// wantFramesWithInserts takes the insertions out of a stream of frames, wants each of them between two frames, and the
// rest to be what passed.
func wantFramesWithInserts(t *testing.T, got, passed, inserted []byte, count int) {
	t.Helper()
	rest := make([]byte, 0, len(passed))
	for len(got) >= frameHeader {
		size := min(frameHeader+int(got[1])<<16+int(got[2])<<8+int(got[3]), len(got))
		if got[0] == kindInsert {
			if !bytes.Equal(got[:size], inserted) {
				t.Errorf("an insertion arrived as %.40q", got[:size])
			}
			count--
		} else {
			rest = append(rest, got[:size]...)
		}
		got = got[size:]
	}
	if count != 0 {
		t.Errorf("%d insertions too few", count)
	}
	if !bytes.Equal(append(rest, got...), passed) {
		t.Errorf("got %d bytes of the stream, want %d, or others", len(rest)+len(got), len(passed))
	}
}

func TestInsertionsStandBetweenFramesUnderAFlood(t *testing.T) {
	for name, test := range map[string]struct {
		sizes   [2]socketSizes
		largest int
		slow    bool
		bytes   int
	}{
		"fast reader":                         {largest: 70_000, bytes: 16 << 20},
		"small buffers":                       {sizes: [2]socketSizes{small, small}, largest: 3000, bytes: 4 << 20},
		"small buffers, frames beyond a read": {sizes: [2]socketSizes{small, small}, largest: 150_000, slow: true, bytes: 4 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			l := startLoop(t)
			r := newRelay(t, l, rigOptions{stages: [2]Stage{new(frameStage), new(frameStage)}, sizes: test.sizes})
			stream, passed := frames(newRandom(5), "FFHSD", test.bytes, test.largest)
			inserted := frame(kindInsert, 20, '!')
			count, refused := flood(r, stream, inserted, test.slow)
			t.Logf("%d insertions, %d refused", count.wrote, refused)
			wantFramesWithInserts(t, count.got, passed, inserted, count.wrote)
			if count.wrote == 0 {
				t.Errorf("only %d insertions found a place", count.wrote)
			}
		})
	}
}

type floodResult struct {
	got   []byte
	wrote int
}

// flood sends a stream from the client and inserts towards the backend all the while. It returns what the backend got
// and how many insertions were taken.
func flood(r *relayRig, stream, inserted []byte, slow bool) (result floodResult, refused int) {
	r.t.Helper()
	sent, received := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sent)
		r.peers[SideClient].sendInPieces(newRandom(6), stream, 100_000)
		r.peers[SideClient].finish()
	}()
	go func() {
		defer close(received)
		result.got = receiveUntilFIN(newRandom(7), r.peers[SideBackend], slow)
	}()
	insert := func() {
		if r.relay.Insert(SideBackend, inserted) {
			result.wrote++
		} else {
			refused++
		}
	}
	for flooding := true; flooding; {
		select {
		case <-received:
			flooding = false
		default:
			r.do(insert)
		}
	}
	<-sent
	return result, refused
}

// receiveUntilFIN reads in pieces until the FIN.
func receiveUntilFIN(random *rand.Rand, p *peer, slow bool) []byte {
	var got []byte
	for {
		piece := p.receiveInPieces(random, 10_000, 10_000, slow)
		got = append(got, piece...)
		if len(piece) < 10_000 {
			return got
		}
	}
}

func TestInsertionsWaitInABoundedQueueForTheEndOfTheFrame(t *testing.T) {
	l := newSteppedLoop(t)
	r := newRelay(t, l, rigOptions{stages: [2]Stage{new(frameStage), new(frameStage)}})
	whole := frame(kindForward, 100, 'x')
	r.peers[SideClient].send(whole[:50])
	l.until("half a frame", func() bool { return r.relay.Bytes(SideClient) == 50 })
	r.peers[SideBackend].receive(whole[:50])
	want := whole[50:]
	for i := range InsertMax + 2 {
		inserted := frame(kindInsert, 10, byte('0'+i))
		if took := r.relay.Insert(SideBackend, inserted); took != (i < InsertMax) {
			t.Errorf("insertion %d: %v", i, took)
		} else if took {
			want = append(want, inserted...)
		}
	}
	if n := l.loop.Counters.InsertsRefused; n != 2 {
		t.Errorf("%d refused, want 2", n)
	}
	l.settle()
	next := frame(kindForward, 3, 'y')
	r.peers[SideClient].send(append(bytes.Clone(whole[50:]), next...))
	r.background(func() { r.peers[SideBackend].receive(append(want, next...)) })
	if !r.relay.Insert(SideBackend, []byte("room again")) {
		t.Error("the queue is empty and refuses")
	}
	r.background(func() { r.peers[SideBackend].receive([]byte("room again")) })
	if got, want := r.relay.Bytes(SideClient), uint64(len(whole)+len(next)); got != want {
		t.Errorf("%d bytes of the stream counted, want %d: insertions are none of it", got, want)
	}
}

// A consumer that takes less at a time than a frame has must not keep an insertion waiting beyond the frame under way:
// a ping that comes too late does not keep a tunnel alive.
func TestAnInsertionComesRightBehindTheFrameUnderWay(t *testing.T) {
	l := newSteppedLoop(t)
	r := newRelay(t, l, rigOptions{stages: [2]Stage{new(frameStage), new(frameStage)}, sizes: [2]socketSizes{{}, small}})
	const size, count = 100_000, 30
	var stream []byte
	for i := range count {
		stream = append(stream, frame(kindForward, size, byte('a'+i))...)
	}
	sent := r.peers[SideClient].sendInBackground(stream)
	l.until("a pause", func() bool { return r.relay.PendingBytes(SideClient) > 0 })
	inserted := frame(kindInsert, 20, '!')
	begin := r.relay.Bytes(SideClient)
	r.relay.Insert(SideBackend, inserted)
	var got []byte
	r.background(func() {
		got = r.peers[SideBackend].receiveInPieces(newRandom(9), len(stream)+len(inserted), 20_000, false)
	})
	if err := <-sent; err != nil {
		t.Error(err)
	}
	at := bytes.Index(got, inserted)
	frames := (int(begin) + frameHeader + size - 1) / (frameHeader + size)
	if want := frames * (frameHeader + size); at != want {
		t.Errorf("inserted at byte %d, behind %d frames; want byte %d", at, at/(frameHeader+size), want)
	}
}
