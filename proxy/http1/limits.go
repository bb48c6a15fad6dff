package http1

import "fmt"

// Limits bounds what one message head and the framing of one body may cost. It is
// immutable while a parser works with it. A nil *Limits means DefaultLimits.
type Limits struct {
	// MaxHeadBytes bounds a head: start line, header lines and the empty line, with
	// every CRLF. In bytes, 1024 to 1 MiB. Passed: 431.
	MaxHeadBytes int
	// MaxStartLineBytes bounds the request line or the status line with its CRLF.
	// In bytes, 64 to MaxHeadBytes. Passed by a request line: 414.
	MaxStartLineBytes int
	// MaxHeaders bounds the number of header lines, and that of trailer lines.
	// 1 to 4096. Passed: 431.
	MaxHeaders int
	// MaxHeaderNameBytes bounds one header name. In bytes, 16 to 1024. Passed: 431.
	// Names in trailers are bounded by MaxTrailerNameBytes instead.
	MaxHeaderNameBytes int
	// MaxConnectionOptions bounds the elements, empty ones included, of all Connection
	// headers together: each is compared with every header name. 8 to 256. Passed: 431.
	MaxConnectionOptions int
	// MaxChunkExtensionBytes bounds what stands between a chunk's size and its CRLF.
	// In bytes, 0 to 64 KiB. Passed: 400.
	MaxChunkExtensionBytes int
	// MaxChunkOverheadBytes bounds by how much the lines of a body's chunks may outgrow what they announce: each may take
	// 16 bytes and twice its payload without counting, and what it leaves of that makes up for earlier ones. RFC 9112
	// 7.1.1 asks for a bound on all extensions together: none of them is payload, which has its own limits.
	// In bytes, 0 to 1 MiB. Passed: 400.
	MaxChunkOverheadBytes int
	// MaxTrailerBytes bounds the trailer section without its last CRLF.
	// In bytes, 0 to 1 MiB. Passed: 431.
	MaxTrailerBytes int
}

// defaultLimits is never written to.
var defaultLimits = Limits{
	MaxHeadBytes:           32 << 10,
	MaxStartLineBytes:      8 << 10, // RFC 9112 3 asks for at least 8000
	MaxHeaders:             128,
	MaxHeaderNameBytes:     256,
	MaxConnectionOptions:   64,
	MaxChunkExtensionBytes: 4 << 10,
	MaxChunkOverheadBytes:  16 << 10,
	MaxTrailerBytes:        8 << 10,
}

// DefaultLimits returns the limits that a nil *Limits stands for.
func DefaultLimits() Limits { return defaultLimits }

// Validate reports the first field that is out of its range.
func (l *Limits) Validate() error {
	ranges := [...]struct {
		name            string
		value, min, max int
	}{
		{"MaxHeadBytes", l.MaxHeadBytes, 1024, 1 << 20},
		{"MaxStartLineBytes", l.MaxStartLineBytes, 64, l.MaxHeadBytes},
		{"MaxHeaders", l.MaxHeaders, 1, 4096},
		{"MaxHeaderNameBytes", l.MaxHeaderNameBytes, 16, 1024},
		{"MaxConnectionOptions", l.MaxConnectionOptions, 8, 256},
		{"MaxChunkExtensionBytes", l.MaxChunkExtensionBytes, 0, 64 << 10},
		{"MaxChunkOverheadBytes", l.MaxChunkOverheadBytes, 0, 1 << 20},
		{"MaxTrailerBytes", l.MaxTrailerBytes, 0, 1 << 20},
	}
	for _, r := range ranges {
		if r.value < r.min || r.value > r.max {
			return fmt.Errorf("http1: %s is %d, must be %d to %d", r.name, r.value, r.min, r.max)
		}
	}
	return nil
}
