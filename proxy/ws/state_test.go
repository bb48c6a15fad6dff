package ws

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"testing"

	gobwas "github.com/gobwas/ws"
)

// randomStream builds a stream of frames as gobwas/ws writes them, most of it legal; the caller may corrupt it.
func randomStream(random *rand.Rand, options Options) []byte {
	var stream []byte
	fragmented := false
	for range 1 + random.IntN(30) {
		length := [...]int{0, 1, 5, 125, 126, 300, 65535, 65536, 70000}[random.IntN(9-3*min(1, random.IntN(4)))]
		opcode, fin := gobwas.OpBinary, random.IntN(4) > 0
		switch kind := random.IntN(40); {
		case kind == 0:
			opcode, fin, length = gobwas.OpClose, true, min(length, 125)
		case kind < 10:
			opcode, fin, length = gobwas.OpPing+gobwas.OpCode(kind&1), true, min(length, 125)
		case fragmented:
			opcode, fragmented = gobwas.OpContinuation, !fin
		case kind < 25:
			opcode, fragmented = gobwas.OpText, !fin
		default:
			fragmented = !fin
		}
		payload := make([]byte, length)
		for i := range min(length, 300) {
			payload[i] = byte(random.Uint32())
		}
		f := frame(options.Sender, opcode, fin, payload)
		if options.Extension == Deflate && (opcode == gobwas.OpText || opcode == gobwas.OpBinary) && random.IntN(2) == 0 {
			f[0] |= 0x40
		}
		stream = append(stream, f...)
	}
	return stream
}

// randomOptions draws options; strict decides which.
func randomOptions(random *rand.Rand, strict bool) Options {
	return Options{
		Sender: Role(random.IntN(2)), Extension: Extension(random.IntN(2)), Strict: strict,
		SkipThreshold: [...]uint32{0, 1, 4096, 65536}[random.IntN(4)],
	}
}

// Streams that gobwas/ws writes, a third of them corrupted, must fare as its reader finds: same frames, same codes,
// same place of the first violation, and every boundary a true one; and no less so if the scanner is exported,
// destroyed and imported after every Scan.
func TestRandomStreamsAgainstTheReference(t *testing.T) {
	for seed := range uint64(400) {
		random := rand.New(rand.NewPCG(seed, 1))
		options := randomOptions(random, true)
		stream := randomStream(random, options)
		if seed%3 == 0 {
			stream[random.IntN(min(len(stream), 2000))] ^= 1 << random.IntN(8)
		}
		if seed%5 == 0 {
			stream = stream[:random.IntN(len(stream))]
		}
		compareWithReference(t, options, stream, randomly(seed), nil)
		compareWithReference(t, options, stream, randomly(seed), func(scanner *Scanner) { move(t, scanner) })
	}
}

// move exports the scanner among other bytes, destroys it and imports it.
func move(t testing.TB, scanner *Scanner) {
	t.Helper()
	before := *scanner
	state := append(scanner.AppendState([]byte("before")), "behind"...)
	*scanner = Scanner{remaining: -1, flags: 0xff, frames: 77}
	rest, err := scanner.RestoreState(state[len("before"):])
	if err != nil || string(rest) != "behind" || *scanner != before {
		t.Fatalf("moved %+v\n  to %+v, rest %q, %v", before, *scanner, rest, err)
	}
}

// compareWithReference walks the stream and expects what the reference model finds.
func compareWithReference(t testing.TB, options Options, stream []byte, next func() int, between func(*Scanner)) {
	t.Helper()
	want, trueBoundaries, wrong := reference(options, stream)
	got, boundaries := walk(t, options, stream, next, between)
	violation := got.violation
	if wrong != (violation != NoViolation) {
		// The scanner may know from half a header what the model only sees in a whole one.
		if wrong || got.forwarded != want.forwarded || got.dropped != want.held {
			t.Fatalf("%+v:\n got %+v\nwant %+v, wrong %v", options, got, want, wrong)
		}
		got.dropped, got.held = 0, want.held
	}
	got.violation = NoViolation
	if got != want {
		t.Fatalf("%+v, %v:\n got %+v\nwant %+v", options, violation, got, want)
	}
	for _, boundary := range boundaries {
		for len(trueBoundaries) > 0 && trueBoundaries[0] < boundary {
			trueBoundaries = trueBoundaries[1:]
		}
		if len(trueBoundaries) == 0 || trueBoundaries[0] != boundary {
			t.Fatalf("%+v: %d is called a boundary", options, boundary)
		}
	}
}

