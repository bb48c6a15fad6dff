package route

import (
	"bytes"

	"culvert/proxy/http1"
)

// rule is a Match as it is asked once host and path agree. Immutable.
type rule struct {
	index        int
	upgrade      UpgradeMatch
	methods      []string
	subprotocols []string
	headers      []condition
	cookies      []condition
	query        []condition
}

// condition is a Condition with the header's id looked up; FieldOther for those that have none, and for cookies and
// parameters.
type condition struct {
	Condition
	id http1.FieldID
}

func newRule(index int, m *Match) rule {
	r := rule{
		index:        index,
		upgrade:      m.Upgrade,
		methods:      append([]string(nil), m.Methods...),
		subprotocols: append([]string(nil), m.Subprotocols...),
		headers:      newConditions(m.Headers),
		cookies:      newConditions(m.Cookies),
		query:        newConditions(m.Query),
	}
	for i := range r.headers {
		c := &r.headers[i]
		c.Name = lower(c.Name)
		c.id = http1.LookupField([]byte(c.Name))
	}
	if len(r.subprotocols) > 0 {
		r.upgrade = OnlyUpgrades
	}
	return r
}

func newConditions(list []Condition) []condition {
	conditions := make([]condition, 0, len(list))
	for _, c := range list {
		conditions = append(conditions, condition{Condition: c})
	}
	return conditions
}

// holds reports whether the request meets all that the rule asks beyond host and path, the cheapest questions first.
func (r *rule) holds(head *http1.RequestHead, isUpgrade bool) bool {
	if r.upgrade == OnlyUpgrades && !isUpgrade || r.upgrade == NoUpgrades && isUpgrade {
		return false
	}
	if len(r.methods) > 0 && !contains(r.methods, head.Method()) {
		return false
	}
	if len(r.subprotocols) > 0 && !r.offered(head) {
		return false
	}
	for i := range r.headers {
		if !r.headers[i].inHeaders(head) {
			return false
		}
	}
	for i := range r.cookies {
		if !r.cookies[i].inCookies(head) {
			return false
		}
	}
	for i := range r.query {
		if !r.query[i].inQuery(head) {
			return false
		}
	}
	return true
}

// offered reports whether the request offers one of the subprotocols.
func (r *rule) offered(head *http1.RequestHead) bool {
	elements := head.Elements(http1.FieldSecWebSocketProtocol)
	for {
		element, ok := elements.Next()
		if !ok {
			return false
		}
		if contains(r.subprotocols, element) {
			return true
		}
	}
}

func (c *condition) inHeaders(head *http1.RequestHead) bool {
	if c.id != http1.FieldOther && !head.Has(c.id) {
		return c.Op == Absent
	}
	for i := range head.Len() {
		field := head.At(i)
		if field.ID != c.id || c.id == http1.FieldOther && !http1.EqualFold(field.Name, c.Name) {
			continue
		}
		if c.Op == Absent {
			return false
		}
		if c.accepts(field.Value) {
			return true
		}
	}
	return c.Op == Absent
}

// accepts judges a value that is compared as it came.
func (c *condition) accepts(value []byte) bool {
	switch c.Op {
	case Equal:
		return string(value) == c.Value
	case Prefix:
		return len(value) >= len(c.Value) && string(value[:len(c.Value)]) == c.Value
	}
	return c.Op == Present
}

func (c *condition) inCookies(head *http1.RequestHead) bool {
	if !head.Has(http1.FieldCookie) {
		return c.Op == Absent
	}
	for i := range head.Len() {
		field := head.At(i)
		if field.ID != http1.FieldCookie {
			continue
		}
		for rest := field.Value; len(rest) > 0; {
			var pair []byte
			pair, rest, _ = bytes.Cut(rest, semicolon)
			name, value, _ := bytes.Cut(pair, equals)
			if string(trim(name)) != c.Name {
				continue
			}
			if c.Op == Absent {
				return false
			}
			if c.accepts(trim(value)) {
				return true
			}
		}
	}
	return c.Op == Absent
}

func (c *condition) inQuery(head *http1.RequestHead) bool {
	rest, _ := head.Query()
	for len(rest) > 0 {
		var pair []byte
		pair, rest, _ = bytes.Cut(rest, ampersand)
		name, value, _ := bytes.Cut(pair, equals)
		if behind, ok := cutDecoded(name, c.Name); !ok || len(behind) > 0 {
			continue
		}
		if c.Op == Absent {
			return false
		}
		if behind, ok := cutDecoded(value, c.Value); ok && (c.Op != Equal || len(behind) == 0) {
			return true // Present has an empty Value, with which every value begins
		}
	}
	return c.Op == Absent
}

// The separators of pairs. Immutable.
var (
	ampersand = []byte("&")
	semicolon = []byte(";")
	equals    = []byte("=")
)

// cutDecoded takes off what encodes want at the beginning of a name or a value of a query; ok is false when it begins
// with something else.
func cutDecoded(encoded []byte, want string) (rest []byte, ok bool) {
	for i := range len(want) {
		if len(encoded) == 0 {
			return nil, false
		}
		c, size := encoded[0], 1
		switch c {
		case '+':
			c = ' '
		case '%':
			if decoded, ok := unescape(encoded); ok {
				c, size = decoded, escapeLength
			}
		}
		if c != want[i] {
			return nil, false
		}
		encoded = encoded[size:]
	}
	return encoded, true
}

// trim cuts optional white space (RFC 9110 5.6.3) from both ends.
func trim(b []byte) []byte { return bytes.Trim(b, " \t") }

func contains(list []string, b []byte) bool {
	for _, s := range list {
		if string(b) == s {
			return true
		}
	}
	return false
}

func lower(s string) string { return string(http1.AppendLower(nil, []byte(s))) }
