//go:build linux

package balance

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
)

// BenchmarkNext picks from 4 loops at once, each of which has 64 connections and ends the oldest for every one that it
// begins; least-time sees each of them answered too. cpu-ns/pick is what a pick takes of a loop's time, all of that
// included, whatever else the machine does.
func BenchmarkNext(b *testing.B) {
	for a := range algorithmCount {
		for _, n := range []int{8, 64, 1000} {
			b.Run(fmt.Sprintf("%v/%d", a, n), func(b *testing.B) {
				members := membersOf(repeated(3, n)...)
				for i := range members {
					members[i].Weight -= i % 3 * WeightUnit
					members[i].Load.Store(100)
					members[i].Time.Observe(int64(1+i%7)*1e6, oneSecond)
				}
				s := scheduler(b, a, members, nil)
				var loops atomic.Uint64
				b.SetParallelism((4 + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
				b.ReportAllocs()
				before := processorTime()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					r := &Request{HasKey: true, Random: loops.Add(1) << 40, Now: oneSecond}
					var live [64]int
					for i := range live {
						live[i] = i % n
					}
					for at := 0; pb.Next(); at = (at + 1) % len(live) {
						r.Key = mix(r.Random)
						r.Random++
						r.Now += 1000
						i, _ := s.Next(r)
						members[i].Load.Add(1)
						if a == LeastTime {
							members[i].Time.Observe(int64(1+i%7)*1e6+int64(r.Random&0xffff), r.Now)
						}
						members[live[at]].Load.Add(-1)
						live[at] = i
					}
				})
				b.ReportMetric(float64(processorTime()-before)/float64(b.N), "cpu-ns/pick")
			})
		}
	}
}

// BenchmarkNew makes a scheduler for 1,000 members whose weights have nothing in common, as in a slow start.
func BenchmarkNew(b *testing.B) {
	for a := range algorithmCount {
		b.Run(a.String(), func(b *testing.B) {
			members := membersOf(repeated(1, 1000)...)
			for i := range members {
				members[i].Weight = 1 + i*7919%MaxWeight
			}
			b.ReportAllocs()
			var s Scheduler
			for b.Loop() {
				members[0].Weight = 1 + members[0].Weight%MaxWeight
				s = scheduler(b, a, members, s)
			}
		})
	}
}

func BenchmarkLatencyObserve(b *testing.B) {
	var l Latency
	var now atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		n := now.Add(1e12)
		for pb.Next() {
			n += 1000
			l.Observe(n&0xfffff, n)
		}
	})
}

// processorTime returns what the process has used, in nanoseconds.
func processorTime() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}
