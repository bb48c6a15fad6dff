package limit

import (
	"fmt"
	"math"
	"sync"
	"testing"
)

const (
	millisecond = int64(1e6)
	oneSecond   = int64(1e9)
	day         = 24 * 3600 * oneSecond
)

// admitted counts how many of the events are admitted that come every step ns, from and until, exclusive.
func admitted(allow func(int64) bool, from, until, step int64) int {
	n := 0
	for now := from; now < until; now += step {
		if allow(now) {
			n++
		}
	}
	return n
}

// atOnce counts how many events are admitted at one time, up to most.
func atOnce(allow func(int64) bool, now int64, most int) int {
	n := 0
	for n < most && allow(now) {
		n++
	}
	return n
}

// ages are times at which a process may begin; the last ones are beyond what a signed number of 1/1024 ns can hold.
var ages = []int64{0, 1, oneSecond, 100 * day, 105 * day, 150 * day, 208 * day, 209 * day, 1000 * day, math.MaxInt64 / 4}

func TestABurstAndThenTheRate(t *testing.T) {
	cases := []struct{ perSecond, burst, wantAtOnce, wantNext int }{
		{1, 0, 1, 1}, {1, 1, 1, 1}, {1, 5, 5, 1}, {3, 2, 2, 3}, {7, 2, 2, 7}, {10, 0, 1, 10}, {100, 0, 10, 100}, {100, 1, 1, 100},
		{1_000, 0, 100, 1_000}, {3_000, 0, 300, 3_000}, {30_000, 0, 3_000, 30_000}, {99_991, 17, 17, 99_991},
		{300_000, 2, 2, 300_000}, {999_983, 0, 99_998, 999_983}, {1_000_000, 0, 100_000, 1_000_000},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%d per second, burst %d", c.perSecond, c.burst), func(t *testing.T) {
			for _, start := range []int64{12345, 150 * day}[:1+min(200_000/c.perSecond, 1)] { // the fast ones take long
				r := NewRate(c.perSecond, c.burst)
				if got := atOnce(r.Allow, start, 2_000_000); got != c.wantAtOnce {
					t.Fatalf("%d admitted at once, want %d", got, c.wantAtOnce)
				}
				step := max(oneSecond/int64(c.perSecond)/8, 1)
				for range 2 { // the last one of a second may come just as it ends
					if got := admitted(r.Allow, start+1, start+oneSecond, step); got != c.wantNext-1 && got != c.wantNext {
						t.Fatalf("%d admitted in the second behind, want %d", got, c.wantNext)
					}
					start += oneSecond
				}
			}
		})
	}
}

func TestOneSecondFromRestHoldsTheRateAndTheBurst(t *testing.T) {
	for _, start := range ages {
		for _, perSecond := range []int{1, 3, 10, 97, 1024} {
			for _, burst := range []int{1, 2, 10, 1000} {
				if burst == 1 && oneSecond%int64(perSecond) != 0 {
					continue // whole nanoseconds come too late for some
				}
				r := NewRate(perSecond, burst)
				n := atOnce(r.Allow, start, math.MaxInt)
				for k := range 10 * perSecond { // ten attempts in the time of each event, the last of the second left out
					if r.Allow(start + int64(k+1)*oneSecond/int64(10*perSecond) - 1) {
						n++
					}
				}
				if want := perSecond + burst - 1; n != want {
					t.Fatalf("from %d on, %d per second with a burst of %d: %d admitted, want %d", start, perSecond, burst, n, want)
				}
			}
		}
	}
}

func TestARestGivesTheBurstBackAtThePaceOfTheRate(t *testing.T) {
	r := NewRate(100, 20)
	atOnce(r.Allow, 0, 100)
	for _, rest := range []struct {
		until int64
		want  int
	}{{30 * millisecond, 3}, {130 * millisecond, 10}, {140 * millisecond, 1}, {10 * oneSecond, 20}, {1000 * day, 20}} {
		if got := atOnce(r.Allow, rest.until, 100); got != rest.want {
			t.Errorf("at %d ms %d were admitted, want %d", rest.until/millisecond, got, rest.want)
		}
	}
}

func TestALongRestNeverShutsARate(t *testing.T) {
	for _, start := range ages {
		for days := int64(1); days < 1000; days += 17 {
			r := NewRate(2, 1)
			r.Allow(start)
			now := start + days*day
			if !r.Allow(now) && !r.Allow(now+oneSecond/2) {
				t.Fatalf("begun at %d, rested for %d days: refused, and half a second later again", start, days)
			}
		}
	}
}

func TestNoRateIsNoBound(t *testing.T) {
	for _, perSecond := range []int{0, -1, math.MinInt} {
		r := NewRate(perSecond, 1)
		if got := atOnce(r.Allow, 0, 10_000); got != 10_000 || r.Utilisation(0) != 0 {
			t.Errorf("%d per second: admitted %d, utilisation %v", perSecond, got, r.Utilisation(0))
		}
	}
}

