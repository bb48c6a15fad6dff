package tls

// Status is what Plain says besides the number of bytes.
type Status uint8

const (
	// StatusReady: there may be more plaintext: call Plain again. Nothing else will say so.
	StatusReady Status = iota
	// StatusBlocked: no more until ciphertext is fed, or the handshake is over.
	StatusBlocked
	// StatusClosed: the peer has said close_notify (RFC 8446 section 6.1): all it had to say was read.
	StatusClosed
	// StatusTruncated: the transport ended without close_notify: bytes may be missing, by accident or by an attack.
	StatusTruncated
	// StatusFailed: the connection is broken. Err tells how; an alert may be pending.
	StatusFailed
)

// Pipe is an encrypted connection after its handshake: wire bytes in, application bytes out, and back. It is owned by
// one goroutine. What implements it may be replaced; nothing above may depend on crypto/tls.
type Pipe interface {
	// Feed hands over what the transport has received, in order, in pieces of any size. The bytes are borrowed, and
	// overwritten by their plaintext, until Plain has returned anything but StatusReady, or Keep was called.
	Feed(ciphertext []byte)
	// FeedEnd says that the transport's stream has ended (a FIN).
	FeedEnd()
	// Plain decrypts into p, up to len(p) bytes, and returns how many. Bytes and any status may come together.
	Plain(p []byte) (int, Status)
	// Keep copies what is still borrowed, so that the memory can be used for something else: at most what was fed, and
	// one record's plaintext of 16 KiB.
	Keep()
	// Seal encrypts all of p and appends it to what is pending. It never keeps p and never blocks: whoever calls it
	// bounds what is pending. The error, an *Error or ErrNotEstablished or ErrWriteClosed, is for good.
	Seal(p []byte) error
	// CloseWrite says close_notify: no Seal follows. The other direction goes on.
	CloseWrite() error
	// Pending returns the ciphertext to be sent, alerts and answers to key updates included. Valid until the next call.
	Pending() []byte
	// Advance marks the first n bytes of Pending as sent.
	Advance(n int)
	// Export appends the connection's state to b, from which another process can go on. See ErrNotExportable.
	Export(b []byte) ([]byte, error)
}

var _ Pipe = (*Conn)(nil)

// recordLayer protects and unprotects whole records (RFC 8446 section 5) after the handshake, on the owner's goroutine.
// What it has to send, it appends to a queue that it was made with.
type recordLayer interface {
	// open decrypts one whole record in place and moves plaintext to p, which is not empty. What did not fit stays in the
	// record, whose memory must then stay as it is: see buffered. A record without plaintext is no error, too many of
	// them are. The error is io.EOF after close_notify, else what broke the connection; both are for good.
	open(record, p []byte) (int, error)
	// buffered returns how many bytes of the last record's plaintext are left, at most.
	buffered() int
	// held returns how many bytes of a message that is not complete are kept.
	held() int
	// rest moves what open left to p.
	rest(p []byte) int
	// seal encrypts p as one or more records.
	seal(p []byte) error
	// closeWrite sends close_notify.
	closeWrite() error
	// alertSent returns the fatal alert that was sent, 0 for none.
	alertSent() Alert
	// info describes the connection.
	info() Info
}
