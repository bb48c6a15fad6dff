package engine

// Side names one of the two ends of a relay.
type Side uint8

// The sides. A direction is named by the side it comes from.
const (
	SideClient Side = iota
	SideBackend
	// SideNone is neither: the proxy itself.
	SideNone
)

// Other returns the opposite side.
func (s Side) Other() Side { return s ^ 1 }

// String returns client, backend or proxy.
func (s Side) String() string {
	switch s {
	case SideClient:
		return "client"
	case SideBackend:
		return "backend"
	}
	return "proxy"
}

// Status is what a Read or a Write says of the end besides the number of bytes.
type Status uint8

const (
	// StatusReady: there may be more to read, or room to write.
	StatusReady Status = iota
	// StatusBlocked: nothing more until the owner is told by Ready.
	StatusBlocked
	// StatusEOF: the peer has finished cleanly; no byte comes after those returned.
	StatusEOF
	// StatusFailed: the end is broken (reset, lost). Fault tells how.
	StatusFailed
)

// Readiness is what an event says of an end. Flags may be set without cause; they are never missing.
type Readiness uint8

const (
	// Readable: bytes, a FIN or an error can be read.
	Readable Readiness = 1 << iota
	// Writable: after a blocked Write there is room again.
	Writable
	// Broken: an error is pending on the socket; seen also while reading is paused.
	Broken
	// Hangup: the peer has sent its FIN; bytes may still be unread before it.
	Hangup
)

// Fault classifies why an end is broken.
type Fault uint8

const (
	// FaultReset: the peer reset the connection, or refused bytes after closing.
	FaultReset Fault = iota
	// FaultLost: the peer's host stopped answering.
	FaultLost
	// FaultTransport: the transport below the end is broken, by what the peer sent or said.
	FaultTransport
)

// Owner is told what happens to an end that it owns.
type Owner interface {
	// Ready is called on the loop. side is what the end was labelled with.
	Ready(side Side, readiness Readiness)
}

// End is what a relay reads from and writes to: a socket, later a TLS socket or a stream. It belongs to one loop.
// After Reset, Close or Linger it must not be used any more, and its owner is told nothing further.
type End interface {
	// Attach makes owner the one who is told of events, labelled with side.
	Attach(owner Owner, side Side)
	// Read reads up to len(p) bytes. Bytes and any status may come together; StatusBlocked promises that Ready
	// follows when there is more. Pausing is not reading.
	Read(p []byte) (int, Status)
	// Write takes as much of p as there is room for; it never keeps p. StatusBlocked promises Ready(Writable).
	Write(p []byte) (int, Status)
	// Finish passes on a half-close: no byte follows (shutdown(SHUT_WR)).
	Finish()
	// Fault tells why the end is broken, after StatusFailed or Broken.
	Fault() Fault
	// Reset releases the end at once; the peer sees a reset.
	Reset()
	// Close releases the end, of which nothing is left to read or to write.
	Close()
	// Linger writes rest, finishes, then reads and discards until the peer has finished or the lingering-close
	// bounds are reached, and closes. It takes rest over (nil: nothing) and returns at once.
	Linger(rest *Pending, limits LingerLimits)
}

// LingerLimits bound a lingering close.
type LingerLimits struct {
	// Nanos is the longest time, in nanoseconds, from our FIN to the close.
	Nanos int64
	// Stalled is the longest time, in nanoseconds, that the peer may take none of what is left to write. 0: Nanos.
	Stalled int64
	// PeerFinished says that the peer's FIN was read already: once rest is written nothing is waited for.
	PeerFinished bool
}

// LingerBytes is the bound on what a lingering close reads and discards from a peer that has not finished. Beyond it
// the peer is stopped by flow control until the time bound.
const LingerBytes = 64 << 10
