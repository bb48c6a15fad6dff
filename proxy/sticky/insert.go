package sticky

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

const (
	// DefaultName is that of an inserted cookie.
	DefaultName = "SERVERID"
	// MaxLifetime bounds the lifetime of an inserted cookie, in seconds.
	MaxLifetime = 86_400
	// sessionLifetime is how long a cookie without a lifetime is honoured, in seconds.
	sessionLifetime = 30 * 86_400
)

// SameSite is which requests from other sites the browser sends the cookie with.
type SameSite uint8

const (
	// SameSiteDefault leaves it to the browser: most take it for Lax.
	SameSiteDefault SameSite = iota
	// SameSiteLax is for none but those with which somebody follows a link.
	SameSiteLax
	// SameSiteStrict is for none.
	SameSiteStrict
	// SameSiteNone is for all: WebSockets to another site need it. Browsers ask for Secure then.
	SameSiteNone
	sameSiteCount
)

var sameSiteNames = [sameSiteCount]string{"default", "lax", "strict", "none"}

// ParseSameSite returns the value of this name: default, lax, strict or none.
func ParseSameSite(name string) (SameSite, error) {
	for s, known := range sameSiteNames {
		if name == known {
			return SameSite(s), nil
		}
	}
	return 0, fmt.Errorf("%q is none of default, lax, strict and none", name)
}

// InsertConfig describes an inserted cookie.
type InsertConfig struct {
	// Name has 1 to MaxNameLength characters; empty: DefaultName.
	Name string
	// Lifetime is how long the cookie is honoured, in seconds: 1 to MaxLifetime; 0: until the browser ends, and 30
	// days at most.
	Lifetime int
	HTTPOnly bool
	Secure   bool // sent over TLS only
	SameSite SameSite
	// Path is where the cookie is sent to, with all that is below; empty: everywhere.
	Path string
	// Domain is which domain the cookie is sent to, with all that are below; empty: the one that set it.
	Domain string
}

func (c *InsertConfig) validate() error {
	if err := validateName(c.Name); err != nil {
		return err
	}
	host, secure := strings.HasPrefix(c.Name, "__Host-"), strings.HasPrefix(c.Name, "__Secure-")
	switch {
	case c.Lifetime < 0 || c.Lifetime > MaxLifetime:
		return fmt.Errorf("lifetime %d: it is 1 to %d seconds, or 0 for the browser's session", c.Lifetime, MaxLifetime)
	case c.SameSite >= sameSiteCount:
		return fmt.Errorf("there is no SameSite %d", c.SameSite)
	case c.SameSite == SameSiteNone && !c.Secure:
		return fmt.Errorf("SameSite none needs Secure: browsers refuse the cookie otherwise")
	case (host || secure) && !c.Secure:
		return fmt.Errorf("a cookie %s needs Secure: browsers refuse it otherwise", c.Name)
	case host && (c.Path != "/" || c.Domain != ""):
		return fmt.Errorf("a cookie %s has the path / and no domain: browsers refuse it otherwise", c.Name)
	case c.Path[0] != '/':
		return fmt.Errorf("path %q: it begins with /", c.Path)
	}
	if err := validateAttribute(c.Path); err != nil {
		return fmt.Errorf("path %q: %w", c.Path, err)
	}
	if c.Domain != "" && !isDomain(c.Domain) {
		return fmt.Errorf("domain %q: it is a name such as example.com", c.Domain)
	}
	return nil
}

// Inserter sets a cookie of its own and reads it. Owned by a loop.
type Inserter struct {
	*sealer
	name          string
	lifetime      int64  // seconds for which a token is honoured
	before, after string // the token, in a Set-Cookie line
}

// NewInserter returns an Inserter that uses the keys. Errors say what is wrong with the configuration.
func NewInserter(c InsertConfig, keys *Keys) (*Inserter, error) {
	if c.Name == "" {
		c.Name = DefaultName
	}
	if c.Path == "" {
		c.Path = "/"
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	if len(keys.insert) == 0 {
		return nil, errNoKey
	}
	n := &Inserter{sealer: newSealer(keys.insert), name: c.Name, lifetime: sessionLifetime}
	n.before = "Set-Cookie: " + c.Name + "="
	if c.Lifetime > 0 {
		n.lifetime = int64(c.Lifetime)
		n.after += "; Max-Age=" + strconv.Itoa(c.Lifetime)
	}
	n.after += "; Path=" + c.Path
	if c.Domain != "" {
		n.after += "; Domain=" + c.Domain
	}
	if c.Secure {
		n.after += "; Secure"
	}
	if c.HTTPOnly {
		n.after += "; HttpOnly"
	}
	n.after += [sameSiteCount]string{"", "; SameSite=Lax", "; SameSite=Strict", "; SameSite=None"}[c.SameSite] + "\r\n"
	return n, nil
}

// AppendSetCookie appends the line that sets the cookie, with its CRLF, for the backend of an identity. Now is in seconds
// since 1970.
func (n *Inserter) AppendSetCookie(dst []byte, id uint64, now int64) []byte {
	dst = append(dst, n.before...)
	dst = n.append(dst, id, now)
	return append(dst, n.after...)
}

// AppendRequest implements Reader. It takes off all tokens of ours, of any age, with the names before them: the backend
// has no business with them. A cookie of the name that is none of ours, of another balancer perhaps, stays.
func (n *Inserter) AppendRequest(dst, line []byte, now int64) (out []byte, hit Hit, found bool) {
	start, copied := len(dst), 0 // of the line, up to here
	hit.Expired = true
	for p, next, more := nextPair(line, 0); more; p, next, more = nextPair(line, next) {
		if !p.named(line, n.name) {
			continue
		}
		one, ok := n.open(line[p.start:p.end])
		if !ok {
			continue
		}
		found = true
		if age := now - one.Issued; hit.Expired && age >= -clockSkew && age <= n.lifetime {
			hit, hit.Renew = one, age > n.lifetime/2
		}
		dst = append(dst, line[copied:p.at]...)
		copied = min(next, len(line))
	}
	if !found {
		return dst, Hit{}, false
	}
	dst = append(dst, line[copied:]...)
	return append(dst[:start], bytes.TrimRight(bytes.TrimLeft(dst[start:], " \t"), "; \t")...), hit, true
}
