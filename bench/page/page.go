package page

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"strings"
)

const (
	// MaxSize is the largest document, in bytes.
	MaxSize = 64 << 20
	// NumberLen is the length of a number: hexadecimal digits.
	NumberLen = 16

	folder = "/bytes/"
	digits = "0123456789abcdef"
	// patternBytes is how long it takes until a document repeats itself.
	patternBytes = 1 << 20
)

// pattern is what all documents consist of behind their number. It is not changed.
var pattern = newPattern()

func newPattern() []byte {
	b := make([]byte, patternBytes)
	_, _ = rand.NewChaCha8([32]byte{'p', 'a', 'g', 'e'}).Read(b) // never fails
	return b
}

// A Number tells documents of one size apart.
type Number [NumberLen]byte

// NewNumber returns a number as it stands in a target and in a document.
func NewNumber(n uint64) (number Number) {
	for i := NumberLen - 1; i >= 0; i-- {
		number[i] = digits[n&15]
		n >>= 4
	}
	return number
}

// AppendTarget appends the request target of a document. It ends with the number.
func AppendTarget(dst []byte, size int, number Number) []byte {
	dst = strconv.AppendInt(append(dst, folder...), int64(size), 10)
	return append(append(dst, '?'), number[:]...)
}

// Parse reads the path and the query of a target; ok is false where it is none of a document.
func Parse(path, query []byte) (size int, number Number, ok bool) {
	text, found := strings.CutPrefix(string(path), folder)
	size, err := strconv.Atoi(text)
	if !found || err != nil || size < 1 || size > MaxSize || len(query) != NumberLen {
		return 0, Number{}, false
	}
	return size, Number(query), true
}

// Run returns bytes of a document from an offset on: not necessarily all, but at least one of a document of that size.
// They are not to be changed.
func Run(number *Number, size, offset int) []byte {
	if offset < NumberLen {
		return number[offset:min(size, NumberLen)]
	}
	begin := offset % patternBytes
	return pattern[begin:min(begin+size-offset, patternBytes)]
}

// Matches reports whether b is what a document of that size has from an offset on.
func Matches(number *Number, size, offset int, b []byte) bool {
	if len(b) > size-offset {
		return false
	}
	for len(b) > 0 {
		run := Run(number, size, offset)
		n := min(len(run), len(b))
		if !bytes.Equal(run[:n], b[:n]) {
			return false
		}
		offset += n
		b = b[n:]
	}
	return true
}
