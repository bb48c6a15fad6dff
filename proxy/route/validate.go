package route

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"culvert/proxy/http1"
)

// maxHostBytes bounds a rule's host: a DNS name has at most 253 bytes (RFC 1035 2.3.4).
const maxHostBytes = 253

// RuleError says what is wrong with one rule. New returns it, joined with those of other rules.
type RuleError struct {
	Index int // the rule's position, from 0
	Err   error
}

// Error returns a sentence for people.
func (e *RuleError) Error() string { return fmt.Sprintf("rules[%d]: %v", e.Index, e.Err) }

// Unwrap returns what Validate said.
func (e *RuleError) Unwrap() error { return e.Err }

func validateAll(matches []Match) error {
	var found []error
	for i := range matches {
		if err := matches[i].Validate(); err != nil {
			found = append(found, &RuleError{Index: i, Err: err})
		}
	}
	return errors.Join(found...)
}

// Validate reports the first thing in the match that is malformed, contradicts itself or can match no request, and what
// is allowed there.
func (m Match) Validate() error {
	if err := validateHost(m.Host); err != nil {
		return fmt.Errorf("host %q: %w", m.Host, err)
	}
	if err := validatePath(m.Path); err != nil {
		return fmt.Errorf("path %q: %w", m.Path, err)
	}
	for _, method := range m.Methods {
		if err := validateMethod(method); err != nil {
			return fmt.Errorf("method %q: %w", method, err)
		}
	}
	if err := validateConditions("header", m.Headers, validateHeader); err != nil {
		return err
	}
	if err := validateConditions("cookie", m.Cookies, validateCookie); err != nil {
		return err
	}
	if err := validateConditions("query parameter", m.Query, nil); err != nil {
		return err // once encoded, a name or a value can be any bytes
	}
	if m.Upgrade > NoUpgrades {
		return fmt.Errorf("upgrade: %d is unknown; it is any, only upgrades or no upgrades", m.Upgrade)
	}
	if m.Upgrade == NoUpgrades && len(m.Subprotocols) > 0 {
		return errors.New("subprotocols are offered by upgrades alone: leave them out, or match upgrades")
	}
	for _, name := range m.Subprotocols {
		if !http1.IsToken([]byte(name)) {
			return fmt.Errorf("subprotocol %q: it is one token, such as chat.v2: letters, digits and any of !#$%%&'*+-.^_`|~", name)
		}
	}
	return nil
}

// canonicalHost returns a host as tables hold it: in lower case, without a trailing dot.
func canonicalHost(host string) string { return strings.TrimSuffix(lower(host), ".") }

// cutWildcard returns what stands behind "*."; ok is false where the host is exact.
func cutWildcard(host string) (suffix string, ok bool) { return strings.CutPrefix(host, "*.") }

func validateHost(host string) error {
	name := canonicalHost(host)
	switch {
	case host == "":
		return nil
	case len(name) > maxHostBytes:
		return fmt.Errorf("it has %d bytes, at most %d are allowed", len(name), maxHostBytes)
	case name == "*":
		return errors.New("to match every host, leave the host out; a wildcard is written like *.example.com")
	case host[0] == '[':
		return validateIPv6(host)
	}
	if address, err := netip.ParseAddr(name); err == nil && address.Is6() {
		return fmt.Errorf("an IPv6 address is written in brackets: [%s]", address)
	}
	suffix, isWildcard := cutWildcard(name)
	for label := range strings.SplitSeq(suffix, ".") {
		if err := validateLabel(label); err != nil {
			return err
		}
	}
	last := suffix[strings.LastIndexByte(suffix, '.')+1:]
	if strings.Trim(last, "0123456789") != "" {
		return nil
	}
	if _, err := netip.ParseAddr(suffix); err != nil || isWildcard {
		return errors.New("a name does not end in a number, and an IPv4 address is written in full, like 192.0.2.1")
	}
	return nil
}

func validateLabel(label string) error {
	const allowed = "a host is a name like app.example.com, a wildcard like *.example.com, or an address like 192.0.2.1 or [2001:db8::1]"
	if label == "" {
		return errors.New("two dots in a row, or one in front; " + allowed)
	}
	for _, c := range label {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		case c == '*':
			return errors.New("a '*' stands alone and in front, for one label or more, like *.example.com")
		case c == ':':
			return errors.New("the port and the scheme are not compared: leave them out; " + allowed)
		case c >= utf8.RuneSelf:
			return errors.New("a name is written in ASCII as DNS has it, like xn--mnchen-3ya.example")
		default:
			return fmt.Errorf("%q cannot be in a host; %s", c, allowed)
		}
	}
	return nil
}

