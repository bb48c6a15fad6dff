package ws

import (
	"bytes"
	"fmt"
	"testing"
	"unsafe"

	gobwas "github.com/gobwas/ws"
)

var (
	strictClient = Options{Sender: Client, Strict: true}
	strictServer = Options{Sender: Server, Strict: true}
)

func TestScannerIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Scanner{}); size != 56 {
		t.Errorf("a scanner has %d bytes, its comment says 56", size)
	}
}

// Every legal pair of first bytes, and every illegal one, against a table of the rules in the words of RFC 6455; and
// each verdict must fall with the byte that decides it.
func TestEveryFirstAndSecondByte(t *testing.T) {
	for _, sender := range []Role{Client, Server} {
		for _, extension := range []Extension{NoExtension, Deflate, OtherExtension} {
			for _, fragmented := range []bool{false, true} {
				for pair := range 1 << 16 {
					first, second := byte(pair>>8), byte(pair)
					var scanner Scanner
					scanner.Init(Options{Sender: sender, Extension: extension, Strict: true})
					if fragmented {
						scanner.Scan(frame(sender, gobwas.OpText, false, nil))
					}
					wantFirst := firstByteRule(first, extension, fragmented)
					wantSecond := wantFirst
					if wantSecond == NoViolation {
						wantSecond = secondByteRule(first, second, sender)
					}
					probe := scanner
					if got := probe.Scan([]byte{first}).Violation; got != wantFirst {
						t.Fatalf("%v %v fragmented=%v %02x: %v, want %v", sender, extension, fragmented, first, got, wantFirst)
					}
					if got := scanner.Scan([]byte{first, second}).Violation; got != wantSecond {
						t.Fatalf("%v %v fragmented=%v %02x %02x: %v, want %v", sender, extension, fragmented, first, second, got, wantSecond)
					}
				}
			}
		}
	}
}

func firstByteRule(first byte, extension Extension, fragmented bool) Violation {
	fin, rsv1, rsv23, opcode := first&0x80 != 0, first&0x40 != 0, first&0x30 != 0, first&0x0f
	if extension != OtherExtension {
		if rsv23 || rsv1 && extension == NoExtension || rsv1 && opcode != 1 && opcode != 2 {
			return ReservedBit
		}
		if opcode >= 3 && opcode <= 7 || opcode >= 11 {
			return ReservedOpcode
		}
	}
	switch {
	case opcode >= 8 && !fin:
		return FragmentedControl
	case opcode == 0 && !fragmented:
		return StrayContinuation
	case opcode > 0 && opcode < 8 && fragmented:
		return InterruptedMessage
	}
	return NoViolation
}

func secondByteRule(first, second byte, sender Role) Violation {
	switch masked := second >= 0x80; {
	case sender == Client && !masked:
		return UnmaskedClientFrame
	case sender == Server && masked:
		return MaskedServerFrame
	case first&0x08 != 0 && second&0x7f > 125:
		return LongControl
	}
	return NoViolation
}

// A length is judged with the byte that decides it: the picture is the bytes in hex, without masking key.
func TestLengthsAreJudgedEarly(t *testing.T) {
	for _, test := range []struct {
		header string
		want   Violation
	}{
		{"82 7e 00", NoViolation},
		{"82 7e 00 7d", NonMinimalLength},
		{"82 7e 00 7e", NoViolation},
		{"82 7e 01 00", NoViolation},
		{"82 7f 80", LengthOverflow},
		{"82 7f ff", LengthOverflow},
		{"82 7f 7f ff ff ff ff ff ff ff", NoViolation},
		{"82 7f 00 00 00 00 00", NoViolation},
		{"82 7f 00 00 00 00 00 00", NonMinimalLength},
		{"82 7f 00 00 00 00 00 01", NoViolation},
		{"82 7f 00 00 00 00 00 01 00 00", NoViolation},
		{"82 7f 40", NoViolation},
	} {
		header := unhex(t, test.header)
		var scanner Scanner
		scanner.Init(strictServer)
		if result := scanner.Scan(header[:len(header)-1]); result.Violation != NoViolation || result.Hold != len(header)-1 {
			t.Errorf("%s: judged before its last byte: %+v", test.header, result)
		}
		if result := scanner.Scan(header); result.Violation != test.want {
			t.Errorf("%s: %v, want %v", test.header, result.Violation, test.want)
		}
	}
}

