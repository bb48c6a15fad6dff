package proxy

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSharesEndExactlyWhatIsOver(t *testing.T) {
	for _, test := range []struct {
		excess int64
		loads  []int64
		want   []int64
	}{
		{1, []int64{1, 1}, []int64{1, 0}},
		{1, []int64{2, 2, 2, 2, 2, 2, 2, 2}, []int64{1, 0, 0, 0, 0, 0, 0, 0}},
		{3, []int64{0, 9, 3}, []int64{0, 3, 0}},
		{4, []int64{4, 4}, []int64{2, 2}},
		{7, []int64{2, 3}, []int64{2, 3}},
		{5, []int64{0, 0}, []int64{0, 0}},
	} {
		if got := shares(test.excess, slices.Clone(test.loads)); !slices.Equal(got, test.want) {
			t.Errorf("of %v, %d in excess: %v, want %v", test.loads, test.excess, got, test.want)
		}
	}
	dice := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		loads := make([]int64, 1+dice.IntN(9))
		total, sum := int64(0), int64(0)
		for i := range loads {
			loads[i] = dice.Int64N(50)
			total += loads[i]
		}
		excess := dice.Int64N(total + 5)
		for i, n := range shares(excess, slices.Clone(loads)) {
			if sum += n; n < 0 || n > loads[i] {
				t.Fatalf("of %v, %d in excess: loop %d is to end %d", loads, excess, i, n)
			}
		}
		if sum != min(excess, total) {
			t.Fatalf("of %v, %d in excess: %d are to end", loads, excess, sum)
		}
	}
}
