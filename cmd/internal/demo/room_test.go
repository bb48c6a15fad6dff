package demo

import (
	"bufio"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

func TestWelcomeComesFirstAndSaysWhoIsWho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(10)
		first := newGuest(t, r, "demo-1")
		w := first.want(typeWelcome)
		if w.Backend != "demo-1" || w.Name != "guest-1" || w.People != 1 || w.ForwardedFor != "192.0.2.1" || w.Room != r.id {
			t.Errorf("welcome %+v", w)
		}
		second := newGuest(t, r, "demo-2")
		if w := second.want(typeWelcome); w.Backend != "demo-2" || w.Name != "guest-2" || w.People != 2 {
			t.Errorf("second welcome %+v", w)
		}
	})
}

func TestMessageReachesEveryoneOnEveryBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(10)
		guests := []*guest{newGuest(t, r, "demo-1"), newGuest(t, r, "demo-2"), newGuest(t, r, "demo-1")}
		names := make([]string, len(guests))
		for i, g := range guests {
			names[i] = g.want(typeWelcome).Name
		}
		for i, from := range guests {
			from.chat(chatText(i))
			for _, g := range guests {
				got := g.wantChat(names[i], chatText(i))
				if got.ID != uint64(i+1) || got.Time != time.Now().UnixMilli() {
					t.Errorf("message %d has ID %d and time %d", i, got.ID, got.Time)
				}
			}
		}
		if s := r.snapshot(); s.Messages != 3 || s.Joined != 3 || s.People != 3 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestNewcomerGetsTheLastTwentyMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(10)
		first := newGuest(t, r, "demo-1")
		if h := first.want(typeWelcome).History; h == nil || len(h) != 0 {
			t.Errorf("history of an empty room: %v, want an empty list", h)
		}
		const said = historyMessages + 5
		for i := range said {
			first.chat(chatText(i))
			first.wantChat("guest-1", chatText(i))
			pass(time.Second / messagesPerSecond) // stay below the rate limit
		}
		history := newGuest(t, r, "demo-2").want(typeWelcome).History
		if len(history) != historyMessages {
			t.Fatalf("history of %d messages, want %d", len(history), historyMessages)
		}
		for i, h := range history {
			if want := said - historyMessages + i; h.Text != chatText(want) || h.ID != uint64(want+1) {
				t.Errorf("history[%d] is %q with ID %d, want message %d", i, h.Text, h.ID, want)
			}
		}
	})
}

func TestSlowMemberIsDroppedAndNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(10)
		slow, quick := newGuest(t, r, "demo-1"), newGuest(t, r, "demo-2")
		quick.want(typeWelcome)
		// The slow one's writer holds the welcome; its queue is empty.
		for range queueMessages {
			r.push("demo-1", time.Now())
		}
		if s := r.snapshot(); s.SlowDropped != 0 || s.People != 2 {
			t.Fatalf("with a full queue: %+v, want nobody dropped", s)
		}
		r.push("demo-1", time.Now())
		if s := r.snapshot(); s.SlowDropped != 1 || s.People != 1 {
			t.Fatalf("with one message more: %+v, want the slow one dropped", s)
		}
		<-slow.gone
		quick.chat("still here")
		quick.wantChat("guest-2", "still here")
	})
}

func TestMemberThatTakesNothingEndsByTheWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(10)
		start := time.Now()
		stuck := newGuest(t, r, "demo-1") // does not even read its welcome
		<-stuck.gone
		if lasted := time.Since(start); lasted != writeTimeout {
			t.Errorf("ended after %s, want %s", lasted, writeTimeout)
		}
		if s := r.snapshot(); s.People != 0 || s.SlowDropped != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestServerPushComesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(10)
		stop, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			pushEvery(2*time.Second, stop, r, "demo-2")
		}()
		start := time.Now()
		one, two := newGuest(t, r, "demo-1"), newGuest(t, r, "demo-2")
		one.want(typeWelcome)
		two.want(typeWelcome)
		for i := 1; i <= 3; i++ {
			p := two.want(typePush)
			want := start.Add(time.Duration(i) * 2 * time.Second)
			if p.Backend != "demo-2" || p.People != 2 || p.Time != want.UnixMilli() || !time.Now().Equal(want) {
				t.Errorf("push %d: %+v at %s", i, p, time.Since(start))
			}
		}
		close(stop)
		<-ended
		one.chat("not pushed to") // the other backend's member got none in between
		one.wantChat("guest-1", "not pushed to")
		if s := r.snapshot(); s.Pushes != 3 {
			t.Errorf("%d pushes counted, want 3", s.Pushes)
		}
	})
}

func TestFullRoomTurnsNewcomersAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(1)
		newGuest(t, r, "demo-1").want(typeWelcome)
		if r.full() != errRoomFull {
			t.Error("the room does not say that it is full")
		}
		newGuest(t, r, "demo-1").wantClose(1013)
		if s := r.snapshot(); s.Refused != 1 || s.People != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestClosedRoomSaysGoodbyeToAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(10)
		one, two := newGuest(t, r, "demo-1"), newGuest(t, r, "demo-2")
		one.want(typeWelcome)
		two.want(typeWelcome)
		r.close()
		one.takeClose(ws.StatusGoingAway)
		two.takeClose(ws.StatusGoingAway)
		one.wantEnd()
		two.wantEnd()
		newGuest(t, r, "demo-1").wantClose(1013)
		if s := r.snapshot(); s.People != 0 || s.Joined != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestPeerThatIgnoresTheCloseIsLeftAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(10)
		deaf := newGuest(t, r, "demo-1")
		deaf.want(typeWelcome)
		start := time.Now()
		r.close()
		if header, _ := deaf.readFrame(); header.OpCode != ws.OpClose {
			t.Fatalf("got opcode %#x, want close", header.OpCode)
		}
		<-deaf.gone
		if lasted := time.Since(start); lasted != lingerTimeout {
			t.Errorf("left after %s, want %s", lasted, lingerTimeout)
		}
	})
}

func TestGoneMemberIsNotTalkedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(10)
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		stranger := newMember(r, far, bufio.NewReader(far), "demo-1", "")
		r.say(stranger, "from outside", time.Now())
		r.tell(stranger, []byte("x"))
		r.leave(stranger)
		if s := r.snapshot(); s.Messages != 0 || len(stranger.queue) != 0 {
			t.Errorf("stats %+v, %d queued: want nothing", s, len(stranger.queue))
		}
	})
}
