package balance

// WRR is smooth weighted round robin: in every run of as many picks as the weights add up to, each backend is picked
// as often as its weight says, and the picks of a heavy one are spread out. Owned by one loop.
type WRR struct {
	weights []int
	current []int
}

// NewWRR returns a scheduler over backends with the given weights (0: never picked), which starts at a position of its
// own: several loops that balance over the same backends get different positions, so that the first connections of all
// loops together are spread too.
func NewWRR(weights []int, position int) *WRR {
	s := &WRR{weights: weights, current: make([]int, len(weights))}
	total := 0
	for _, w := range weights {
		total += w
	}
	if total > 0 {
		for range position % total {
			s.Next(nil)
		}
	}
	return s
}

// Next picks a backend by index, leaving out those in excluded; ok is false when none is left. It takes time linear in
// the number of backends and does not allocate.
func (s *WRR) Next(excluded []int) (picked int, ok bool) {
	total, best := 0, -1
	for i, weight := range s.weights {
		if weight == 0 || contains(excluded, i) {
			continue
		}
		s.current[i] += weight
		total += weight
		if best < 0 || s.current[i] > s.current[best] {
			best = i
		}
	}
	if best < 0 {
		return 0, false
	}
	s.current[best] -= total
	return best, true
}

func contains(list []int, i int) bool {
	for _, v := range list {
		if v == i {
			return true
		}
	}
	return false
}
