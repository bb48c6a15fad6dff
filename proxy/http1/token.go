package http1

// IsToken reports whether b is a token (RFC 9110 5.6.2): what methods, header names and
// connection options are made of.
func IsToken(b []byte) bool { return len(b) > 0 && tokenLength(b) == len(b) }

// IsFieldValue reports whether b may be sent as a header value: it holds no control
// byte but HTAB, hence no line end (RFC 9110 5.5).
func IsFieldValue(b []byte) bool { return indexNotText(b) < 0 }

// EqualFold reports whether a equals b when the case of ASCII letters is ignored.
func EqualFold[A, B ~string | ~[]byte](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if lowerByte[a[i]] != lowerByte[b[i]] {
			return false
		}
	}
	return true
}

// AppendLower appends b to dst with ASCII letters in lower case: how host names are
// compared.
func AppendLower(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, lowerByte[c])
	}
	return dst
}

// TokenList walks the elements of a list value (RFC 9110 5.6.1), without white space
// around them and without the empty ones. It borrows the value. Its zero value is an
// empty list.
type TokenList struct {
	rest   []byte
	quoted bool
}

// List walks a value whose elements hold no quoted strings, such as that of Connection,
// Upgrade or Sec-WebSocket-Protocol.
func List(value []byte) TokenList { return TokenList{rest: value} }

// QuotedList walks a value in whose elements a comma may stand inside a quoted string,
// such as that of Sec-WebSocket-Extensions or Forwarded. A quoted string that does not
// end reaches to the end of the value.
func QuotedList(value []byte) TokenList { return TokenList{rest: value, quoted: true} }

// Next returns the next element, borrowed from the value; ok is false after the last.
func (l *TokenList) Next() (element []byte, ok bool) {
	for len(l.rest) > 0 {
		if element = l.cut(); len(element) > 0 {
			return element, true
		}
	}
	return nil, false
}

// cut removes the first element, which may be empty, and its comma from the list.
func (l *TokenList) cut() []byte {
	end := len(l.rest)
	inQuotes := false
	for i := 0; i < len(l.rest); i++ {
		switch c := l.rest[i]; {
		case c == '"' && l.quoted:
			inQuotes = !inQuotes
		case c == '\\' && inQuotes:
			i++
		case c == ',' && !inQuotes:
			end = i
			element := trimSpace(l.rest[:end])
			l.rest = l.rest[end+1:]
			return element
		}
	}
	element := trimSpace(l.rest[:end])
	l.rest = nil
	return element
}
