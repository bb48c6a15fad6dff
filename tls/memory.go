package tls

import (
	"errors"
	"net"
	"time"
)

// memory is the net.Conn below crypto/tls: the bytes that came, and a queue for those to be sent. It is used by
// whoever runs crypto/tls: a worker during the handshake, then the owner.
type memory struct {
	in   []byte // whole records
	left int    // how much of the first of them, which was begun, is still in it
	out  *queue
	from Buffers
	// local is the address that the peer connected to, during the handshake; nil: unknown.
	local *net.TCPAddr
	// wait is called, during the handshake, when in is empty. It returns when more has come, or false to give up.
	wait func() bool
}

// errNoCiphertext tells crypto/tls to come again: it is not sticky because it is Temporary, and not fatal in
// mid-message because it is a Timeout.
var errNoCiphertext net.Error = noCiphertext{}

type noCiphertext struct{}

func (noCiphertext) Error() string   { return "tls: no ciphertext yet" }
func (noCiphertext) Timeout() bool   { return true }
func (noCiphertext) Temporary() bool { return true }

// errAbandoned ends a handshake that nobody waits for.
var errAbandoned = errors.New("tls: the handshake was abandoned")

// Read returns bytes of one record only, so that crypto/tls never holds a part of the next one.
func (m *memory) Read(p []byte) (int, error) {
	for len(m.in) == 0 {
		if m.wait == nil {
			return 0, errNoCiphertext
		}
		if !m.wait() {
			return 0, errAbandoned
		}
	}
	if m.left == 0 {
		m.left = min(recordLength(m.in), len(m.in))
	}
	n := copy(p, m.in[:m.left])
	m.in, m.left = m.in[n:], m.left-n
	return n, nil
}

// Write takes everything, and copies: any error would be for good.
func (m *memory) Write(p []byte) (int, error) {
	m.out.append(m.from, p)
	return len(p), nil
}

// LocalAddr is for callbacks of the configuration.
func (m *memory) LocalAddr() net.Addr {
	if m.local == nil {
		return nowhere{}
	}
	return m.local
}

func (m *memory) Close() error                     { return nil }
func (m *memory) RemoteAddr() net.Addr             { return nowhere{} }
func (m *memory) SetDeadline(time.Time) error      { return nil }
func (m *memory) SetReadDeadline(time.Time) error  { return nil }
func (m *memory) SetWriteDeadline(time.Time) error { return nil }

// nowhere is an address that is not known.
type nowhere struct{}

func (nowhere) Network() string { return "memory" }
func (nowhere) String() string  { return "memory" }
