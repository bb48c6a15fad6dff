package proxy

import (
	"sync/atomic"
	"time"
)

// retryBudget bounds the dials of further backends after one that failed, of one group and all loops: a share of the
// requests, and some few that are free, so that backends which fail are not given a multiple of the load. It outlives
// configurations. Safe for concurrent use.
type retryBudget struct {
	hundredths atomic.Int64 // of a dial that are left
	refilled   atomic.Int64 // when the free ones were last added, Monotonic ns
}

const (
	// retryFree is how many dials are free per second, and the most that are kept.
	retryFree = 10
	oneRetry  = 100
)

// newRetryBudget has all that are kept at time now.
func newRetryBudget(now int64) *retryBudget {
	b := &retryBudget{}
	b.hundredths.Store(retryFree * oneRetry)
	b.refilled.Store(now)
	return b
}

// request counts one in, which allows a share, in percent, of a further dial.
func (b *retryBudget) request(share int) {
	if share > 0 && b.hundredths.Load() < retryFree*oneRetry {
		b.hundredths.Add(int64(share))
	}
}

// take reports whether one more dial is allowed, and counts it.
func (b *retryBudget) take(now int64) bool {
	b.refill(now)
	if b.hundredths.Add(-oneRetry) >= 0 {
		return true
	}
	b.hundredths.Add(oneRetry)
	return false
}

// refill adds the free ones of the time since it was last done.
func (b *retryBudget) refill(now int64) {
	last := b.refilled.Load()
	due := min(now-last, int64(time.Second)) * retryFree * oneRetry / int64(time.Second) // longer fills it no more
	if due < oneRetry || !b.refilled.CompareAndSwap(last, now) {
		return
	}
	if left := b.hundredths.Load(); left < retryFree*oneRetry {
		b.hundredths.Add(min(due, retryFree*oneRetry-left))
	}
}
