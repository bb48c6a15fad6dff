package balance

import "fmt"

// Algorithm is how the members of a group are chosen among.
type Algorithm uint8

const (
	// WeightedRoundRobin takes members in turn, each as often as its weight says.
	WeightedRoundRobin Algorithm = iota
	// RoundRobin takes members in turn, whatever their weights.
	RoundRobin
	// LeastConnections takes the member with the least (connections + 1) / weight.
	LeastConnections
	// LeastTime takes the member with the least answer time x (connections + 1) / weight.
	LeastTime
	// TwoChoices draws two members at random, by weight, and takes the one with the less (connections + 1) / weight.
	TwoChoices
	// Hash takes the same member for the same key, as long as the member is there and not overloaded.
	Hash
	algorithmCount
)

// algorithmNames are those of configuration files.
var algorithmNames = [algorithmCount]string{"wrr", "rr", "wlc", "least-time", "p2c", "hash"}

// String returns the name that ParseAlgorithm reads.
func (a Algorithm) String() string {
	if a >= algorithmCount {
		return fmt.Sprintf("algorithm %d", uint8(a))
	}
	return algorithmNames[a]
}

// ParseAlgorithm returns the algorithm of this name: wrr, rr, wlc, least-time, p2c or hash.
func ParseAlgorithm(name string) (Algorithm, error) {
	for a, known := range algorithmNames {
		if name == known {
			return Algorithm(a), nil
		}
	}
	return 0, fmt.Errorf("%q is no scheduler: there are wrr, rr, wlc, least-time, p2c and hash", name)
}
