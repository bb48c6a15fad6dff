package sim

import (
	"encoding/binary"
	"sort"

	"culvert/engine"
	"culvert/proxy/ws"
)

// frame is where a frame lies in its stream.
type frame struct {
	start   int
	payload int // where the payload begins
	end     int // behind the last byte of the payload
	offends int // how many bytes of the header show that it is illegal; 0: it is legal
}

// stream is all that a peer sends, up to its FIN, and what has to become of it. Nothing here asks the scanner: the
// stream was put together frame by frame, so that every boundary is known.
type stream struct {
	bytes  []byte
	frames []frame
	// limit is how many bytes may be delivered: up to the end of the first close frame, or of the last legal frame
	// in front of an illegal one.
	limit int
	// violation is how many bytes must be read until the stream is illegal; 0: it is legal to its end.
	violation int
	// closed says that limit is the end of a close frame.
	closed bool
}

// insertedPayload is the length of the payload of the frames that the proxy inserts. No ping of a peer has it, so that
// the two are told apart by their second byte.
const insertedPayload = 13

const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

// forwardable returns how many of the first n bytes of the stream may have left the stage: a partial header waits.
func (s *stream) forwardable(n int) int {
	if s.violation > 0 && n >= s.violation || n >= s.limit && s.closed {
		return s.limit
	}
	i := s.frameAt(n)
	if i < len(s.frames) && n < s.frames[i].payload {
		return s.frames[i].start
	}
	return n
}

// frameAt returns the index of the frame that holds byte n, the next one if n is a boundary.
func (s *stream) frameAt(n int) int {
	return sort.Search(len(s.frames), func(i int) bool { return s.frames[i].end > n })
}

// boundary tells whether a frame may be inserted in front of byte n.
func (s *stream) boundary(n int) bool {
	if s.closed && n == s.limit {
		return false
	}
	i := s.frameAt(n)
	return i == len(s.frames) && (i == 0 || s.frames[i-1].end == n) || i < len(s.frames) && s.frames[i].start == n
}

// nextBoundary returns the first boundary behind byte n, or the end of the stream.
func (s *stream) nextBoundary(n int) int {
	if i := s.frameAt(n); i < len(s.frames) {
		return min(s.frames[i].end, len(s.bytes))
	}
	return len(s.bytes)
}

// streamPlan is what a stream is made from.
type streamPlan struct {
	side      engine.Side
	extension ws.Extension
	frames    int
	smallest  int // payload bytes of one data frame: all sizes alike; 0: each order of magnitude alike
	largest   int // payload bytes of one data frame
	total     int // no further frame is begun beyond this many bytes
	illegal   bool
	closes    bool // a close frame, and something behind it
	endless   bool // the last frame declares more than will ever come
	cut       bool // the peer finishes in the middle of a frame
}

// streamMaker puts a stream together.
type streamMaker struct {
	streamPlan
	dice
	stream     *stream
	fragmented bool
}

func newStream(d dice, plan streamPlan) *stream {
	m := &streamMaker{streamPlan: plan, dice: d, stream: &stream{limit: -1}}
	for range plan.frames {
		if len(m.stream.bytes) > plan.total {
			break
		}
		m.legalFrame()
	}
	s := m.stream
	switch {
	case plan.illegal:
		m.illegalFrame()
		m.legalFrame()
	case plan.closes:
		m.frame(true, opClose, 0, oneOf(d, 0, 2, 2, 2, d.between(2, 125)))
		s.limit, s.closed = len(s.bytes), true
		if d.percent(50) {
			m.legalFrame()
		}
	}
	if plan.endless && s.limit < 0 {
		m.endlessFrame()
	}
	if plan.cut && len(s.bytes) > 0 {
		m.cutShort(d.IntN(len(s.bytes) + 1))
	}
	if s.limit < 0 {
		s.limit = len(s.bytes)
	}
	return s
}

// cutShort ends the stream after n bytes.
func (m *streamMaker) cutShort(n int) {
	s := m.stream
	s.bytes = s.bytes[:n]
	for len(s.frames) > 0 && s.frames[len(s.frames)-1].start >= n {
		s.frames = s.frames[:len(s.frames)-1]
	}
	switch {
	case s.violation > n:
		s.violation, s.limit = 0, n
	case s.limit > n || s.limit < 0:
		s.limit, s.closed = n, false
	}
}

