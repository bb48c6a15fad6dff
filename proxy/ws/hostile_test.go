package ws

import (
	"fmt"
	"testing"

	gobwas "github.com/gobwas/ws"
)

// TestHostile feeds the frames that broke proxies, by their ids: whole, byte by byte, cut in two everywhere, with
// good frames before and behind. What a strict scanner must never do is pass on a byte of the offending header.
func TestHostile(t *testing.T) {
	t.Run("F01", func(t *testing.T) {
		ends(t, strictClient, "81 00", UnmaskedClientFrame)
		ends(t, strictClient, "89 00", UnmaskedClientFrame)
		ends(t, strictClient, "82 7f 00 00 00 00 00 01 00 00", UnmaskedClientFrame)
		ends(t, strictServer, "81 80 00 00 00 00", MaskedServerFrame)
		ends(t, strictServer, "88 82 01 02 03 04 02 ea", MaskedServerFrame)
	})
	t.Run("F02", func(t *testing.T) {
		for _, options := range []Options{strictClient, strictServer} {
			for _, rsv := range []byte{0x10, 0x20, 0x40, 0x70} {
				for _, opcode := range []byte{0x81, 0x82, 0x88, 0x89, 0x8a} {
					ends(t, options, fmt.Sprintf("%02x", rsv|opcode), ReservedBit)
				}
			}
			for _, opcode := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
				ends(t, options, fmt.Sprintf("%02x", 0x80|opcode), ReservedOpcode)
			}
		}
	})
	t.Run("F03", func(t *testing.T) {
		for _, opcode := range []byte{8, 9, 10} {
			ends(t, strictServer, fmt.Sprintf("%02x 00", opcode), FragmentedControl)
			ends(t, strictServer, fmt.Sprintf("%02x 7e 00 7e", 0x80|opcode), LongControl)
			ends(t, strictClient, fmt.Sprintf("%02x ff", 0x80|opcode), LongControl)
		}
		ends(t, strictServer, "80 00", StrayContinuation)
		ends(t, strictServer, "00 00", StrayContinuation)
		opened := frame(Server, gobwas.OpText, false, []byte("begun"))
		for _, second := range []string{"01 00", "81 00", "02 00", "82 00"} {
			got := atOnce(t, strictServer, join(opened, unhex(t, second)))
			if got.violation != InterruptedMessage || got.forwarded != len(opened) {
				t.Errorf("%s inside a fragmented message: %+v", second, got)
			}
		}
	})
	t.Run("F04", func(t *testing.T) {
		ends(t, strictClient, "82 FF 80 00 00 00 00 00 00 01 00 00 00 00", LengthOverflow)
		ends(t, strictServer, "82 7F FF FF FF FF FF FF FF FF", LengthOverflow)
		ends(t, strictClient, "82 FE 00 7D 00 00 00 00", NonMinimalLength)
		ends(t, strictServer, "82 7E 00 00", NonMinimalLength)
		ends(t, strictServer, "82 7F 00 00 00 00 00 00 FF FF", NonMinimalLength)
		ends(t, strictServer, "82 7F 00 00 00 00 00 00 00 00", NonMinimalLength)
	})
	t.Run("F05", declaredAndSilent)
	t.Run("F06", floods)
	t.Run("F07", everyHeaderCutEverywhere)
	t.Run("F08", closeBodies)
	t.Run("F09", func(t *testing.T) {
		closing := frame(Client, gobwas.OpClose, true, gobwas.NewCloseFrameBody(1000, "bye"))
		for _, late := range [][]byte{
			frame(Client, gobwas.OpText, true, []byte("late")), closing, {0xff, 0xff}, {0x00}, make([]byte, 1000),
		} {
			got := atOnce(t, strictClient, join(closing, late))
			want := outcome{
				forwarded: len(closing), dropped: len(late), counts: Counts{Frames: 1, Close: 1}, closed: true, closeCode: 1000,
			}
			if got != want {
				t.Errorf("%x behind a close frame: %+v, want %+v", late[0], got, want)
			}
		}
	})
}

