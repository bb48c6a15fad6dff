package route

import "bytes"

// Normalize returns the one spelling of a target's path that all its spellings share, for comparing: the target that is
// forwarded stays as it came.
//
//   - Percent-encoding is undone (RFC 3986 6.2.2.2), for every byte but three: %2F and %00 would change what a path
//     means, and %25 would make it decode twice. These are kept, with their digit in upper case.
//   - Runs of '/' become one; then dot segments are removed as in RFC 3986 5.2.4, also those that were encoded. Merging
//     comes first, as in nginx, Apache and net/http: /a//../b is /b.
//   - All else is taken as it is: case, a backslash, a ';'. A '%' without two hexadecimal digits, which no parsed head
//     has, stands for itself.
//
// So the result is never longer than path, has no "//" and no segment "." or "..", and is its own normal form. A path
// that does not begin with '/', such as that of OPTIONS *, is returned unchanged.
//
// The result is path itself where that has no escape and is normal already. Else it stands in dst's memory from its
// beginning, or in new memory where cap(dst) is too small; len(path) is enough. dst may be path[:0], to normalise in
// place. It takes time linear in len(path).
func Normalize(dst, path []byte) []byte {
	if len(path) == 0 || path[0] != '/' {
		return path
	}
	start := normalPrefix(path) // of the segment that is being written; out[start-1] is a '/'
	if start == len(path) {
		return path
	}
	out := append(dst[:0], path[:start]...)
	for i := start; i < len(path); {
		switch path[i] {
		case '/':
			out = closeSegment(out, start)
			if out[len(out)-1] != '/' {
				out = append(out, '/')
			}
			start = len(out)
			i++
		case '%':
			var size int
			out, size = appendUnescaped(out, path[i:])
			i += size
		default:
			out = append(out, path[i])
			i++
		}
	}
	return closeSegment(out, start)
}

// normalPrefix returns how many bytes of path, up to the end of a segment, are normal for sure: all of them, or those
// in front of the first segment that has to be looked at closely.
func normalPrefix(path []byte) int {
	start := 1
	for i := 1; i < len(path); i++ {
		switch path[i] {
		case '%':
			return start
		case '/':
			if i == start || isDots(path[start:i]) {
				return start
			}
			start = i + 1
		}
	}
	if isDots(path[start:]) {
		return start
	}
	return len(path)
}

// closeSegment ends the segment that starts at start: a dot segment goes, ".." together with the one before. Each byte
// is taken back at most once, so a whole path costs linear time.
func closeSegment(out []byte, start int) []byte {
	switch segment := out[start:]; {
	case !isDots(segment):
		return out
	case len(segment) == 1, start == 1:
		return out[:start]
	}
	return out[:bytes.LastIndexByte(out[:start-1], '/')+1]
}

// isDots reports whether a segment is "." or "..".
func isDots(segment []byte) bool {
	return len(segment) > 0 && segment[0] == '.' && (len(segment) == 1 || len(segment) == 2 && segment[1] == '.')
}

// appendUnescaped appends what b, which begins with '%', begins with, and returns how many bytes of b that was.
func appendUnescaped(out, b []byte) ([]byte, int) {
	c, ok := unescape(b)
	if !ok {
		return append(out, '%'), 1
	}
	if c == '/' || c == 0 || c == '%' || completesEscape(out, c) {
		return append(out, '%', upperDigit(b[1]), upperDigit(b[2])), escapeLength
	}
	return append(out, c), escapeLength
}

// completesEscape reports whether c behind out could be taken for the digit of an escape that was not there before: a
// lone '%' must not come to life by what is decoded behind it.
func completesEscape(out []byte, c byte) bool {
	_, isDigit := hexDigit(c)
	if !isDigit {
		return false
	}
	last := len(out) - 1 // out holds at least the first '/'
	if out[last] == '%' {
		return true
	}
	_, isDigit = hexDigit(out[last])
	return isDigit && out[last-1] == '%'
}

// escapeLength is the length of a percent-encoded byte (RFC 3986 2.1).
const escapeLength = 3

// unescape decodes the escape that b begins with; ok is false when there is none.
func unescape(b []byte) (c byte, ok bool) {
	if len(b) < escapeLength || b[0] != '%' {
		return 0, false
	}
	high, okHigh := hexDigit(b[1])
	low, okLow := hexDigit(b[2])
	return high<<4 | low, okHigh && okLow
}

func hexDigit(c byte) (value byte, ok bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func upperDigit(c byte) byte {
	if c >= 'a' && c <= 'f' {
		return c - 'a' + 'A'
	}
	return c
}
