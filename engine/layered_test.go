package engine

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
)

// What an end does that lies on a transport: it must be to its owner as a socket is.

// little has kernels hold little, so that some KiB are more than they take.
var little = socketSizes{ourSend: 4 << 10, peerReceive: 4 << 10}

func TestAnOpeningIsToldOfOnceAndForgetsNoEvent(t *testing.T) {
	x := newLayered(t, socketSizes{})
	x.peer.send(toyRecord(toyHello, nil))
	x.until("the hello", func() bool { return x.toy.stepping })
	x.peer.send(append(toyRecord(toyFinished, nil), toyText([]byte("at once"))...))
	x.peer.finish()
	x.settle()
	if n := unread(x.end.conn.Descriptor()); n == 0 || len(x.told) > 0 {
		t.Errorf("while a step goes on %d bytes are unread, and the owner is told %v", n, x.told)
	}
	if n, status := x.end.Read(make([]byte, 10)); n != 0 || status != StatusBlocked {
		t.Errorf("a read before yields %d, status %d", n, status)
	}
	if n, status := x.end.Write([]byte("early")); n != 0 || status != StatusBlocked {
		t.Errorf("a write before takes %d, status %d", n, status)
	}
	x.toy.step()
	x.settle()
	if len(x.told) == 0 || x.told[0] != Readable|Writable|Hangup {
		t.Fatalf("the owner is told %v first, want that it is open, and of the FIN", x.told)
	}
	if got, status := x.readAll(); got != "at once" || status != StatusEOF {
		t.Errorf("read %q, status %d, want all and the end", got, status)
	}
}

func TestAnOpeningThatFailsIsToldOf(t *testing.T) {
	for name, fail := range map[string]func(x *layeredTest){
		"by what the peer says": func(x *layeredTest) { x.peer.send(toyRecord('X', nil)) },
		"by the peer's FIN":     func(x *layeredTest) { x.peer.finish() },
		"by the peer's reset":   func(x *layeredTest) { x.peer.reset() },
	} {
		t.Run(name, func(t *testing.T) {
			x := newLayered(t, socketSizes{})
			fail(x)
			x.until("the owner is told", func() bool { return len(x.told) > 0 })
			if x.told[0]&Broken == 0 {
				t.Errorf("the owner is told %b", x.told[0])
			}
			want := FaultTransport
			if strings.Contains(name, "reset") {
				want = FaultReset
			}
			if got := x.end.Fault(); got != want {
				t.Errorf("the fault is %d, want %d", got, want)
			}
			x.end.Stepped() // too late
			x.end.Reset()
			x.settle()
			if want == FaultTransport {
				if got := x.peer.receiveAll(); !bytes.Equal(got, toyRecord(toyAlert, nil)) {
					t.Errorf("the peer got %q, want the last word and a FIN", got)
				}
				_ = x.peer.Close()
			}
		})
	}
}

// TestAWriteReportsWhatIsGone: never more than the socket took, never less in the end, and every byte once.
func TestAWriteReportsWhatIsGone(t *testing.T) {
	x := openLayered(t, little)
	const total = 300_000
	offered := make([]byte, total)
	for i := range offered {
		offered[i] = byte(i * 7 >> 3)
	}
	received := make(chan []byte, 1)
	go func() { wire, _ := io.ReadAll(x.peer); received <- wire }()
	gone, partial, before := 0, 0, x.toy.advanced
	x.until("all is written", func() bool {
		rest := bytes.Clone(offered[gone:min(total, gone+100_000)])
		n, status := x.end.Write(rest)
		for i := range rest {
			rest[i] = 0xee // a write keeps nothing
		}
		gone += n
		if n > 0 && status == StatusBlocked {
			partial++
		}
		if taken := x.toy.advanced - before; gone > taken {
			t.Fatalf("%d bytes are reported as gone, of the wire's only %d are", gone, taken)
		}
		return gone == total
	})
	x.end.Finish()
	x.settle()
	data, others := plainOf(t, <-received)
	if !bytes.Equal(data, offered) || others != string(rune(toyClose)) {
		t.Errorf("%d of %d bytes arrived, and %q", len(data), total, others)
	}
	if partial < 3 {
		t.Errorf("only %d writes were partial", partial)
	}
}

// TestProgressOfAConsumerShows: what is gone grows with every bit that the peer takes, not by records.
func TestProgressOfAConsumerShows(t *testing.T) {
	x := openLayered(t, socketSizes{ourSend: 4 << 10, peerReceive: 8 << 10})
	rest, _ := x.fill()
	steps := 0
	x.until("all is written", func() bool {
		n, _ := x.end.Write(rest)
		rest = rest[n:]
		if steps += min(n, 1); n == 0 {
			if _, err := io.ReadFull(x.peer, make([]byte, 1<<10)); err != nil {
				t.Fatal(err)
			}
		}
		return len(rest) == 0
	})
	if steps < 3 {
		t.Errorf("32 KiB were gone in %d steps", steps)
	}
}