// ends expects the header in the picture to end the stream, alone, behind a good frame, and with good frames behind.
func ends(t *testing.T, options Options, picture string, want Violation) {
	t.Helper()
	good := frame(options.Sender, gobwas.OpBinary, true, []byte("good"))
	for _, before := range [][]byte{nil, good} {
		for _, behind := range [][]byte{nil, good} {
			wrong := unhex(t, picture)
			got := atOnce(t, options, join(before, wrong, behind))
			if got.violation != want || got.forwarded != len(before) || got.dropped != len(wrong)+len(behind) {
				t.Errorf("%v %s: %+v, want %v after %d bytes", options.Sender, picture, got, want, len(before))
			}
		}
	}
}

// A declared length is a number: nothing is allocated for it, and it is counted down to the last byte.
func declaredAndSilent(t *testing.T) {
	for _, test := range []struct {
		header string
		length int64
	}{
		{"82 7f 00 00 00 04 00 00 00 00", 1 << 34},
		{"82 7f 40 00 00 00 00 00 00 00", 1 << 62},
		{"82 7f 7f ff ff ff ff ff ff ff", 1<<63 - 1},
	} {
		var scanner Scanner
		header := unhex(t, test.header)
		for _, threshold := range []uint32{0, 65536} {
			allocations := testing.AllocsPerRun(10, func() {
				scanner.Init(Options{Sender: Server, Strict: true, SkipThreshold: threshold})
				scanner.Scan(header)
			})
			if allocations != 0 {
				t.Errorf("%s: %v allocations", test.header, allocations)
			}
		}
		if !scanner.AtBoundary() {
			t.Errorf("%s: not skipped", test.header)
		}
		scanner.Init(strictServer)
		if result := scanner.Scan(header); result.Violation != NoViolation || result.Forward != len(header) {
			t.Errorf("%s: %+v", test.header, result)
		}
		scanner.Scan(make([]byte, 1000))
		if scanner.remaining != test.length-1000 {
			t.Errorf("%s: %d bytes to come", test.header, scanner.remaining)
		}
	}
}

// A million tiny frames leave a scanner of the same 56 bytes, and cost no allocation.
func floods(t *testing.T) {
	const million = 1_000_000
	for _, test := range []struct {
		what   string
		opened []byte
		one    []byte
		want   Counts
	}{
		{"one-byte fragments", unhex(t, "01 01 61"), unhex(t, "00 01 61"), Counts{Frames: million + 1, Text: 1}},
		{"empty fragments", unhex(t, "02 00"), unhex(t, "00 00"), Counts{Frames: million + 1, Binary: 1}},
		{"empty messages", nil, unhex(t, "81 00"), Counts{Frames: million, Text: million}},
		{"pings", nil, unhex(t, "89 00"), Counts{Frames: million, Ping: million}},
		{"pongs", nil, unhex(t, "8a 01 00"), Counts{Frames: million, Pong: million}},
	} {
		var batch []byte
		for range 1000 {
			batch = append(batch, test.one...)
		}
		var scanner Scanner
		scanner.Init(strictServer)
		scanner.Scan(test.opened)
		rounds := 0
		allocations := testing.AllocsPerRun(million/1000-1, func() { // and one run to warm up
			rounds++
			if result := scanner.Scan(batch); result.Forward != len(batch) || result.Violation != NoViolation {
				t.Fatalf("%s, round %d: %+v", test.what, rounds, result)
			}
		})
		if scanner.Counts() != test.want || allocations != 0 {
			t.Errorf("%s: %+v and %v allocations, want %+v", test.what, scanner.Counts(), allocations, test.want)
		}
	}
}

