package demo

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

// visit is a test with one guest who has read the welcome.
func visit(t *testing.T, test func(g *guest, r *room)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(10)
		g := newGuest(t, r, "demo-1")
		g.want(typeWelcome)
		test(g, r)
	})
}

func TestPingMessageComesBack(t *testing.T) {
	visit(t, func(g *guest, _ *room) {
		g.text(`{"type":"ping","sent":1234.5}`)
		if p := g.want(typePong); p.Sent != 1234.5 {
			g.t.Errorf("pong carries %v", p.Sent)
		}
	})
}

func TestPlainTextIsChat(t *testing.T) {
	visit(t, func(g *guest, _ *room) {
		for _, text := range []string{"hello", `"quoted"`, "{ not JSON", "17", "<b>&"} {
			g.text(" " + text + "\n")
			g.wantChat("guest-1", text)
		}
		g.text("   ") // nothing to say
		g.chat("\t")
		g.chat("next")
		g.wantChat("guest-1", "next")
	})
}

func TestUnknownMessageIsAnsweredByAnError(t *testing.T) {
	for _, message := range []string{`{"type":"dance"}`, `{}`, `{"type":"chat","text":5}`, `{"type":"ping","sent":1e999}`} {
		visit(t, func(g *guest, r *room) {
			g.text(message)
			g.want(typeError)
			if s := r.snapshot(); s.Messages != 0 {
				t.Errorf("%s: stats %+v", message, s)
			}
		})
	}
}

func TestMessageLimit(t *testing.T) {
	longest := strings.Repeat("x", maxMessageBytes)
	half := longest[:maxMessageBytes/2]
	t.Run("4096 bytes pass", func(t *testing.T) {
		visit(t, func(g *guest, _ *room) {
			g.text(longest)
			g.wantChat("guest-1", longest)
		})
	})
	t.Run("4096 bytes in fragments pass, with a ping between", func(t *testing.T) {
		visit(t, func(g *guest, _ *room) {
			g.write(frame(false, ws.OpText, half))
			g.write(frame(true, ws.OpPing, "are you there"))
			if header, payload := g.readFrame(); header.OpCode != ws.OpPong || string(payload) != "are you there" {
				g.t.Errorf("got opcode %#x with %q, want the pong", header.OpCode, payload)
			}
			g.write(frame(false, ws.OpContinuation, ""))
			g.write(frame(true, ws.OpContinuation, half))
			g.wantChat("guest-1", longest)
		})
	})
	// Only headers are sent from here on: the declared length is what counts.
	t.Run("4097 bytes end the tunnel", func(t *testing.T) {
		visit(t, func(g *guest, r *room) {
			g.write(frame(true, ws.OpText, longest+"x")[:8])
			g.wantClose(ws.StatusMessageTooBig)
			wantTooBig(g, r)
		})
	})
	t.Run("a fragment too many ends the tunnel", func(t *testing.T) {
		visit(t, func(g *guest, r *room) {
			g.write(frame(false, ws.OpText, longest))
			g.write(frame(true, ws.OpContinuation, "x")[:6])
			g.wantClose(ws.StatusMessageTooBig)
			wantTooBig(g, r)
		})
	})
	t.Run("a declared 2^62 bytes end the tunnel", func(t *testing.T) {
		visit(t, func(g *guest, r *room) {
			g.write([]byte{0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4})
			g.wantClose(ws.StatusMessageTooBig)
			wantTooBig(g, r)
		})
	})
}

func wantTooBig(g *guest, r *room) {
	g.t.Helper()
	<-g.gone
	if s := r.snapshot(); s.TooBig != 1 || s.Messages != 0 || s.People != 0 {
		g.t.Errorf("stats %+v", s)
	}
}

func TestMembersAreRateLimitedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(10)
		loud, calm := newGuest(t, r, "demo-1"), newGuest(t, r, "demo-1")
		loud.want(typeWelcome)
		calm.want(typeWelcome)
		for i := range messageBurst {
			loud.chat(chatText(i))
			loud.wantChat("guest-1", chatText(i))
			calm.wantChat("guest-1", chatText(i))
		}
		loud.chat("one too many")
		loud.want(typeError)
		loud.chat("and again") // no second complaint within the second
		calm.chat("my turn")
		calm.wantChat("guest-2", "my turn")
		loud.wantChat("guest-2", "my turn")
		pass(time.Second / messagesPerSecond) // one more may pass
		loud.chat("rested")
		loud.wantChat("guest-1", "rested")
		calm.wantChat("guest-1", "rested")
		if s := r.snapshot(); s.RateLimited != 2 || s.Messages != messageBurst+2 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestComplaintsAreRare(t *testing.T) {
	visit(t, func(g *guest, _ *room) {
		g.text(`{"type":"dance"}`)
		g.want(typeError)
		g.text(`{"type":"dance"}`)
		pass(errorInterval)
		g.text(`{"type":"dance"}`)
		g.want(typeError)
		g.chat("no third error before this")
		g.wantChat("guest-1", "no third error before this")
	})
}

