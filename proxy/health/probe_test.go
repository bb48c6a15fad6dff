package health

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"culvert/proxy/ws"

	gobwas "github.com/gobwas/ws"
)

// testEntropy is no entropy at all.
var testEntropy = func() (e Entropy) {
	for i := range e {
		e[i] = byte(i + 1)
	}
	return e
}()

func probing(t testing.TB, change func(*Settings)) (*Probe, string) {
	t.Helper()
	s := DefaultSettings()
	if change != nil {
		change(&s)
	}
	must(t, s.Validate())
	p := new(Probe)
	p.Init(&s, "10.0.0.1:8080", testEntropy)
	out, _ := p.Connected(nil)
	return p, string(out)
}

func TestTheRequestOfAnHTTPCheck(t *testing.T) {
	const rest = "User-Agent: culvert-health-check\r\nAccept: */*\r\nConnection: close\r\n\r\n"
	if _, out := probing(t, nil); out != "HEAD / HTTP/1.1\r\nHost: 10.0.0.1:8080\r\n"+rest {
		t.Errorf("it sends %q", out)
	}
	_, out := probing(t, func(s *Settings) { s.Method, s.Path, s.Host = "GET", "/alive?x=1", "a.example" })
	if out != "GET /alive?x=1 HTTP/1.1\r\nHost: a.example\r\n"+rest {
		t.Errorf("it sends %q", out)
	}
}

func TestATCPCheckIsGoodOnceConnected(t *testing.T) {
	s := DefaultSettings()
	s.Kind = TCP
	var p Probe
	p.Init(&s, "10.0.0.1:80", testEntropy)
	if out, verdict := p.Connected(nil); len(out) != 0 || verdict != Good || p.Reason() != "" {
		t.Errorf("%q, %s, %s", out, verdict, p.Reason())
	}
}

// answers gives a probe an answer in pieces of every size, and then the end.
func answers(t *testing.T, change func(*Settings), answer string, verdict Verdict, status int, reason string) {
	t.Helper()
	for _, size := range []int{1, 2, 7, len(answer) + 1} {
		p, _ := probing(t, change)
		got := Pending
		for rest := []byte(answer); len(rest) > 0 && got == Pending; {
			n := min(size, len(rest))
			_, got = p.Receive(rest[:n], nil)
			rest = rest[n:]
		}
		if got == Pending {
			got = p.Ended()
		}
		if got != verdict || p.Status() != status || p.Reason() != reason || p.Ended() != verdict {
			t.Errorf("%.60q in pieces of %d: %s, %d, %q; want %s, %d, %q", answer, size, got, p.Status(), p.Reason(), verdict, status, reason)
		}
	}
}

func TestTheStatusDecides(t *testing.T) {
	for _, status := range []int{200, 204, 299, 301, 399, 400, 404, 499, 500, 503, 599} {
		for good := Class2xx; good <= allClasses; good++ {
			verdict, reason := Bad, ReasonStatus
			if good&(1<<(status/100-2)) != 0 {
				verdict, reason = Good, ""
			}
			answer := fmt.Sprintf("HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n", status)
			answers(t, func(s *Settings) { s.Good = good }, answer, verdict, status, reason)
		}
	}
}

func TestAnswersToAnHTTPCheck(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
	interim := "HTTP/1.1 103 Early Hints\r\n\r\n"
	for _, c := range []struct {
		answer  string
		verdict Verdict
		status  int
		reason  string
	}{
		{ok, Good, 200, ""},
		{ok + "and a body that nobody reads", Good, 200, ""},
		{"HTTP/1.0 200 OK\r\n\r\n", Good, 200, ""},
		{interim + "HTTP/1.1 100 Continue\r\n\r\n" + ok, Good, 200, ""},
		{strings.Repeat(interim, maxInterim) + ok, Good, 200, ""},
		{strings.Repeat(interim, maxInterim+1) + ok, Bad, 103, ReasonMalformed},
		{"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", Bad, 101, ReasonStatus},
		{"", Bad, 0, ReasonClosed},
		{"HTTP/1.1 200 OK\r\nContent-", Bad, 0, ReasonClosed},
		{interim, Bad, 103, ReasonClosed},
		{"SSH-2.0-OpenSSH_9.2p1\r\n", Bad, 0, ReasonMalformed},
		{"HTTP/2 200\r\n\r\n", Bad, 0, ReasonMalformed},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Bad, 0, ReasonMalformed},
		{"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", MaxAnswerHead), Bad, 0, ReasonMalformed},
		{strings.Repeat("x", 1<<20), Bad, 0, ReasonMalformed},
	} {
		answers(t, nil, c.answer, c.verdict, c.status, c.reason)
	}
}

