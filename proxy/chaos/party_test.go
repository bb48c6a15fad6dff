package chaos

import (
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// party is one side of one connection that does what its dice say. It ends by itself within patience.
type party struct {
	conn   net.Conn
	dice   *rand.Rand
	masked bool // it writes frames as a client
}

const patience = 2 * time.Second

// behave writes first, then some frames, in pieces and with pauses, and ends in one of several ways. Some parties
// never read.
func (p *party) behave(first string) {
	_ = p.conn.SetDeadline(time.Now().Add(patience))
	reading := make(chan struct{})
	if p.dice.IntN(4) > 0 {
		go func() {
			defer close(reading)
			_, _ = io.Copy(io.Discard, p.conn)
		}()
	} else {
		close(reading)
		_ = p.conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	}
	p.write([]byte(first))
	for range p.dice.IntN(5) {
		p.write(p.frames())
		if p.dice.IntN(3) == 0 {
			pause(time.Duration(p.dice.IntN(20)) * time.Millisecond)
		}
	}
	p.end()
	<-reading
}

func (p *party) write(b []byte) {
	for len(b) > 0 {
		n := len(b)
		if p.dice.IntN(3) == 0 {
			n = 1 + p.dice.IntN(n)
		}
		if _, err := p.conn.Write(b[:n]); err != nil {
			return
		}
		b = b[n:]
	}
}

func (p *party) end() {
	tcp := p.conn.(*net.TCPConn)
	switch p.dice.IntN(4) {
	case 0:
		_ = tcp.SetLinger(0)
	case 1:
		_ = tcp.CloseWrite()
		pause(time.Duration(p.dice.IntN(100)) * time.Millisecond)
	}
	_ = tcp.Close()
}

// firstBytes are the first bytes of frames: the usual two, then the rarer ones, some of them illegal.
var firstBytes = []byte{0x82, 0x81, 0x02, 0x80, 0x89, 0x8a, 0x88, 0xf3}

func (p *party) frames() []byte {
	var b []byte
	for range 1 + p.dice.IntN(6) {
		first := firstBytes[p.dice.IntN(2)]
		if p.dice.IntN(8) == 0 {
			first = firstBytes[p.dice.IntN(len(firstBytes))]
		}
		length := p.dice.IntN(300)
		switch {
		case first&0x08 != 0:
			length %= 126
		case p.dice.IntN(8) == 0:
			length = p.dice.IntN(400_000)
		}
		b = p.appendFrame(b, first, length)
	}
	if p.dice.IntN(20) == 0 {
		b[p.dice.IntN(len(b))] ^= 0xff
	}
	return b
}

func (p *party) appendFrame(b []byte, first byte, length int) []byte {
	mask := byte(0)
	if p.masked {
		mask = 0x80
	}
	switch {
	case length < 126:
		b = append(b, first, mask|byte(length))
	case length < 1<<16:
		b = append(b, first, mask|126, byte(length>>8), byte(length))
	default:
		b = append(b, first, mask|127, 0, 0, 0, 0, 0, byte(length>>16), byte(length>>8), byte(length))
	}
	if p.masked {
		b = append(b, 1, 2, 3, 4)
	}
	return append(b, make([]byte, length)...)
}

// pause lets a party be slow.
func pause(d time.Duration) { <-time.After(d) }