func TestAFinishComesBehindWhatIsPending(t *testing.T) {
	x := openLayered(t, little)
	rest, gone := x.fill()
	received := make(chan []byte, 1)
	x.told = nil
	go func() { wire, _ := io.ReadAll(x.peer); received <- wire }()
	x.until("all is written", func() bool {
		n, _ := x.end.Write(rest)
		gone, rest = append(gone, rest[:n]...), rest[n:]
		return len(rest) == 0
	})
	x.end.Finish()
	x.end.Finish() // says nothing more
	x.settle()
	data, others := plainOf(t, <-received)
	if !bytes.Equal(data, gone) || others != string(rune(toyClose)) {
		t.Errorf("%d of %d bytes arrived, then %q", len(data), len(gone), others)
	}
	if x.end.Closed() {
		t.Error("a half-close closes")
	}
}

// TestAFinishThatTheSocketDoesNotTakeIsSentLater, with nobody asking for it.
func TestAFinishThatTheSocketDoesNotTakeIsSentLater(t *testing.T) {
	x := openLayered(t, little)
	asked := bytes.Repeat([]byte("q"), 1000)
	for range 20 { // answers fill the socket, on nobody's behalf
		x.peer.send(toyRecord(toyAsk, asked))
		x.settle()
		x.end.Read(make([]byte, 1))
	}
	x.until("something is pending", func() bool {
		x.end.Read(make([]byte, 1))
		return len(x.toy.pending) > 0
	})
	x.end.Finish()
	if state(x.end.conn.Descriptor()) != 1 {
		t.Error("the FIN is sent in front of what is pending")
	}
	received := make(chan []byte, 1)
	go func() { wire, _ := io.ReadAll(x.peer); received <- wire }()
	x.until("the FIN", func() bool { return state(x.end.conn.Descriptor()) != 1 })
	if _, others := plainOf(t, <-received); others != strings.Repeat(string(rune(toyAnswer)), 20)+string(rune(toyClose)) {
		t.Errorf("the peer got %q", others)
	}
}

