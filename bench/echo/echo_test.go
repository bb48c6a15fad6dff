package echo

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"

	"culvert/bench/page"
)

type client struct {
	t *testing.T
	net.Conn
}

// send sends a masked frame in pieces of so many bytes at most.
func (c *client) send(fin bool, opcode gobwas.OpCode, payload []byte, most int) {
	c.t.Helper()
	frame := gobwas.MaskFrame(gobwas.NewFrame(opcode, fin, bytes.Clone(payload)))
	for wire := gobwas.MustCompileFrame(frame); len(wire) > 0; {
		n := min(most, len(wire))
		if _, err := c.Write(wire[:n]); err != nil {
			c.t.Error(err)
			return
		}
		wire = wire[n:]
	}
}

// want reads one frame and compares it.
func (c *client) want(fin bool, opcode gobwas.OpCode, payload []byte) {
	c.t.Helper()
	header, err := gobwas.ReadHeader(c)
	if err != nil {
		c.t.Fatal(err)
	}
	if header.Fin != fin || header.OpCode != opcode || header.Masked || header.Length != int64(len(payload)) {
		c.t.Fatalf("got %+v, want fin %v, opcode %d, %d bytes", header, fin, opcode, len(payload))
	}
	got := make([]byte, len(payload))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, payload) {
		c.t.Errorf("%d bytes differ, or did not come: %v", len(got), err)
	}
}

