package http1

import "encoding/binary"

// What a byte may be part of, one bit each in charClass.
const (
	charToken  uint8 = 1 << iota // tchar, RFC 9110 5.6.2
	charDigit                    // DIGIT
	charHex                      // HEXDIG, either case
	charTarget                   // a request target: visible ASCII without '#'
	charHost                     // a registered name: RFC 3986 unreserved, without '~'
	charText                     // a field value: field-vchar, SP, HTAB (RFC 9110 5.5)
	charAlnum                    // ALPHA or DIGIT
)

// charClass is immutable.
var charClass = buildCharClass()

func buildCharClass() (table [256]uint8) {
	for i := range table {
		c := byte(i)
		digit := c >= '0' && c <= '9'
		alpha := c|0x20 >= 'a' && c|0x20 <= 'z'
		visible := c > ' ' && c < 0x7f
		if digit {
			table[i] |= charDigit | charHex
		}
		if c|0x20 >= 'a' && c|0x20 <= 'f' {
			table[i] |= charHex
		}
		if digit || alpha {
			table[i] |= charToken | charHost | charAlnum
		}
		if visible && c != '#' {
			table[i] |= charTarget
		}
		if visible || c == ' ' || c == '\t' || c >= 0x80 {
			table[i] |= charText
		}
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		table[c] |= charToken
	}
	for _, c := range []byte("-._") {
		table[c] |= charHost
	}
	return table
}

// lowerByte maps upper-case ASCII letters to lower case. It is immutable. Setting bit 5
// instead would make '^' equal to '~', and both are token characters.
var lowerByte = buildLowerByte()

func buildLowerByte() (table [256]byte) {
	for i := range table {
		table[i] = byte(i)
		if i >= 'A' && i <= 'Z' {
			table[i] = byte(i) + 'a' - 'A'
		}
	}
	return table
}

// indexNotText returns the position of the first byte that no field value may hold, or
// -1. It looks at eight bytes at a time, because values are most of a head.
func indexNotText(b []byte) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	rest := b
	for len(rest) >= 8 {
		word := binary.LittleEndian.Uint64(rest)
		deleted := word ^ 0x7f*ones
		belowSpace := (word - 0x20*ones) &^ word
		isDelete := (deleted - ones) &^ deleted
		if (belowSpace|isDelete)&highs != 0 {
			for i, c := range rest[:8] { // HTAB is below space and allowed
				if charClass[c]&charText == 0 {
					return len(b) - len(rest) + i
				}
			}
		}
		rest = rest[8:]
	}
	for i, c := range rest {
		if charClass[c]&charText == 0 {
			return len(b) - len(rest) + i
		}
	}
	return -1
}

// tokenLength returns how many bytes at the beginning of b are token characters.
func tokenLength(b []byte) int {
	for i, c := range b {
		if charClass[c]&charToken == 0 {
			return i
		}
	}
	return len(b)
}

// trimSpace cuts optional white space (OWS, RFC 9110 5.6.3) from both ends of b.
func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
