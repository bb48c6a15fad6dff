package ws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	gobwas "github.com/gobwas/ws"
)

// outcome is all that a scanner says about a stream, however the stream was cut.
type outcome struct {
	forwarded    int // bytes passed on; a violation stands here
	dropped      int
	held         int // at the end of the stream
	counts       Counts
	closed       bool
	closeCode    gobwas.StatusCode
	closeInvalid bool
	tolerated    Violation
	violation    Violation
}

// walk plays the relay: it cuts the stream into reads of the sizes that next gives, presents held bytes again, obeys
// every verdict and checks what must hold of each. Each read has a buffer of its own, which is poisoned afterwards.
// boundaries collects the stream positions that were called boundaries. between runs after each Scan.
func walk(t testing.TB, options Options, stream []byte, next func() int, between func(*Scanner)) (outcome, []int) {
	t.Helper()
	var scanner Scanner
	scanner.Init(options)
	var total outcome
	var forwarded, held []byte
	var boundaries []int
	for rest := stream; len(rest) > 0; {
		size := min(max(next(), 1), len(rest))
		buffer := append(append([]byte{}, held...), rest[:size]...)
		rest = rest[size:]
		result := scanner.Scan(buffer)
		checkResult(t, options, buffer, result)
		if result.Boundary >= 0 {
			boundaries = append(boundaries, total.forwarded+result.Boundary)
		}
		forwarded = append(forwarded, buffer[:result.Forward]...)
		total.forwarded += result.Forward
		total.dropped += result.Drop
		held = append([]byte{}, buffer[len(buffer)-result.Hold:]...)
		for i := range buffer {
			buffer[i] = 0xA5
		}
		skip := int(min(result.Skip, int64(len(rest))))
		forwarded = append(forwarded, rest[:skip]...)
		total.forwarded += skip
		rest = rest[skip:]
		total.violation = result.Violation
		if between != nil {
			between(&scanner)
		}
	}
	if !bytes.Equal(forwarded, stream[:total.forwarded]) {
		t.Fatal("the bytes passed on are not those that came")
	}
	total.held = len(held)
	total.counts, total.tolerated = scanner.Counts(), scanner.Tolerated()
	total.closed, total.closeCode, total.closeInvalid = scanner.Closed(), scanner.CloseCode(), scanner.CloseInvalid()
	return total, boundaries
}

// checkResult checks what holds of every single answer.
func checkResult(t testing.TB, options Options, p []byte, result Result) {
	t.Helper()
	switch {
	case result.Forward < 0 || result.Drop < 0 || result.Hold < 0 || result.Forward+result.Drop+result.Hold != len(p):
		t.Fatalf("forward, drop and hold do not add up to %d: %+v", len(p), result)
	case result.Hold > MaxHold || result.Hold > 0 && result.Drop > 0:
		t.Fatalf("held more than an incomplete header: %+v", result)
	case result.Boundary < -1 || result.Boundary > result.Forward:
		t.Fatalf("boundary outside of what is passed on: %+v", result)
	case (result.Hold > 0 || result.Drop > 0) && result.Boundary != result.Forward:
		t.Fatalf("a header is held or dropped, but not at a boundary: %+v", result)
	case result.Skip != 0 && (options.SkipThreshold == 0 || result.Skip < int64(options.SkipThreshold) || result.Hold+result.Drop > 0):
		t.Fatalf("skip below its threshold %d: %+v", options.SkipThreshold, result)
	case result.SkipEndsAtBoundary != (result.Skip > 0):
		t.Fatalf("a skip that does not end at a boundary: %+v", result)
	}
}

// whole, bytewise and randomly are ways to cut a stream.
func whole() int    { return 1 << 62 }
func bytewise() int { return 1 }
func randomly(seed uint64) func() int {
	random := rand.New(rand.NewPCG(seed, 0))
	return func() int { return 1 + random.IntN(1<<random.IntN(12)) }
}

