package balance

import (
	"slices"
	"testing"
)

func picks(s *WRR, n int, excluded ...int) []int {
	var list []int
	for range n {
		if i, ok := s.Next(excluded); ok {
			list = append(list, i)
		}
	}
	return list
}

func TestPicksOfAHeavyBackendAreSpread(t *testing.T) {
	got := picks(NewWRR([]int{5, 1, 1}, 0), 7)
	if want := []int{0, 0, 1, 0, 2, 0, 0}; !slices.Equal(got, want) {
		t.Fatalf("picked %v, want %v", got, want)
	}
}

func TestEveryRoundHoldsEachBackendAsOftenAsItsWeight(t *testing.T) {
	weights := []int{3, 0, 7, 1, 100}
	s := NewWRR(weights, 13)
	for round := range 50 {
		count := make([]int, len(weights))
		for _, i := range picks(s, 111) {
			count[i]++
		}
		if !slices.Equal(count, weights) {
			t.Fatalf("round %d: picked %v times, want the weights %v", round, count, weights)
		}
	}
}

func TestLoopsStartAtDifferentPositions(t *testing.T) {
	weights := []int{1, 1, 1, 1}
	seen := map[int]bool{}
	for loop := range 4 {
		seen[picks(NewWRR(weights, loop), 1)[0]] = true
	}
	if len(seen) != 4 {
		t.Fatalf("the first picks of 4 loops went to %d backends, want 4", len(seen))
	}
}

func TestExcludedBackendsAndWeightZeroAreNeverPicked(t *testing.T) {
	s := NewWRR([]int{1, 0, 2, 3}, 0)
	for _, i := range picks(s, 100, 3) {
		if i == 1 || i == 3 {
			t.Fatalf("picked backend %d", i)
		}
	}
	if _, ok := s.Next([]int{0, 2, 3}); ok {
		t.Fatal("picked one though none was left")
	}
	if _, ok := NewWRR([]int{0, 0}, 5).Next(nil); ok {
		t.Fatal("picked a backend of weight 0")
	}
}

func BenchmarkWRRNext(b *testing.B) {
	s := NewWRR([]int{1, 2, 3, 4, 5, 6, 7, 8}, 0)
	b.ReportAllocs()
	for b.Loop() {
		s.Next(nil)
	}
}