// dialogue is a WebSocket check and a backend that writes what the test says.
type dialogue struct {
	t    testing.TB
	p    *Probe
	size int // of the pieces in which the backend's bytes come
	sent []byte
	said Verdict
}

func openDialogue(t testing.TB, size int) *dialogue {
	t.Helper()
	p, out := probing(t, func(s *Settings) { s.Kind, s.Path = WebSocket, "/chat" })
	key := ws.NewKey([16]byte(testEntropy[:16]))
	want := "GET /chat HTTP/1.1\r\nHost: 10.0.0.1:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: " + string(key[:]) + "\r\nUser-Agent: culvert-health-check\r\n\r\n"
	if out != want {
		t.Fatalf("it asks by %q", out)
	}
	return &dialogue{t: t, p: p, size: size}
}

func (d *dialogue) backend(b ...byte) *dialogue {
	d.t.Helper()
	for len(b) > 0 {
		n := min(d.size, len(b))
		d.sent, d.said = d.p.Receive(b[:n], d.sent)
		b = b[n:]
	}
	return d
}

// wantSent looks at the frames that the check has sent since it was last asked.
func (d *dialogue) wantSent(frames ...[]byte) *dialogue {
	d.t.Helper()
	if want := bytes.Join(frames, nil); !bytes.Equal(d.sent, want) {
		d.t.Errorf("it sends % x, want % x", d.sent, want)
	}
	d.sent = nil
	return d
}

func (d *dialogue) want(v Verdict, reason string) *dialogue {
	d.t.Helper()
	if d.said != v || d.p.Reason() != reason {
		d.t.Errorf("it says %s %q, want %s %q", d.said, d.p.Reason(), v, reason)
	}
	return d
}

func switching() []byte {
	accept := ws.AcceptKey(ws.NewKey([16]byte(testEntropy[:16])))
	return []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + string(accept[:]) + "\r\n\r\n")
}

func serverFrame(opcode gobwas.OpCode, payload string) []byte {
	return gobwas.MustCompileFrame(gobwas.NewFrame(opcode, true, []byte(payload)))
}

func clientFrame(opcode gobwas.OpCode, mask int, payload string) []byte {
	f := gobwas.NewFrame(opcode, true, []byte(payload))
	return gobwas.MustCompileFrame(gobwas.MaskFrameWith(f, [4]byte(testEntropy[24+4*mask:])))
}

var (
	ourPayload = string(testEntropy[16:24])
	ourPing    = clientFrame(gobwas.OpPing, 0, ourPayload)
	ourClose   = clientFrame(gobwas.OpClose, 1, "\x03\xe8")
	theirPong  = serverFrame(gobwas.OpPong, ourPayload)
	theirClose = serverFrame(gobwas.OpClose, "\x03\xe8")
)

func TestAWebSocketCheck(t *testing.T) {
	for _, size := range []int{1, 3, 1 << 20} {
		d := openDialogue(t, size)
		d.backend(switching()...).want(Pending, "").wantSent(ourPing)
		d.backend(theirPong...).want(Pending, "").wantSent(ourClose)
		d.backend(theirClose...).want(Good, "").wantSent()

		d = openDialogue(t, size) // all at once
		d.backend(bytes.Join([][]byte{switching(), theirPong, theirClose}, nil)...).want(Good, "").wantSent(ourPing, ourClose)
	}
}

func TestWhatABackendMaySayInBetween(t *testing.T) {
	for _, size := range []int{1, 5, 1 << 20} {
		d := openDialogue(t, size).backend(switching()...).wantSent(ourPing)
		d.backend(serverFrame(gobwas.OpText, "welcome")...).wantSent().want(Pending, "")
		d.backend(serverFrame(gobwas.OpBinary, strings.Repeat("x", 300))...).wantSent().want(Pending, "")
		d.backend(serverFrame(gobwas.OpPong, "unasked")...).wantSent().want(Pending, "")
		d.backend(serverFrame(gobwas.OpPing, "you?")...).wantSent(clientFrame(gobwas.OpPong, 2, "you?")).want(Pending, "")
		d.backend(serverFrame(gobwas.OpPing, "again")...).wantSent().want(Pending, "") // RFC 6455 5.5.3
		d.backend(0x82, 127, 0, 0, 0, 0, 0, 0, 0x40, 0).backend(make([]byte, 0x4000)...).wantSent().want(Bad, ReasonFrame)

		d = openDialogue(t, size).backend(switching()...).wantSent(ourPing)
		d.backend(theirPong...).wantSent(ourClose)
		d.backend(serverFrame(gobwas.OpText, "one more thing")...).want(Pending, "")
		d.backend(theirPong...).wantSent().want(Pending, "")
		d.backend(theirClose...).want(Good, "")
	}
}

