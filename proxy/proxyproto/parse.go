package proxyproto

import "math"

// The bounds of a header, in bytes.
const (
	// MaxV1 bounds a line of version 1, with its CRLF.
	MaxV1 = 107
	// MaxV2 bounds a header of version 2 as a whole, vectors included. The format allows for 64 KiB more than its first
	// 16 bytes; certificates' names and the like are far below this.
	MaxV2 = 4096
)

const (
	signature1 = "PROXY "
	signature2 = "\r\n\r\n\x00\r\nQUIT\n"
)

// progress says how much of something is there.
type progress uint8

const (
	wrong progress = iota
	partial
	whole
)

// begins tells whether p begins with the text, as far as it goes.
func begins(p []byte, text string) progress {
	n := min(len(p), len(text))
	switch {
	case string(p[:n]) != text[:n]:
		return wrong
	case n < len(text):
		return partial
	}
	return whole
}

// Parse reads the header at the beginning of p and returns its length, or n == 0 without an error if all that is there
// may be the beginning of one. An error is always an *Error, and is found with the first byte that no header has at its
// place, however the bytes come; but vectors are judged when all are there. Nothing in the Header refers to p. Unless it
// refuses, it does not allocate.
func Parse(p []byte) (n int, h Header, err error) {
	switch begins(p, signature1) {
	case whole:
		return parse1(p)
	case partial:
		return 0, Header{}, nil
	}
	switch begins(p, signature2) {
	case whole:
		return parse2(p)
	case partial:
		return 0, Header{}, nil
	}
	return 0, Header{}, refuse(WrongSignature)
}

// Plausible tells whether p, which is not empty, is or could become a header: where none is allowed, it is why a request
// made no sense. A few bytes may as well be the beginning of something else ("P" of POST).
func Plausible(p []byte) bool {
	return len(p) > 0 && (begins(p, signature1) != wrong || begins(p, signature2) != wrong)
}

// digits reads a decimal number of 0 to 65535 without leading zeros from the beginning of p, as far as it goes.
func digits(p []byte) (value uint16, length int, ok bool) {
	v := 0
	for length < len(p) && p[length] >= '0' && p[length] <= '9' {
		if length > 0 && v == 0 {
			return 0, 0, false
		}
		if v = v*10 + int(p[length]-'0'); v > math.MaxUint16 {
			return 0, 0, false
		}
		length++
	}
	return uint16(v), length, true
}