func validateIPv6(host string) error {
	inside, ok := strings.CutSuffix(host[1:], "]")
	address, err := netip.ParseAddr(inside)
	switch {
	case !ok || err != nil || !address.Is6() || address.Zone() != "":
		return errors.New("an IPv6 address stands in brackets, without zone and port, like [2001:db8::1]")
	case address.String() != lower(inside):
		return fmt.Errorf("write it as clients do (RFC 5952): [%s]", address)
	}
	return nil
}

func validatePath(path string) error {
	if path == "" {
		return nil
	}
	if path[0] != '/' {
		return errors.New("a path begins with '/'; to match every path, leave it out")
	}
	for i := range len(path) {
		switch c := path[i]; {
		case c == '?' || c == '#':
			return fmt.Errorf("a path ends before %q: parameters have conditions of their own, and in a name it is written %%%X", c, c)
		case c == '*':
			return errors.New("a '*' is no wildcard here: /api matches all below it too; in a name it is written %2A")
		case c < ' ' || c == 0x7f:
			return fmt.Errorf("a control byte is written %%%02X", c)
		case c == '%':
			if _, ok := unescape([]byte(path[i:])); !ok {
				return errors.New("a '%' is followed by two hexadecimal digits; by itself it is written %25")
			}
		}
	}
	return nil
}

// methodsKnown are those that people write in lower case by mistake.
var methodsKnown = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}

func validateMethod(method string) error {
	upper := strings.ToUpper(method)
	switch {
	case !http1.IsToken([]byte(method)):
		return errors.New("it is one token, such as GET or POST")
	case upper == "TRACE" || upper == "CONNECT":
		return errors.New("it is always answered by 405 and never reaches a rule")
	case method != upper && slices.Contains(methodsKnown, upper):
		return fmt.Errorf("methods are compared with case: write %s", upper)
	}
	return nil
}

// validateConditions judges the conditions of one kind; special, which may be nil, knows what only that kind has.
func validateConditions(kind string, conditions []Condition, special func(Condition) error) error {
	for _, c := range conditions {
		err := validateCondition(c)
		if err == nil && special != nil {
			err = special(c)
		}
		if err != nil {
			return fmt.Errorf("%s %q: %w", kind, c.Name, err)
		}
	}
	return nil
}

// validateCondition judges what all three kinds have in common.
func validateCondition(c Condition) error {
	switch {
	case c.Name == "":
		return errors.New("it needs a name")
	case c.Op > Prefix:
		return fmt.Errorf("comparison %d is unknown; it is equal, present, absent or prefix", c.Op)
	case c.Value != "" && (c.Op == Present || c.Op == Absent):
		return fmt.Errorf("%q is compared with nothing: leave the value out, or ask for equal or prefix", c.Value)
	case c.Value == "" && c.Op == Prefix:
		return errors.New("every value begins with an empty prefix: ask for present")
	}
	return nil
}

func validateHeader(c Condition) error {
	switch {
	case !http1.IsToken([]byte(c.Name)):
		return errors.New("a header's name is one token: letters, digits and any of !#$%&'*+-.^_`|~")
	case http1.LookupField([]byte(c.Name)) == http1.FieldHost:
		return errors.New("the host has a setting of its own, which knows ports and absolute targets")
	case !http1.IsFieldValue([]byte(c.Value)):
		return fmt.Errorf("no header has the value %q: it holds a control byte", c.Value)
	}
	return validateSpace(c)
}

func validateCookie(c Condition) error {
	switch {
	case strings.ContainsAny(c.Name, "=; \t") || !http1.IsFieldValue([]byte(c.Name)):
		return errors.New("a cookie's name has no '=', no ';', no space and no control byte")
	case strings.Contains(c.Value, ";") || !http1.IsFieldValue([]byte(c.Value)):
		return fmt.Errorf("no cookie has the value %q: it holds a ';' or a control byte", c.Value)
	}
	return validateSpace(c)
}

// validateSpace refuses white space where values are compared without it.
func validateSpace(c Condition) error {
	trimmed := strings.TrimLeft(c.Value, " \t")
	if c.Op == Equal {
		trimmed = strings.TrimRight(trimmed, " \t")
	}
	if trimmed != c.Value {
		return fmt.Errorf("values are compared without the white space around them: write %q", trimmed)
	}
	return nil
}
