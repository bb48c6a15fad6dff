package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// benchmarkWheelSizes runs a benchmark beside so many entries armed like the deadlines of idle tunnels,
// at random moments within 60 s.
func benchmarkWheelSizes(b *testing.B, run func(b *testing.B, w *Wheel, timers []wheelCounter)) {
	for _, size := range []int{1, 10_000, 1_000_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, uint64(size)))
			w := newTestWheel(1e15)
			timers := make([]wheelCounter, size)
			for i := range timers {
				timers[i].Init(&timers[i])
				w.Arm(&timers[i].Timer, 1e15+rng.Int64N(60e9))
			}
			// In memory, neighbours in time are no neighbours.
			rng.Shuffle(size, func(i, j int) {
				if timers[i].Armed() && timers[j].Armed() {
					first, second := timers[i].Deadline(), timers[j].Deadline()
					w.Arm(&timers[i].Timer, second)
					w.Arm(&timers[j].Timer, first)
				}
			})
			b.ReportAllocs()
			b.ResetTimer()
			run(b, w, timers)
		})
	}
}

// One more entry is armed and cancelled, as by an exchange that ends in time.
func BenchmarkWheelArmCancel(b *testing.B) {
	benchmarkWheelSizes(b, func(b *testing.B, w *Wheel, _ []wheelCounter) {
		var one wheelCounter
		one.Init(&one)
		deadline := int64(1e15)
		for b.Loop() {
			deadline += 7919
			w.Arm(&one.Timer, deadline&(1<<36-1)+1e15)
			w.Cancel(&one.Timer)
		}
	})
}

// Random entries of all are moved.
func BenchmarkWheelRearm(b *testing.B) {
	benchmarkWheelSizes(b, func(b *testing.B, w *Wheel, timers []wheelCounter) {
		random := uint64(1)
		for b.Loop() {
			random = random*6364136223846793005 + 1442695040888963407
			e := &timers[random>>33%uint64(len(timers))]
			w.Arm(&e.Timer, 1e15+int64(random>>28))
		}
	})
}

// What every turn of a loop pays with nothing due.
func BenchmarkWheelAdvanceNothingDue(b *testing.B) {
	benchmarkWheelSizes(b, func(b *testing.B, w *Wheel, _ []wheelCounter) {
		for b.Loop() {
			w.Advance(1e15)
		}
	})
}

// What a loop pays to find out when to wake.
func BenchmarkWheelNext(b *testing.B) {
	benchmarkWheelSizes(b, func(b *testing.B, w *Wheel, _ []wheelCounter) {
		for b.Loop() {
			w.Next()
		}
	})
}

// wheelPeriodic re-arms itself 60 s ahead, as an idle deadline with activity does.
type wheelPeriodic struct {
	Timer
	w *Wheel
}

func (p *wheelPeriodic) OnTimer(t *Timer, now int64) { p.w.Arm(t, now+60e9) }

// Every entry fires and re-arms itself once in 60 s: all cascades are in it. One operation is one tick.
func BenchmarkWheelAdvancePerTick(b *testing.B) {
	for _, size := range []int{1, 10_000, 1_000_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, uint64(size)))
			now := int64(1e15)
			w := newTestWheel(now)
			timers := make([]wheelPeriodic, size)
			for i := range timers {
				timers[i].w = w
				timers[i].Init(&timers[i])
				w.Arm(&timers[i].Timer, now+rng.Int64N(60e9))
			}
			fired := 0
			b.ReportAllocs()
			for b.Loop() {
				now += WheelTick
				fired += w.Advance(now)
			}
			b.ReportMetric(float64(fired)/float64(b.N), "fired/op")
			if fired > 0 {
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(fired), "ns/fired")
			}
		})
	}
}

// All entries are due in one tick, a minute ahead. One operation is the Advance with all of them.
func BenchmarkWheelStorm(b *testing.B) {
	for _, size := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			now := int64(1e15)
			w := newTestWheel(now)
			timers := make([]wheelCounter, size)
			for i := range timers {
				timers[i].Init(&timers[i])
			}
			order := rand.New(rand.NewPCG(1, uint64(size))).Perm(size)
			for b.Loop() {
				b.StopTimer()
				for _, i := range order {
					w.Arm(&timers[i].Timer, now+60e9)
				}
				now += 61e9
				b.StartTimer()
				w.Advance(now)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/fired")
		})
	}
}

// The dearest single Advance: the slot of level 2 in which most deadlines of a minute lie is entered.
func BenchmarkWheelCascade(b *testing.B) {
	for _, size := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			const slot = int64(WheelTick) << (2 * wheelLevelBits)
			rng := rand.New(rand.NewPCG(1, uint64(size)))
			now := slot * 100
			w := newTestWheel(now)
			timers := make([]wheelCounter, size)
			offsets := make([]int64, size)
			for i := range timers {
				timers[i].Init(&timers[i])
				offsets[i] = rng.Int64N(slot-WheelTick) + WheelTick
			}
			order := rng.Perm(size) // in memory, neighbours in the slot are no neighbours
			for b.Loop() {
				b.StopTimer()
				for _, i := range order {
					w.Arm(&timers[i].Timer, now+slot+offsets[i])
				}
				now += slot
				b.StartTimer()
				w.Advance(now)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/entry")
		})
	}
}
