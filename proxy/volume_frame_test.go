package proxy_test

import (
	"hash/crc32"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	gobwas "github.com/gobwas/ws"
)

// frameOf returns one whole binary frame. A masked one is a client's.
func frameOf(payload []byte, masked bool) []byte {
	frame := gobwas.NewBinaryFrame(append([]byte(nil), payload...))
	if masked {
		frame = gobwas.MaskFrameInPlace(frame)
	}
	return gobwas.MustCompileFrame(frame)
}

// castagnoli is the polynomial that processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// digest sums up a stream of bytes. Two that are equal stand for equal streams.
type digest struct {
	bytes int64
	sum   uint32
}

func (d *digest) add(p []byte) {
	d.bytes += int64(len(p))
	d.sum = crc32.Update(d.sum, castagnoli, p)
}

// payloadBlock is what every payload is cut from: pseudo-random, and the same in all runs. It is made when it is first
// asked for, so that a proxy process never has it.
var payloadBlock = sync.OnceValue(func() []byte {
	block := make([]byte, 16<<20)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(block) // never fails
	return block
})

// logUniform draws a number from 0 to limit of which every order of magnitude is as likely as the next.
func logUniform(rng *rand.Rand, limit int) int {
	return min(limit, int(math.Exp(rng.Float64()*math.Log(float64(limit)+2)))-1)
}

// frameWriter sends WebSocket messages over a connection, cut into writes at random places, with random pauses.
type frameWriter struct {
	connection net.Conn
	rng        *rand.Rand
	masked     bool
	sent       digest
	progress   func(n int)
	gathered   []byte // written together with what comes next
	piece      int    // how many bytes the next write has
}

const (
	longestPiece = 256 << 10
	// gatherMax bounds what is gathered for one write; longer pieces end at the end of their run.
	gatherMax = 4 << 10
	// maxPause bounds a pause of a sender or of a receiver; one in pausesOneIn turns has one.
	maxPause    = 2 * time.Millisecond
	pausesOneIn = 256
)

// message sends one binary message, at times in several frames, at times with a ping in between.
func (w *frameWriter) message(size int) error {
	frames := 1
	if w.rng.IntN(4) == 0 {
		frames += w.rng.IntN(4)
	}
	opcode := gobwas.OpBinary
	for ; frames > 0; frames-- {
		part := size
		if frames > 1 {
			part = w.rng.IntN(size + 1)
		}
		if w.rng.IntN(16) == 0 {
			if err := w.frame(gobwas.OpPing, w.rng.IntN(126), true); err != nil {
				return err
			}
		}
		if err := w.frame(opcode, part, frames == 1); err != nil {
			return err
		}
		size -= part
		opcode = gobwas.OpContinuation
	}
	return nil
}

// frame sends one frame. Its payload is any part of the block; a client's stands for itself masked with any key.
func (w *frameWriter) frame(opcode gobwas.OpCode, size int, fin bool) error {
	h := gobwas.Header{Fin: fin, OpCode: opcode, Length: int64(size), Masked: w.masked}
	if w.masked {
		key := w.rng.Uint32()
		h.Mask = [4]byte{byte(key), byte(key >> 8), byte(key >> 16), byte(key >> 24)}
	}
	header := headerBuffer{b: make([]byte, 0, gobwas.MaxHeaderSize)}
	if err := gobwas.WriteHeader(&header, h); err != nil {
		return err
	}
	if err := w.run(header.b); err != nil {
		return err
	}
	block := payloadBlock()
	at := w.rng.IntN(len(block) - size)
	return w.run(block[at : at+size])
}

type headerBuffer struct{ b []byte }

func (h *headerBuffer) Write(p []byte) (int, error) {
	h.b = append(h.b, p...)
	return len(p), nil
}

// run sends bytes, in pieces that do not care where frames begin.
func (w *frameWriter) run(p []byte) error {
	for len(p) > 0 {
		if w.piece == 0 {
			w.piece = 1 + logUniform(w.rng, longestPiece-1)
		}
		n := min(len(p), w.piece-len(w.gathered))
		if len(w.gathered)+n < w.piece && len(w.gathered)+n <= gatherMax {
			w.gathered = append(w.gathered, p[:n]...) // too short for the piece: the next run completes it
			return nil
		}
		if len(w.gathered) > 0 {
			w.gathered = append(w.gathered, p[:n]...)
			if err := w.write(w.gathered); err != nil {
				return err
			}
			w.gathered = w.gathered[:0]
		} else if err := w.write(p[:n]); err != nil {
			return err
		}
		w.piece = 0
		p = p[n:]
	}
	return nil
}

// flush sends what is still gathered.
func (w *frameWriter) flush() error {
	if len(w.gathered) == 0 {
		return nil
	}
	defer func() { w.gathered, w.piece = w.gathered[:0], 0 }()
	return w.write(w.gathered)
}

func (w *frameWriter) write(p []byte) error {
	pause(w.rng)
	n, err := w.connection.Write(p)
	w.sent.add(p[:n])
	w.progress(n)
	return err
}

// pause does nothing most of the time, and now and then lets the others go ahead.
func pause(rng *rand.Rand) {
	if rng.IntN(pausesOneIn) == 0 {
		<-time.After(time.Duration(rng.Int64N(int64(maxPause))))
	}
}