func unhex(t testing.TB, picture string) (b []byte) {
	t.Helper()
	if _, err := fmt.Sscanf(string(bytes.ReplaceAll([]byte(picture), []byte(" "), nil)), "%x", &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBoundaryIsTheLastOne(t *testing.T) {
	small, large := frame(Client, gobwas.OpText, true, []byte("hello")), frame(Client, gobwas.OpBinary, true, make([]byte, 70000))
	var scanner Scanner
	scanner.Init(strictClient)
	for _, step := range []struct {
		what string
		p    []byte
		want Result
	}{
		{"nothing at a boundary", nil, Result{}},
		{"two frames", join(small, small), Result{Forward: 22, Boundary: 22}},
		{"a frame and the beginning of the next header", join(small, small[:3]), Result{Forward: 11, Boundary: 11, Hold: 3}},
		{"its rest and half a payload", small[:8], Result{Forward: 8, Boundary: 0}},
		{"nothing within a payload", nil, Result{Boundary: -1}},
		{"one byte of payload", small[8:9], Result{Forward: 1, Boundary: -1}},
		{"the last of it", small[9:], Result{Forward: 2, Boundary: 2}},
		{"a long header alone", large[:14], Result{Forward: 14, Boundary: 0}},
		{"some payload", large[14:1000], Result{Forward: 986, Boundary: -1}},
		{"the rest, a frame, a header", join(large[1000:], small, large[:13]), Result{Forward: 69025, Boundary: 69025, Hold: 13}},
	} {
		if got := scanner.Scan(step.p); got != step.want {
			t.Fatalf("%s: %+v, want %+v", step.what, got, step.want)
		}
	}
}

func TestSkip(t *testing.T) {
	stream := join(frame(Server, gobwas.OpBinary, true, make([]byte, 100)), frame(Server, gobwas.OpBinary, true, make([]byte, 70000)))
	head := 102 + 10
	for _, test := range []struct {
		what      string
		threshold uint32
		read      int
		want      Result
	}{
		{"never", 0, head, Result{Forward: head, Boundary: 102}},
		{"the whole payload to come", 65536, head, Result{Forward: head, Boundary: 102, Skip: 70000, SkipEndsAtBoundary: true}},
		{"exactly the threshold to come", 65536, head + 4464, Result{Forward: head + 4464, Boundary: 102, Skip: 65536, SkipEndsAtBoundary: true}},
		{"one byte less to come", 65536, head + 4465, Result{Forward: head + 4465, Boundary: 102}},
		{"an incomplete header", 65536, head - 1, Result{Forward: 102, Boundary: 102, Hold: 9}},
		{"a low threshold", 1, 101, Result{Forward: 101, Boundary: 0, Skip: 1, SkipEndsAtBoundary: true}},
	} {
		var scanner Scanner
		scanner.Init(Options{Sender: Server, Strict: true, SkipThreshold: test.threshold})
		if got := scanner.Scan(stream[:test.read]); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.what, got, test.want)
		}
		if scanner.AtBoundary() != (test.want.Hold > 0 || test.want.Skip > 0) {
			t.Errorf("%s: AtBoundary is %v", test.what, scanner.AtBoundary())
		}
	}
}

// The payload of a close frame is looked at, however low the threshold.
func TestCloseIsNeverSkipped(t *testing.T) {
	closing := frame(Client, gobwas.OpClose, true, gobwas.NewCloseFrameBody(1001, "going away"))
	var scanner Scanner
	scanner.Init(Options{Sender: Client, SkipThreshold: 1, Strict: true})
	if result := scanner.Scan(closing[:6]); result.Skip != 0 {
		t.Fatalf("skipped: %+v", result)
	}
	scanner.Scan(closing[6:])
	if !scanner.Closed() || scanner.CloseCode() != 1001 {
		t.Errorf("closed %v with code %d", scanner.Closed(), scanner.CloseCode())
	}
}

// A violation ends the stream for good, and the boundary before it is where a close frame of ours may go.
func TestViolationIsFinal(t *testing.T) {
	good := frame(Client, gobwas.OpText, true, []byte("x"))
	var scanner Scanner
	scanner.Init(strictClient)
	result := scanner.Scan(join(good, []byte{0x83}))
	if want := (Result{Forward: 7, Boundary: 7, Drop: 1, Violation: ReservedOpcode}); result != want {
		t.Fatalf("%+v, want %+v", result, want)
	}
	if result, want := scanner.Scan(good), (Result{Drop: 7, Violation: ReservedOpcode}); result != want {
		t.Fatalf("afterwards %+v, want %+v", result, want)
	}
}

