package proxy

import (
	"testing"

	"culvert/proxy/health"
)

// TestWhenADrainEndsTunnels: by what is said last, whatever was said before. Behind the deadline the drain itself has
// nothing more to come: when the next tunnel ends is the pace's affair.
func TestWhenADrainEndsTunnels(t *testing.T) {
	var m mate
	for _, c := range []struct {
		says              string
		draining          bool
		limit, since, now int64
		ending            bool
		next              int64
	}{
		{"in use", false, 0, 0, 5, false, health.Never},
		{"drained, for ever", true, 0, 0, 10, false, health.Never},
		{"for a while, which counts from the beginning", true, 20, 0, 15, false, 30},
		{"just before the deadline", true, 20, 0, 29, false, 30},
		{"at the deadline", true, 20, 0, 30, true, health.Never},
		{"behind it", true, 20, 0, 99, true, health.Never},
		{"for longer, after all", true, 200, 0, 100, false, 210},
		{"behind that one", true, 200, 0, 300, true, health.Never},
		{"for ever, after all", true, 0, 0, 301, false, health.Never},
		{"in use again", false, 20, 0, 400, false, health.Never},
		{"drained anew", true, 20, 0, 500, false, 520},
		{"ordered once more, from now on", true, 20, 510, 515, false, 530},
		{"behind that", true, 20, 510, 530, true, health.Never},
	} {
		if next := m.drain(c.draining, c.limit, c.since, c.now); next != c.next || m.ending != c.ending {
			t.Errorf("%s: ending %v, next at %d; want %v, %d", c.says, m.ending, next, c.ending, c.next)
		}
	}
}
