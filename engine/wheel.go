package engine

import (
	"math"
	"math/bits"
)

// WheelTick is the resolution of a Wheel, in nanoseconds: 2^23 ns = 8.388608 ms. A power of two makes
// the conversion from nanoseconds a shift.
const WheelTick = 1 << wheelTickBits

const (
	wheelTickBits  = 23
	wheelLevelBits = 6
	wheelSlots     = 1 << wheelLevelBits // slots per level: one word of occupancy bits
	wheelSlotMask  = wheelSlots - 1
	wheelLevels    = 5
	wheelTop       = wheelLevels - 1
	wheelTopShift  = wheelTop * wheelLevelBits // ticks to slots of the top level
	wheelTopReach  = wheelSlots - 1            // farthest top slot ahead; one more would be the current one

	// The two lists of entries whose deadline had passed when they were armed lie behind the last level,
	// as two more slots with their own word of occupancy bits.
	wheelOverdue = wheelLevels * wheelSlots
	wheelLists   = wheelOverdue + 2
)

// TimerHandler is told when a Timer is due.
type TimerHandler interface {
	// OnTimer is called on the loop, from Wheel.Advance, with the entry that is due and the now that
	// Advance was given (CLOCK_MONOTONIC nanoseconds). The entry is no longer armed: the handler may
	// arm it again, and may arm or cancel any other entry of the same wheel, also one that is due in
	// the same tick. It must not call Advance.
	OnTimer(t *Timer, now int64)
}

// Timer is an entry of a Wheel. It is meant to be embedded in what it times: arming allocates nothing.
// The zero value is not armed; Init names the handler before the first Arm.
//
// A Timer is owned by the loop that owns its wheel, belongs to one wheel at a time, and must not be
// copied or moved while it is armed.
type Timer struct {
	next, prev *Timer // a ring through all entries of the slot; nil when not armed
	handler    TimerHandler
	deadline   int64  // nanoseconds; 0 when not armed
	list       uint16 // index into Wheel.heads; of no meaning when not armed
}

// Init sets the handler that is called when t is due. t must not be armed.
func (t *Timer) Init(h TimerHandler) {
	if t.Armed() {
		panic("engine: Timer.Init on an armed timer")
	}
	t.handler = h
}

// Armed reports whether t waits in a wheel.
func (t *Timer) Armed() bool { return t.next != nil }

// Deadline returns the deadline t was last armed with, in CLOCK_MONOTONIC nanoseconds, and 0 when t is
// not armed.
func (t *Timer) Deadline() int64 { return t.deadline }

// Wheel is a hashed hierarchical timing wheel (Varghese and Lauck, 1987). It is owned by one loop, has no
// lock and reads no clock. Init makes it usable. Arm, re-arm and Cancel are O(1) and allocate nothing.
//
// A deadline is rounded up to a tick of 2^23 ns, and time is rounded down to one, so an entry never fires
// early; it fires in the first Advance whose now has reached the rounded deadline: less than one tick
// late when Advance is called at every tick.
//
// There are five levels of 64 slots. An entry lies at the level of the highest base-64 digit in which its
// tick differs from the current one, in the slot of that digit:
//
//	level  slot width            within the current       holds, of the timeouts of a proxy
//	0      1 tick     8.39 ms    64 ticks     537 ms      the last moments of all
//	1      64 ticks   537 ms     4096 ticks   34.4 s      connect, handshake, head, keep-alive
//	2      2^12 ticks 34.4 s     2^18 ticks   36.7 min    idle, stalled, answer
//	3      2^18 ticks 36.7 min   2^24 ticks   39.1 h      the longest timeout, 24 h
//	4      2^24 ticks 39.1 h     63 slots     102 days    anything beyond
//
// When time enters a slot above level 0, its entries cascade: each moves to a lower level, at most four
// times in all. Levels 0 to 3 never wrap around: what lies beyond their current span lies higher.
// The top level is a ring: a deadline beyond its reach waits in its farthest slot and is placed again from
// there. A deadline above math.MaxInt64 - WheelTick + 1 rounds up to a tick no int64 can reach and so
// never fires: math.MaxInt64 is a fair way to write "never".
//
// Where an entry lies depends on nothing but its tick and the current one, hence entries of the same tick
// fire in the order in which they were (last) armed, unless one of them was armed 102 days ahead or more.
type Wheel struct {
	tick      int64 // everything due up to here has been fired
	latest    int64 // tick of the latest now; above tick only inside Advance
	count     int   // armed entries
	overdue   uint16
	advancing bool
	occupied  [wheelLevels + 1]uint64 // one bit per list: not empty
	heads     [wheelLists]*Timer      // the oldest entry of each list
}

