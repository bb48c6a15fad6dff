package engine

import "time"

// turnBounds are the durations by which turns are told apart: nearly all are shorter than the first.
var turnBounds = [...]time.Duration{
	100 * time.Microsecond, time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, time.Second,
}

// Counters are one loop's plain counters: written and read on the loop only, without atomics. All count from the
// start of the process unless they say otherwise.
type Counters struct {
	// Turns counts turns of the loop that are over; Waits the system calls that waited for events, Interrupts those that
	// a signal of the runtime cut short; Parks the times that the loop went to sleep in netpoll.
	Turns, Waits, Interrupts, Parks uint64
	// Events counts events dispatched, StaleEvents those whose slot was given away before they arrived.
	Events, StaleEvents uint64
	// BusyNanos is the time in turns, without the waiting.
	BusyNanos uint64
	// slowTurns counts the turns that took longer than each of turnBounds, in its order.
	slowTurns [len(turnBounds)]uint64
	// Accepted counts accepted connections; AcceptPauses the times a listener was taken out of the set because no
	// descriptor was left.
	Accepted, AcceptPauses uint64
	// AcceptSuspensions counts the times a listener was told to stop accepting for a while.
	AcceptSuspensions uint64
	// Dials counts attempts to connect, DialFailures those that failed (timeouts included).
	Dials, DialFailures uint64
	// Relays counts relays started; RelaysOver those that ended.
	Relays, RelaysOver uint64
	// Relayed counts the bytes forwarded by relays, by the side that they come from.
	Relayed [2]uint64
	// Pauses counts the times a source was paused because the other side was full.
	Pauses uint64
	// PendingBytes is the number of bytes held now because the other side did not take them, in memory and in pipes;
	// PendingPeak the most that one direction ever held in memory.
	PendingBytes, PendingPeak uint64
	// Spliced counts the bytes that went through a pipe, PipesOpen the pipes open now, PipesRefused the times that none
	// was to be had and the bytes were copied instead.
	Spliced, PipesOpen, PipesRefused uint64
	// HeldBytes is the capacity, in bytes, of all buffers in use and what pipes hold, now; HeldPeak the most it ever was.
	// ReadsShrunk counts the turns that began under memory pressure, RelaysShed the relays ended for want of memory,
	// WorkShed what had not become a relay yet.
	HeldBytes, HeldPeak, ReadsShrunk, RelaysShed, WorkShed uint64
	// InsertsRefused counts frames that were not inserted because the queue of a direction was full.
	InsertsRefused uint64
	// Lingering is the number of lingering closes under way now; LingerCut counts those ended by their bounds.
	Lingering, LingerCut uint64
	// PostsRefused counts calls of Post refused because the mailbox was full.
	PostsRefused uint64
}

// turnOver counts a turn that took so many nanoseconds.
func (c *Counters) turnOver(took uint64) {
	c.Turns++
	c.BusyNanos += took
	for i := 0; i < len(turnBounds) && took > uint64(turnBounds[i]); i++ {
		c.slowTurns[i]++
	}
}

// TurnDurations returns how many turns took at most so many seconds, as a Prometheus histogram has it.
func (c *Counters) TurnDurations() map[float64]uint64 {
	buckets := make(map[float64]uint64, len(turnBounds))
	for i, bound := range turnBounds {
		buckets[bound.Seconds()] = c.Turns - c.slowTurns[i]
	}
	return buckets
}
