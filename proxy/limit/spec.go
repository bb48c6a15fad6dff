package limit

import "slices"

// Spec is a named size of balancer, as a cloud sells them: when any of its bounds is reached, new connections are
// dropped and live ones are not touched. An upgrade counts as one request.
type Spec struct {
	Name                    string
	MaxConnections          int // open at one time
	NewConnectionsPerSecond int
	RequestsPerSecond       int
}

// specs is the table, from the smallest on.
var specs = []Spec{
	{"slb.s1.small", 5_000, 3_000, 1_000},
	{"slb.s2.small", 50_000, 5_000, 5_000},
	{"slb.s2.medium", 100_000, 10_000, 10_000},
	{"slb.s3.small", 200_000, 20_000, 20_000},
	{"slb.s3.medium", 500_000, 50_000, 30_000},
	{"slb.s3.large", 1_000_000, 100_000, 50_000},
	{"slb.s3.xlarge", 2_000_000, 200_000, 100_000},
	{"slb.s3.xxlarge", 5_000_000, 500_000, 100_000},
}

// Specs returns all specifications, from the smallest on. The caller owns the slice.
func Specs() []Spec { return slices.Clone(specs) }

// Lookup returns the specification of a name, which is written exactly as in the table.
func Lookup(name string) (Spec, bool) {
	for _, s := range specs {
		if s.Name == name {
			return s, true
		}
	}
	return Spec{}, false
}
