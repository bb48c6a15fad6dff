package tls

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// verdict is what came of a stream.
type verdict struct {
	cause Cause
	alert Alert
}

// FuzzFirst feeds a fresh server anything: the verdict does not depend on how it is cut, and nothing is left behind.
func FuzzFirst(f *testing.F) {
	for _, c := range strange {
		f.Add([]byte(c.input), uint64(1))
	}
	hello := helloOf(f)
	f.Add(hello, uint64(1))
	f.Add(append(bytes.Clone(hello), record(typeData, make([]byte, 40))...), uint64(3))
	o := newOwner(f)
	config := configOf(f, true, 0)
	f.Fuzz(func(t *testing.T, input []byte, seed uint64) {
		o.t = t
		defer func() { o.t = f }()
		whole, pieces := firstVerdict(t, o, config, input, nil), firstVerdict(t, o, config, input, rand.New(rand.NewPCG(seed, 1)))
		if whole != pieces {
			t.Errorf("whole: %+v, in pieces: %+v", whole, pieces)
		}
	})
}

// firstVerdict feeds a fresh server input and then the end.
func firstVerdict(t *testing.T, o *owner, config *Config, input []byte, random *rand.Rand) verdict {
	c := o.open(config)
	defer func() {
		c.Abandon()
		o.conns = o.conns[:0]
		if o.pool.Held() != 0 {
			t.Errorf("%d bytes are lent", o.pool.Held())
		}
	}()
	for len(input) > 0 {
		n := len(input)
		if random != nil {
			n = 1 + random.IntN(n)
		}
		feed(c, input[:n], 100)
		input = input[n:]
		o.wait("the end of a step", func() bool { return c.handshake == nil || !c.handshake.running })
	}
	c.FeedEnd()
	o.wait("the end", func() bool { return c.Err() != nil })
	return verdict{c.Err().Cause, c.Err().Alert}
}

// FuzzRecords feeds an established server good records and anything behind them: what is good is delivered, and no more is
// held than came.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("tail"), uint16(3), uint64(1))
	f.Add(record(typeData, make([]byte, 100)), uint16(20_000), uint64(2))
	f.Add(record(typeAlert, []byte{1, 0}), uint16(0), uint64(3))
	f.Add([]byte{typeData, 3, 3, 0x48, 1}, uint16(1), uint64(4))
	f.Add([]byte{}, uint16(40_000), uint64(5))
	f.Fuzz(func(t *testing.T, tail []byte, size uint16, seed uint64) {
		_, server, _, good := forge(t)
		want := bytes.Repeat([]byte{'x'}, int(size))
		var stream []byte
		for rest := want; len(rest) > 0; {
			n := min(len(rest), plaintextMax)
			stream = append(stream, good.seal(typeData, rest[:n], 0)...)
			rest = rest[n:]
		}
		stream = append(stream, tail...)
		plain, status := feed(server, stream, 1+int(seed%40_000))
		if len(plain) != len(want) || !bytes.Equal(plain, want) {
			t.Fatalf("%d of %d bytes came, status %v", len(plain), len(want), status)
		}
		if status == StatusBlocked {
			if n := server.HeldBytes(); n > len(tail) {
				t.Errorf("%d bytes are held of %d", n, len(tail))
			}
		}
	})
}

// FuzzCuts moves a message between two of ours in random pieces, read into random room, with Keep now and then.
func FuzzCuts(f *testing.F) {
	f.Add(uint64(1), uint32(100))
	f.Add(uint64(2), uint32(100_000))
	f.Fuzz(func(t *testing.T, seed uint64, size uint32) {
		size %= 1 << 17
		random := rand.New(rand.NewPCG(seed, 2))
		o := newOwner(t)
		to, from := pair(o, []Version{Version12, Version13}[seed%2])
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(random.Uint32())
		}
		for rest := want; len(rest) > 0; {
			n := 1 + random.IntN(len(rest))
			if err := from.Seal(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		var got []byte
		for stream := take(from); len(stream) > 0; {
			n := 1 + random.IntN(min(len(stream), 1<<random.IntN(18)))
			piece := bytes.Clone(stream[:n])
			stream = stream[n:]
			to.Feed(piece)
			for status := StatusReady; status == StatusReady && random.IntN(8) > 0; {
				p := make([]byte, 1+random.IntN(1<<random.IntN(16)))
				var m int
				m, status = to.Plain(p)
				got = append(got, p[:m]...)
			}
			to.Keep()
			clear(piece)
		}
		rest, status := drain(to, 1000)
		if got = append(got, rest...); !bytes.Equal(got, want) || status != StatusBlocked || to.HeldBytes() != 0 {
			t.Errorf("%d of %d bytes came, status %v, %d are held", len(got), len(want), status, to.HeldBytes())
		}
	})
}
