package tls

import (
	"io"
	"net/netip"
)

// Observer is told of what happens to a Conn between the owner's calls.
type Observer interface {
	// Stepped is called on the owner's goroutine when a step of the handshake is done: there may be ciphertext to be
	// sent, and the connection may be established or broken. Once it is established, Plain may have something: the
	// peer's first bytes can come with the end of its handshake. It may Abandon the connection.
	Stepped(c *Conn)
}

// Options are what a Conn is made of. All but the configuration is that of its owner.
type Options struct {
	// Config says the role, and what is acceptable.
	Config *Config
	// Workers run the handshake.
	Workers *Workers
	// Buffers lend memory.
	Buffers Buffers
	// Post has a task run on the owner's goroutine, in order, and reports false if it never will: the handshake
	// is stopped then. It is called on other goroutines and does not wait.
	Post func(task func()) bool
	// Observer is told when a step of the handshake is done.
	Observer Observer
	// Local is the address that the peer connected to: it chooses the certificate of a client that asks for no name.
	// The zero value: unknown. It is forgotten with the handshake.
	Local netip.AddrPort
}

// phase is where a Conn stands. It only goes forward.
type phase uint8

const (
	// phaseFirst: a server waits for the client's first record. Nothing was allocated for it, no handshake counts.
	// Entered by New. Left by Feed, FeedEnd.
	phaseFirst phase = iota
	// phaseWaiting: a handshake could begin, but as many are in flight as Workers allow. A server holds the client's
	// first record. Entered by begin. Left by Begin, FeedEnd.
	phaseWaiting
	// phaseHandshake: a handshake is in flight on a worker. Entered by begin.
	phaseHandshake
	// phaseEstablished: the record layer is at work, in both directions or in one. Entered by handshake.arrive.
	phaseEstablished
	// phaseFailed: nothing more comes or goes, but an alert may be pending. Entered by fail.
	phaseFailed
	// phaseAbandoned: nothing is held. Entered by Abandon.
	phaseAbandoned
)

// Conn is one TLS connection, of either role. It belongs to its owner's goroutine, on which all methods are called.
// The owner has deadlines: whoever dawdles in the handshake is abandoned by it.
type Conn struct {
	layer     recordLayer // nil before the handshake is over
	handshake *handshake  // nil once it is over
	buffers   Buffers
	in        inflow // ciphertext from the peer
	plain     queue  // plaintext that Keep saved
	out       queue  // ciphertext to the peer
	err       *Error
	phase     phase
	server    bool
	inEnded   bool // the transport's stream has ended
	inClosed  bool // close_notify was received
	outClosed bool // close_notify was sent
}

// New returns a connection in the role that o.Config says. A client's first flight is made at once, or else it Waits; a
// server costs nothing but the Conn before the client's first record is complete.
func New(o Options) *Conn {
	c := &Conn{buffers: o.Buffers, server: o.Config.server}
	c.handshake = &handshake{conn: c, options: o}
	if !c.server {
		c.begin()
	}
	return c
}

// Established tells whether the handshake has succeeded.
func (c *Conn) Established() bool { return c.phase == phaseEstablished }

// InFlight tells whether a handshake is under way that counts among those of the Workers.
func (c *Conn) InFlight() bool { return c.phase == phaseHandshake }

// Waits tells that the handshake could begin, were there not too many in flight already. Nobody tells when that has
// changed: the owner calls Begin when one of its handshakes is over, and now and then, on those that wait, the first
// first.
func (c *Conn) Waits() bool { return c.phase == phaseWaiting }

// Begin tries again to begin the handshake of a connection that Waits. It reports whether that is done with: the
// handshake has begun, has failed because the workers are stopped, or was not waiting.
func (c *Conn) Begin() bool {
	if c.phase == phaseWaiting {
		c.begin()
	}
	return c.phase != phaseWaiting
}

// Wants tells whether the transport should be read. It is false while the connection Waits and while a step of the
// handshake runs: a peer that does not wait for the answer is held up in the kernel, not in our memory. Stepped is
// called when a step is done.
func (c *Conn) Wants() bool {
	switch c.phase {
	case phaseFirst:
		return !c.inEnded
	case phaseHandshake:
		return !c.inEnded && !c.handshake.running
	case phaseEstablished:
		return !c.inEnded && !c.inClosed
	}
	return false
}

// Err returns why the connection has failed, or was truncated; nil if it has not.
func (c *Conn) Err() *Error { return c.err }

// Info describes the connection once its handshake is over.
func (c *Conn) Info() Info {
	if c.layer == nil {
		return Info{}
	}
	return c.layer.info()
}

// HeldBytes returns how many bytes wait in the connection: ciphertext both ways, plaintext, and what came of a message
// of the peer's that is not complete.
func (c *Conn) HeldBytes() int {
	held := c.in.held.len() + c.plain.len() + c.out.len()
	if c.phase == phaseEstablished {
		held += c.layer.held()
	}
	return held
}

