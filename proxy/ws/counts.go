package ws

import gobwas "github.com/gobwas/ws"

// Counts is a snapshot of what went by. A message counts when the header of its first frame is accepted, also if its
// payload never comes; a frame when its header is.
type Counts struct {
	Frames uint64 // of every kind, those of fragmented messages one by one
	Text   uint64 // messages
	Binary uint64 // messages
	Ping   uint32 // frames; wraps around at 2^32
	Pong   uint32 // frames; wraps around at 2^32
	Close  uint32 // frames: 0 or 1, for nothing counts after the first
}

// Counts returns the counters as they stand.
func (s *Scanner) Counts() Counts {
	counts := Counts{Frames: s.frames, Text: s.text, Binary: s.binary, Ping: s.ping, Pong: s.pong}
	if s.flags&flagClosing != 0 {
		counts.Close = 1
	}
	return counts
}

// countMessage counts a data message by the first byte of its first header.
func (s *Scanner) countMessage(first byte) {
	s.frames++
	if gobwas.OpCode(first&bitsOpcode) == gobwas.OpText {
		s.text++
	} else {
		s.binary++
	}
}

// Messages returns how many data messages went by, text and binary together.
func (s *Scanner) Messages() uint64 { return s.text + s.binary }
