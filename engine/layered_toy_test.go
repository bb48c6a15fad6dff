package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// toy is a transport that hides nothing: records of a kind, a length in two bytes and the bytes, each of them changed by
// one bit mask. It opens in two steps: a hello is answered once the test says that this step is done, and the peer's
// second word opens it. It keeps what it is fed as the contract says, borrowed, so that whoever breaks that shows.
type toy struct {
	t           testing.TB
	end         *Layered
	fed         []byte // borrowed
	held        []byte // our own, in front of it
	plain       []byte // of the record that was opened last
	pending     []byte
	advanced    int
	stepping    bool
	hello, open bool
	failed      bool
	inEnded     bool
	closed      bool // the peer has closed its side
	outClosed   bool
	abandoned   int
}

// The kinds of records.
const (
	toyHello    = 'H' // the first word of either side
	toyFinished = 'F' // the peer's second
	toyData     = 'D'
	toyClose    = 'C' // no data follows
	toyAsk      = 'Q' // is answered by toyAnswer
	toyAnswer   = 'R'
	toyAlert    = 'A' // the last word of a broken one
)

const toyMask = 0x5a

var errToy = errors.New("the toy is broken or closed")

// toyRecord returns a record as it is on the wire.
func toyRecord(kind byte, p []byte) []byte {
	record := binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(p)))
	for _, b := range p {
		record = append(record, b^toyMask)
	}
	return record
}

// toyText returns data as it is on the wire, in as many records as it takes.
func toyText(p []byte) (wire []byte) {
	for len(p) > 0 {
		n := min(len(p), 16<<10)
		wire = append(wire, toyRecord(toyData, p[:n])...)
		p = p[n:]
	}
	return wire
}

// next returns the next whole record, nil for none.
func (y *toy) next() (kind byte, body []byte, ok bool) {
	all := y.fed
	if len(y.held) > 0 {
		all = append(append([]byte(nil), y.held...), y.fed...)
	}
	if len(all) < 3 {
		return 0, nil, false
	}
	end := 3 + int(binary.BigEndian.Uint16(all[1:]))
	if len(all) < end {
		return 0, nil, false
	}
	if body = bytes.Clone(all[3:end]); len(y.held) > 0 {
		y.held, y.fed = all[end:], nil
	} else {
		y.fed = all[end:]
	}
	for i := range body {
		body[i] ^= toyMask
	}
	return all[0], body, true
}

func (y *toy) Established() bool { return y.open && !y.failed }
func (y *toy) Failed() bool      { return y.failed }
func (y *toy) Wants() bool       { return !y.inEnded && !y.stepping && !y.failed && !y.open }
func (y *toy) FeedEnd()          { y.inEnded = true; y.advance() }
func (y *toy) Pending() []byte   { return y.pending }
func (y *toy) Abandon()          { y.abandoned++; y.pending = nil }

func (y *toy) Advance(n int) {
	y.pending = y.pending[n:]
	y.advanced += n
}

func (y *toy) Feed(wire []byte) {
	y.Keep()
	y.fed = wire
	y.advance()
}

func (y *toy) Keep() {
	y.held = append(append([]byte(nil), y.held...), y.fed...)
	y.fed = nil
}

// advance opens as far as there is anything to open with.
func (y *toy) advance() {
	if y.open || y.failed || y.stepping {
		return
	}
	y.Keep()
	kind, _, ok := y.next()
	switch {
	case !ok && y.inEnded, ok && !y.hello && kind != toyHello, ok && y.hello && kind != toyFinished:
		y.fail()
	case !ok:
	case !y.hello:
		y.hello, y.stepping = true, true
	default:
		y.open = true
	}
}

// step is what the test calls when the part of the opening that goes on elsewhere is done.
func (y *toy) step() {
	y.stepping = false
	y.pending = append(y.pending, toyRecord(toyHello, nil)...)
	y.advance()
	y.end.Stepped()
}

func (y *toy) fail() {
	y.failed = true
	y.pending = append(y.pending, toyRecord(toyAlert, nil)...)
}

