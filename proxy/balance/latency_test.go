package balance

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
)

const halfLife = int64(1) << (clockShift + halfLifeShift)

// want asks for a value to within a percent and what the unit rounds off.
func wantValue(t *testing.T, l *Latency, now int64, want float64, when string) {
	t.Helper()
	if got, known := l.Value(now); !known || math.Abs(float64(got)-want) > want/100+2*latencyUnit {
		t.Fatalf("%s: %d ns, %v, want %.0f", when, got, known, want)
	}
}

func TestLatencyFollowsPeaksAndDecays(t *testing.T) {
	var l Latency
	if got, known := l.Value(5); known || got != 0 {
		t.Fatalf("of nothing: %d, %v", got, known)
	}
	now := 1000 * halfLife
	l.Observe(8e6, now)
	wantValue(t, &l, now, 8e6, "the first")
	l.Observe(80e6, now+1)
	wantValue(t, &l, now+1, 80e6, "a peak")
	l.Observe(1e6, now+2)
	wantValue(t, &l, now+2, 80e6, "an answer at once behind a peak")
	wantValue(t, &l, now+halfLife/2, 56.57e6, "half a half-life later")
	wantValue(t, &l, now+halfLife, 40e6, "a half-life later")
	wantValue(t, &l, now+3*halfLife, 10e6, "three half-lives later")
	wantValue(t, &l, now+1000*halfLife, 0, "long after")
	l.Observe(8e6, now+halfLife)
	wantValue(t, &l, now+halfLife, 44e6, "an answer a half-life behind a peak: half of it has weight")
	l.Observe(-5, now+400*halfLife)
	wantValue(t, &l, now+400*halfLife, 0, "a clock that went backwards")
	l.Observe(math.MaxInt64, now+400*halfLife)
	wantValue(t, &l, now+400*halfLife, (1<<32-1)*latencyUnit, "the longest")
}

func TestLatencyComesToWhatIsObserved(t *testing.T) {
	var l Latency
	random := rand.New(rand.NewPCG(1, 1))
	now := int64(7)
	l.Observe(5e9, now)
	for range 50_000 {
		now += random.Int64N(10e6)
		l.Observe(2e6+random.Int64N(1000), now)
	}
	wantValue(t, &l, now, 2e6, "after 250 s of answers in 2 ms")
}

// TestLatencyOfTwoClocks: loops read the clock at different moments, and one may come late.
func TestLatencyOfTwoClocks(t *testing.T) {
	var l Latency
	now := 100 * oneSecond
	l.Observe(8e6, now)
	wantValue(t, &l, now-oneSecond, 8e6, "seen from a second before")
	l.Observe(4e6, now-oneSecond)
	wantValue(t, &l, now, 8e6, "an answer of before")
	var old Latency
	old.Observe(8e6, 0)
	wantValue(t, &old, int64(1)<<(clockShift+29), 0, "a hundred days later")
}

func TestLatencyIsTriedWhenInDoubt(t *testing.T) {
	var l Latency
	now := 50 * halfLife
	l.Observe(100e6, now)
	l.chosen(now + halfLife/2)
	wantValue(t, &l, now+halfLife/2, 70.71e6, "chosen soon after an answer")
	l.chosen(now + 4*halfLife)
	wantValue(t, &l, now+4*halfLife, 100e6, "chosen when in doubt")
	l.Observe(3e6, now+4*halfLife+5)
	wantValue(t, &l, now+4*halfLife+5, 3e6, "its answer")
	var unknown Latency
	unknown.chosen(now)
	wantValue(t, &unknown, now, 1e9, "chosen when unknown")
	unknown.Observe(50e9, now+5)
	wantValue(t, &unknown, now+5, 50e9, "its answer")
}

func TestLatencyOfManyObservers(t *testing.T) {
	var l Latency
	var done sync.WaitGroup
	for g := range int64(4) {
		done.Go(func() {
			for n := range int64(20_000) {
				l.Observe(1e6+g*1e6+n, n<<clockShift)
				l.chosen(n << clockShift)
				l.Value(n << clockShift)
			}
		})
	}
	done.Wait()
	if got, _ := l.Value(20_000 << clockShift); got < 1e6 || got > 5e6 {
		t.Errorf("of answers in 1 to 4 ms: %d ns", got)
	}
}