func TestRatesAndBurstsBeyondTheirBounds(t *testing.T) {
	if got := atOnce(NewRate(math.MaxInt, 1000).Allow, 5, 2000); got != 1000 {
		t.Errorf("%d admitted at once, want 1000", got)
	}
	r := NewRate(1, math.MaxInt)
	if got := atOnce(r.Allow, 5, math.MaxInt); got != maxBurstSeconds {
		t.Errorf("%d admitted at once, want %d", got, maxBurstSeconds)
	}
	if got := admitted(r.Allow, 5, 10*oneSecond, millisecond); got != 9 {
		t.Errorf("behind it %d were admitted in just under 10 s, want 9", got)
	}
	if !NewRate(math.MaxInt, math.MaxInt).Allow(math.MaxInt64) {
		t.Error("the largest of all refuses the first event")
	}
}

func TestARateIsChangedLive(t *testing.T) {
	r := NewRate(10, 10)
	atOnce(r.Allow, 0, 100)
	r.Set(1000, 1)
	if got := admitted(r.Allow, 1, 2*oneSecond, millisecond/4); got < 1000 || got > 2001 {
		t.Errorf("raised: %d admitted in 2 s, want 1000/s for at least one of them", got)
	}
	if got := admitted(r.Allow, 2*oneSecond, 3*oneSecond, millisecond/4); got != 1000 {
		t.Errorf("raised: %d admitted in the third second, want 1000", got)
	}
	r.Set(5, 1)
	if got := admitted(r.Allow, 3*oneSecond, 5*oneSecond, millisecond/4); got < 9 || got > 10 {
		t.Errorf("lowered: %d admitted in 2 s, want 10", got)
	}
	r.Set(0, 0)
	if got := atOnce(r.Allow, 5*oneSecond, 100); got != 100 {
		t.Errorf("taken away: %d of 100 admitted", got)
	}
	r.Set(100, 10)
	if got := atOnce(r.Allow, 6*oneSecond, 100); got != 10 {
		t.Errorf("set again: %d admitted at once, want 10", got)
	}
	r.Set(100, 10)
	if r.Allow(6 * oneSecond) {
		t.Error("the same values again gave a second burst")
	}
}

func TestADebtFromASlowRateIsForgottenAtAFastOne(t *testing.T) {
	r := NewRate(1, 3600)
	atOnce(r.Allow, 0, 10_000)
	r.Set(1000, 10)
	if got := atOnce(r.Allow, millisecond, 100); got != 10 {
		t.Errorf("after the change %d were admitted at once, want 10", got)
	}
}

func TestLoopsMayDisagreeAboutTheTime(t *testing.T) {
	r := NewRate(1000, 10)
	n, start := 0, 150*day
	for now := start; now < start+10*oneSecond; now += millisecond / 4 {
		for _, behind := range []int64{0, 5 * millisecond, millisecond, 900 * millisecond} {
			if r.Allow(now - behind) {
				n++
			}
		}
	}
	if n < 9_990 || n > 10_010 {
		t.Errorf("%d admitted in 10 s by loops that disagree, want 10000", n)
	}
}

func TestConcurrentEventsAreAdmittedExactly(t *testing.T) {
	for _, burst := range []int{1, 100, 5000} {
		r := NewRate(1000, burst)
		var counts [4]int
		var done sync.WaitGroup
		for g := range counts {
			done.Go(func() {
				counts[g] = admitted(r.Allow, 0, oneSecond, millisecond/20)
			})
		}
		done.Wait()
		// One that is a step behind finds less admitted, never more: the total is that of one loop, at the latest time.
		total := counts[0] + counts[1] + counts[2] + counts[3] + atOnce(r.Allow, oneSecond-1, 10_000)
		if want := 1000 + burst - 1; total != want {
			t.Errorf("burst %d: %d admitted, want %d", burst, total, want)
		}
	}
}

func TestUtilisation(t *testing.T) {
	r := NewRate(1000, 100)
	if got := r.Utilisation(7 * oneSecond); got != 0 {
		t.Errorf("before any event %v", got)
	}
	near := func(now int64, want float64) {
		t.Helper()
		if got := r.Utilisation(now); math.Abs(got-want) > 0.01 {
			t.Errorf("at %v s: %v, want %v", float64(now)/1e9, got, want)
		}
	}
	admitted(r.Allow, 7*oneSecond, 9*oneSecond, 4*millisecond)
	near(9*oneSecond-1, 0.25)
	near(8*oneSecond+oneSecond/2, 0.25+0.125)
	near(9*oneSecond, 0.25)
	near(9*oneSecond+oneSecond/2, 0.125)
	near(10*oneSecond, 0)
	near(11*oneSecond, 0)
	admitted(r.Allow, 11*oneSecond, 13*oneSecond, millisecond/4)
	near(13*oneSecond-1, 1)
	r.Set(2000, 0)
	near(13*oneSecond-1, 0.5)
}

func BenchmarkRateAllow(b *testing.B) {
	for _, c := range []struct {
		name      string
		perSecond int
	}{{"admitted", MaxPerSecond}, {"refused", 1}} {
		b.Run(c.name, func(b *testing.B) {
			r := NewRate(c.perSecond, 0)
			b.ReportAllocs()
			now := oneSecond
			for b.Loop() {
				now += 10
				r.Allow(now)
			}
		})
	}
}

func BenchmarkRateAllowByAllLoops(b *testing.B) {
	r := NewRate(MaxPerSecond, 0)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		now := oneSecond
		for pb.Next() {
			now += 10
			r.Allow(now)
		}
	})
}