// A lenient scanner keeps its place through every broken rule that leaves the frame's end known, and notes the first.
func TestLenientGoesOn(t *testing.T) {
	good := frame(Client, gobwas.OpText, true, []byte("good"))
	for _, test := range []struct {
		header string
		want   Violation
	}{
		{"82 00", UnmaskedClientFrame},
		{"c2 80 01 02 03 04", ReservedBit},
		{"83 80 01 02 03 04", ReservedOpcode},
		{"8b 80 01 02 03 04", ReservedOpcode},
		{"09 80 01 02 03 04", FragmentedControl},
		{"8a fe 00 7e 01 02 03 04" + fmt.Sprintf("%0252d", 0), LongControl},
		{"80 80 01 02 03 04", StrayContinuation},
		{"01 80 01 02 03 04 82 80 01 02 03 04", InterruptedMessage},
		{"82 fe 00 00 01 02 03 04", NonMinimalLength},
		{"82 ff 00 00 00 00 00 00 00 00 01 02 03 04", NonMinimalLength},
	} {
		stream := join(unhex(t, test.header), good, []byte{0x84, 0x00}, good)
		got := atOnce(t, Options{Sender: Client}, stream)
		if got.tolerated != test.want || got.violation != NoViolation || got.forwarded != len(stream) || got.counts.Text < 2 {
			t.Errorf("%s: %+v", test.header, got)
		}
		if got := atOnce(t, strictClient, stream); got.violation != test.want || got.tolerated != NoViolation {
			t.Errorf("%s: strict %+v", test.header, got)
		}
	}
	if got := atOnce(t, Options{Sender: Client}, join(good, unhex(t, "c3 7f 80 00"), good)); got.violation != LengthOverflow || got.forwarded != len(good) {
		t.Errorf("a length that cannot be: %+v", got)
	}
}

// Control frames may come between the fragments of a message, and change nothing about it (RFC 6455 section 5.4).
func TestControlFramesBetweenFragments(t *testing.T) {
	stream := join(
		frame(Server, gobwas.OpBinary, false, []byte("one")),
		frame(Server, gobwas.OpPing, true, nil),
		frame(Server, gobwas.OpContinuation, false, nil),
		frame(Server, gobwas.OpPong, true, []byte("x")),
		frame(Server, gobwas.OpContinuation, true, []byte("two")),
		frame(Server, gobwas.OpText, true, []byte("next")),
	)
	got := atOnce(t, strictServer, stream)
	want := outcome{forwarded: len(stream), counts: Counts{Frames: 6, Text: 1, Binary: 1, Ping: 1, Pong: 1}}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// RSV1 marks a compressed message on its first frame only (RFC 7692 section 6.1).
func TestDeflate(t *testing.T) {
	options := Options{Sender: Server, Extension: Deflate, Strict: true}
	compressed := unhex(t, "41 01 aa 80 01 bb c2 02 cc dd 81 00")
	if got := atOnce(t, options, compressed); got.violation != NoViolation || got.counts.Text != 2 || got.counts.Binary != 1 {
		t.Errorf("compressed messages: %+v", got)
	}
	for _, wrong := range []string{"41 00 c0 00", "c9 00", "a2 00", "92 00", "e1 00"} {
		if got := atOnce(t, options, unhex(t, wrong)); got.violation != ReservedBit {
			t.Errorf("%s: %v", wrong, got.violation)
		}
	}
}

// The tokens and statuses reach the log, the metrics and the client: each has one, and none is shared.
func TestTokens(t *testing.T) {
	seen := map[string]bool{}
	once := func(token string) {
		t.Helper()
		if token == "" || token == "unknown" || seen[token] {
			t.Errorf("the token %q", token)
		}
		seen[token] = true
	}
	for v := UnmaskedClientFrame; v < violations; v++ {
		once(v.String())
	}
	for r := MethodNotGet; r < reasons; r++ {
		once(r.String())
		want := 502
		switch {
		case r == VersionUnsupported:
			want = 426
		case r <= KeyMalformed:
			want = 400
		}
		if r.Status() != want {
			t.Errorf("%v is answered with %d, want %d", r, r.Status(), want)
		}
	}
	for _, token := range []string{Client.String(), Server.String(), Ordinary.String(), Upgrade.String(), Refuse.String()} {
		once(token)
	}
	if NoViolation.String() != "none" || NoReason.String() != "none" || NoReason.Status() != 0 {
		t.Errorf("nothing wrong is called %v, %v, %d", NoViolation, NoReason, NoReason.Status())
	}
	if violations.String() != "unknown" || reasons.String() != "unknown" {
		t.Errorf("what does not exist is called %v, %v", violations, reasons)
	}
}

// Messages counts data, not control frames, and a fragmented message once.
func TestMessages(t *testing.T) {
	var scanner Scanner
	scanner.Init(strictServer)
	scanner.Scan(unhex(t, "01 01 61 89 00 80 01 62 82 00"))
	if got := scanner.Messages(); got != 2 {
		t.Errorf("%d messages, want 2", got)
	}
}
