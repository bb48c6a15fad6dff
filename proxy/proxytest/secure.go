package proxytest

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// errTruncated ends a stream over TLS that ended by a FIN alone.
var errTruncated = errors.New("a FIN without close_notify")

// errBehindClose ends a stream over TLS on which something follows its end.
var errBehindClose = errors.New("more bytes behind close_notify")

// secured is TLS on a connection of a test's.
type secured struct {
	*tls.Conn
	wire *wire
}

// over puts TLS on a connection that nobody has used yet.
func (c *Conn) over(config *tls.Config, role func(net.Conn, *tls.Config) *tls.Conn) {
	w := &wire{TCPConn: c.raw}
	w.moved = sync.NewCond(&w.mu)
	c.secured = &secured{Conn: role(w, config), wire: w}
	c.stream = c.secured.Conn
}

// greet performs the handshake, if there is one. Its failure is what ends the stream.
func (c *Conn) greet() {
	if c.secured == nil {
		return
	}
	_ = c.raw.SetDeadline(deadline())
	c.err = c.secured.Handshake()
	_ = c.raw.SetDeadline(time.Time{}) // it is the handshake's: whoever reads of the stream has its own patience
}

// TLS returns what was agreed upon in the handshake; nil for a plain connection.
func (c *Conn) TLS() *tls.ConnectionState {
	if c.secured == nil {
		return nil
	}
	state := c.secured.ConnectionState()
	return &state
}

// WantAlert wants the far side to have ended the connection by an alert, named as crypto/tls does.
func (c *Conn) WantAlert(name string) {
	c.t.Helper()
	for c.fill() {
	}
	if text := c.err.Error(); !strings.HasPrefix(text, "remote error: ") || !strings.Contains(text, name) {
		c.fail("wants the alert %q, but %s", name, c.ended())
	}
}

// ClientHello is what a client begins with, without anybody to answer.
func ClientHello(v Version) string {
	var hello recorder
	_ = tls.Client(&hello, ClientConfig(v)).Handshake() // cut at the answer
	return string(hello.written)
}

// recorder is a connection whose far side is gone.
type recorder struct {
	net.Conn
	written []byte
}

func (r *recorder) Read([]byte) (int, error) { return 0, io.EOF }

func (r *recorder) Write(p []byte) (int, error) {
	r.written = append(r.written, p...)
	return len(p), nil
}

// ending tells what ended the stream, as it would be told of a plain one: the far side's close_notify with its FIN is
// io.EOF, and nothing else is.
func (s *secured) ending(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if s.wire.ended {
		return errTruncated
	}
	n, err := s.wire.TCPConn.Read(make([]byte, 1))
	if n > 0 {
		return errBehindClose
	}
	return err
}

// sendAvailable writes records as long as the kernel takes them whole. What it does not take of the last goes out later.
func (s *secured) sendAvailable(text string) (sent int) {
	const record = 16 << 10
	s.wire.setImpatient(true)
	defer s.wire.setImpatient(false)
	for sent < len(text) && s.wire.empty() {
		n, err := io.WriteString(s.Conn, text[sent:min(len(text), sent+record)])
		sent += n
		if err != nil {
			return sent
		}
	}
	return sent
}

// readAvailable reads what has come, into p.
func (s *secured) readAvailable(p []byte) (int, error) {
	s.wire.glance = true
	defer func() { s.wire.glance = false }()
	n, err := s.Read(p)
	if errors.Is(err, errNothingYet) {
		return n, nil
	}
	return n, err
}

// finish sends close_notify and the FIN, behind what is still on its way, in one segment: whoever is told of the one is
// told of the other.
func (s *secured) finish() error {
	if err := s.wire.cork(); err != nil {
		return err
	}
	s.wire.setImpatient(true)
	defer s.wire.setImpatient(false)
	if err := s.CloseWrite(); err != nil {
		return err
	}
	return s.wire.finish()
}

// close sends close_notify if the kernel takes it, and closes.
func (s *secured) close() {
	s.wire.setImpatient(true)
	_ = s.Close()
}

// wire is the socket below TLS.
type wire struct {
	*net.TCPConn
	// To whoever reads.
	glance bool // a read does not wait
	ended  bool // the far side's FIN was read

	mu        sync.Mutex
	moved     *sync.Cond // queue is empty, or err set
	impatient bool       // a write does not wait: what the kernel does not take goes out later
	queue     []byte     // is being written by flush
	fin       bool       // behind it
	err       error
}

// nothingYet is the error that crypto/tls can be called again after.
type nothingYet struct{}

func (nothingYet) Error() string   { return "nothing has come yet" }
func (nothingYet) Timeout() bool   { return true }
func (nothingYet) Temporary() bool { return true }

var errNothingYet net.Error = nothingYet{}

func (w *wire) setImpatient(impatient bool) {
	w.mu.Lock()
	w.impatient = impatient
	w.mu.Unlock()
}

func (w *wire) empty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue) == 0
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (n int, err error) {
	if !w.glance {
		n, err = w.TCPConn.Read(p)
		w.ended = w.ended || err == io.EOF
		return n, err
	}
	raw, err := w.SyscallConn()
	if err != nil {
		return 0, err
	}
	_ = w.TCPConn.SetReadDeadline(deadline())
	read := raw.Read(func(fd uintptr) bool { n, err = unix.Read(int(fd), p); return true })
	switch {
	case read != nil:
		return 0, read
	case err == unix.EAGAIN, err == unix.EINTR:
		return 0, errNothingYet
	case err != nil:
		return 0, err
	case n == 0:
		w.ended = true
		return 0, io.EOF
	}
	return n, nil
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.impatient && len(w.queue) > 0 && w.err == nil {
		w.moved.Wait()
	}
	if w.err != nil {
		return 0, w.err
	}
	if !w.impatient {
		w.mu.Unlock()
		defer w.mu.Lock()
		return w.TCPConn.Write(p)
	}
	n := 0
	if len(w.queue) == 0 {
		n = writeAvailable(w.TCPConn, p)
	}
	if n < len(p) {
		w.keep(p[n:])
	}
	return len(p), nil
}

// keep has bytes sent when there is room for them. w.mu is held.
func (w *wire) keep(p []byte) {
	begin := len(w.queue) == 0
	w.queue = append(w.queue, p...)
	if begin {
		// goroutine: writer of what the kernel has no room for yet, ends when that is written or the connection closed
		go w.flush()
	}
}

func (w *wire) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) > 0 && w.err == nil {
		next := w.queue
		w.mu.Unlock()
		n, err := w.TCPConn.Write(next)
		w.mu.Lock()
		w.queue, w.err = w.queue[n:], err
	}
	if w.fin && w.err == nil {
		w.err = w.TCPConn.CloseWrite()
	}
	w.moved.Broadcast()
}

// cork has the kernel wait for what follows.
func (w *wire) cork() error {
	raw, err := w.SyscallConn()
	if err != nil {
		return err
	}
	controlled := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, 1) })
	return errors.Join(err, controlled)
}

// finish sends the FIN behind all that was written.
func (w *wire) finish() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fin = true
	if len(w.queue) > 0 {
		return nil // by flush
	}
	return w.TCPConn.CloseWrite()
}