// Init empties the wheel and sets its time (CLOCK_MONOTONIC nanoseconds). No entry may be armed in it.
func (w *Wheel) Init(now int64) {
	if w.count != 0 {
		panic("engine: Wheel.Init with armed timers")
	}
	tick := now >> wheelTickBits
	*w = Wheel{tick: tick, latest: tick, overdue: wheelOverdue}
}

// Len returns the number of armed entries.
func (w *Wheel) Len() int { return w.count }

// Arm arms t for deadline, in CLOCK_MONOTONIC nanoseconds; any int64 will do. If t is armed it is moved.
//
// A deadline in a tick that is over fires in the next Advance; inside Advance, all ticks up to its now
// are over. So an entry that a handler arms for a time that has passed is never fired by the Advance that
// called the handler: a handler that always does so is called once per Advance, and keeps the loop from
// sleeping but not from its other work.
func (w *Wheel) Arm(t *Timer, deadline int64) {
	if t.handler == nil {
		panic("engine: Wheel.Arm of a timer without a handler")
	}
	if t.next != nil {
		w.unlink(t)
	}
	t.deadline = deadline
	tick := wheelTickUp(deadline)
	if tick <= w.latest {
		w.link(t, w.overdue)
	} else {
		w.link(t, w.place(tick))
	}
}

// Cancel disarms t. It does nothing if t is not armed.
func (w *Wheel) Cancel(t *Timer) {
	if t.next != nil {
		w.unlink(t)
	}
}

// Next returns a lower bound on the time at which Advance next has something to do, be it to fire or to
// cascade: CLOCK_MONOTONIC nanoseconds, a multiple of WheelTick, or math.MaxInt64 where that multiple
// would not fit. It is in the past if an entry waits whose deadline had passed when it was armed. ok is
// false if no entry is armed. A loop that sleeps until Next each time wakes at most five times for an
// entry within the reach of the top level.
func (w *Wheel) Next() (deadline int64, ok bool) {
	if w.count == 0 {
		return 0, false
	}
	if w.occupied[wheelLevels] != 0 {
		return w.latest << wheelTickBits, true
	}
	_, _, tick := w.nextSlot()
	if tick > math.MaxInt64>>wheelTickBits {
		return math.MaxInt64, true
	}
	return tick << wheelTickBits, true
}

// Advance sets the time to now (CLOCK_MONOTONIC nanoseconds) and fires all entries that are due, in the
// order of their ticks, those whose deadline had passed when they were armed first. It returns how many
// it fired. The cost is that of the entries fired and cascaded, however far now is from the previous one;
// with nothing to do it is a few nanoseconds. A now before the previous one counts as the previous one.
func (w *Wheel) Advance(now int64) (fired int) {
	if w.advancing {
		panic("engine: Wheel.Advance called by a handler")
	}
	latest := max(now>>wheelTickBits, w.tick)
	if w.occupied[wheelLevels] == 0 && latest == w.tick {
		return 0
	}
	w.advancing = true
	w.latest = latest

	// What handlers arm for the past goes to the other overdue list, so this one only shrinks.
	overdue := w.overdue
	w.overdue ^= 1
	fired = w.fire(overdue, now)

	// Handlers place entries after latest only, so every round leaves fewer entries up to latest, or
	// the same ones on lower levels.
	for w.count > 0 {
		level, list, tick := w.nextSlot()
		if tick > latest {
			break
		}
		w.tick = tick
		if level > 0 {
			w.cascade(list)
			list = uint16(tick & wheelSlotMask)
		}
		fired += w.fire(list, now)
	}
	w.tick = latest
	w.advancing = false
	return fired
}

