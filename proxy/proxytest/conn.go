package proxytest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"culvert/engine"
)

// Patience bounds every wait. It decides nothing but when a failure is told.
const Patience = 10 * time.Second

// maxHead is the longest head that ReadHead looks for, in bytes.
const maxHead = 1 << 20

// Conn is a TCP connection in the hands of a test, of a client or of a backend, plain or with TLS on it. It records what
// it receives. Over TLS a FIN is close_notify and the FIN; everything else is as it is without. Its methods fail the test
// with a sentence; they belong to one goroutine, but for Received.
type Conn struct {
	t       testing.TB
	name    string
	raw     *net.TCPConn
	stream  net.Conn    // what is written and read: raw, or what is on it
	secured *secured    // nil: plain
	refused atomic.Bool // a write has met a reset: reads are not told of it any more

	// In a script the test cannot be ended at once, and failures after the test's end are of no interest.
	background, closing func() bool

	held int // the proxy's descriptor, once UntilRead has found it; 0: not looked for

	mu       sync.Mutex
	received []byte
	taken    int   // how much of received the test has taken
	err      error // what ended the stream of received bytes
}

// ConnOptions shape a client's connection.
type ConnOptions struct {
	// ReceiveBuffer and SendBuffer are the kernel's buffers in bytes, which the kernel doubles. 0: left to the kernel.
	// Either makes segments as small as a network's: a loopback segment of 64 KiB does not fit a small buffer.
	ReceiveBuffer, SendBuffer int
	// TLS changes what a client says and accepts that speaks TLS. nil: nothing.
	TLS func(*tls.Config)
	// From is the address to connect from. The zero value leaves it to the kernel.
	From netip.Addr
}

// SmallBuffer is a receive buffer that a proxy soon fills, in bytes.
const SmallBuffer = 16 << 10

// Dial connects a client to an address. The connection is closed when the test is over.
func Dial(t testing.TB, address netip.AddrPort) *Conn {
	t.Helper()
	return DialWith(t, address, ConnOptions{})
}

// DialWith connects a client with options.
func DialWith(t testing.TB, address netip.AddrPort, o ConnOptions) *Conn {
	t.Helper()
	dialer := net.Dialer{Timeout: Patience, Control: o.control}
	if o.From.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(o.From, 0))
	}
	raw, err := dialer.Dial("tcp", address.String())
	if err != nil {
		t.Fatalf("the client cannot connect to %s: %v", address, err)
	}
	c := newConn(t, "the client", raw.(*net.TCPConn))
	t.Cleanup(c.Close)
	return c
}

func never() bool { return false }

func newConn(t testing.TB, name string, raw *net.TCPConn) *Conn {
	return &Conn{t: t, name: name, raw: raw, stream: raw, background: never, closing: never}
}

// fail ends the test, or in a script the script.
func (c *Conn) fail(format string, arguments ...any) {
	c.t.Helper()
	if !c.background() {
		c.t.Fatalf(c.name+" "+format, arguments...)
	}
	if !c.closing() {
		c.t.Errorf(c.name+" "+format, arguments...)
	}
	runtime.Goexit()
}

func deadline() time.Time { return engine.WallTime(engine.Monotonic()).Add(Patience) }

// Send sends all of text.
func (c *Conn) Send(text string) {
	c.t.Helper()
	if err := c.TrySend(text); err != nil {
		c.fail("cannot send %d bytes (%s): %v", len(text), Excerpt(text), err)
	}
}

// TrySend sends all of text, and returns an error where the other side may be gone already.
func (c *Conn) TrySend(text string) error {
	_ = c.raw.SetWriteDeadline(deadline())
	_, err := io.WriteString(c.stream, text)
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		c.refused.Store(true)
	}
	return err
}

// SendByteByByte sends each byte of text as a segment of its own, once the one before has reached the other side's
// kernel.
func (c *Conn) SendByteByByte(text string) {
	c.t.Helper()
	for i := range len(text) {
		c.Send(text[i : i+1])
		for spins := 0; c.unacknowledged() > 0 && spins < 10_000; spins++ {
			runtime.Gosched()
		}
	}
}

// fill reads once more. It reports false when nothing more will come; c.err says why.
func (c *Conn) fill() bool {
	if c.err != nil {
		return false
	}
	buffer := make([]byte, 64<<10)
	_ = c.raw.SetReadDeadline(deadline())
	n, err := c.stream.Read(buffer)
	c.record(buffer[:n], err)
	return n > 0 || err == nil // over TLS both may come at once
}

