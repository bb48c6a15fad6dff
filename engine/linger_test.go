package engine

import (
	"bytes"
	"io"
	"testing"
	"time"
)

// answerOf is a final message of n bytes.
func answerOf(n int) []byte { return bytes.Repeat([]byte("final message\n"), n/14+1)[:n] }

// linger hands the answer to a lingering close, as a relay or an exchange does with its last words.
func linger(c *Conn, answer []byte, limits LingerLimits) {
	w := &c.loop.Workspace
	if len(answer) == 0 {
		c.Linger(nil, limits)
		return
	}
	c.Linger(w.Append(nil, answer), limits)
}

func TestAFinalMessageSurvivesInputThatNobodyReads(t *testing.T) {
	l := newSteppedLoop(t)
	c, p := adopt(t, l, ignore, socketSizes{})
	const request, bound = 1 << 20, 5 * time.Second
	sent := p.sendInBackground(make([]byte, request))
	l.until("more input than will be read", func() bool { return unread(c.Descriptor()) > LingerBytes })
	answer := answerOf(300 << 10)
	linger(c, answer, LingerLimits{Nanos: int64(bound)})
	if got := receiveInBackground(l, p); !bytes.Equal(got, answer) {
		t.Errorf("the client got %d of %d bytes", len(got), len(answer))
	}
	if err := <-sent; err != nil {
		t.Errorf("the client could not send its request: %v", err)
	}
	_ = p.Close()
	l.pass(bound + WheelTick)
	if l.loop.Counters.Lingering != 0 {
		t.Error("the lingering close goes on")
	}
}

// A client that finishes behind more input than is read of an unfinished one keeps its answer too.
func TestAFinalMessageSurvivesInputWithAFINBehindIt(t *testing.T) {
	l := newSteppedLoop(t)
	c, p := adopt(t, l, ignore, socketSizes{ourReceive: 1 << 20})
	p.send(make([]byte, 8*LingerBytes))
	p.finish()
	inState(t, c, tcpCloseWait)
	answer := answerOf(300 << 10)
	linger(c, answer, LingerLimits{Nanos: int64(time.Hour)})
	if got := receiveInBackground(l, p); !bytes.Equal(got, answer) {
		t.Errorf("the client got %d of %d bytes", len(got), len(answer))
	}
	if l.loop.Counters.Lingering != 0 {
		t.Error("the lingering close goes on")
	}
}

// receiveInBackground turns the loop while the peer reads until the FIN.
func receiveInBackground(l *steppedLoop, p *peer) (received []byte) {
	l.t.Helper()
	result := make(chan error, 1)
	go func() {
		var err error
		received, err = io.ReadAll(p)
		result <- err
	}()
	l.until("the peer to see the end", func() bool {
		select {
		case err := <-result:
			if err != nil {
				l.t.Errorf("after %d bytes: %v", len(received), err)
			}
			return true
		default:
			return false
		}
	})
	return received
}

// What lingering is for: an ordinary close with unread input destroys what was sent before it.
func TestTheKernelResetsAConnectionClosedWithUnreadInput(t *testing.T) {
	l := startLoop(t)
	c, p := adopt(t, l, ignore, socketSizes{})
	p.send([]byte("never read"))
	l.do(func() {
		arrived(t, c, 1)
		c.Write([]byte("final message"))
		c.Close()
	})
	p.receiveReset()
}

func TestALingeringCloseReadsNoMoreThanItsBound(t *testing.T) {
	l := newSteppedLoop(t)
	c, p := adopt(t, l, ignore, socketSizes{ourReceive: 256 << 10})
	_ = p.SetWriteDeadline(time.Now().Add(patience))
	flood := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(p, endless{})
		flood <- n
	}()
	l.until("input", func() bool { return unread(c.Descriptor()) > LingerBytes })
	linger(c, []byte("enough"), LingerLimits{Nanos: int64(time.Second)})
	buffer := len(l.loop.discardBuffer())
	l.settle()
	if got := discarded(c); got < LingerBytes || got >= LingerBytes+int64(buffer) {
		t.Errorf("%d bytes were read and discarded, bound %d", got, LingerBytes)
	}
	before := l.loop.Counters.Events
	for range 50 {
		l.turn()
	}
	// Window probes may wake the loop a few times.
	if events := l.loop.Counters.Events - before; events > 20 {
		t.Errorf("%d events at the bound", events)
	}
	p.receive([]byte("enough"))
	l.pass(time.Second + WheelTick)
	if c := l.loop.Counters; c.Lingering != 0 || c.LingerCut != 1 {
		t.Errorf("%d lingering, %d cut after the time bound", c.Lingering, c.LingerCut)
	}
	<-flood // ends with the reset
}

