//go:build linux

package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// heapFloor is the size, in bytes, below which the heap is not worth a collection. By itself the collector runs whenever
	// the heap has doubled: a proxy that holds 2 MB would be collected dozens of times a second while clients make TLS
	// handshakes, each of which leaves 50 KB of garbage.
	heapFloor = 16 << 20
	// usualPercent is the growth, in percent of what lives, at which the collector runs above the floor.
	usualPercent = 100
)

// keepHeapFloor has the collector let the heap grow to the floor, from the next collection on, unless the environment
// says by GOGC how it should run.
func keepHeapFloor() {
	if os.Getenv("GOGC") == "" {
		watchCollections(usualPercent)
	}
}

// collectionMark is garbage from the beginning: its cleanup runs behind each collection.
type collectionMark struct{ _ *byte }

func watchCollections(present int) {
	runtime.AddCleanup(new(collectionMark), func(before int) {
		percent := percentFor(liveHeap())
		if percent != before {
			debug.SetGCPercent(percent)
		}
		watchCollections(percent)
	}, present)
}

// percentFor returns the growth, in percent, that takes a heap of which so many bytes live to the floor, in steps, lest
// each collection changes it; the usual one for larger heaps.
func percentFor(live uint64) int {
	const step = 50
	percent := int((heapFloor*100/max(live, heapFloor/64) - 100) / step * step)
	return max(percent, usualPercent)
}

// liveHeap returns how many bytes lived at the end of the last collection.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return heapFloor
	}
	return sample[0].Value.Uint64()
}
