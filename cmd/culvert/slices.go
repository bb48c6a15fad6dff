//go:build linux

package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// loopSlice is how long a thread of ours asks to run at a time, in nanoseconds. Linux 6.12 and later let a thread that
// wakes up with a short slice take the CPU from one with a longer slice at once, which threads of TLS handshakes keep, and
// make it wait for the end of that slice, some milliseconds, otherwise. Older kernels ignore it.
const loopSlice = 300_000

// shortenSlices asks for short slices for all threads that there are; those to come inherit them. Nothing is lost but
// latency where that is not allowed.
func shortenSlices() {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			continue
		}
		if a, err := unix.SchedGetAttr(id, 0); err == nil && a.Policy == unix.SCHED_NORMAL {
			a.Runtime = loopSlice
			_ = unix.SchedSetAttr(id, a, 0)
		}
	}
}