// The format is a contract between builds: these bytes must mean this for ever.
func TestStateFormat(t *testing.T) {
	var scanner Scanner
	scanner.Init(Options{Sender: Client, Extension: Deflate, SkipThreshold: 65536, Strict: true})
	scanner.Scan(join(
		frame(Client, gobwas.OpText, true, []byte("hi")), frame(Client, gobwas.OpPing, true, nil), frame(Client, gobwas.OpPong, true, nil),
		frame(Client, gobwas.OpBinary, false, nil), frame(Client, gobwas.OpClose, true, gobwas.NewCloseFrameBody(1001, ""))[:7],
	))
	const want = "01" + "0000000000000001" + "0000000000000005" + "0000000000000001" + "0000000000000001" + "00000001" + "00000001" +
		"00010000" + "0003" + "1122" + "01" + "dc" + "00" + "00"
	state := scanner.AppendState(nil)
	if got := hex.EncodeToString(state); got != want || len(state) != stateSize {
		t.Errorf("state of %d bytes\n got %s\nwant %s", len(state), got, want)
	}
	scanner.Scan([]byte{0xe9 ^ 0x22})
	if scanner.CloseCode() != 1001 || !scanner.Closed() {
		t.Errorf("code %d, closed %v", scanner.CloseCode(), scanner.Closed())
	}
}

// A state that is cut, of another version or impossible is refused, and the scanner stays as it was.
func TestStateRefused(t *testing.T) {
	var scanner Scanner
	scanner.Init(strictServer)
	good := scanner.AppendState(nil)
	refuse := func(what string, state []byte) {
		t.Helper()
		target := Scanner{frames: 7}
		rest, err := target.RestoreState(state)
		if !errors.Is(err, ErrState) || target != (Scanner{frames: 7}) || !bytes.Equal(rest, state) {
			t.Errorf("%s: %v, scanner %+v", what, err, target)
		}
	}
	for n := range good {
		refuse("cut", good[:n])
	}
	for _, change := range []struct {
		what  string
		at    int
		value byte
	}{
		{"another version", 0, 2},
		{"a negative length", 1, 0x80},
		{"a status code without close frame", 46, 1},
		{"a masking key without close frame", 47, 1},
		{"a status byte to come without close frame", 49, 1},
		{"three status bytes to come", 49, 3},
		{"an unknown flag", 50, 0x11},
		{"two extensions", 50, 0x70},
		{"two status bytes to come without close frame", 49, 2},
		{"an invalid close without close frame", 50, 0x12},
		{"an unknown violation", 51, byte(violations)},
		{"an unknown tolerated violation", 52, byte(violations)},
		{"a strict scanner that tolerates", 52, 1},
	} {
		state := bytes.Clone(good)
		state[change.at] = change.value
		refuse(change.what, state)
	}
	lenient := bytes.Clone(good)
	lenient[50], lenient[51] = 0, byte(ReservedBit)
	refuse("a lenient scanner ended by a reserved bit", lenient)
	ended := bytes.Clone(good)
	ended[8], ended[51] = 1, byte(ReservedBit)
	refuse("a violation within a payload", ended)
	closing := bytes.Clone(good)
	closing[8], closing[50] = 126, flagStrict|flagClosing
	refuse("a strict close frame of 126 bytes", closing)
	closing[8], closing[49] = 1, 2
	refuse("a close frame that ends before its status", closing)
}
