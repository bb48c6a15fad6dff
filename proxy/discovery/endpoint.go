package discovery

import (
	"cmp"
	"net/netip"
	"slices"
)

const (
	// MaxWeight is the largest weight of an endpoint.
	MaxWeight = 100
	// MaxEndpoints bounds the endpoints of one source; those beyond are left out, with a warning, or refused in a file.
	MaxEndpoints = 10_000
)

// Endpoint is a backend that was found.
type Endpoint struct {
	Address netip.AddrPort
	// Weight is 0 to MaxWeight; 0: no new requests.
	Weight int
	// Priority says who is asked first: the lowest. Of a file's endpoints, secondaries have 1 and all others 0.
	Priority uint16
}

// Set is the endpoints of one source, in the order of their addresses, each of which is there once. Immutable.
type Set []Endpoint

// newSet puts endpoints in order. Of those with one address, which is said twice where two names lead to a backend, the
// one that is asked first counts, of these the heavier. It takes the slice.
func newSet(endpoints []Endpoint) Set {
	slices.SortFunc(endpoints, func(a, b Endpoint) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Weight, a.Weight))
	})
	return slices.CompactFunc(endpoints, func(a, b Endpoint) bool { return a.Address == b.Address })
}

// Equal reports whether both have the same endpoints.
func (s Set) Equal(other Set) bool { return slices.Equal(s, other) }

// Diff is what has become of a set.
type Diff struct {
	Added, Removed []Endpoint
	// Changed have another weight or priority, as given here, than before.
	Changed []Endpoint
}

// Since tells how s differs from the set before it, each part in the order of addresses.
func (s Set) Since(before Set) (d Diff) {
	for len(s) > 0 || len(before) > 0 {
		order := 0
		switch {
		case len(s) == 0:
			order = 1
		case len(before) == 0:
			order = -1
		default:
			order = s[0].Address.Compare(before[0].Address)
		}
		switch {
		case order < 0:
			d.Added = append(d.Added, s[0])
			s = s[1:]
		case order > 0:
			d.Removed = append(d.Removed, before[0])
			before = before[1:]
		default:
			if s[0] != before[0] {
				d.Changed = append(d.Changed, s[0])
			}
			s, before = s[1:], before[1:]
		}
	}
	return d
}
