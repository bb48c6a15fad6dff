package proxytest

import (
	"runtime"
	"testing"
	"time"

	"culvert/engine"

	"golang.org/x/sys/unix"
)

// Feeding a proxy exactly so, for the hostile inputs.

// stuck is how long Feed waits for a proxy that does not read, in nanoseconds.
const stuck = int64(Patience) / 10

// Feed sends text from c in pieces of n bytes, each once the proxy has read the one before: so it sees every piece by
// itself. Where the proxy does not read any more the rest goes at once; where it is gone the rest is dropped, and the
// error returned. It may be called beside a goroutine that reads.
func Feed(c *Conn, text string, n int) error {
	held := -1
	for len(text) > 0 {
		n = min(n, len(text))
		if err := c.TrySend(text[:n]); err != nil {
			return err
		}
		text = text[n:]
		if len(text) > 0 && !c.untilRead(&held) {
			n = len(text)
		}
	}
	return nil
}

// UntilRead waits until the proxy has read all that c has sent so far. It reports false when the proxy does not read,
// or is gone.
func (c *Conn) UntilRead() bool {
	if c.held == 0 {
		c.held = -1
	}
	return c.untilRead(&c.held)
}

// untilRead remembers the proxy's descriptor in held.
func (c *Conn) untilRead(held *int) bool {
	spins := 0
	for end := engine.Monotonic() + stuck; engine.Monotonic() < end; spins++ {
		switch {
		case spins == 0:
		case spins%looksAtOnce == 0:
			<-time.After(pollPeriod / 10) // leave the processors to the proxy
		default:
			runtime.Gosched()
		}
		if *held < 0 {
			fd, ok := heldDescriptor(c)
			if !ok {
				if c.hungUp() {
					return false
				}
				continue // not accepted yet
			}
			*held = fd
		}
		unread, err := unix.IoctlGetInt(*held, unix.SIOCINQ)
		done := err == nil && unread == 0 && c.delivered(*held)
		if (done || err != nil || spins%looksAtOnce == 0) && !c.joins(*held) {
			return false // the proxy is gone; the number may be another's
		}
		if done {
			return true
		}
	}
	return false
}

// delivered tells whether all that c has sent is at the other end, fd. It does not wait to be acknowledged there, which
// takes the kernel 40 ms where nothing is answered.
func (c *Conn) delivered(fd int) (all bool) {
	c.withDescriptor(func(own int) {
		here, err := unix.GetsockoptTCPInfo(own, unix.IPPROTO_TCP, unix.TCP_INFO)
		there, failed := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		all = err == nil && failed == nil && here.Notsent_bytes == 0 && here.Bytes_sent-here.Bytes_retrans <= there.Bytes_received
	})
	return all
}

// looksAtOnce is how often untilRead looks in a row: a proxy that is awake takes a few microseconds to read.
const looksAtOnce = 32

// hungUp tells whether the other side has finished or reset the connection, or this one has closed it.
func (c *Conn) hungUp() (gone bool) {
	gone = true
	c.withDescriptor(func(fd int) {
		asked := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, _ := unix.Poll(asked, 0)
		gone = n > 0
	})
	return gone
}

// joins tells whether fd is the other end of the connection.
func (c *Conn) joins(fd int) bool {
	remote, err := unix.Getpeername(fd)
	if err != nil || socketAddress(remote) != c.Local() {
		return false
	}
	local, err := unix.Getsockname(fd)
	return err == nil && socketAddress(local) == c.Remote()
}

// Queues returns how many of the bytes that c has sent wait in its own kernel, unacknowledged, and how many on the
// proxy's side, unread; 0 for a proxy that is gone.
func (c *Conn) Queues() (unsent, unread int) {
	if fd, ok := heldDescriptor(c); ok {
		unread, _ = unix.IoctlGetInt(fd, unix.SIOCINQ)
	}
	return c.unacknowledged(), unread
}

// SendUrgent sends one byte of urgent data (RFC 9293 3.8.5), which is no part of the stream.
func (c *Conn) SendUrgent(b byte) (err error) {
	c.withDescriptor(func(fd int) { err = unix.Sendto(fd, []byte{b}, unix.MSG_OOB, nil) })
	return err
}

// CloseAndCount closes a backend that is served by a script, and returns how many connections it had in all: those that
// nobody has accepted yet are waited for.
func (b *Backend) CloseAndCount(t testing.TB) int {
	t.Helper()
	last := Dial(t, b.Address()) // stands behind all others in the accept queue
	before := -1
	Eventually(t, "the backend accepts everybody", func() bool {
		for i, c := range b.Connections() {
			if c.Remote() == last.Local() {
				before = i
			}
		}
		return before >= 0
	})
	b.Close()
	last.Close()
	return before
}