// atOnce feeds the stream whole, byte by byte, and, if it is short, in two reads cut at every place, expects the same
// outcome of all, and returns it.
func atOnce(t testing.TB, options Options, stream []byte) outcome {
	t.Helper()
	want, _ := walk(t, options, stream, whole, nil)
	expect := func(how string, got outcome) {
		t.Helper()
		if got != want {
			t.Fatalf("%s:\n got %+v\nwant %+v as in one piece", how, got, want)
		}
	}
	got, _ := walk(t, options, stream, bytewise, nil)
	expect("byte by byte", got)
	for cut := 1; cut < min(len(stream), 300); cut++ {
		sizes := []int{cut, len(stream)}
		got, _ := walk(t, options, stream, func() int { size := sizes[0]; sizes = sizes[1:]; return size }, nil)
		expect(fmt.Sprintf("cut after %d bytes", cut), got)
	}
	return want
}

// reference is the simple model: it reads the stream frame by frame with gobwas/ws, strictly, and returns what a
// strict scanner must find, with every boundary. wrong says that the frame at outcome.forwarded breaks a rule; which
// one is not said.
func reference(options Options, stream []byte) (want outcome, boundaries []int, wrong bool) {
	state := gobwas.StateServerSide
	if options.Sender == Server {
		state = gobwas.StateClientSide
	}
	for {
		boundaries = append(boundaries, want.forwarded)
		rest := stream[want.forwarded:]
		if want.closed {
			want.dropped = len(rest)
			return want, boundaries, false
		}
		reader := bytes.NewReader(rest)
		header, err := gobwas.ReadHeader(reader)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			want.held = len(rest)
			return want, boundaries, false
		}
		size := len(rest) - reader.Len()
		message := header.OpCode == gobwas.OpText || header.OpCode == gobwas.OpBinary
		judged := header
		if options.Extension == Deflate && message && header.Rsv1() {
			judged.Rsv &^= gobwas.Rsv(true, false, false)
		}
		if err != nil || gobwas.CheckHeader(judged, state) != nil || gobwas.HeaderSize(header) != size {
			want.dropped = len(rest)
			return want, boundaries, true
		}
		payload := rest[size:]
		complete := int64(len(payload)) >= header.Length
		if complete {
			payload = payload[:header.Length]
		}
		want.forwarded += size + len(payload)
		want.note(header, payload)
		if header.OpCode.IsData() {
			state = state.Set(gobwas.StateFragmented)
			if header.Fin {
				state = state.Clear(gobwas.StateFragmented)
			}
		}
		if !complete {
			return want, boundaries, false
		}
		want.closed = header.OpCode == gobwas.OpClose
	}
}

// note counts a frame and reads the status code of a close frame.
func (o *outcome) note(header gobwas.Header, payload []byte) {
	o.counts.Frames++
	switch header.OpCode {
	case gobwas.OpText:
		o.counts.Text++
	case gobwas.OpBinary:
		o.counts.Binary++
	case gobwas.OpPing:
		o.counts.Ping++
	case gobwas.OpPong:
		o.counts.Pong++
	case gobwas.OpClose:
		o.counts.Close++
		switch {
		case header.Length < 2:
			o.closeCode, o.closeInvalid = 1005, header.Length == 1
		case len(payload) >= 2:
			plain := bytes.Clone(payload)
			gobwas.Cipher(plain, header.Mask, 0)
			o.closeCode, _ = gobwas.ParseCloseFrameData(plain)
			c := o.closeCode
			o.closeInvalid = c < 1000 || c >= 1004 && c <= 1006 || c >= 1015 && c <= 2999 || c >= 5000
		}
	}
}

// frame builds a frame with gobwas/ws as the sender's role writes it.
func frame(sender Role, opcode gobwas.OpCode, fin bool, payload []byte) []byte {
	f := gobwas.NewFrame(opcode, fin, bytes.Clone(payload))
	if sender == Client {
		f = gobwas.MaskFrameInPlaceWith(f, [4]byte{0x11, 0x22, 0x33, 0x44})
	}
	return gobwas.MustCompileFrame(f)
}

// join concatenates streams.
func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