// Feed implements Pipe. It must also be called during the handshake, when the bytes are copied.
func (c *Conn) Feed(ciphertext []byte) {
	if c.inEnded || c.inClosed || c.phase >= phaseFailed {
		return // RFC 8446 section 6.1: ignored behind a closure alert
	}
	c.Keep()
	c.in.fed = ciphertext
	if c.phase < phaseEstablished {
		c.in.keep(c.buffers)
		c.advance()
	}
}

// FeedEnd implements Pipe.
func (c *Conn) FeedEnd() {
	if !c.inEnded {
		c.inEnded = true
		c.advance()
	}
}

// Plain implements Pipe.
func (c *Conn) Plain(p []byte) (int, Status) {
	if c.phase != phaseEstablished {
		return 0, c.status()
	}
	n := copy(p, c.plain.bytes())
	if n > 0 {
		c.plain.advance(c.buffers, n)
	}
	for n < len(p) {
		if c.layer.buffered() > 0 {
			n += c.layer.rest(p[n:])
			continue
		}
		if c.inClosed {
			return n, StatusClosed
		}
		record := c.in.next(c.buffers)
		if record == nil {
			return n, c.status()
		}
		m, err := c.layer.open(record, p[n:])
		n += m
		if err != nil {
			return n, c.endOfInput(err)
		}
	}
	return n, StatusReady
}

// endOfInput takes note of an error of the record layer.
func (c *Conn) endOfInput(err error) Status {
	if err == io.EOF {
		c.inClosed = true
		c.in.drop(c.buffers)
		return StatusClosed
	}
	c.fail(classify(err, c.layer.alertSent()))
	return StatusFailed
}

// status tells why there is no plaintext, when no record is complete.
func (c *Conn) status() Status {
	switch {
	case c.phase >= phaseFailed:
		return StatusFailed
	case c.inClosed:
		return StatusClosed
	case c.inEnded && c.phase == phaseEstablished:
		if c.err == nil {
			c.err = &Error{Cause: CauseTruncated}
			c.in.drop(c.buffers)
		}
		return StatusTruncated
	}
	return StatusBlocked
}

// Keep implements Pipe.
func (c *Conn) Keep() {
	if c.phase == phaseEstablished && c.layer.buffered() > 0 {
		// The plaintext lies in the record, whose memory is borrowed, or about to move.
		left := c.layer.buffered()
		c.plain.reserve(c.buffers, left)
		n := len(c.plain.buffer)
		c.plain.buffer = c.plain.buffer[:n+c.layer.rest(c.plain.buffer[n:n+left])]
	}
	c.in.keep(c.buffers)
}

// Seal implements Pipe.
func (c *Conn) Seal(p []byte) error {
	if err := c.writable(); err != nil || len(p) == 0 {
		return err
	}
	c.out.reserve(c.buffers, len(p)+(len(p)/plaintextMax+1)*overheadMax)
	if err := c.layer.seal(p); err != nil {
		c.fail(classify(err, c.layer.alertSent()))
		return c.err
	}
	return nil
}

// CloseWrite implements Pipe.
func (c *Conn) CloseWrite() error {
	if err := c.writable(); err != nil {
		return err
	}
	c.outClosed = true
	if err := c.layer.closeWrite(); err != nil {
		c.fail(classify(err, c.layer.alertSent()))
		return c.err
	}
	return nil
}

func (c *Conn) writable() error {
	switch {
	case c.phase >= phaseFailed && c.err != nil:
		return c.err
	case c.phase != phaseEstablished:
		return ErrNotEstablished
	case c.outClosed:
		return ErrWriteClosed
	}
	return nil
}

// Pending implements Pipe.
func (c *Conn) Pending() []byte { return c.out.bytes() }

// Advance implements Pipe.
func (c *Conn) Advance(n int) { c.out.advance(c.buffers, n) }

// Export implements Pipe. It returns b and ErrNotExportable.
func (c *Conn) Export(b []byte) ([]byte, error) { return b, ErrNotExportable }

// Abandon releases the connection: a handshake in flight is stopped, what it has written is discarded, and all
// buffers are given back. The observer hears nothing further. The Conn must not be used any more, except for another
// Abandon, Err and Info.
func (c *Conn) Abandon() {
	if c.phase == phaseAbandoned {
		return
	}
	c.phase = phaseAbandoned
	c.stopHandshake()
	c.in.drop(c.buffers)
	c.plain.release(c.buffers)
	c.out.release(c.buffers)
}

// fail breaks the connection. What is pending, an alert at its end, can still be sent.
func (c *Conn) fail(e *Error) {
	c.phase, c.err = phaseFailed, e
	c.stopHandshake()
	c.in.drop(c.buffers)
	c.plain.release(c.buffers)
}
