// Package origin decides which web pages may open a WebSocket. A browser lets any page connect to any host, sends the
// cookies of that host along, and leaves it to the server to look at the page's origin (RFC 6455 section 10.2).
//
//	set, err := origin.New([]string{"https://app.example.com", "https://*.example.com:8443", "same-host"})
//	...
//	if !set.Allows(value, present, host, overTLS) {
//		// answer 403
//	}
package origin

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// The patterns that are words.
const (
	sameHost = "same-host"
	noOrigin = "none"
)

// MaxPatterns bounds a set.
const MaxPatterns = 1000

// Set is a set of allowed origins. It is immutable: any number of goroutines may ask it. A nil Set allows all; a Set of
// no patterns allows nothing (fail closed).
type Set struct {
	exact              map[string]struct{} // keys as appendKey writes them
	below              []wildcard
	sameHost, noOrigin bool
}

// wildcard stands for all hosts below a domain.
type wildcard struct {
	scheme string
	suffix string // of the host, from the dot on
	port   int
}

// New returns the set of the patterns, which are any of:
//
//	https://app.example.com       this origin; the scheme's own port may be given or not
//	https://app.example.com:8443  this origin on another port
//	http://*.example.com          every host below example.com, however deep, not itself
//	same-host                     the host and port that the request is for
//	none                          a request without Origin, which comes from no browser
//
// Case does not count. An international name is written in punycode (xn--...). A dot at the end makes another host, as
// it does for browsers. The error names the pattern, and says what is wrong and what is allowed.
func New(patterns []string) (*Set, error) {
	if len(patterns) > MaxPatterns {
		return nil, fmt.Errorf("origin: there are %d patterns, at most %d are allowed", len(patterns), MaxPatterns)
	}
	s := &Set{exact: map[string]struct{}{}}
	for _, p := range patterns {
		if problem := s.add(strings.ToLower(p)); problem != "" {
			return nil, fmt.Errorf("origin: %q: %s; allowed are scheme://host, scheme://host:port, scheme://*.domain, %s and %s", p, problem, sameHost, noOrigin)
		}
	}
	return s, nil
}

// add takes a pattern in lower case, or says what is wrong with it.
func (s *Set) add(pattern string) (problem string) {
	switch pattern {
	case sameHost:
		s.sameHost = true
		return ""
	case noOrigin:
		s.noOrigin = true
		return ""
	}
	if problem := commonMistake(pattern); problem != "" {
		return problem
	}
	scheme, rest, _ := strings.Cut(pattern, "://")
	domain, below := strings.CutPrefix(rest, "*")
	if !below {
		o, ok := parse([]byte(pattern))
		if !ok {
			return "it is no origin"
		}
		if canonical := canonicalIPv6(o.host); canonical != string(o.host) {
			return "browsers write this address as " + canonical
		}
		s.exact[string(o.appendKey(nil))] = struct{}{}
		return ""
	}
	domain, dotted := strings.CutPrefix(domain, ".")
	o, ok := parse([]byte(scheme + "://" + domain))
	if !ok || !dotted || o.host[0] == '[' {
		return "behind the star there is no dot and domain"
	}
	w := wildcard{scheme: scheme, suffix: "." + string(o.host), port: o.port}
	if !slices.Contains(s.below, w) {
		s.below = append(s.below, w)
	}
	return ""
}

// canonicalIPv6 returns a host as browsers write it, which only for IPv6 is a matter of more than case.
func canonicalIPv6(host []byte) string {
	text := string(host)
	a, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil || !a.Is6() || a.Is4In6() {
		return text
	}
	return "[" + a.String() + "]"
}

// commonMistake explains what an operator may have meant.
func commonMistake(pattern string) string {
	scheme, rest, ok := strings.Cut(pattern, "://")
	switch {
	case pattern == "*":
		return "to allow all, set no origins"
	case pattern == "null":
		return "null is the origin of every sandboxed page, whoever wrote it"
	case !ok:
		return "there is no scheme"
	case scheme == "ws" || scheme == "wss":
		return "an origin is that of the page: http or https"
	case strings.Contains(rest, "@"):
		return "an origin has no user"
	case strings.ContainsAny(rest, "/?#"):
		return "an origin has no path, nor a slash at its end"
	case strings.Contains(strings.TrimPrefix(rest, "*"), "*"):
		return "a star stands only for the labels before a domain"
	case strings.ContainsFunc(pattern, func(r rune) bool { return r > 0x7e }):
		return "a name that is not ASCII is written in punycode (xn--...)"
	}
	return ""
}

// Allows tells whether a WebSocket may be opened. Origin is the value of the header, without white space around it, and
// hasOrigin whether there is one; host is the request's Host, or the authority of its target; secure tells whether the
// client reached us over TLS, here or at a proxy in front that is trusted.
//
// The same host means: the origin is http or https, its host and port are those of host, where a port that is not given
// is that of the origin's scheme on the one side, and of secure on the other; and over TLS, that it is https.
//
// An origin that is null, malformed, or more than one matches nothing, not even the same host. A request with several
// Origin headers is the caller's to refuse; joined with commas they match nothing either. It does not allocate.
func (s *Set) Allows(origin []byte, hasOrigin bool, host []byte, secure bool) bool {
	if s == nil {
		return true
	}
	if !hasOrigin {
		return s.noOrigin
	}
	o, ok := parse(origin)
	if !ok {
		return false
	}
	if s.sameHost && o.isHost(host, secure) {
		return true
	}
	var space [maxOriginBytes]byte
	if _, ok := s.exact[string(o.appendKey(space[:0]))]; ok {
		return true
	}
	for _, w := range s.below {
		labels := len(o.host) - len(w.suffix)
		if o.port == w.port && labels > 0 && equalFold(o.scheme, w.scheme) && equalFold(o.host[labels:], w.suffix) {
			return true
		}
	}
	return false
}
