package proxy

import (
	"testing"
	"time"
)

// TestRetriesAreFreeAgain: some few, at once, a second later, and when nobody has needed one for half a year.
func TestRetriesAreFreeAgain(t *testing.T) {
	now := int64(5)
	b := newRetryBudget(now)
	wants := func(says string, want int) {
		t.Helper()
		got := 0
		for got < 1000 && b.take(now) {
			got++
		}
		if got != want {
			t.Errorf("%s: %d dials are free, want %d", says, got, want)
		}
	}
	wants("at first", retryFree)
	now += int64(time.Second) / retryFree
	wants("a tenth of a second later", 1)
	now += int64(time.Second)
	wants("a second later", retryFree)
	for range 4 {
		now += 50 * 24 * int64(time.Hour)
		wants("weeks later", retryFree)
	}
	now += 130 * 24 * int64(time.Hour)
	wants("months later", retryFree)
}
