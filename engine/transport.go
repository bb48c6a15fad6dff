package engine

import (
	"net/netip"
	"syscall"
)

// Transport turns the bytes of the wire into those of an application and back, in memory: an encrypted pipe, say. It
// does no I/O and belongs to the loop. Opening it takes a conversation with the peer, of which parts may go on
// elsewhere: Layered.Stepped tells the end above that one of them is done.
type Transport interface {
	// Established tells whether the bytes of the application can flow. It is false before, and again after a failure.
	Established() bool
	// Failed tells whether the transport is broken. What is pending then says so to the peer.
	Failed() bool
	// Wants tells whether the wire should be read. It may be false for a while until Layered.Stepped.
	Wants() bool
	// Feed hands over what came from the wire, in order. The bytes are borrowed, and may be overwritten, until Plain has
	// returned anything but StatusReady, or Keep was called.
	Feed(wire []byte)
	// FeedEnd says that nothing more will come from the wire.
	FeedEnd()
	// Plain moves bytes of the application to p. StatusBlocked: no more until the wire is fed. StatusEOF: the peer has
	// said all it had to say. StatusFailed: the transport is broken.
	Plain(p []byte) (int, Status)
	// Keep copies what is still borrowed.
	Keep()
	// Seal takes all of p, which goes to what is pending. The error is for good.
	Seal(p []byte) error
	// CloseWrite says that no Seal follows, which the peer is told behind what is pending.
	CloseWrite() error
	// Pending returns what is to be sent. Valid until the next call.
	Pending() []byte
	// Advance marks the first n bytes of Pending as sent.
	Advance(n int)
	// Abandon releases everything.
	Abandon()
}

// Connection is an End that lies on a socket of its own: a Conn, or a Layered.
type Connection interface {
	End
	// Hangup tells whether the peer's end, or an error, was announced; bytes may be unread in front of it.
	Hangup() bool
	// Err returns the first error seen on the socket; 0: none.
	Err() syscall.Errno
	// Local returns the address of our side; not valid when the kernel does not tell.
	Local() netip.AddrPort
	// Closed tells whether the socket was released.
	Closed() bool
	// WhenClosed has o told, once, when the lingering close that must be under way is over.
	WhenClosed(o CloseObserver)
}

var (
	_ Connection = (*Conn)(nil)
	_ Connection = (*Layered)(nil)
)