// Headers of 2, 4 and 10 bytes, masked and not, between two other frames, cut into reads at every byte of header: in
// two, in three, and byte by byte.
func everyHeaderCutEverywhere(t *testing.T) {
	for _, sender := range []Role{Client, Server} {
		for _, length := range []int{0, 1, 2, 125, 126, 127, 65535, 65536} {
			first, last := frame(sender, gobwas.OpPing, true, []byte("before")), frame(sender, gobwas.OpText, true, []byte("behind"))
			middle := frame(sender, gobwas.OpBinary, true, make([]byte, length))
			stream, options := join(first, middle, last), Options{Sender: sender, Strict: true}
			want, wantBoundaries, _ := reference(options, stream)
			if want.forwarded != len(stream) || len(wantBoundaries) != 4 {
				t.Fatalf("the reference finds %+v", want)
			}
			header := len(middle) - length
			for from := 0; from <= header; from++ {
				for to := from; to <= header; to++ {
					sizes := []int{len(first) + from, to - from, len(stream)}
					if from == to {
						sizes = []int{len(first) + from, len(stream)}
					}
					got, _ := walk(t, options, stream, func() int { size := sizes[0]; sizes = sizes[1:]; return size }, nil)
					if got != want {
						t.Fatalf("%v, %d bytes, header cut at %d and %d: %+v, want %+v", sender, length, from, to, got, want)
					}
				}
			}
			if got := atOnce(t, options, stream); got != want {
				t.Fatalf("%v, %d bytes: %+v, want %+v", sender, length, got, want)
			}
		}
	}
}

// Whatever a close frame carries is passed on; what it carries is known wherever it was cut.
func closeBodies(t *testing.T) {
	for _, test := range []struct {
		payload string
		code    gobwas.StatusCode
		invalid bool
	}{
		{"", 1005, false},
		{"03", 1005, true},
		{"00 00", 0, true},
		{"03 e7", 999, true},
		{"03 e8", 1000, false},
		{"03 eb 62 79 65", 1003, false},
		{"03 ec", 1004, true},
		{"03 ed", 1005, true},
		{"03 ee", 1006, true},
		{"03 ef", 1007, false},
		{"03 f6", 1014, false},
		{"03 f7", 1015, true},
		{"03 f8", 1016, true},
		{"0b b7", 2999, true},
		{"0b b8", 3000, false},
		{"13 87", 4999, false},
		{"13 88", 5000, true},
		{"ff ff", 65535, true},
	} {
		for _, sender := range []Role{Client, Server} {
			stream := frame(sender, gobwas.OpClose, true, unhexOrEmpty(t, test.payload))
			for _, strict := range []bool{true, false} {
				got := atOnce(t, Options{Sender: sender, Strict: strict}, stream)
				want := outcome{
					forwarded: len(stream), counts: Counts{Frames: 1, Close: 1},
					closed: true, closeCode: test.code, closeInvalid: test.invalid,
				}
				if got != want {
					t.Errorf("close with %q from the %v: %+v, want %+v", test.payload, sender, got, want)
				}
			}
		}
	}
	ends(t, strictServer, "88 7e 00 7e 03 e8", LongControl)
	long := join(unhex(t, "88 fe 00 80 01 02 03 04 02 ea"), make([]byte, 126))
	if got := atOnce(t, Options{Sender: Client, SkipThreshold: 1}, long); !got.closed || got.closeCode != 1000 || got.tolerated != LongControl {
		t.Errorf("an over-long close frame where that is tolerated: %+v", got)
	}
}

func unhexOrEmpty(t *testing.T, picture string) []byte {
	if picture == "" {
		return nil
	}
	return unhex(t, picture)
}

// Until both bytes of the code are there, there is no code; nor is the tunnel closed before the payload's end.
func TestCloseStreamsBy(t *testing.T) {
	stream := frame(Client, gobwas.OpClose, true, gobwas.NewCloseFrameBody(4001, "ab"))
	var scanner Scanner
	scanner.Init(strictClient)
	for i, want := range []gobwas.StatusCode{0, 4001, 4001, 4001} {
		if i == 0 {
			scanner.Scan(stream[:6])
			if scanner.CloseCode() != 0 || scanner.Closed() {
				t.Fatal("closed by its header alone")
			}
		}
		scanner.Scan(stream[6+i : 7+i])
		if scanner.CloseCode() != want || scanner.Closed() != (i == 3) {
			t.Errorf("after %d bytes of payload: code %d, closed %v", i+1, scanner.CloseCode(), scanner.Closed())
		}
	}
}
