package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"culvert/proxy/http1"
)

// headEdits are the changes that a rule makes to the headers of a head. Immutable; nil: none.
type headEdits struct {
	gone  [][]byte // names that are removed, or written anew
	lines []headLine
}

// headLine is a header that is added.
type headLine struct {
	name  string
	value template
}

// ruledNames cannot be edited: the framing, the upgrade or trust depend on them, or they have settings of their own.
var ruledNames = []string{
	"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "host", "expect",
	"forwarded", "x-real-ip", "via", "x-request-id", "max-forwards",
}

// ruledPrefixes are those of whole families of such names.
var ruledPrefixes = []string{"proxy-", "sec-websocket-", "x-forwarded-", "slb-"}

// CheckHeaderEdit reports what is wrong with an edit: a name that is no token or cannot be edited, a value that is no
// Template or missing.
func CheckHeaderEdit(e HeaderEdit) error {
	if e.Name == "" || !http1.IsToken([]byte(e.Name)) {
		return fmt.Errorf("%q is not a header's name", e.Name)
	}
	name := strings.ReplaceAll(strings.ToLower(e.Name), "_", "-")
	for _, ruled := range ruledNames {
		if name == ruled {
			return fmt.Errorf("%s cannot be edited: it belongs to the connection, or has a setting of its own", e.Name)
		}
	}
	for _, prefix := range ruledPrefixes {
		if strings.HasPrefix(name, prefix) {
			return fmt.Errorf("%s cannot be edited: %s* is ruled by the protocol or by trusted-proxies", e.Name, prefix)
		}
	}
	if e.Op == HeaderRemove {
		if e.Value != "" {
			return errors.New("a header that is removed has no value")
		}
		return nil
	}
	return CheckTemplate(e.Value)
}

func compileEdits(list []HeaderEdit) (*headEdits, error) {
	if len(list) == 0 {
		return nil, nil
	}
	edits := &headEdits{}
	for _, e := range list {
		if err := CheckHeaderEdit(e); err != nil {
			return nil, err
		}
		if e.Op != HeaderAdd {
			edits.remove(e.Name)
		}
		if e.Op != HeaderRemove {
			value, _ := parseTemplate(e.Value) // checked above
			edits.lines = append(edits.lines, headLine{e.Name, value})
		}
	}
	return edits, nil
}

// remove makes lines of this name go, those of earlier edits too.
func (e *headEdits) remove(name string) {
	e.gone = append(e.gone, []byte(name))
	kept := e.lines[:0]
	for _, line := range e.lines {
		if !strings.EqualFold(line.name, name) {
			kept = append(kept, line)
		}
	}
	e.lines = kept
}

// drops tells whether a header is removed or written anew.
func (e *headEdits) drops(f http1.Field) bool {
	if e == nil {
		return false
	}
	for _, name := range e.gone {
		if len(name) == len(f.Name) && bytes.EqualFold(name, f.Name) {
			return true
		}
	}
	return false
}

// dropsAlike is drops for what a backend is sent: a name counts that differs in its separators only, for a backend that
// maps names to variables cannot tell the two (RFC 3875 4.1.18).
func (e *headEdits) dropsAlike(f http1.Field) bool {
	if e == nil {
		return false
	}
	for _, name := range e.gone {
		if sameVariable(name, f.Name) {
			return true
		}
	}
	return false
}

// sameVariable tells whether two names become one variable: letters without case, digits, and '_' for all else.
func sameVariable(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		if c != b[i] && variableByte(c) != variableByte(b[i]) {
			return false
		}
	}
	return true
}

func variableByte(c byte) byte {
	switch {
	case c >= 'a' && c <= 'z':
		return c - 'a' + 'A'
	case c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return c
	}
	return '_'
}

// append appends the lines that are added.
func (e *headEdits) append(dst []byte, facts *requestFacts) []byte {
	if e == nil {
		return dst
	}
	for i := range e.lines {
		line := &e.lines[i]
		dst = append(append(dst, line.name...), ": "...)
		dst = line.value.append(dst, facts)
		dst = append(dst, "\r\n"...)
	}
	return dst
}
