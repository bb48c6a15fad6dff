package ws

// Field values as the handshake needs them: comma-separated lists (RFC 9110 section 5.6.1), read in place. ASCII only,
// by hand: bytes.EqualFold follows Unicode, where U+212A is a letter k.

// equalFold reports whether b spells lower, an all-lower-case ASCII word, in any case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if lowerCase(c) != lower[i] {
			return false
		}
	}
	return true
}

func lowerCase(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// trim cuts optional whitespace (spaces and tabs) off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// cut returns what stands before the first separator outside a quoted string, trimmed, and what stands behind it. more
// is false when there was no separator.
func cut(list []byte, separator byte) (element, rest []byte, more bool) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case quoted && c == '\\':
			i++ // a quoted pair: whatever comes next is literal
		case c == '"':
			quoted = !quoted
		case c == separator && !quoted:
			return trim(list[:i]), list[i+1:], true
		}
	}
	return trim(list), nil, false
}

// hasToken reports whether the list holds the token, in any case.
func hasToken(list []byte, lower string) bool {
	for more := true; more; {
		var element []byte
		if element, list, more = cut(list, ','); equalFold(element, lower) {
			return true
		}
	}
	return false
}

// isToken reports whether b is a token of RFC 9110 section 5.6.2.
func isToken[T []byte | string](b T) bool {
	for i := 0; i < len(b); i++ {
		if !tokenBytes[b[i]] {
			return false
		}
	}
	return len(b) > 0
}

var tokenBytes = func() (table [256]bool) {
	const punctuation = "!#$%&'*+-.^_`|~"
	for i := range len(punctuation) {
		table[punctuation[i]] = true
	}
	for c := '0'; c <= '9'; c++ {
		table[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		table[c], table[c-'a'+'A'] = true, true
	}
	return table
}()
