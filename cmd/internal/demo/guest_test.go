package demo

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

// reply is any message to a client.
type reply struct {
	Type         string
	Room         string
	ID           uint64
	From         string
	Backend      string
	Name         string
	Text         string
	People       int
	Time         int64
	Sent         float64
	ForwardedFor string
	History      []chat
}

// guest is a client of its own making: it sends any frame, also forbidden ones.
type guest struct {
	t     *testing.T
	conn  net.Conn
	input io.Reader
	gone  chan struct{} // closed when the member on the other side has ended
}

// newGuest lets a guest into the room over a connection without any buffer, so
// that a guest who does not read holds its member's writer at once.
func newGuest(t *testing.T, r *room, backend string) *guest {
	t.Helper()
	near, far := net.Pipe()
	g := &guest{t: t, conn: near, input: near, gone: make(chan struct{})}
	m := newMember(r, far, bufio.NewReader(far), backend, "192.0.2.1")
	go func() {
		defer close(g.gone)
		m.serve()
	}()
	t.Cleanup(func() {
		near.Close()
		<-g.gone
	})
	synctest.Wait() // guests join in the order of their making
	return g
}

// frame returns a masked client frame as bytes.
func frame(fin bool, code ws.OpCode, payload string) []byte {
	return frameBytes(ws.MaskFrame(ws.NewFrame(code, fin, []byte(payload))))
}

func (g *guest) write(raw []byte) {
	g.t.Helper()
	if _, err := g.conn.Write(raw); err != nil {
		g.t.Fatalf("write to the backend: %v", err)
	}
}

func (g *guest) text(payload string) {
	g.t.Helper()
	g.write(frame(true, ws.OpText, payload))
}

func (g *guest) chat(text string) {
	g.t.Helper()
	payload, err := json.Marshal(request{Type: typeChat, Text: text})
	if err != nil {
		g.t.Fatal(err)
	}
	g.text(string(payload))
}

func (g *guest) readFrame() (ws.Header, []byte) {
	g.t.Helper()
	header, err := ws.ReadHeader(g.input)
	if err != nil {
		g.t.Fatalf("read from the backend: %v", err)
	}
	if err := ws.CheckHeader(header, ws.StateClientSide); err != nil {
		g.t.Fatalf("the backend's frame: %v", err)
	}
	payload := make([]byte, header.Length)
	if _, err := io.ReadFull(g.input, payload); err != nil {
		g.t.Fatalf("read from the backend: %v", err)
	}
	return header, payload
}

// want reads the next message and requires its type.
func (g *guest) want(kind string) reply {
	g.t.Helper()
	header, payload := g.readFrame()
	if header.OpCode != ws.OpText {
		g.t.Fatalf("got a frame of opcode %#x (%q), want the message %q", header.OpCode, payload, kind)
	}
	var r reply
	if err := json.Unmarshal(payload, &r); err != nil {
		g.t.Fatalf("message %q: %v", payload, err)
	}
	if r.Type != kind {
		g.t.Fatalf("got the message %s, want type %q", payload, kind)
	}
	return r
}

// wantChat reads the next message and requires it to be this one.
func (g *guest) wantChat(from, text string) reply {
	g.t.Helper()
	r := g.want(typeChat)
	if r.From != from || r.Text != text {
		g.t.Fatalf("got %q from %s, want %q from %s", r.Text, r.From, text, from)
	}
	return r
}

// wantClose reads the close frame, answers it and requires the end.
func (g *guest) wantClose(code ws.StatusCode) {
	g.t.Helper()
	g.takeClose(code)
	g.wantEnd()
}

// takeClose reads the close frame and answers it.
func (g *guest) takeClose(code ws.StatusCode) {
	g.t.Helper()
	header, payload := g.readFrame()
	if header.OpCode != ws.OpClose {
		g.t.Fatalf("got a frame of opcode %#x (%q), want close", header.OpCode, payload)
	}
	if got, reason := ws.ParseCloseFrameData(payload); got != code {
		g.t.Fatalf("closed with %d %q, want %d", got, reason, code)
	}
	g.write(frame(true, ws.OpClose, string(payload)))
}

// wantEnd requires the end of the connection, with nothing before it.
func (g *guest) wantEnd() {
	g.t.Helper()
	if rest, err := io.ReadAll(g.input); err != nil || len(rest) > 0 {
		g.t.Fatalf("got %q, %v, want the end of the connection", rest, err)
	}
}

func chatText(i int) string { return fmt.Sprintf("message %d", i) }

// pass lets virtual time pass.
func pass(d time.Duration) { <-time.After(d) }
