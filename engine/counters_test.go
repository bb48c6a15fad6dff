package engine

import (
	"maps"
	"testing"
	"time"
)

func TestTurnsAreCountedByHowLongTheyTook(t *testing.T) {
	var c Counters
	total := time.Duration(0)
	for _, took := range []time.Duration{
		0, 99 * time.Microsecond, 100 * time.Microsecond, 101 * time.Microsecond,
		5 * time.Millisecond, 50 * time.Millisecond, 500 * time.Millisecond, time.Second, time.Hour,
	} {
		c.turnOver(uint64(took))
		total += took
	}
	want := map[float64]uint64{0.0001: 3, 0.001: 4, 0.01: 5, 0.1: 6, 1: 8}
	if got := c.TurnDurations(); !maps.Equal(got, want) || c.Turns != 9 || c.BusyNanos != uint64(total) {
		t.Errorf("%d turns in %d ns: %v, want 9 in %d: %v", c.Turns, c.BusyNanos, got, total, want)
	}
}
