// Package route decides which rule a request follows, by its domain, its path and further conditions. It does no I/O,
// reads no clock, starts no goroutine and allocates nothing per request.
//
//	table, err := route.New([]route.Match{
//		{Host: "shop.example.com", Path: "/chat", Upgrade: route.OnlyUpgrades},
//		{Host: "*.example.com"},
//		{Path: "/status", Methods: []string{"GET", "HEAD"}},
//	})
//	...
//	var scratch route.Scratch // one per loop
//	switch index, result := table.Find(&head, isUpgrade, &scratch); result {
//	case route.Matched: // by the rule at index
//	case route.NoMatch: // a known domain, but none of its rules: 404
//	case route.Default: // whatever no rule is for
//	}
//
// # Precedence
//
//  1. One domain counts: the exact one, else the wildcard with the longest suffix, else the rules without a domain. A
//     domain none of whose rules matches does not hand the request on to a wider one.
//  2. Within it the longest path counts of which a rule's further conditions hold; the domain's root is the shortest.
//  3. Among the rules of one path the first in order counts whose conditions hold.
//
// A request without Host (HTTP/1.0) has only the rules without a domain.
//
// # Spelling
//
// Paths are compared after Normalize, so that a rule which guards something is not passed by another spelling of its
// path. What it cannot know is how a backend reads further: one that takes %2F or '\' for '/', or drops ";parameters"
// from a segment, must itself be told not to.
package route

import (
	"bytes"

	"culvert/proxy/http1"
)

// Result is what Find found.
type Result uint8

// The results.
const (
	Matched Result = iota // a rule
	NoMatch               // the domain has rules, none of which matches: answer 404
	Default               // no rule is for this domain or this path: the listener's default
)

// String returns a word for logs.
func (r Result) String() string {
	switch r {
	case Matched:
		return "matched"
	case NoMatch:
		return "no match"
	case Default:
		return "default"
	}
	return "unknown"
}

// Table finds the rule for a request. It is immutable after New: any number of loops may share it.
type Table struct {
	exact         map[string]*node // by host in lower case, without a trailing dot
	wildcards     map[string]*node // by what stands behind "*."
	longestSuffix int              // bytes of the longest key of wildcards
	anyHost       *node            // the rules without a domain
	unreachable   []Shadow
}

// node is a path of one domain, its root or one segment below its parent. Immutable after New.
type node struct {
	parent   *node
	children map[string]*node // by normalised segment
	here     []rule           // whose path is this one
	below    []rule           // whose path is this one and a '/'; none at the root
}

// Scratch is memory that Find works in. The zero value is ready; it grows to the longest host and path that it saw.
// Owned by one loop.
type Scratch struct {
	host []byte
	path []byte
}

// New builds the table of the rules, whose indexes are their positions. Every rule that Validate refuses gives a
// *RuleError; the error joins them all (errors.Join), in order.
func New(matches []Match) (*Table, error) {
	if err := validateAll(matches); err != nil {
		return nil, err
	}
	t := &Table{exact: map[string]*node{}, wildcards: map[string]*node{}, anyHost: new(node)}
	for i := range matches {
		m := &matches[i]
		list := t.domain(m.Host).list(m.Path)
		r := newRule(i, m)
		if by := firstCovering(*list, &r); by >= 0 {
			t.unreachable = append(t.unreachable, Shadow{Index: i, By: by})
		}
		*list = append(*list, r)
	}
	return t, nil
}

// domain returns the root of a domain, which it makes where there is none.
func (t *Table) domain(host string) *node {
	if host == "" {
		return t.anyHost
	}
	name, domains := canonicalHost(host), t.exact
	if suffix, ok := cutWildcard(name); ok {
		name, domains = suffix, t.wildcards
		t.longestSuffix = max(t.longestSuffix, len(suffix))
	}
	root := domains[name]
	if root == nil {
		root = new(node)
		domains[name] = root
	}
	return root
}

// list returns the rules of a path below n, for which it makes the nodes where there are none.
func (n *node) list(path string) *[]rule {
	rest := Normalize(nil, []byte(path))
	if len(rest) <= 1 {
		return &n.here
	}
	for rest = rest[1:]; ; {
		segment, behind, more := bytes.Cut(rest, slash)
		n = n.child(string(segment))
		switch {
		case !more:
			return &n.here
		case len(behind) == 0:
			return &n.below
		}
		rest = behind
	}
}

func (n *node) child(segment string) *node {
	if n.children == nil {
		n.children = map[string]*node{}
	}
	child := n.children[segment]
	if child == nil {
		child = &node{parent: n}
		n.children[segment] = child
	}
	return child
}

// slash separates segments. Immutable.
var slash = []byte("/")

// Find returns the index of the rule for the request whose complete head is given, or -1 and why there is none.
// isUpgrade says that the request is a valid upgrade to WebSocket. Nothing is kept of the head. It takes time linear in
// host and path, and in the head for each rule with conditions whose domain and path match; it does not allocate once
// scratch has grown.
func (t *Table) Find(head *http1.RequestHead, isUpgrade bool, scratch *Scratch) (index int, result Result) {
	root, otherwise := t.domainOf(head, scratch), NoMatch
	if root == nil {
		root, otherwise = t.anyHost, Default
	}
	path := head.Path()
	if cap(scratch.path) < len(path) {
		scratch.path = make([]byte, 0, 2*len(path))
	}
	n, followed := root.deepest(Normalize(scratch.path, path))
	for ; n != nil; n = n.parent {
		if followed {
			if index, ok := firstHolding(n.below, head, isUpgrade); ok {
				return index, Matched
			}
		}
		if index, ok := firstHolding(n.here, head, isUpgrade); ok {
			return index, Matched
		}
		followed = true
	}
	return -1, otherwise
}

// domainOf returns the root of the one domain that counts, nil where the request is for none that is known.
func (t *Table) domainOf(head *http1.RequestHead, scratch *Scratch) *node {
	host := http1.AppendLower(scratch.host[:0], head.HostName())
	scratch.host = host
	if n := len(host); n > 0 && host[n-1] == '.' {
		host = host[:n-1]
	}
	if root := t.exact[string(host)]; root != nil {
		return root
	}
	for suffix := host; t.longestSuffix > 0; {
		dot := bytes.IndexByte(suffix, '.')
		if dot < 0 {
			return nil
		}
		suffix = suffix[dot+1:]
		if len(suffix) > t.longestSuffix {
			continue
		}
		if root := t.wildcards[string(suffix)]; root != nil {
			return root
		}
	}
	return nil
}

// deepest returns the last node along a normalised path, and whether the path goes on behind it with a '/'. A path that
// does not begin with one, which is "*", leads no further than to the root.
func (n *node) deepest(path []byte) (last *node, followed bool) {
	if path[0] != '/' {
		return n, false
	}
	for rest := path[1:]; ; {
		end := bytes.IndexByte(rest, '/')
		segment := rest
		if end >= 0 {
			segment = rest[:end]
		}
		child := n.children[string(segment)]
		switch {
		case child == nil:
			return n, true
		case end < 0:
			return child, false
		}
		n, rest = child, rest[end+1:]
	}
}

// firstHolding returns the index of the first rule whose conditions hold.
func firstHolding(rules []rule, head *http1.RequestHead, isUpgrade bool) (index int, ok bool) {
	for i := range rules {
		if rules[i].holds(head, isUpgrade) {
			return rules[i].index, true
		}
	}
	return -1, false
}