// record takes what a read has yielded.
func (c *Conn) record(p []byte, err error) {
	if err != nil && c.secured != nil {
		err = c.secured.ending(err)
	}
	if c.refused.Load() && (errors.Is(err, io.EOF) || errors.Is(err, errTruncated)) {
		err = syscall.ECONNRESET
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.received = append(c.received, p...)
	c.err = err
}

func (c *Conn) untaken() string { return string(c.received[c.taken:]) }

func (c *Conn) take(n int) string {
	text := string(c.received[c.taken : c.taken+n])
	c.taken += n
	return text
}

// ended says what ended the stream.
func (c *Conn) ended() string {
	switch {
	case errors.Is(c.err, io.EOF):
		return "it got a FIN"
	case errors.Is(c.err, syscall.ECONNRESET):
		return "it got a reset"
	case errors.Is(c.err, errTruncated):
		return "it got a FIN without close_notify"
	case errors.Is(c.err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("nothing came for %v", Patience)
	}
	return fmt.Sprint("it got ", c.err)
}

// ReadHead reads up to the empty line that ends a head, and returns the head with it.
func (c *Conn) ReadHead() string {
	c.t.Helper()
	for {
		if i := strings.Index(c.untaken(), "\r\n\r\n"); i >= 0 {
			return c.take(i + 4)
		}
		if len(c.untaken()) > maxHead {
			c.fail("wants a head, but it has %d bytes without an empty line", len(c.untaken()))
		}
		if !c.fill() {
			c.fail("wants a head, but %s after %s", c.ended(), Excerpt(c.untaken()))
		}
	}
}

// TryReadHead reads a head and reports whether one came.
func (c *Conn) TryReadHead() bool {
	for {
		if i := strings.Index(c.untaken(), "\r\n\r\n"); i >= 0 {
			c.take(i + 4)
			return true
		}
		if !c.fill() {
			return false
		}
	}
}

// ReadExactly reads n bytes.
func (c *Conn) ReadExactly(n int) string {
	c.t.Helper()
	for len(c.received)-c.taken < n {
		if !c.fill() {
			c.fail("wants %d bytes, but %s after %d: %s", n, c.ended(), len(c.untaken()), Excerpt(c.untaken()))
		}
	}
	return c.take(n)
}

// Want reads as many bytes as text has and compares them.
func (c *Conn) Want(text string) {
	c.t.Helper()
	for len(c.received)-c.taken < len(text) {
		if !c.fill() {
			c.fail("wants %d bytes (%s), but %s after %d: %s", len(text), Excerpt(text), c.ended(), len(c.untaken()), Excerpt(c.untaken()))
		}
	}
	if got := c.take(len(text)); got != text {
		c.fail("wants other bytes: %s", Difference(got, text))
	}
}

// ReadUntilEOF reads everything up to the other side's FIN.
func (c *Conn) ReadUntilEOF() string {
	c.t.Helper()
	for c.fill() {
	}
	if !errors.Is(c.err, io.EOF) {
		c.fail("wants a FIN, but %s after %d bytes: %s", c.ended(), len(c.untaken()), Excerpt(c.untaken()))
	}
	return c.take(len(c.untaken()))
}

// WantEOF wants the other side's FIN, with no byte before it.
func (c *Conn) WantEOF() {
	c.t.Helper()
	if rest := c.ReadUntilEOF(); rest != "" {
		c.fail("wants a FIN at once, but %d bytes came before it: %s", len(rest), Excerpt(rest))
	}
}

// WantReset wants the other side's reset, and returns what came before it.
func (c *Conn) WantReset() string {
	c.t.Helper()
	for c.fill() {
	}
	if !errors.Is(c.err, syscall.ECONNRESET) {
		c.fail("wants a reset, but %s after %d bytes: %s", c.ended(), len(c.untaken()), Excerpt(c.untaken()))
	}
	return c.take(len(c.untaken()))
}

// ReadUntilGone reads until the other side's FIN or reset, whichever it is, and returns what came before.
func (c *Conn) ReadUntilGone() (rest string, reset bool) {
	c.t.Helper()
	for c.fill() {
	}
	reset = errors.Is(c.err, syscall.ECONNRESET)
	if !reset && !errors.Is(c.err, io.EOF) {
		c.fail("wants the other side gone, but %s after %d bytes: %s", c.ended(), len(c.untaken()), Excerpt(c.untaken()))
	}
	return c.take(len(c.untaken())), reset
}

// WantNothing fails if anything has come that was not read: bytes, or a FIN or reset that a read has found already.
func (c *Conn) WantNothing() {
	c.t.Helper()
	if n := c.Unread(); n > 0 {
		c.fail("wants nothing yet, but %d bytes came: %s", n, Excerpt(c.untaken()))
	}
	if c.err != nil {
		c.fail("wants nothing yet, but %s", c.ended())
	}
}

// Received returns every byte received so far, those that the test has not taken included.
func (c *Conn) Received() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.received)
}

// CloseWrite sends a FIN; reading goes on.
func (c *Conn) CloseWrite() {
	c.t.Helper()
	finish := c.raw.CloseWrite
	if c.secured != nil {
		finish = c.secured.finish
	}
	if err := finish(); err != nil {
		c.fail("cannot send its FIN: %v", err)
	}
}

// Close closes the connection: the other side gets a FIN, or a reset if something was left unread. It may be called
// again.
func (c *Conn) Close() {
	if c.secured != nil {
		c.secured.close()
	}
	_ = c.raw.Close()
}

// Tamper sends a record that nobody has sealed.
func (c *Conn) Tamper() {
	c.t.Helper()
	const record = "\x17\x03\x03\x00\x20nobody has sealed this: it's fake"
	if _, err := io.WriteString(c.raw, record); err != nil {
		c.fail("cannot send a record: %v", err)
	}
}

// Truncate sends a FIN without a close_notify in front of it.
func (c *Conn) Truncate() {
	c.t.Helper()
	if err := c.raw.CloseWrite(); err != nil {
		c.fail("cannot send its FIN: %v", err)
	}
}

// Reset closes the connection by a reset.
func (c *Conn) Reset() {
	c.t.Helper()
	if err := c.raw.SetLinger(0); err != nil {
		c.fail("cannot reset its connection: %v", err)
	}
	_ = c.raw.Close()
}

// Local returns the connection's own address, Remote that of the other side.
func (c *Conn) Local() netip.AddrPort { return addressOf(c.raw.LocalAddr()) }

// Remote returns the address of the other side.
func (c *Conn) Remote() netip.AddrPort { return addressOf(c.raw.RemoteAddr()) }

func addressOf(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Raw returns the TCP connection itself, which stays with the Conn. What is read from it is not recorded.
func (c *Conn) Raw() *net.TCPConn { return c.raw }

// Stream returns the bytes of the connection, which stays with the Conn. What is read from it is not recorded.
func (c *Conn) Stream() net.Conn { return c.stream }

// String names the connection as failures do.
func (c *Conn) String() string { return c.name }