// legalFrame adds a frame of any legal kind.
func (m *streamMaker) legalFrame() {
	switch kind := m.IntN(100); {
	case kind < 8:
		length := m.logUniform(125)
		if length == insertedPayload {
			length++
		}
		m.frame(true, opPing, 0, length)
	case kind < 14:
		m.frame(true, opPong, 0, m.logUniform(125))
	default:
		opcode := byte(oneOf(m.dice, opText, opBinary))
		reserved := byte(0)
		if m.fragmented {
			opcode = opContinuation
		} else if m.extension != ws.NoExtension && m.percent(50) {
			reserved = 0x40
		}
		if m.extension == ws.OtherExtension && m.percent(20) {
			reserved |= 0x30
		}
		final := m.percent(75)
		length := m.logUniform(m.largest)
		if m.smallest > 0 {
			length = m.between(m.smallest, m.largest)
		}
		m.frame(final, opcode, reserved, length)
		m.fragmented = !final
	}
}

// frame adds a frame with its payload.
func (m *streamMaker) frame(final bool, opcode, reserved byte, length int) {
	first := opcode | reserved
	if final {
		first |= 0x80
	}
	header := m.header(first, uint64(length))
	m.add(header, length, 0)
}

// header writes a header in the shortest form.
func (m *streamMaker) header(first byte, length uint64) []byte {
	var mask byte
	if m.side == engine.SideClient {
		mask = 0x80
	}
	header := []byte{first}
	switch {
	case length < 126:
		header = append(header, mask|byte(length))
	case length < 1<<16:
		header = binary.BigEndian.AppendUint16(append(header, mask|126), uint16(length))
	default:
		header = binary.BigEndian.AppendUint64(append(header, mask|127), length)
	}
	if mask != 0 {
		header = binary.BigEndian.AppendUint32(header, m.Uint32())
	}
	return header
}

func (m *streamMaker) add(header []byte, length, offends int) {
	s := m.stream
	f := frame{start: len(s.bytes), payload: len(s.bytes) + len(header), offends: offends}
	s.bytes = append(append(s.bytes, header...), noise(m.dice, length)...)
	f.end = len(s.bytes)
	s.frames = append(s.frames, f)
	if offends > 0 {
		s.violation, s.limit = f.start+offends, f.start
	}
}

// illegalFrame adds a frame that breaks one rule of RFC 6455, and notes after how many bytes that shows.
func (m *streamMaker) illegalFrame() {
	header := m.header(0x80|opPing, 0)
	offends := 1
	switch kind := m.IntN(8); {
	case kind == 0 && m.extension != ws.OtherExtension: // reserved bits
		header[0] |= oneOf[byte](m.dice, 0x10, 0x20, 0x40)
	case kind == 1 && m.extension != ws.OtherExtension: // reserved opcodes
		header[0] = 0x80 | oneOf[byte](m.dice, 3, 7, 11, 15)
	case kind == 2: // a fragmented control frame
		header[0] = opPing
	case kind == 3: // a continuation of nothing, or a message inside another
		header[0] = 0x80 | opContinuation
		if m.fragmented {
			header[0] = 0x80 | opText
		}
	case kind == 4: // a long control frame
		header, offends = m.header(0x80|opPing, 126), 2
	case kind == 5: // a length that is not in its shortest form
		header = append([]byte{m.dataOpcode(), header[1]&0x80 | 126, 0, 125}, header[2:]...)
		offends = 4
	case kind == 6: // the same in 64 bits, or the top bit set
		top := oneOf[byte](m.dice, 0, 0x80)
		header = append([]byte{m.dataOpcode(), header[1]&0x80 | 127, top, 0, 0, 0, 0, 0, 0xff, 0xff}, header[2:]...)
		offends = 8
		if top != 0 {
			offends = 3
		}
	default: // masked by a server, not masked by a client
		header[1] ^= 0x80
		offends = 2
	}
	m.add(header, 0, offends)
}

// endlessFrame adds a frame of a terabyte of which little comes.
func (m *streamMaker) endlessFrame() {
	const declared = 1 << 40
	m.add(m.header(m.dataOpcode(), declared), m.logUniform(200<<10), 0)
	last := &m.stream.frames[len(m.stream.frames)-1]
	last.end = last.payload + declared
}

// dataOpcode returns the first byte of a data frame that is legal here.
func (m *streamMaker) dataOpcode() byte {
	if m.fragmented {
		return 0x80 | opContinuation
	}
	return 0x80 | opBinary
}

// noiseTable is what payloads are cut from: bytes without any period that could hide a shift.
var noiseTable = func() []byte {
	d := newDice(1, 1)
	table := make([]byte, 1<<19)
	for i := 0; i < len(table); i += 8 {
		binary.LittleEndian.PutUint64(table[i:], d.Uint64())
	}
	return table
}()

// noise returns n random bytes, which must not be changed.
func noise(d dice, n int) []byte {
	start := d.IntN(len(noiseTable) - n)
	return noiseTable[start : start+n]
}
