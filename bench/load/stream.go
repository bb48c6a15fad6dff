package load

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"

	gobwas "github.com/gobwas/ws"
)

const (
	// MaxSize is the largest payload of a message, in bytes.
	MaxSize = 64 << 20

	prefixBytes = 16  // sequence number and tunnel, at the start of a payload as far as it reaches
	shifts      = 256 // so many different bodies
	shiftBytes  = 4   // apart, so that the mask falls alike on all of them
	headerMax   = 14  // of a masked frame
	patchMax    = headerMax + prefixBytes
	batchBytes  = 64 << 10 // messages that are sent together are copied into a buffer of this size
	batchFrame  = batchBytes / 4
)

// stream is what all tunnels of a loop send during one measurement: messages of one size, of which each is known from
// its tunnel and sequence number. There is one copy of the frame, masked, and one of the payload, unmasked; before a
// send a message's header and prefix are written into the frame, and taken out again after it. Owned by the loop.
type stream struct {
	size   int // of the payload
	frame  int // of the whole frame as sent
	header []byte
	mask   [4]byte
	plain  []byte // the payload's pattern, longer by all shifts
	masked []byte // headerMax bytes of room, then the same masked

	patched int // where in masked the patch is, -1: nowhere
	saved   [patchMax]byte
	batch   []byte
}

func newStream(size int, random *rand.Rand) *stream {
	s := &stream{size: size, patched: -1}
	binary.LittleEndian.PutUint32(s.mask[:], random.Uint32()|0x01010101)
	header := gobwas.Header{Fin: true, OpCode: gobwas.OpBinary, Masked: true, Mask: s.mask, Length: int64(size)}
	var buffer bytes.Buffer
	if err := gobwas.WriteHeader(&buffer, header); err != nil {
		panic("load: a frame header: " + err.Error())
	}
	s.header = buffer.Bytes()
	s.frame = len(s.header) + size
	// Room for a prefix that is longer than the payload.
	s.plain = make([]byte, prefixBytes+size+shifts*shiftBytes)
	for i := range s.plain {
		s.plain[i] = byte(random.Uint32())
	}
	s.masked = make([]byte, headerMax+len(s.plain))
	copy(s.masked[headerMax:], s.plain)
	gobwas.Cipher(s.masked[headerMax:], s.mask, 0)
	s.batch = make([]byte, 0, batchBytes)
	return s
}

// shift is where in the pattern the body of a message begins.
func shift(tunnel, sequence uint64) int {
	return int((tunnel*31+sequence)%shifts) * shiftBytes
}

func prefix(tunnel, sequence uint64) (p [prefixBytes]byte) {
	binary.LittleEndian.PutUint64(p[:], sequence)
	binary.LittleEndian.PutUint64(p[8:], tunnel)
	return p
}

// message returns the whole frame of a message, valid until restore.
func (s *stream) message(tunnel, sequence uint64) []byte {
	payload := headerMax + shift(tunnel, sequence)
	start := payload - len(s.header)
	s.patched = start
	copy(s.saved[:], s.masked[start:])
	copy(s.masked[start:], s.header)
	p := prefix(tunnel, sequence)
	mask := uint64(binary.LittleEndian.Uint32(s.mask[:]))
	mask |= mask << 32
	binary.LittleEndian.PutUint64(p[:], binary.LittleEndian.Uint64(p[:])^mask)
	binary.LittleEndian.PutUint64(p[8:], binary.LittleEndian.Uint64(p[8:])^mask)
	copy(s.masked[payload:payload+s.size], p[:])
	return s.masked[start : start+s.frame]
}

// restore takes a message's own bytes out of the frame again.
func (s *stream) restore() {
	if s.patched >= 0 {
		copy(s.masked[s.patched:], s.saved[:])
		s.patched = -1
	}
}

// next returns the bytes of a tunnel's messages first to limit-1 (at least one) from an offset in the first one on, as
// many as are sent at once. They are valid until restore.
func (s *stream) next(tunnel, first, limit uint64, offset int) []byte {
	if limit-first == 1 || s.frame > batchFrame {
		return s.message(tunnel, first)[offset:]
	}
	s.batch = s.batch[:0]
	for sequence := first; sequence < limit && len(s.batch)+s.frame <= batchBytes; sequence++ {
		s.batch = append(s.batch, s.message(tunnel, sequence)...)
		s.restore()
	}
	return s.batch[offset:]
}

// verify tells whether b is what a message's payload holds from an offset on.
func (s *stream) verify(tunnel, sequence uint64, offset int, b []byte) bool {
	if offset < prefixBytes {
		want := prefix(tunnel, sequence)
		n := min(len(b), min(prefixBytes, s.size)-offset)
		if !bytes.Equal(b[:n], want[offset:offset+n]) {
			return false
		}
		b, offset = b[n:], offset+n
	}
	start := shift(tunnel, sequence) + offset
	return bytes.Equal(b, s.plain[start:start+len(b)])
}
