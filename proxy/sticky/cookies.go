package sticky

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// MaxNameLength bounds the name of a cookie, in characters.
const MaxNameLength = 200

// Reader reads what says which backend a client had, and takes it off before the backend sees it. Owned by a loop.
type Reader interface {
	// Begin begins with another request.
	Begin()
	// AppendRequest takes the value of a Cookie line. If there are valid tokens of ours in it, it appends the line without
	// them, which may leave nothing, and found is true, with what the first of them says that has not expired; else it
	// appends nothing. Now is in seconds since 1970. It does not allocate where dst has room.
	AppendRequest(dst, line []byte, now int64) (out []byte, hit Hit, found bool)
}

// pair is a cookie in a line: where it begins, where its name and its value are, the latter without the quotation marks
// around it.
type pair struct{ at, nameStart, nameEnd, start, end int }

// nextPair returns the pair that begins at an offset of a line, and where the next one does; ok is false at the end. A
// part without = is a pair without a name.
func nextPair(line []byte, at int) (p pair, next int, ok bool) {
	if at >= len(line) {
		return pair{}, at, false
	}
	end := len(line)
	if semicolon := bytes.IndexByte(line[at:], ';'); semicolon >= 0 {
		end = at + semicolon
	}
	next = end + 1
	equals := bytes.IndexByte(line[at:end], '=')
	if equals < 0 {
		return pair{at, at, at, end, end}, next, true
	}
	p.at = at
	p.nameStart, p.nameEnd = trim(line, at, at+equals)
	p.start, p.end = trim(line, at+equals+1, end)
	if p.end-p.start >= 2 && line[p.start] == '"' && line[p.end-1] == '"' {
		p.start, p.end = p.start+1, p.end-1
	}
	return p, next, true
}

// trim narrows a part of a line by the white space at its ends.
func trim(line []byte, start, end int) (int, int) {
	for start < end && (line[start] == ' ' || line[start] == '\t') {
		start++
	}
	for start < end && (line[end-1] == ' ' || line[end-1] == '\t') {
		end--
	}
	return start, end
}

// Value returns the value of the first cookie of this name in the value of a Cookie line, without quotation marks: what
// a request may be hashed by. It is a part of the line.
func Value(line []byte, name string) (value []byte, ok bool) {
	for p, next, more := nextPair(line, 0); more; p, next, more = nextPair(line, next) {
		if p.named(line, name) {
			return line[p.start:p.end], true
		}
	}
	return nil, false
}

// named tells whether the pair is a cookie of this name. Names of cookies are compared with case.
func (p *pair) named(line []byte, name string) bool {
	return string(line[p.nameStart:p.nameEnd]) == name
}

// validateName asks for a token (RFC 9110 section 5.6.2).
func validateName(name string) error {
	if name == "" || len(name) > MaxNameLength {
		return fmt.Errorf("the name of a cookie has 1 to %d characters, this one has %d", MaxNameLength, len(name))
	}
	const marks = "!#$%&'*+-.^_`|~"
	for i := range len(name) {
		if c := name[i]; !isAlphanumeric(c) && strings.IndexByte(marks, c) < 0 {
			return fmt.Errorf("the name of a cookie has letters, digits and %s, not %q", marks, c)
		}
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// isDomain tells whether a name has labels of letters, digits and hyphens, and nothing else.
func isDomain(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" {
			return false
		}
		for i := range len(label) {
			if !isAlphanumeric(label[i]) && label[i] != '-' {
				return false
			}
		}
	}
	return true
}

// validateAttribute asks for what can stand in the value of an attribute (RFC 6265 section 4.1.1).
func validateAttribute(value string) error {
	for i := range len(value) {
		if value[i] <= ' ' || value[i] >= 0x7f || value[i] == ';' {
			return errors.New("it has a character that cannot stand in a cookie's attribute")
		}
	}
	return nil
}