func TestBrokenFramesEndTheTunnel(t *testing.T) {
	reserved := frame(true, ws.OpCode(0x3), "")
	rsv := frame(true, ws.OpText, "")
	rsv[0] |= 0x40
	for _, broken := range []struct {
		name string
		raw  []byte
		code ws.StatusCode
	}{
		{"unmasked", []byte{0x81, 0x01}, ws.StatusProtocolError},
		{"reserved opcode", reserved, ws.StatusProtocolError},
		{"RSV bit without an extension", rsv, ws.StatusProtocolError},
		{"fragmented ping", frame(false, ws.OpPing, ""), ws.StatusProtocolError},
		{"ping of 126 bytes", frame(true, ws.OpPing, strings.Repeat("x", 126))[:8], ws.StatusProtocolError},
		{"continuation of nothing", frame(true, ws.OpContinuation, ""), ws.StatusProtocolError},
		{"message in a message", append(frame(false, ws.OpText, "a"), frame(true, ws.OpText, "")...), ws.StatusProtocolError},
		{"top bit of the length", []byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4}, ws.StatusProtocolError},
		{"binary", frame(true, ws.OpBinary, ""), ws.StatusUnsupportedData},
		{"not UTF-8", frame(true, ws.OpText, "\xff"), ws.StatusInvalidFramePayloadData},
		{"close of one byte", frame(true, ws.OpClose, "x"), ws.StatusProtocolError},
		{"close with a code that is none", frame(true, ws.OpClose, "\x00\x01"), ws.StatusProtocolError},
	} {
		t.Run(broken.name, func(t *testing.T) {
			visit(t, func(g *guest, r *room) {
				g.write(broken.raw)
				g.wantClose(broken.code)
				<-g.gone
				if s := r.snapshot(); s.People != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}

func TestCloseIsAnsweredInKind(t *testing.T) {
	for name, body := range map[string][]byte{
		"with a code":    ws.NewCloseFrameBody(ws.StatusNormalClosure, "bye"),
		"with a private": ws.NewCloseFrameBody(4242, ""),
		"without a code": nil,
	} {
		t.Run(name, func(t *testing.T) {
			visit(t, func(g *guest, r *room) {
				g.write(frame(true, ws.OpClose, string(body)))
				header, answer := g.readFrame()
				if header.OpCode != ws.OpClose || string(answer) != string(body[:min(2, len(body))]) {
					t.Errorf("answered by opcode %#x with %q", header.OpCode, answer)
				}
				g.wantEnd()
				<-g.gone
				if s := r.snapshot(); s.People != 0 || s.SlowDropped != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}

func TestConnectionThatJustEnds(t *testing.T) {
	for name, start := range map[string][]byte{
		"between messages": nil,
		"in a header":      {0x81},
		"in a payload":     frame(true, ws.OpText, "hello")[:8],
	} {
		t.Run(name, func(t *testing.T) {
			visit(t, func(g *guest, r *room) {
				g.write(start)
				g.conn.Close()
				<-g.gone
				if s := r.snapshot(); s.People != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}

func TestBudget(t *testing.T) {
	var b budget
	now := time.Unix(1, 0)
	for i := range messageBurst {
		if !b.take(now) {
			t.Fatalf("message %d of the burst refused", i)
		}
	}
	if b.take(now) {
		t.Error("one more than the burst passed")
	}
	if now = now.Add(time.Second / messagesPerSecond); !b.take(now) || b.take(now) {
		t.Error("want exactly one message after its share of a second")
	}
	now = now.Add(time.Hour)
	for i := range messageBurst {
		if !b.take(now) {
			t.Fatalf("after an hour: message %d of the burst refused", i)
		}
	}
	if b.take(now) {
		t.Error("an hour's rest gives more than the burst")
	}
}
