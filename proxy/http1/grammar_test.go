package http1

import (
	"math/rand/v2"
	"testing"

	"culvert/proxy/http1/http1test"
)

// TestGrammarLikeNetHTTP reads many messages in both ways: the same ones each time, and others that nobody has read
// before.
func TestGrammarLikeNetHTTP(t *testing.T) {
	for name, seed := range map[string]uint64{"known": 1, "fresh": rand.Uint64()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, l := http1test.NewGrammar(), newLikeNetHTTP()
			counts := map[[2]bool]int{}
			n := uint64(0)
			defer func() {
				if t.Failed() {
					t.Logf("message %d of seed %d; an input that shows a bug becomes an example or a seed", n, seed)
				}
			}()
			for ; n < grammarMessages; n++ {
				input, answers := g.Message(seed, n)
				l.check(t, input, answers)
				counts[[2]bool{l.first.ours.whole, l.first.theirs.whole}]++
			}
			t.Logf("whole to us, to net/http: %v; differences met: %v", counts, l.met)
			for _, sides := range [][2]bool{{true, true}, {true, false}, {false, true}, {false, false}} {
				if counts[sides] < grammarMessages/200 {
					t.Errorf("only %d of %d messages are whole to us: %v, to net/http: %v", counts[sides], grammarMessages, sides[0], sides[1])
				}
			}
			if len(l.met) < len(differences)/2 {
				t.Errorf("only %d of %d differences were met: the parts are too tame", len(l.met), len(differences))
			}
		})
	}
}