// fire empties a list, calling the handlers. It walks by taking the head again each time, since a
// handler may cancel or move any other entry of the list. Nothing is added to the list meanwhile: it is
// either that of the current tick, and entries are placed after it, or the overdue list not in use.
func (w *Wheel) fire(list uint16, now int64) (fired int) {
	for t := w.heads[list]; t != nil; t = w.heads[list] {
		w.unlink(t)
		fired++
		t.handler.OnTimer(t, now)
	}
	return fired
}

// cascade moves the entries of a slot that begins at the current tick to lower levels, in their order;
// those of the current tick itself to its slot at level 0. Entries beyond the reach of the top level stay
// there, in another slot.
func (w *Wheel) cascade(list uint16) {
	for t := w.heads[list]; t != nil; t = w.heads[list] {
		deadline := t.deadline
		w.unlink(t)
		t.deadline = deadline
		w.link(t, w.place(wheelTickUp(deadline)))
	}
}

// place returns the list for an entry of the given tick, which is not before the current one.
func (w *Wheel) place(tick int64) uint16 {
	differing := uint64(tick ^ w.tick)
	if differing < 1<<wheelTopShift {
		level := (bits.Len64(differing|1) - 1) / wheelLevelBits
		slot := tick >> (level * wheelLevelBits) & wheelSlotMask
		return uint16(level*wheelSlots + int(slot))
	}
	slot := min(tick>>wheelTopShift, w.tick>>wheelTopShift+wheelTopReach)
	return uint16(wheelTop*wheelSlots + int(slot&wheelSlotMask))
}

// nextSlot returns the level, list and first tick of the occupied slot that begins first. There must be
// one. It is found at the lowest level that is not empty: a level's entries all lie within the current
// slot of the level above, whose own entries lie after it.
func (w *Wheel) nextSlot() (level int, list uint16, tick int64) {
	for level = range wheelTop {
		if occupied := w.occupied[level]; occupied != 0 {
			shift := level * wheelLevelBits
			slot := bits.TrailingZeros64(occupied)
			span := w.tick >> (shift + wheelLevelBits) << wheelLevelBits
			return level, uint16(level*wheelSlots + slot), (span + int64(slot)) << shift
		}
	}
	current := w.tick >> wheelTopShift
	ahead := bits.TrailingZeros64(bits.RotateLeft64(w.occupied[wheelTop], -int(current&wheelSlotMask)))
	next := current + int64(ahead)
	return wheelTop, uint16(wheelTop*wheelSlots + int(next&wheelSlotMask)), next << wheelTopShift
}

// link appends t to a list. head.prev is the newest entry of the ring.
func (w *Wheel) link(t *Timer, list uint16) {
	t.list = list
	w.count++
	head := w.heads[list]
	if head == nil {
		t.next, t.prev = t, t
		w.heads[list] = t
		w.occupied[list/wheelSlots] |= 1 << (list % wheelSlots)
		return
	}
	newest := head.prev
	t.next, t.prev = head, newest
	newest.next, head.prev = t, t
}

// unlink takes t out of its list and leaves it disarmed.
func (w *Wheel) unlink(t *Timer) {
	list := t.list
	w.count--
	if t.next == t {
		w.heads[list] = nil
		w.occupied[list/wheelSlots] &^= 1 << (list % wheelSlots)
	} else {
		t.next.prev, t.prev.next = t.prev, t.next
		if w.heads[list] == t {
			w.heads[list] = t.next
		}
	}
	t.next, t.prev, t.deadline = nil, nil, 0
}

// wheelTickUp returns the first tick that begins at or after the deadline. Adding before the shift would
// overflow near math.MaxInt64.
func wheelTickUp(deadline int64) int64 {
	tick := deadline >> wheelTickBits
	if deadline&(WheelTick-1) != 0 {
		tick++
	}
	return tick
}
