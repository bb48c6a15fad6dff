package peers

import (
	"math"
	"slices"
)

// A Summary says where the values of the rounds lie. All are NaN without a value.
type Summary struct {
	Median, Low, High float64
}

// Summarize returns the median, the least and the greatest of the values.
func Summarize(values []float64) Summary {
	if len(values) == 0 {
		return Summary{math.NaN(), math.NaN(), math.NaN()}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return Summary{median, sorted[0], sorted[len(sorted)-1]}
}

// Ratios divides the values of each round that both have. A round's values were measured one right after the other,
// so that what else happened on the machine touches their ratio the least.
func Ratios(of, against []float64) []float64 {
	rounds := min(len(of), len(against))
	ratios := make([]float64, rounds)
	for i := range rounds {
		ratios[i] = of[i] / against[i]
	}
	return ratios
}
