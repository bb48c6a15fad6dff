package proxytest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"culvert/engine"
)

// pollPeriod is how often a condition is looked at.
const pollPeriod = time.Millisecond

// Eventually waits until the condition holds. what completes the sentence "wants that ...".
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	end := engine.Monotonic() + int64(Patience)
	tick := time.NewTicker(pollPeriod)
	defer tick.Stop()
	for !condition() {
		if engine.Monotonic() > end {
			t.Fatalf("the test wants that %s, but after %v it is not so", what, Patience)
		}
		<-tick.C
	}
}

// excerptBytes is how much of a text a failure shows from its beginning, and half as much from its end.
const excerptBytes = 200

// Excerpt quotes a text, a long one by its beginning and its end.
func Excerpt(text string) string {
	if len(text) <= 2*excerptBytes {
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprintf("%q ... %q", text[:excerptBytes], text[len(text)-excerptBytes/2:])
}

// Difference says where two texts part.
func Difference(got, want string) string {
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	from := strings.LastIndexByte(got[:at], '\n') + 1
	from = max(from, at-excerptBytes)
	return fmt.Sprintf("got %d bytes, want %d; from byte %d on got %s, want %s",
		len(got), len(want), from, Excerpt(got[from:]), Excerpt(want[from:]))
}

// WaitStatus waits until a backend of the default group stands so.
func (p *Proxy) WaitStatus(t testing.TB, name, status string) {
	t.Helper()
	Eventually(t, fmt.Sprintf("%s is %s", name, status), func() bool {
		for _, b := range p.server.Backends() {
			if b.Name == name {
				return b.Status == status
			}
		}
		return false
	})
}
