package proxy

import (
	"slices"
	"testing"

	"culvert/proxy/discovery"
)

// TestPrioritiesOfRecordsAreAnOrder: of SRV records only which is lower counts; those of a file are the group's own.
func TestPrioritiesOfRecordsAreAnOrder(t *testing.T) {
	set := func(priorities ...uint16) (found discovery.Set) {
		for _, p := range priorities {
			found = append(found, discovery.Endpoint{Priority: p})
		}
		return found
	}
	many := make([]uint16, mostLevels+3)
	for i := range many {
		many[i] = uint16(i * 10)
	}
	for _, c := range []struct {
		kind        discovery.Kind
		given, want []uint16
	}{
		{discovery.Services, []uint16{20, 10, 20, 65535, 10}, []uint16{1, 0, 1, 2, 0}},
		{discovery.Services, []uint16{7}, []uint16{0}},
		{discovery.Services, many, []uint16{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 15, 15, 15}},
		{discovery.File, []uint16{1, 1}, []uint16{1, 1}},
	} {
		level := levels(c.kind, set(c.given...))
		var got []uint16
		for _, p := range c.given {
			got = append(got, level(p))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v of %v become %v, want %v", c.given, c.kind, got, c.want)
		}
	}
}
