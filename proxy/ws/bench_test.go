package ws

import (
	"math/rand/v2"
	"testing"

	gobwas "github.com/gobwas/ws"
)

// scanRepeatedly measures Scan of the same read over and over, which must end at a frame boundary.
func scanRepeatedly(b *testing.B, options Options, read []byte, framesPerRead int) {
	b.Helper()
	var scanner Scanner
	scanner.Init(options)
	b.SetBytes(int64(len(read)))
	b.ReportAllocs()
	for b.Loop() {
		if result := scanner.Scan(read); result.Forward != len(read) {
			b.Fatalf("%+v", result)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(framesPerRead), "ns/frame")
}

// BenchmarkScannerSmallFrames is the common case: one small frame in one read.
func BenchmarkScannerSmallFrames(b *testing.B) {
	for _, options := range []Options{strictClient, strictServer} {
		b.Run(options.Sender.String(), func(b *testing.B) {
			scanRepeatedly(b, options, frame(options.Sender, gobwas.OpText, true, make([]byte, 125)), 1)
		})
	}
}

// BenchmarkScannerFullRead is a pipelining client: one read of 64 KiB full of frames of one kind.
func BenchmarkScannerFullRead(b *testing.B) {
	for _, test := range []struct {
		name string
		one  []byte
	}{
		{"text", frame(Client, gobwas.OpText, true, make([]byte, 125))},
		{"empty", frame(Client, gobwas.OpText, true, nil)},
		{"ping", frame(Client, gobwas.OpPing, true, nil)},
		{"medium", frame(Client, gobwas.OpBinary, true, make([]byte, 1000))},
		{"fragmented", join(frame(Client, gobwas.OpText, false, []byte("a")), frame(Client, gobwas.OpContinuation, true, []byte("b")))},
		{"mixed", mixedFrames()},
	} {
		b.Run(test.name, func(b *testing.B) {
			var read []byte
			for len(read)+len(test.one) <= 64<<10 {
				read = append(read, test.one...)
			}
			var counter Scanner
			counter.Init(strictClient)
			counter.Scan(read)
			scanRepeatedly(b, strictClient, read, int(counter.Counts().Frames))
		})
	}
}

// mixedFrames is 60 KiB of frames whose kinds and lengths no branch predictor learns by heart.
func mixedFrames() (read []byte) {
	random := rand.New(rand.NewPCG(1, 3))
	for len(read) < 60<<10 {
		opcode := [...]gobwas.OpCode{gobwas.OpText, gobwas.OpBinary, gobwas.OpPing, gobwas.OpPong}[random.IntN(4)]
		read = append(read, frame(Client, opcode, true, make([]byte, random.IntN(126)))...)
	}
	return read
}

// BenchmarkScannerInsidePayload is a read in the middle of a large message.
func BenchmarkScannerInsidePayload(b *testing.B) {
	var scanner Scanner
	scanner.Init(strictServer)
	scanner.Scan(unhex(b, "82 7f 7f ff ff ff ff ff ff ff"))
	read := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if result := scanner.Scan(read); result.Forward != len(read) {
			b.Fatalf("%+v", result)
		}
	}
}

func BenchmarkAcceptKey(b *testing.B) {
	key := [KeyLen]byte([]byte(sampleKey))
	b.ReportAllocs()
	for b.Loop() {
		key[0] ^= AcceptKey(key)[0] & 1
	}
}

// BenchmarkHandshake is what one upgrade costs here: the request judged, then the answer.
func BenchmarkHandshake(b *testing.B) {
	requestFields, answerFields := browserFields(goodRequest), browserFields(goodAnswer)
	b.ReportAllocs()
	for b.Loop() {
		if reason := handshake(requestFields, answerFields); reason != NoReason {
			b.Fatal(reason)
		}
	}
}

// browserFields splits a head, with some fields around it that a browser sends.
func browserFields(head string) (fields [][2][]byte) {
	const more = "User-Agent: Mozilla/5.0¶Accept-Language: en¶Cache-Control: no-cache¶Origin: https://a.example¶Cookie: session=0123456789¶"
	eachField(head+more, func(name, value []byte) {
		fields = append(fields, [2][]byte{append([]byte{}, name...), append([]byte{}, value...)})
	})
	return fields
}

func handshake(requestFields, answerFields [][2][]byte) Reason {
	var request RequestCheck
	request.Begin([]byte("GET"), true)
	for _, field := range requestFields {
		request.Observe(field[0], field[1])
	}
	offer := request.Offer()
	var response ResponseCheck
	response.Begin(&offer, 101)
	for _, field := range answerFields {
		response.Observe(field[0], field[1])
	}
	_, reason := response.Decide()
	return reason
}

// The happy path allocates nothing.
func TestNoAllocations(t *testing.T) {
	small := frame(Client, gobwas.OpText, true, make([]byte, 125))
	requestFields, answerFields := browserFields(goodRequest+"Sec-WebSocket-Protocol: a, b¶"), browserFields(goodAnswer+"Sec-WebSocket-Protocol: b¶")
	buffer := make([]byte, 0, 4096)
	request := fullClientRequest()
	var scanner Scanner
	scanner.Init(strictClient)
	for what, run := range map[string]func(){
		"a frame":           func() { scanner.Scan(small) },
		"a header cut":      func() { scanner.Scan(small[:3]); scanner.Scan(small) },
		"an upgrade":        func() { handshake(requestFields, answerFields) },
		"a hash":            func() { AcceptKey([KeyLen]byte(small[:KeyLen])) },
		"an export":         func() { scanner.AppendState(buffer) },
		"a ping":            func() { AppendPing(buffer, Client, testMask, small[:10]) },
		"a close":           func() { AppendClose(buffer, Client, testMask, 1001, "going away") },
		"a request of ours": func() { _, _ = AppendClientRequest(buffer, request) },
	} {
		if allocations := testing.AllocsPerRun(100, run); allocations != 0 {
			t.Errorf("%s: %v allocations", what, allocations)
		}
	}
}
