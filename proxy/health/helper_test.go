package health

import (
	"testing"
)

// must fails the test where valid settings are refused.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// checkNow carries out one check at now that ends at once.
func checkNow(c *Checker, now int64, reason string) (changed bool) {
	c.Begin(now)
	return c.End(now, reason)
}

// rehearsal is a backend checked in virtual time.
type rehearsal struct {
	t       *testing.T
	checker Checker
	now     int64
	// answer tells what a check that begins at a time comes to, and how long it takes; longer than the timeout: that.
	answer func(at int64) (takes int64, reason string)
	begun  []int64 // when each check began
}

// run lets time pass until the end, and returns when the state changed.
func (r *rehearsal) run(s *Settings, end int64) (changes []int64) {
	r.t.Helper()
	for r.checker.Due() <= end {
		r.now = r.checker.Due()
		r.begun = append(r.begun, r.now)
		deadline := r.checker.Begin(r.now)
		if r.checker.Due() != Never {
			r.t.Fatal("a check is due while another is under way")
		}
		if deadline != r.now+s.Timeout {
			r.t.Fatalf("the deadline is %d ms away", (deadline-r.now)/millisecond)
		}
		takes, reason := r.answer(r.now)
		if takes > s.Timeout {
			takes, reason = s.Timeout, ReasonTimeout
		}
		r.now += takes
		if r.checker.End(r.now, reason) {
			changes = append(changes, r.now)
		}
	}
	return changes
}
