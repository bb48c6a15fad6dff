//go:build linux

package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestTheHeapGrowsToItsFloor(t *testing.T) {
	for live, want := range map[uint64]int{
		0: 6300, 1 << 20: 1500, 2 << 20: 700, 4 << 20: 300, 8 << 20: 100, 16 << 20: 100, 1 << 30: 100, 5 << 20: 200,
	} {
		if got := percentFor(live); got != want {
			t.Errorf("of %d bytes that live the heap may grow by %d %%, want %d", live, got, want)
		}
	}
}

func TestEachCollectionIsFollowed(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(usualPercent))
	watchCollections(usualPercent)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		runtime.GC()
		if now := debug.SetGCPercent(usualPercent); now != usualPercent {
			return // small as this process is, it was given more
		}
	}
	t.Error("no collection has changed how much the heap may grow")
}
