package ws

import (
	"crypto/sha1"
	"encoding/base64"
)

const (
	// KeyLen is the length of a Sec-WebSocket-Key, in characters: 16 bytes in base64.
	KeyLen = 24
	// AcceptLen is the length of a Sec-WebSocket-Accept, in characters: a SHA-1 in base64.
	AcceptLen = 28

	keyBytes = 16
	keyGUID  = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455 section 1.3
)

// NewKey spells 16 random bytes, which the caller supplies, as a Sec-WebSocket-Key.
func NewKey(random [keyBytes]byte) (key [KeyLen]byte) {
	base64.StdEncoding.Encode(key[:], random[:])
	return key
}

// AcceptKey returns the Sec-WebSocket-Accept that answers a key (RFC 6455 section 4.2.2).
func AcceptKey(key [KeyLen]byte) (accept [AcceptLen]byte) {
	var text [KeyLen + len(keyGUID)]byte
	copy(text[copy(text[:], key[:]):], keyGUID)
	sum := sha1.Sum(text[:])
	base64.StdEncoding.Encode(accept[:], sum[:])
	return accept
}

// parseKey copies a well-formed key: 24 characters of base64 that decode to 16 bytes. The 4 bits left over in the last
// character are not looked at: they decode to nothing, and both sides hash the characters as they stand.
func parseKey(value []byte) (key [KeyLen]byte, ok bool) {
	if len(value) != KeyLen {
		return key, false
	}
	var decoded [KeyLen / 4 * 3]byte
	n, err := base64.StdEncoding.Decode(decoded[:], value)
	if err != nil || n != keyBytes {
		return key, false
	}
	return [KeyLen]byte(value), true
}