func randomBytes(n int) []byte {
	random := rand.New(rand.NewPCG(7, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// TestFramesComeBackAsTheyCame: any size, opcode, fragmentation and cut.
func TestFramesComeBackAsTheyCame(t *testing.T) {
	c := dial(t, start(t, Options{}))
	for _, size := range []int{0, 1, 2, 3, 4, 5, 125, 126, 65535, 65536, chunkBytes, chunkBytes + 1, 1 << 20, 3<<20 + 1} {
		payload := randomBytes(size)
		go c.send(true, gobwas.OpBinary, payload, 1<<20)
		c.want(true, gobwas.OpBinary, payload)
	}
	for _, size := range []int{0, 1, 7, 126, 300} {
		c.send(true, gobwas.OpText, randomBytes(size), 1)
		c.want(true, gobwas.OpText, randomBytes(size))
	}
	c.send(false, gobwas.OpText, []byte("begin"), 100)
	c.send(true, gobwas.OpPing, []byte("are you there"), 2)
	c.send(true, gobwas.OpContinuation, []byte("end"), 100)
	c.want(false, gobwas.OpText, []byte("begin"))
	c.want(true, gobwas.OpPong, []byte("are you there"))
	c.want(true, gobwas.OpContinuation, []byte("end"))
}

// TestManyAtOnce: frames sent in one go come back in their order.
func TestManyAtOnce(t *testing.T) {
	c := dial(t, start(t, Options{}))
	var wire []byte
	for n := range 1000 {
		wire = append(wire, gobwas.MustCompileFrame(gobwas.MaskFrame(gobwas.NewBinaryFrame(randomBytes(n))))...)
	}
	go func() { _, _ = c.Write(wire) }()
	for n := range 1000 {
		c.want(true, gobwas.OpBinary, randomBytes(n))
	}
}

// TestACloseIsAnsweredByAClose, and then by the end of the connection.
func TestACloseIsAnsweredByAClose(t *testing.T) {
	for _, o := range []Options{{}, {Delay: time.Millisecond}} {
		c := dial(t, start(t, o))
		body := gobwas.NewCloseFrameBody(gobwas.StatusGoingAway, "")
		c.send(true, gobwas.OpClose, body, 100)
		c.want(true, gobwas.OpClose, body)
		if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
			t.Errorf("then came %d bytes, %v", len(rest), err)
		}
	}
}

// TestWhatIsNoUpgradeIsRefused, and frames that no client may send end the connection.
func TestWhatIsNoUpgradeIsRefused(t *testing.T) {
	s := start(t, Options{})
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	for part := range strings.SplitSeq("GET / HTTP/1.1\r\n|Host: x\r\n|\r\n", "|") {
		_, _ = io.WriteString(conn, part)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != http.StatusBadRequest {
		t.Errorf("answered %v, %v", answer, err)
	}
	for name, wire := range map[string][]byte{
		"unmasked": {0x82, 1, 'x'}, "long ping": {0x89, 0xfe, 0, 126}, "overflow": {0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		c := dial(t, s)
		_, _ = c.Write(append(wire, make([]byte, 16)...))
		if rest, _ := io.ReadAll(c); len(rest) > 0 {
			t.Errorf("%s: came back as %d bytes", name, len(rest))
		}
	}
}

// TestDocumentsAreServed: one after the other and pipelined, of sizes around every limit, and then comes an upgrade.
func TestDocumentsAreServed(t *testing.T) {
	for _, o := range []Options{{}, {Delay: time.Millisecond}} {
		conn, err := net.Dial("tcp", start(t, o).Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		reader := bufio.NewReader(conn)
		sizes := []int{1, 16, 17, 125, copiedBytes - 1, copiedBytes, copiedBytes + 1, 65536, 1 << 20, 3<<20 + 1}
		request := func(n int) string {
			target := page.AppendTarget(nil, sizes[n], page.NewNumber(uint64(n)))
			return "GET " + string(target) + " HTTP/1.1\r\nHost: x\r\n\r\n"
		}
		want := func(n int) {
			t.Helper()
			answer, err := http.ReadResponse(reader, nil)
			if err != nil || answer.StatusCode != http.StatusOK || answer.ContentLength != int64(sizes[n]) || answer.Close {
				t.Fatalf("%d bytes: %+v, %v", sizes[n], answer, err)
			}
			number := page.NewNumber(uint64(n))
			body, err := io.ReadAll(answer.Body)
			if err != nil || len(body) != sizes[n] || !page.Matches(&number, sizes[n], 0, body) {
				t.Errorf("%d bytes of %d are not the document: %v", len(body), sizes[n], err)
			}
		}
		all := ""
		for n := range sizes {
			_, _ = io.WriteString(conn, request(n))
			want(n)
			all += request(n)
		}
		go func() { _, _ = io.WriteString(conn, all) }()
		for n := range sizes {
			want(n)
		}
		upgraded, _, _, err := gobwas.Dialer{NetDial: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}.
			Dial(t.Context(), "ws://x/")
		if err != nil {
			t.Fatal(err)
		}
		c := &client{t, upgraded}
		c.send(true, gobwas.OpText, []byte("and now frames"), 3)
		c.want(true, gobwas.OpText, []byte("and now frames"))
	}
}

// TestWhatIsNoDocumentIsRefused: nothing but a GET without a body is answered.
func TestWhatIsNoDocumentIsRefused(t *testing.T) {
	s := start(t, Options{})
	const target, host = "/bytes/125?00000000000000ff", "Host: x\r\n"
	for _, request := range []string{
		"HEAD " + target + " HTTP/1.1\r\n" + host, "GET " + target + " HTTP/1.0\r\n" + host,
		"GET " + target + " HTTP/1.1\r\nContent-Length: 1\r\n" + host, "GET /bytes/125 HTTP/1.1\r\n" + host,
	} {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(conn, request+"\r\n")
		if answer, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: answered %v, %v", request, answer, err)
		}
	}
}

// TestTheScheduleOfASlowServer: what is due in a stall is due at its end, and nothing overtakes.
func TestTheScheduleOfASlowServer(t *testing.T) {
	const second = int64(time.Second)
	s := schedule{start: 50 * second, delay: 10 * time.Millisecond, stallEvery: 10 * time.Second, stallFor: time.Second}
	for _, c := range []struct{ now, due int64 }{
		{50 * second, 50*second + 10_000_000}, {58 * second, 58*second + 10_000_000},
		{59*second - 10_000_001, 59*second - 1}, {59*second - 10_000_000, 60 * second}, {59*second + second/2, 60 * second},
		{60*second - 10_000_001, 60 * second}, {60*second - 10_000_000, 60 * second}, {60 * second, 60*second + 10_000_000},
	} {
		if got := s.due(c.now); got != c.due {
			t.Errorf("what comes at %d ns is due at %d, want %d", c.now, got, c.due)
		}
	}
	last := int64(0)
	for now := 50 * second; now < 71*second; now += second / 100 {
		due := s.due(now)
		if due < last || due < now {
			t.Fatalf("what comes at %d is due at %d, after %d", now, due, last)
		}
		last = due
	}
}

// TestImpossibleOptions are errors.
func TestImpossibleOptions(t *testing.T) {
	taken := start(t, Options{}).Addr()
	for _, o := range []Options{{Delay: -1}, {StallFor: 1}, {StallFor: 5, StallEvery: 5}, {StallFor: -1, StallEvery: 5}, {Listen: taken}} {
		if s, err := Start(o); err == nil {
			_ = s.Close()
			t.Errorf("%+v was accepted", o)
		}
	}
}
