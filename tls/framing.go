package tls

import "bytes"

// Sizes of the record layer, in bytes.
const (
	// headerLength is that of a record's header: type, version, length (RFC 8446 section 5.1).
	headerLength = 5
	// plaintextMax is the most plaintext in one record.
	plaintextMax = 16 << 10
	// ciphertextMax is the most ciphertext in one record: that of TLS 1.2, which allows more than TLS 1.3 does.
	ciphertextMax = plaintextMax + 2048
	// overheadMax bounds what a record adds to its plaintext, as far as memory is set aside for it.
	overheadMax = 128
	// FirstBytes is how many bytes of something that is not TLS an Error shows.
	FirstBytes = 64
	// MaxHello bounds a ClientHello. Those of browsers have 2 KB and less, with post-quantum keys.
	MaxHello = 16 << 10
	// handshakeMax bounds what a peer sends before its handshake is over, give or take what is received at once: chains of
	// certificates have a tenth of it, and crypto/tls would take, and keep, 256 KiB of one.
	handshakeMax = 64 << 10
	// messageMax bounds how much of a message that came after the handshake is kept until the rest of it comes.
	messageMax = plaintextMax
)

// A peer of TLS 1.3 pays for records without plaintext, which are key updates, tickets and padding: a key update takes
// some 10 us of the owner's time for its 27 bytes, 30 times as much as a small record of data. It earns by records with
// plaintext. Peers that mean well send a key update an hour, or per gigabyte.
const (
	// emptyCost is how many records with plaintext earn one without.
	emptyCost = 16
	// creditMax is what a peer has at the start, and never more: 32 records without plaintext.
	creditMax = 32 * emptyCost
)

// Content types (RFC 8446 section 5.1) and the handshake message that comes first (section 4).
const (
	typeChangeCipherSpec = 20
	typeAlert            = 21
	typeHandshake        = 22
	typeHeartbeat        = 24
	messageClientHello   = 1
)

// recordLength returns how many bytes to wait for before the record at the begin of b is looked at. That is the header
// alone where it breaks the rules, so that nobody waits, and holds memory, for the rest.
func recordLength(b []byte) int {
	if len(b) < headerLength {
		return headerLength
	}
	if n := int(b[3])<<8 | int(b[4]); n <= ciphertextMax {
		return headerLength + n
	}
	return headerLength
}

// inflow is ciphertext that was not decrypted yet: bytes of our own, and behind them borrowed ones.
type inflow struct {
	held queue
	fed  []byte
}

// len returns how many bytes wait.
func (f *inflow) len() int { return f.held.len() + len(f.fed) }

// next returns the next whole record and takes it away, or returns nil and keeps what there is of it. The record may be
// overwritten. It is valid until settle, keep, drop or next is called.
func (f *inflow) next(from Buffers) []byte {
	f.settle(from)
	if f.held.len() == 0 {
		if n := recordLength(f.fed); n <= len(f.fed) {
			record := f.fed[:n:n]
			f.fed = f.fed[n:]
			return record
		}
	}
	for {
		n := recordLength(f.held.bytes())
		if n <= f.held.len() {
			record := f.held.bytes()[:n:n]
			f.held.at += n
			return record
		}
		taken := min(n-f.held.len(), len(f.fed))
		if taken == 0 {
			f.fed = nil
			return nil
		}
		f.held.append(from, f.fed[:taken])
		f.fed = f.fed[taken:]
	}
}

// whole tells whether next would return a record.
func (f *inflow) whole() bool {
	var header [headerLength]byte
	n := copy(header[:], f.held.bytes())
	n += copy(header[n:], f.fed)
	return n == headerLength && recordLength(header[:]) <= f.len()
}

// settle gives back the memory of records that were taken away.
func (f *inflow) settle(from Buffers) {
	if f.held.buffer != nil && f.held.len() == 0 {
		f.held.release(from)
	}
}

// keep copies what is borrowed.
func (f *inflow) keep(from Buffers) {
	f.settle(from)
	f.held.append(from, f.fed)
	f.fed = nil
}

// drop forgets everything.
func (f *inflow) drop(from Buffers) {
	f.held.release(from)
	f.fed = nil
}

// judgeFirst looks at the begin of a connection and returns what is wrong with it, nil for nothing. It needs a
// header, or the whole of a shorter stream. server says which side we are.
func judgeFirst(b []byte, server bool) *Error {
	if len(b) < headerLength {
		return notTLS(b)
	}
	if b[0]&0x80 != 0 && b[2] == messageClientHello && server {
		return &Error{Cause: CauseAlertSent, Alert: alertProtocolVersion, First: first(b)} // SSLv2's hello
	}
	if b[1] != 3 || b[0] < typeChangeCipherSpec || b[0] > typeHeartbeat {
		return notTLS(b)
	}
	if b[0] != typeHandshake && b[0] != typeAlert {
		return &Error{Cause: CauseAlertSent, Alert: alertUnexpectedMessage, First: first(b)}
	}
	if int(b[3])<<8|int(b[4]) > ciphertextMax {
		return &Error{Cause: CauseAlertSent, Alert: alertRecordOverflow, First: first(b)}
	}
	return nil
}

// judgeHello looks at the first record of a client, whole, and returns what is wrong with it, nil for nothing.
func judgeHello(record []byte) *Error {
	message := record[headerLength:]
	if record[0] != typeHandshake || len(message) < 4 {
		return nil // crypto/tls knows what to say
	}
	if message[0] != messageClientHello {
		return &Error{Cause: CauseAlertSent, Alert: alertUnexpectedMessage}
	}
	if n := int(message[1])<<16 | int(message[2])<<8 | int(message[3]); n > MaxHello {
		return &Error{Cause: CauseAlertSent, Alert: alertIllegalParameter}
	}
	return nil
}

// methods are the beginnings of HTTP requests, that of HTTP/2 included.
var methods = [...]string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "CONNECT ", "OPTIONS ", "TRACE ", "PATCH ", "PRI * "}

func notTLS(b []byte) *Error {
	e := &Error{Cause: CauseNotTLS, First: first(b)}
	for _, method := range methods {
		if n := min(len(b), len(method), headerLength); n > 0 && string(b[:n]) == method[:n] {
			e.Cause = CausePlainHTTP
		}
	}
	if bytes.HasPrefix(b, []byte("HTTP/")) {
		e.Cause = CausePlainHTTP // a backend's answer
	}
	return e
}

func first(b []byte) []byte { return bytes.Clone(b[:min(len(b), FirstBytes)]) }

// alertRecord returns a fatal alert in clear (RFC 8446 section 6).
func alertRecord(a Alert) []byte { return []byte{typeAlert, 3, 3, 0, 2, 2, byte(a)} }