func (y *toy) Plain(p []byte) (n int, status Status) {
	for {
		if y.failed {
			return n, StatusFailed
		}
		if len(y.plain) > 0 {
			m := copy(p[n:], y.plain)
			n, y.plain = n+m, y.plain[m:]
		}
		if n == len(p) {
			return n, StatusReady
		}
		if y.closed {
			return n, StatusEOF
		}
		kind, body, ok := y.next()
		if !ok {
			y.Keep() // nothing is borrowed any longer
			if y.inEnded {
				return n, StatusEOF
			}
			return n, StatusBlocked
		}
		switch kind {
		case toyData:
			y.plain = body
		case toyClose:
			y.closed = true
		case toyAsk:
			y.pending = append(y.pending, toyRecord(toyAnswer, body)...)
		default:
			y.fail()
		}
	}
}

func (y *toy) Seal(p []byte) error {
	if y.failed || y.outClosed {
		return errToy
	}
	y.pending = append(y.pending, toyText(p)...)
	return nil
}

func (y *toy) CloseWrite() error {
	if y.failed || y.outClosed || !y.open {
		return errToy
	}
	y.outClosed = true
	y.pending = append(y.pending, toyRecord(toyClose, nil)...)
	return nil
}

// layeredTest is an end on a toy, on a loop that the test steps.
type layeredTest struct {
	*steppedLoop
	toy  *toy
	end  *Layered
	peer *peer
	told []Readiness
}

// Ready implements Owner.
func (x *layeredTest) Ready(_ Side, r Readiness) { x.told = append(x.told, r) }

// newLayered returns an end whose opening has not begun.
func newLayered(t *testing.T, sizes socketSizes) *layeredTest {
	t.Helper()
	x := &layeredTest{steppedLoop: newSteppedLoop(t), toy: &toy{t: t}}
	c, p := adopt(t, x, ignore, sizes)
	x.peer = p
	x.end = Layer(c, x.toy, x, SideClient)
	x.toy.end = x.end
	x.end.Begin(nil)
	x.settle()
	t.Cleanup(func() {
		if x.toy.abandoned == 0 {
			x.end.Reset()
		}
		if x.toy.abandoned == 0 {
			t.Error("the transport was not given up")
		}
		if n := x.loop.Counters.Lingering; n != 0 && !t.Failed() {
			x.until("no lingering close", func() bool { return x.loop.Counters.Lingering == 0 })
		}
	})
	return x
}

// openLayered returns one that is open.
func openLayered(t *testing.T, sizes socketSizes) *layeredTest {
	t.Helper()
	x := newLayered(t, sizes)
	x.peer.send(append(toyRecord(toyHello, nil), toyRecord(toyFinished, nil)...))
	x.until("the hello", func() bool { return x.toy.stepping })
	x.toy.step()
	x.until("the opening", func() bool { return len(x.told) > 0 })
	x.peer.receive(toyRecord(toyHello, nil))
	x.settle()
	x.told = nil
	return x
}

// readAll reads until there is nothing more.
func (x *layeredTest) readAll() (got string, status Status) {
	p := make([]byte, 1000)
	for status == StatusReady {
		var n int
		n, status = x.end.Read(p)
		got += string(p[:n])
	}
	return got, status
}

// fill writes until the socket takes no more, and returns what is left of what was offered last, and what was gone.
func (x *layeredTest) fill() (rest, gone []byte) {
	x.t.Helper()
	for range 10_000 {
		offered := bytes.Repeat([]byte("0123456789abcdef"), 2<<10)
		n, status := x.end.Write(offered)
		gone = append(gone, offered[:n]...)
		if status == StatusBlocked {
			return offered[n:], gone
		}
		if status != StatusReady || n != len(offered) {
			x.t.Fatalf("%d bytes were written, status %d", n, status)
		}
	}
	x.t.Fatal("the socket takes everything")
	return nil, nil
}

// plainOf takes the records of a stream apart: its data, and the kinds of all others.
func plainOf(t *testing.T, wire []byte) (data []byte, others string) {
	t.Helper()
	reader := toy{fed: wire}
	for {
		kind, body, ok := reader.next()
		switch {
		case !ok && len(reader.held)+len(reader.fed) > 0:
			t.Fatalf("the stream ends in a record, with %d bytes of it", len(reader.held)+len(reader.fed))
		case !ok:
			return data, others
		case kind == toyData:
			data = append(data, body...)
		default:
			others += string(kind)
		}
	}
}
