package engine

import (
	"time"

	"golang.org/x/sys/unix"
)

// clockBase ties Go's monotonic clock to the kernel's CLOCK_MONOTONIC, so that the values of Monotonic can be
// compared between processes and handed to timerfd, while reading them stays a call without a system call.
var clockBase, clockBaseNanos = func() (time.Time, int64) {
	var ts unix.Timespec
	base := time.Now()
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("engine: CLOCK_MONOTONIC cannot be read: " + err.Error())
	}
	return base, ts.Nano()
}()

// Monotonic returns raw CLOCK_MONOTONIC nanoseconds. A loop reads it once per turn; everything below takes `now`.
func Monotonic() int64 { return clockBaseNanos + int64(time.Since(clockBase)) }

// Today returns the wall-clock time as the system has it now, steps of it included: for what is compared with other
// machines, such as the time in a certificate or a cookie. It may run backwards.
func Today() time.Time { return time.Now() }

// WallTime returns the wall-clock time of a Monotonic value, for logs. It follows steps of the wall clock only at
// process start: the lines of one process never run backwards.
func WallTime(monotonic int64) time.Time {
	return clockBase.Add(time.Duration(monotonic - clockBaseNanos))
}
