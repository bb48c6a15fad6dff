package load

import (
	"encoding/binary"

	gobwas "github.com/gobwas/ws"

	"culvert/proxy/ws"
)

// serverHeaderMax is the longest header of a frame without a mask.
const serverHeaderMax = 10

// frames is the state of a tunnel's incoming frames.
type frames struct {
	left    int64 // payload bytes of the current frame still to come
	within  bool  // in a frame, whose payload may be at its end
	midway  bool  // behind a frame that is not its message's last
	first   byte  // the current frame's first byte
	held    uint8 // bytes of an incomplete header
	header  [serverHeaderMax]byte
	control []byte // payload of a control frame as far as it came
}

// walk takes bytes of the tunnel. Data frames hold the messages in their order; how they are cut into frames does not
// matter, but a message ends where a last frame does.
func (t *tunnel) walk(b []byte, now int64) error {
	f := &t.frames
	for {
		if !f.within {
			if len(b) == 0 {
				return nil
			}
			n := f.begin(b)
			if n < 0 {
				return errFrame
			}
			b = b[n:]
			if !f.within {
				return nil
			}
			if f.first&0x08 == 0 {
				if t.limit == t.echoed {
					return errStray
				}
				if f.midway != (f.first&0x0f == byte(gobwas.OpContinuation)) || f.first&0x0f == byte(gobwas.OpText) {
					return errFrame
				}
				f.midway = f.first&0x80 == 0
			}
		}
		part := b[:min(int64(len(b)), f.left)]
		b = b[len(part):]
		f.left -= int64(len(part))
		var err error
		if f.first&0x08 != 0 {
			err = t.control(part)
		} else {
			err = t.payload(part, now)
		}
		if err != nil {
			return err
		}
		if f.left > 0 {
			return nil
		}
		f.within = false
	}
}

// begin reads a frame's header from b and what was held of it, and returns how much of b it took; -1: it is no header.
func (f *frames) begin(b []byte) int {
	header := b
	if f.held > 0 {
		n := copy(f.header[f.held:], b)
		header = f.header[:int(f.held)+n]
	}
	size := headerSize(header)
	if size < 0 {
		return -1
	}
	if size == 0 {
		f.held = uint8(copy(f.header[:], header))
		return len(b)
	}
	length := int64(header[1])
	switch size {
	case 4:
		length = int64(binary.BigEndian.Uint16(header[2:]))
	case 10:
		length = int64(binary.BigEndian.Uint64(header[2:]))
	}
	if length < 0 || header[0]&0x70 != 0 || header[0]&0x08 != 0 && length > gobwas.MaxControlFramePayloadSize {
		return -1
	}
	taken := size - int(f.held)
	f.first, f.left, f.within, f.held = header[0], length, true, 0
	return taken
}

// headerSize returns the size of the header that b begins with, 0 where there is not all of it, -1 where it is masked.
func headerSize(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	size := 2
	switch {
	case b[1] > 127:
		return -1
	case b[1] == 126:
		size = 4
	case b[1] == 127:
		size = 10
	}
	if len(b) < size {
		return 0
	}
	return size
}

// payload compares a part of a data frame, at whose end the frame may be, too.
func (t *tunnel) payload(part []byte, now int64) error {
	s := t.station.stream
	if len(part) > s.size-t.arrived {
		t.station.task.record(t.intended(), now, false)
		return errLonger
	}
	if !s.verify(t.id, t.echoed, t.arrived, part) {
		t.wrong = true
	}
	t.arrived += len(part)
	if t.frames.left > 0 || t.frames.first&0x80 == 0 {
		return nil
	}
	if t.arrived < s.size {
		t.station.task.record(t.intended(), now, false)
		return errShorter
	}
	t.station.task.record(t.intended(), now, !t.wrong)
	t.echoed++
	t.arrived, t.wrong = 0, false
	return nil
}

// intended returns when the message whose echo is coming was to be sent.
func (t *tunnel) intended() int64 { return t.stamps[t.echoed&uint64(len(t.stamps)-1)] }

// control takes a part of a control frame and handles it when it is whole.
func (t *tunnel) control(part []byte) error {
	f := &t.frames
	f.control = append(f.control, part...)
	if f.left > 0 {
		return nil
	}
	payload := f.control
	f.control = f.control[:0]
	switch gobwas.OpCode(f.first & 0x0f) {
	case gobwas.OpPing:
		// Where the socket is full, or a frame of ours is half sent, the pong is left out: the next ping will do.
		if t.offset == 0 && !t.blocked {
			pong := ws.AppendPong(t.station.scratch[:0], ws.Client, t.station.randomMask(), payload)
			if n, _ := t.conn.Write(pong); n > 0 && n < len(pong) {
				return errFrame
			}
		}
	case gobwas.OpClose:
		return errPeerClosed
	}
	return nil
}
