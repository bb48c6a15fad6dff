package echo

import (
	"encoding/binary"
	"errors"

	"github.com/cloudwego/netpoll"
	gobwas "github.com/gobwas/ws"

	"culvert/proxy/ws"
)

const (
	// chunkBytes is how much of a frame is echoed at a time.
	chunkBytes = 256 << 10
	maskBytes  = 4
)

var (
	errRefused = errors.New("neither a WebSocket upgrade nor a document")
	errFrame   = errors.New("not a client's frame")
	errOver    = errors.New("the close handshake is over")
)

// session is one connection: first requests' heads, then frames. netpoll runs one handler of it at a time.
type session struct {
	server     *Server
	connection netpoll.Connection
	request    *request // nil: upgraded
}

// serve takes all that has come, and waits where that ends within a head or a frame: netpoll would call it again at
// once for what is left.
func (s *session) serve() error {
	reader := s.connection.Reader()
	for s.request != nil && reader.Len() > 0 {
		if err := s.answer(reader); err != nil {
			return err
		}
	}
	for reader.Len() > 0 {
		if err := s.frame(reader); err != nil {
			return err
		}
	}
	return s.flush(reader)
}

// frame answers the next frame.
func (s *session) frame(reader netpoll.Reader) error {
	start, err := reader.Peek(2)
	if err != nil {
		return err
	}
	if start[1]&0x80 == 0 {
		return errFrame
	}
	size, length := 2+maskBytes, int64(start[1]&0x7f)
	switch length {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	header, err := reader.Peek(size)
	if err != nil {
		return err
	}
	switch size {
	case 2 + 2 + maskBytes:
		length = int64(binary.BigEndian.Uint16(header[2:]))
	case 2 + 8 + maskBytes:
		length = int64(binary.BigEndian.Uint64(header[2:]))
	}
	if length < 0 {
		return errFrame
	}
	if opcode := gobwas.OpCode(header[0] & 0x0f); opcode.IsControl() {
		return s.control(reader, opcode, size, length)
	}
	return s.echo(reader, size, length)
}

// echo sends a data frame back. Its header, which has no mask any more, is moved up to the payload so that both are one
// piece of memory.
func (s *session) echo(reader netpoll.Reader, size int, length int64) error {
	left := int64(size) + length
	chunk, err := reader.Next(int(min(left, int64(reader.Len()), chunkBytes)))
	if err != nil {
		return err
	}
	left -= int64(len(chunk))
	mask := [maskBytes]byte(chunk[size-maskBytes : size])
	gobwas.Cipher(chunk[size:], mask, 0)
	position := len(chunk) - size
	copy(chunk[maskBytes:], chunk[:size-maskBytes])
	chunk = chunk[maskBytes:]
	chunk[1] &= 0x7f
	if err := s.emit(chunk); err != nil {
		return err
	}
	// The rest does not wait until the frame is whole: every part is sent, and its memory given back, before the next.
	for left > 0 {
		if err := s.flush(reader); err != nil {
			return err
		}
		if _, err := reader.Peek(1); err != nil {
			return err
		}
		chunk, err := reader.Next(int(min(left, int64(reader.Len()), chunkBytes)))
		if err != nil {
			return err
		}
		left -= int64(len(chunk))
		gobwas.Cipher(chunk, mask, position%maskBytes)
		position += len(chunk)
		if err := s.emit(chunk); err != nil {
			return err
		}
	}
	return nil
}

// flush sends what was emitted and gives back the memory of what was read.
func (s *session) flush(reader netpoll.Reader) error {
	if s.server.line == nil { // else the writer is the line's
		if err := s.connection.Writer().Flush(); err != nil {
			return err
		}
	}
	return reader.Release()
}

// control answers pings and closes. A close that was answered ends the session.
func (s *session) control(reader netpoll.Reader, opcode gobwas.OpCode, size int, length int64) error {
	if length > gobwas.MaxControlFramePayloadSize {
		return errFrame
	}
	frame, err := reader.Next(size + int(length))
	if err != nil {
		return err
	}
	payload := frame[size:]
	gobwas.Cipher(payload, [maskBytes]byte(frame[size-maskBytes:size]), 0)
	switch opcode {
	case gobwas.OpPing:
		return s.emit(ws.AppendPong(nil, ws.Server, [maskBytes]byte{}, payload))
	case gobwas.OpClose:
		code := gobwas.StatusNoStatusRcvd
		if len(payload) >= 2 {
			code = gobwas.StatusCode(binary.BigEndian.Uint16(payload))
		}
		if err := s.emit(ws.AppendClose(nil, ws.Server, [maskBytes]byte{}, code, "")); err != nil {
			return err
		}
		if s.server.line != nil {
			s.server.line.push(s.connection, nil)
			return nil
		}
		_ = s.flush(reader)
		return errOver
	}
	return nil
}

// emit sends bytes, valid until the next flush: with the next flush, or later where the server is a slow one.
func (s *session) emit(b []byte) error {
	if s.server.line != nil {
		s.server.line.push(s.connection, b)
		return nil
	}
	_, err := s.connection.Writer().WriteBinary(b)
	return err
}
