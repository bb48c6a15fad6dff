package load

import (
	"bytes"
	"math/rand/v2"
	"testing"

	gobwas "github.com/gobwas/ws"
)

// payloadOf unmasks one frame and returns its payload and what follows.
func payloadOf(t *testing.T, b []byte) (payload, rest []byte) {
	t.Helper()
	reader := bytes.NewReader(b)
	header, err := gobwas.ReadHeader(reader)
	if err != nil || !header.Masked || !header.Fin || header.OpCode != gobwas.OpBinary {
		t.Fatalf("header %+v, %v", header, err)
	}
	b = b[len(b)-reader.Len():]
	payload = bytes.Clone(b[:header.Length])
	gobwas.Cipher(payload, header.Mask, 0)
	return payload, b[header.Length:]
}

// TestMessagesAreTheirOwn: a message is known by its tunnel and number alone, no two are alike, and no byte of one can
// be changed unnoticed.
func TestMessagesAreTheirOwn(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{8, 15, 16, 17, 125, 126, 5000, 65535, 65536} {
		s := newStream(size, random)
		before := bytes.Clone(s.masked)
		seen := map[string]bool{}
		for _, id := range []uint64{0, 1, 255, 256, 1<<32 | 7} {
			for sequence := range uint64(300) {
				frame := bytes.Clone(s.next(id, sequence, sequence+1, 0))
				s.restore()
				payload, rest := payloadOf(t, frame)
				if len(payload) != size || len(rest) != 0 || !s.verify(id, sequence, 0, payload) {
					t.Fatalf("message %d of tunnel %d is not itself", sequence, id)
				}
				if size >= prefixBytes && seen[string(payload)] {
					t.Fatalf("message %d of tunnel %d is not the only one", sequence, id)
				}
				seen[string(payload)] = true
				cut := random.IntN(size + 1)
				at := random.IntN(size)
				if !s.verify(id, sequence, 0, payload[:cut]) || !s.verify(id, sequence, cut, payload[cut:]) {
					t.Fatalf("cut at %d, it is not itself", cut)
				}
				payload[at] ^= 1 << random.IntN(8)
				if s.verify(id, sequence, 0, payload) {
					t.Fatalf("a change of byte %d goes unnoticed", at)
				}
			}
		}
		if !bytes.Equal(before, s.masked) {
			t.Fatal("sending left something behind")
		}
	}
}

// TestWhatIsLeftOfAMessage: however sends are cut, the same bytes go out.
func TestWhatIsLeftOfAMessage(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, size := range []int{1, 125, 4000, 70_000} {
		s := newStream(size, random)
		const count = 10
		var whole, cut []byte
		for sequence := range uint64(count) {
			whole = append(whole, s.next(5, sequence, sequence+1, 0)...)
			s.restore()
		}
		for sequence, offset := uint64(0), 0; sequence < count; {
			p := s.next(5, sequence, count, offset)
			n := 1 + random.IntN(len(p))
			cut = append(cut, p[:n]...)
			s.restore()
			for offset += n; offset >= s.frame; offset -= s.frame {
				sequence++
			}
		}
		if !bytes.Equal(whole, cut) {
			t.Fatalf("messages of %d bytes differ when sends are cut", size)
		}
	}
}
