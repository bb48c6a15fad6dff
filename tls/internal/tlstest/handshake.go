package tlstest

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// An Outcome is what both sides say of a handshake.
type Outcome struct {
	Client, Server       tls.ConnectionState
	ClientErr, ServerErr error
}

// Accepted reports whether both sides are content.
func (o Outcome) Accepted() bool { return o.ClientErr == nil && o.ServerErr == nil }

// Err joins both errors.
func (o Outcome) Err() error { return errors.Join(o.ClientErr, o.ServerErr) }

// Handshake lets two configurations meet, in memory. Each side sends one byte and waits for the other's, so that the
// client has its session ticket (and each a late alert) when this returns.
func Handshake(server, client *tls.Config) Outcome {
	toServer, toClient := newStream(), newStream()
	s := tls.Server(&end{toServer, toClient}, server)
	c := tls.Client(&end{toClient, toServer}, client)
	var o Outcome
	done := make(chan struct{})
	// goroutine: client of a handshake, ends when either side closes or the handshake is over
	go func() {
		defer close(done)
		o.Client, o.ClientErr = play(c)
	}()
	o.Server, o.ServerErr = play(s)
	<-done
	return o
}

// play performs one side. Whoever fails closes, which ends the other's waiting.
func play(c *tls.Conn) (tls.ConnectionState, error) {
	err := c.Handshake()
	if err == nil {
		_, err = c.Write([]byte{'x'})
	}
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 1))
	}
	state := c.ConnectionState()
	if err != nil {
		c.NetConn().Close()
	}
	return state, err
}

// A stream is one direction: bytes without bound, and an end.
type stream struct {
	mutex  sync.Mutex
	wake   *sync.Cond
	bytes  []byte
	closed bool
}

func newStream() *stream {
	s := &stream{}
	s.wake = sync.NewCond(&s.mutex)
	return s
}

// end is one side's connection.
type end struct{ in, out *stream }

func (e *end) Read(b []byte) (int, error) {
	e.in.mutex.Lock()
	defer e.in.mutex.Unlock()
	for len(e.in.bytes) == 0 {
		if e.in.closed {
			return 0, io.EOF
		}
		e.in.wake.Wait()
	}
	n := copy(b, e.in.bytes)
	e.in.bytes = e.in.bytes[n:]
	return n, nil
}

func (e *end) Write(b []byte) (int, error) {
	e.out.mutex.Lock()
	defer e.out.mutex.Unlock()
	e.out.bytes = append(e.out.bytes, b...)
	e.out.wake.Broadcast()
	return len(b), nil
}

// Close ends both directions; what was written before can still be read.
func (e *end) Close() error {
	for _, s := range []*stream{e.in, e.out} {
		s.mutex.Lock()
		s.closed = true
		s.wake.Broadcast()
		s.mutex.Unlock()
	}
	return nil
}

// LocalAddr returns 127.0.0.1:443 for both sides.
func (e *end) LocalAddr() net.Addr                { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }
func (e *end) RemoteAddr() net.Addr               { return e.LocalAddr() }
func (e *end) SetDeadline(t time.Time) error      { return nil }
func (e *end) SetReadDeadline(t time.Time) error  { return nil }
func (e *end) SetWriteDeadline(t time.Time) error { return nil }
