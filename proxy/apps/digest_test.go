package apps

import (
	"hash/crc32"
	"math"
	"math/rand/v2"
	"sync"
)

// castagnoli is the polynomial that processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// digest sums up a stream of bytes. Two that are equal stand for equal streams.
type digest struct {
	Bytes int64
	Sum   uint32
}

// Write implements io.Writer.
func (d *digest) Write(p []byte) (int, error) {
	d.Bytes += int64(len(p))
	d.Sum = crc32.Update(d.Sum, castagnoli, p)
	return len(p), nil
}

func digestOf(p []byte) (d digest) {
	_, _ = d.Write(p)
	return d
}

// payloadBlock is what every payload is cut from: pseudo-random, and the same in all runs.
var payloadBlock = sync.OnceValue(func() []byte {
	block := make([]byte, 4<<20)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(block) // never fails
	return block
})

// payload returns size bytes, at most half a block, that another seed has others for.
func payload(seed uint64, size int) []byte {
	at := int(seed * 7919 % uint64(len(payloadBlock())/2))
	return payloadBlock()[at : at+size]
}

// logUniform draws a number from 0 to limit of which every order of magnitude is as likely as the next.
func logUniform(rng *rand.Rand, limit int) int {
	return min(limit, int(math.Exp(rng.Float64()*math.Log(float64(limit)+2)))-1)
}