func TestWhatAWebSocketCheckFinds(t *testing.T) {
	wrongAccept := bytes.Replace(switching(), []byte("Accept: "), []byte("Accept: x"), 1)
	for name, c := range map[string]struct {
		bytes  []byte
		ended  bool
		reason string
	}{
		"200":                       {[]byte("HTTP/1.1 200 OK\r\n\r\n"), false, ReasonStatus},
		"400":                       {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), false, ReasonStatus},
		"a wrong accept":            {wrongAccept, false, ReasonHandshake},
		"a subprotocol":             {bytes.Replace(switching(), []byte("\r\n\r\n"), []byte("\r\nSec-WebSocket-Protocol: x\r\n\r\n"), 1), false, ReasonHandshake},
		"101 of HTTP/1.0":           {bytes.Replace(switching(), []byte("1.1"), []byte("1.0"), 1), false, ReasonHandshake},
		"closed before the 101":     {nil, true, ReasonClosed},
		"closed before the pong":    {switching(), true, ReasonNoPong},
		"a close frame for a pong":  {append(switching(), theirClose...), false, ReasonNoPong},
		"closed for a close frame":  {append(switching(), theirPong...), true, ReasonNoClose},
		"a masked frame":            {append(switching(), ourPing...), false, ReasonFrame},
		"a reserved opcode":         {append(switching(), 0x83, 0), false, ReasonFrame},
		"a fragmented pong":         {append(switching(), 0x0a, 0), false, ReasonFrame},
		"endless talk":              {append(switching(), bytes.Repeat(serverFrame(gobwas.OpText, "x"), maxFrames/3+1)...), false, ReasonTalkative},
		"an endless message":        {append(switching(), append([]byte{0x82, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255}, make([]byte, maxFrames)...)...), false, ReasonTalkative},
		"bytes that are no head":    {[]byte("220 mail.example ESMTP\r\n"), false, ReasonMalformed},
		"a violation after a close": {append(append(switching(), theirClose...), 0x83, 0), false, ReasonNoPong},
	} {
		for _, size := range []int{1, 1 << 20} {
			d := openDialogue(t, size).backend(c.bytes...)
			if c.ended {
				d.want(Pending, "")
				d.said = d.p.Ended()
			}
			d.want(Bad, c.reason)
			if t.Failed() {
				t.Fatalf("%s in pieces of %d", name, size)
			}
		}
	}
}

// FuzzProbe: what a check says and sends does not depend on how the answer was cut; it ends, and its memory is bounded.
func FuzzProbe(f *testing.F) {
	f.Add(true, uint8(3), bytes.Join([][]byte{switching(), serverFrame(gobwas.OpPing, "x"), theirPong, theirClose}, nil))
	f.Add(true, uint8(0), append(switching(), 0x82, 126, 1, 0, 0))
	f.Add(false, uint8(1), []byte("HTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n"))
	f.Add(false, uint8(9), []byte("HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nhello"))
	f.Fuzz(func(t *testing.T, upgrade bool, cut uint8, answer []byte) {
		run := func(size int) (string, Verdict, int, string) {
			p, _ := probing(t, func(s *Settings) {
				if upgrade {
					s.Kind = WebSocket
				}
			})
			var sent []byte
			verdict := Pending
			for rest := answer; len(rest) > 0; {
				n := min(size, len(rest))
				sent, verdict = p.Receive(rest[:n:n], sent)
				rest = rest[n:]
				if len(p.received) > max(MaxAnswerHead, maxFrames)+n {
					t.Fatalf("%d bytes are kept", len(p.received))
				}
			}
			if verdict == Pending {
				verdict = p.Ended()
			}
			if verdict == Pending || (verdict == Good) != (p.Reason() == "") {
				t.Fatalf("%s, %q", verdict, p.Reason())
			}
			return string(sent), verdict, p.Status(), p.Reason()
		}
		sent, verdict, status, reason := run(len(answer) + 1)
		sent2, verdict2, status2, reason2 := run(int(cut) + 1)
		if sent != sent2 || verdict != verdict2 || status != status2 || reason != reason2 {
			t.Errorf("whole: %x %s %d %q; in pieces of %d: %x %s %d %q", sent, verdict, status, reason, int(cut)+1, sent2, verdict2, status2, reason2)
		}
	})
}
