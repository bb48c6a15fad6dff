package route

import (
	"slices"
	"strings"
)

// Shadow is a rule that no request ever reaches, because an earlier one of the same domain and path takes all that it
// would match.
type Shadow struct {
	Index int // the rule
	By    int // the first earlier one that covers it
}

// Unreachable returns the rules that can never be reached, in order: those for whose domain and path an earlier rule
// asks nothing, or nothing that they do not ask too. That several earlier rules cover one together is not noticed. The
// caller must not change the slice.
func (t *Table) Unreachable() []Shadow { return t.unreachable }

// firstCovering returns the index of the first rule that matches all that r matches, or -1. All have one domain and path.
func firstCovering(earlier []rule, r *rule) int {
	for i := range earlier {
		if earlier[i].covers(r) {
			return earlier[i].index
		}
	}
	return -1
}

// covers reports whether each demand of r follows from one of other.
func (r *rule) covers(other *rule) bool {
	return (r.upgrade == Any || r.upgrade == other.upgrade) &&
		coversWords(r.methods, other.methods) && coversWords(r.subprotocols, other.subprotocols) &&
		coversConditions(r.headers, other.headers) && coversConditions(r.cookies, other.cookies) &&
		coversConditions(r.query, other.query)
}

// coversWords compares lists of which one word is asked for, and none at all when they are empty.
func coversWords(wide, narrow []string) bool {
	if len(wide) == 0 {
		return true
	}
	missing := func(word string) bool { return !slices.Contains(wide, word) }
	return len(narrow) > 0 && !slices.ContainsFunc(narrow, missing)
}

// coversConditions compares lists of which everything is asked for.
func coversConditions(wide, narrow []condition) bool {
	open := func(c condition) bool { return !slices.ContainsFunc(narrow, c.follows) }
	return !slices.ContainsFunc(wide, open)
}

// follows reports whether c holds wherever other does.
func (c *condition) follows(other condition) bool {
	switch {
	case c.Name != other.Name:
		return false
	case c.Op == Present:
		return other.Op != Absent
	case c.Op == Prefix:
		return (other.Op == Equal || other.Op == Prefix) && strings.HasPrefix(other.Value, c.Value)
	}
	return c.Op == other.Op && c.Value == other.Value
}