// discarded asks the lingering close that owns c.
func discarded(c *Conn) int64 {
	if g, ok := c.owner.(*lingerer); ok {
		return g.discarded
	}
	return -1
}

// endless is an input without end.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

func TestALingeringCloseEndsByItsTimeBound(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer int
		reset  bool // the peer took nothing: only a reset frees the kernel of our bytes
	}{
		{"the peer has the answer and keeps its side open", 1000, false},
		{"the peer does not read the answer", 4 << 20, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newSteppedLoop(t)
			c, p := adopt(t, l, ignore, socketSizes{ourSend: 64 << 10, peerReceive: 64 << 10})
			const bound = 5 * time.Second
			linger(c, answerOf(test.answer), LingerLimits{Nanos: int64(bound)})
			l.pass(bound - WheelTick)
			if l.loop.Counters.Lingering != 1 {
				t.Fatal("the lingering close ended early")
			}
			l.pass(2 * WheelTick)
			if c := l.loop.Counters; c.Lingering != 0 || c.LingerCut != 1 || l.loop.Wheel.Len() != 0 {
				t.Errorf("%d lingering, %d cut, %d timers", c.Lingering, c.LingerCut, l.loop.Wheel.Len())
			}
			if test.reset {
				p.receiveReset()
			} else if got := p.receiveAll(); len(got) != test.answer {
				t.Errorf("the peer got %d of %d bytes", len(got), test.answer)
			}
		})
	}
}

func TestALingeringCloseEndsWhenThePeerHasFinished(t *testing.T) {
	const answer = 2 << 20 // more than the sockets take at once
	for name, prepare := range map[string]func(l *steppedLoop, c *Conn, p *peer) (known bool){
		"before, and it was read":     func(l *steppedLoop, c *Conn, p *peer) bool { p.finish(); inState(t, c, tcpCloseWait); return true },
		"before, and it was not read": func(l *steppedLoop, c *Conn, p *peer) bool { p.finish(); inState(t, c, tcpCloseWait); return false },
		"later":                       func(*steppedLoop, *Conn, *peer) bool { return false },
	} {
		t.Run(name, func(t *testing.T) {
			l := newSteppedLoop(t)
			c, p := adopt(t, l, ignore, socketSizes{ourSend: 64 << 10, peerReceive: 64 << 10})
			known := prepare(l, c, p)
			linger(c, answerOf(answer), LingerLimits{Nanos: int64(time.Hour), PeerFinished: known})
			received := receiveInBackground(l, p)
			if len(received) != answer {
				t.Errorf("the peer got %d of %d bytes", len(received), answer)
			}
			if name == "later" {
				if l.loop.Counters.Lingering != 1 {
					t.Error("closed before the peer finished")
				}
				p.finish()
			}
			l.until("the end", func() bool { return l.loop.Counters.Lingering == 0 })
			if c := l.loop.Counters; c.LingerCut != 0 || l.loop.Wheel.Len() != 0 || l.loop.Workspace.Counters.PendingBytes != 0 {
				t.Errorf("%d cut, %d timers", c.LingerCut, l.loop.Wheel.Len())
			}
		})
	}
}

func TestALingeringCloseEndsByAReset(t *testing.T) {
	l := newSteppedLoop(t)
	for _, answer := range []int{0, 1000, 4 << 20} {
		c, p := adopt(t, l, ignore, socketSizes{ourSend: 64 << 10, peerReceive: 64 << 10})
		linger(c, answerOf(answer), LingerLimits{Nanos: int64(time.Hour)})
		l.settle()
		if l.loop.Counters.Lingering != 1 {
			t.Fatalf("answer of %d bytes: ended early", answer)
		}
		p.reset()
		l.until("the end", func() bool { return l.loop.Counters.Lingering == 0 })
	}
}
