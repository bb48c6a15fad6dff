package engine

import "golang.org/x/sys/unix"

// ticker wakes the loop at the wheel's next deadline by a timerfd in the loop's set, armed only while the wheel holds
// entries, and moved only when an earlier deadline appears: cancelling costs nothing, and one early wake-up.
type ticker struct {
	fd    int32
	armed int64 // what the timerfd is set to, Monotonic ns; 0: not armed
}

// handle implements the slot's handler: the deadline has come. The wheel is advanced at the begin of the next turn's
// work, by Workspace.BeginTurn; here only the descriptor is emptied.
func (t *ticker) handle(uint32) {
	var count [8]byte
	_, _ = unix.Read(int(t.fd), count[:])
	t.armed = 0
}

// schedule makes sure that the loop wakes up for the wheel's next deadline.
func (t *ticker) schedule(w *Wheel) {
	next, ok := w.Next()
	if !ok || (t.armed != 0 && t.armed <= next) {
		return
	}
	t.armed = max(next, 1)
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(t.armed)}
	if err := unix.TimerfdSettime(int(t.fd), unix.TFD_TIMER_ABSTIME, &spec, nil); err != nil {
		panic("engine: timerfd_settime: " + err.Error())
	}
}
