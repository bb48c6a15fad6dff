package engine

import (
	"math"

	"golang.org/x/sys/unix"
)

// ticker wakes the loop by a timerfd in the loop's set, at the wheel's next deadline or when it is to look whether it is
// idle. It is moved only when an earlier deadline appears: cancelling costs nothing, and one early wake-up.
type ticker struct {
	fd    int32
	slot  uint32
	armed int64 // what the timerfd is set to, Monotonic ns; 0: not armed
}

const (
	// never is later than every deadline.
	never = math.MaxInt64
	// forever is the timeout of a wait that has none.
	forever = -1
)

// handle implements the slot's handler: the deadline has come. The wheel was advanced at the begin of the turn, by
// Workspace.BeginTurn. The descriptor is registered edge-triggered and need not be read.
func (t *ticker) handle(uint32) { t.armed = 0 }

// schedule makes sure that the loop wakes up for the wheel's next deadline, and not after latest.
func (t *ticker) schedule(w *Wheel, latest int64) {
	next, ok := w.Next()
	if !ok || next > latest {
		next = latest
	}
	if next == never || (t.armed != 0 && t.armed <= next) {
		return
	}
	t.armed = max(next, 1)
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(t.armed)}
	if err := unix.TimerfdSettime(int(t.fd), unix.TFD_TIMER_ABSTIME, &spec, nil); err != nil {
		panic("engine: timerfd_settime: " + err.Error())
	}
}
