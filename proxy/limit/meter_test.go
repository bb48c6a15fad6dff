package limit

import (
	"math"
	"math/rand/v2"
	"testing"
)

func wantRate(t *testing.T, m *Meter, now int64, want, tolerance float64) {
	t.Helper()
	if got := float64(m.Rate(now)); math.Abs(got-want) > tolerance {
		t.Errorf("at %v s: %v B/s, want %v", float64(now)/1e9, got, want)
	}
}

func TestMeterOfASteadyStream(t *testing.T) {
	for _, step := range []int64{10_000, millisecond, 63 * millisecond, 70 * millisecond, 124 * millisecond, 125 * millisecond, 300 * millisecond, oneSecond, 5 * oneSecond} {
		var m Meter
		start := 100 * oneSecond
		for now := start; now <= start+20*oneSecond; now += step {
			m.Add(now, uint64(now-start)/1000+1e12)
			if now >= start+6*oneSecond {
				wantRate(t, &m, now, 1e6, 2)
			}
		}
	}
}

func TestMeterForgetsAfterASecond(t *testing.T) {
	var m Meter
	if m.Rate(5) != 0 {
		t.Error("an empty meter shows a rate")
	}
	m.Add(oneSecond, 4000)
	wantRate(t, &m, oneSecond, 0, 0)
	m.Add(oneSecond+500*millisecond, 5000)
	wantRate(t, &m, oneSecond+500*millisecond, 1000, 0)
	wantRate(t, &m, 2*oneSecond, 1000, 0)
	wantRate(t, &m, 2*oneSecond+250*millisecond, 500, 1)
	wantRate(t, &m, 2*oneSecond+500*millisecond, 0, 0)
	wantRate(t, &m, 1000*day, 0, 0)
}

func TestMeterOfARestartedCounterAndTimesThatGoBack(t *testing.T) {
	var m Meter
	m.Add(oneSecond, 9000)
	m.Add(2*oneSecond, 10_000)
	m.Add(2*oneSecond+millisecond, 100)
	wantRate(t, &m, 2*oneSecond+millisecond, 0, 0)
	m.Add(3*oneSecond, 600)
	wantRate(t, &m, 3*oneSecond, 500, 1)
	m.Add(2*oneSecond, 800)
	wantRate(t, &m, 2*oneSecond, 700, 1)
}

func TestMeterOfCountersNearTheirEnd(t *testing.T) {
	var m Meter
	m.Add(0, 0)
	m.Add(10*oneSecond, math.MaxUint64)
	wantRate(t, &m, 10*oneSecond, math.MaxUint64/10, 1e7)
	m.Add(math.MaxInt64, math.MaxUint64)
	wantRate(t, &m, math.MaxInt64, 0, 2e10)
}

// TestMeterIsTheSlidingSecond compares with all samples kept.
func TestMeterIsTheSlidingSecond(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 3))
		var m Meter
		var times []int64
		var totals []uint64
		now, total := int64(0), uint64(0)
		for range 2000 {
			now += r.Int64N(20 * millisecond)
			total += uint64(r.IntN(1000))
			times, totals = append(times, now), append(totals, total)
			m.Add(now, total)
		}
		begin := 0
		for times[begin] < now-oneSecond {
			begin++
		}
		// A sample stands for up to an eighth of a second, within which bytes are taken to pass evenly.
		wantRate(t, &m, now, float64(total-totals[begin]), 500*12.5/2)
	}
}

func TestSpecifications(t *testing.T) {
	all := Specs()
	if len(all) != 8 || all[0] != (Spec{"slb.s1.small", 5_000, 3_000, 1_000}) || all[7] != (Spec{"slb.s3.xxlarge", 5_000_000, 500_000, 100_000}) {
		t.Errorf("the table: %+v", all)
	}
	for i, want := range all {
		if got, ok := Lookup(want.Name); !ok || got != want {
			t.Errorf("%s: %+v, %v", want.Name, got, ok)
		}
		if i > 0 && (want.MaxConnections <= all[i-1].MaxConnections || want.NewConnectionsPerSecond <= all[i-1].NewConnectionsPerSecond ||
			want.RequestsPerSecond < all[i-1].RequestsPerSecond) {
			t.Errorf("%s is not larger than %s", want.Name, all[i-1].Name)
		}
	}
	for _, name := range []string{"", "slb.s1", "SLB.S1.SMALL", "slb.s1.small "} {
		if _, ok := Lookup(name); ok {
			t.Errorf("%q is found", name)
		}
	}
	all[0].Name = "changed"
	if Specs()[0].Name == "changed" {
		t.Error("the caller's slice is the table")
	}
}

func BenchmarkMeterAdd(b *testing.B) {
	var m Meter
	b.ReportAllocs()
	now := int64(0)
	for b.Loop() {
		now += 50_000
		m.Add(now, uint64(now))
	}
}

func BenchmarkMeterRate(b *testing.B) {
	var m Meter
	for now := int64(0); now < 3*oneSecond; now += millisecond {
		m.Add(now, uint64(now))
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Rate(3 * oneSecond)
	}
}