func TestACloseDeliversWhatIsPending(t *testing.T) {
	for name, leave := range map[string]func(x *layeredTest, rest []byte){
		"close": func(x *layeredTest, _ []byte) { x.end.Close() },
		"linger": func(x *layeredTest, rest []byte) {
			x.end.Linger(x.loop.Append(nil, rest), LingerLimits{Nanos: int64(time.Minute)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := openLayered(t, little)
			rest, gone := x.fill()
			leave(x, rest)
			if x.loop.Counters.Lingering != 1 {
				t.Errorf("%d lingering closes", x.loop.Counters.Lingering)
			}
			received := make(chan []byte, 1)
			go func() { wire, _ := io.ReadAll(x.peer); received <- wire; _ = x.peer.Close() }()
			x.until("the end of the lingering close", func() bool { return x.loop.Counters.Lingering == 0 })
			data, others := plainOf(t, <-received)
			if want := append(gone, rest...); !bytes.Equal(data, want) || others != string(rune(toyClose)) {
				t.Errorf("%d of %d bytes arrived, then %q", len(data), len(want), others)
			}
		})
	}
}

func TestACloseWithNothingPendingIsAtOnce(t *testing.T) {
	x := openLayered(t, socketSizes{})
	x.end.Close()
	if !x.end.Closed() || x.loop.Counters.Lingering != 0 {
		t.Error("the end lingers, with nothing to wait for")
	}
	if got := x.peer.receiveAll(); !bytes.Equal(got, toyRecord(toyClose, nil)) {
		t.Errorf("the peer got %q", got)
	}
}

// TestAPeerThatAsksAndDoesNotReadIsNotRead: its answers are bounded, and it is read again when it takes them.
func TestAPeerThatAsksAndDoesNotReadIsNotRead(t *testing.T) {
	x := openLayered(t, little)
	const questions = 40
	asks := bytes.Repeat(toyRecord(toyAsk, bytes.Repeat([]byte("q"), 16<<10)), questions)
	sent := x.peer.sendInBackground(append(asks, toyText([]byte("at last"))...))
	p := make([]byte, 64<<10)
	x.until("the wire is not read any more", func() bool {
		x.end.Read(p)
		return x.end.flags&layeredChoked != 0
	})
	if held := len(x.toy.pending); held > pendingMax+len(p)+16<<10 {
		t.Errorf("%d bytes are pending, the bound is %d", held, pendingMax)
	}
	before := len(x.toy.pending)
	if n, status := x.end.Read(p); n != 0 || status != StatusBlocked || len(x.toy.pending) > before {
		t.Errorf("a read meanwhile yields %d, status %d", n, status)
	}
	x.told = nil
	want := questions * (3 + 16<<10)
	answers := make(chan error, 1)
	go func() { _, err := io.ReadFull(x.peer, make([]byte, want)); answers <- err }()
	got := ""
	x.until("all answers, and what came behind the questions", func() bool {
		if len(x.told) > 0 { // only where the owner is told
			x.told = nil
			more, _ := x.readAll()
			got += more
		}
		return got == "at last" && len(answers) > 0
	})
	if err := <-answers; err != nil {
		t.Errorf("the answers did not arrive: %v", err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestABrokenTransportHasTheLastWord(t *testing.T) {
	for name, leave := range map[string]func(x *layeredTest){
		"reset": func(x *layeredTest) { x.end.Reset() }, "close": func(x *layeredTest) { x.end.Close() },
		"linger": func(x *layeredTest) {
			x.end.Linger(x.loop.Append(nil, []byte("unsaid")), LingerLimits{Nanos: int64(time.Minute)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := openLayered(t, socketSizes{})
			x.peer.send(append(toyText([]byte("right")), toyRecord('X', []byte("wrong"))...))
			x.until("the bytes", func() bool { return len(x.told) > 0 })
			p := make([]byte, 100)
			if n, status := x.end.Read(p); string(p[:n]) != "right" || status != StatusFailed {
				t.Errorf("read %q, status %d", p[:n], status)
			}
			if fault := x.end.Fault(); fault != FaultTransport {
				t.Errorf("the fault is %d", fault)
			}
			if n, status := x.end.Write([]byte("unsaid")); n != 0 || status != StatusFailed {
				t.Errorf("a write takes %d, status %d", n, status)
			}
			leave(x)
			if got := x.peer.receiveAll(); !bytes.Equal(got, toyRecord(toyAlert, nil)) {
				t.Errorf("the peer got %q, want the last word and a FIN", got)
			}
			_ = x.peer.Close()
			x.settle()
		})
	}
}

func TestAResetIsAReset(t *testing.T) {
	x := openLayered(t, socketSizes{})
	x.end.Reset()
	x.end.Reset() // of what is not there any more
	if got := x.peer.receiveReset(); len(got) > 0 {
		t.Errorf("the peer got %q", got)
	}
	x = openLayered(t, socketSizes{})
	x.peer.reset()
	x.until("the reset", func() bool { return len(x.told) > 0 })
	if n, status := x.end.Read(make([]byte, 10)); n != 0 || status != StatusFailed || x.end.Fault() != FaultReset {
		t.Errorf("read %d, status %d, fault %d", n, status, x.end.Fault())
	}
}

func TestAStrippedSocketIsTheOwners(t *testing.T) {
	x := newLayered(t, socketSizes{})
	x.peer.send(toyRecord(toyHello, nil))
	x.until("the hello", func() bool { return x.toy.stepping })
	c := x.end.Strip()
	x.peer.send([]byte("in clear"))
	x.until("the bytes", func() bool { return len(x.told) > 0 })
	p := make([]byte, 100)
	if n, _ := c.Read(p); string(p[:n]) != "in clear" {
		t.Errorf("read %q", p[:n])
	}
	c.Write([]byte("too"))
	x.peer.receive([]byte("too"))
	c.Close()
	x.end.Stepped() // whoever is late finds nobody
	x.end.Resume()
}

// TestWhatWasOpenedCanBeReadLater: bytes of a record that did not fit, without another event, and not from borrowed memory.
func TestWhatWasOpenedCanBeReadLater(t *testing.T) {
	x := openLayered(t, socketSizes{})
	x.peer.send(append(toyText([]byte("hello")), toyText([]byte(" world"))...))
	x.until("the bytes", func() bool { return len(x.told) > 0 })
	got, one := "", make([]byte, 1)
	n, status := x.end.Read(one)
	for got = string(one[:n]); status == StatusReady; got += string(one[:n]) {
		clear(x.loop.wire())
		n, status = x.end.Read(one)
	}
	if got != "hello world" || status != StatusBlocked {
		t.Errorf("read %q, status %d", got, status)
	}
}

// TestAReadAsksTheWire, also where no event has told of anything yet: another event of the same turn may be first.
func TestAReadAsksTheWire(t *testing.T) {
	x := openLayered(t, socketSizes{})
	p := make([]byte, 100)
	if n, status := x.end.Read(p); n != 0 || status != StatusBlocked {
		t.Fatalf("read %d, status %d", n, status)
	}
	wire := toyText([]byte("unasked"))
	x.peer.send(wire)
	arrived(t, x.end.conn, len(wire))
	if n, _ := x.end.Read(p); string(p[:n]) != "unasked" {
		t.Errorf("read %q", p[:n])
	}
}

// TestReadsThatYieldNothingHaveABudget: others have their turn.
func TestReadsThatYieldNothingHaveABudget(t *testing.T) {
	x := openLayered(t, socketSizes{})
	x.toy.outClosed = true
	empty := bytes.Repeat(toyRecord(toyData, nil), 20_000)
	x.peer.send(append(empty, toyText([]byte("data"))...))
	arrived(t, x.end.conn, len(empty))
	p := make([]byte, 10)
	if n, status := x.end.Read(p); n != 0 || status != StatusReady {
		t.Errorf("read %d, status %d, want that there may be more", n, status)
	}
	if left := unread(x.end.conn.Descriptor()); left < len(empty)-wireReads*wireMin {
		t.Errorf("only %d of %d bytes are left", left, len(empty))
	}
	n, status := x.end.Read(p)
	for n == 0 && status == StatusReady {
		n, status = x.end.Read(p)
	}
	if string(p[:n]) != "data" {
		t.Errorf("read %q, status %d", p[:n], status)
	}
}
