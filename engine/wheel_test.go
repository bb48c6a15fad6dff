package engine

import (
	"math"
	"testing"
	"unsafe"
)

// wheelProbe is a timer that counts its calls and may be given something to do in them.
type wheelProbe struct {
	Timer
	fired []int64 // now of every call
	then  func(now int64)
}

func newWheelProbe() *wheelProbe {
	p := new(wheelProbe)
	p.Init(p)
	return p
}

func (p *wheelProbe) OnTimer(t *Timer, now int64) {
	if t != &p.Timer {
		panic("a handler was called with another timer")
	}
	p.fired = append(p.fired, now)
	if p.then != nil {
		p.then(now)
	}
}

func newTestWheel(now int64) *Wheel {
	w := new(Wheel)
	w.Init(now)
	return w
}

// checkWheel walks the whole structure: rings, list numbers, occupancy bits, the count, and that every
// entry lies where its deadline and the time say.
func checkWheel(t testing.TB, w *Wheel) {
	t.Helper()
	count := 0
	for list, head := range w.heads {
		bit := w.occupied[list/wheelSlots]>>(list%wheelSlots)&1 == 1
		if bit != (head != nil) {
			t.Fatalf("list %d: occupancy bit %v, head %p", list, bit, head)
		}
		if head == nil {
			continue
		}
		for e := head; ; e = e.next {
			if e.next.prev != e || e.prev.next != e {
				t.Fatalf("list %d: broken ring", list)
			}
			if int(e.list) != list {
				t.Fatalf("list %d: entry says it is in %d", list, e.list)
			}
			checkWheelPlace(t, w, e)
			if count++; count > w.count {
				t.Fatalf("more than the %d entries counted", w.count)
			}
			if e.next == head {
				break
			}
		}
	}
	if count != w.Len() {
		t.Fatalf("%d entries, Len %d", count, w.Len())
	}
	if extra := w.occupied[wheelLevels] &^ 3; extra != 0 {
		t.Fatalf("occupancy bits %#x of lists that do not exist", extra)
	}
}

func checkWheelPlace(t testing.TB, w *Wheel, e *Timer) {
	t.Helper()
	tick := wheelTickUp(e.deadline)
	switch {
	case e.list >= wheelOverdue:
		if tick > w.latest || (!w.advancing && e.list != w.overdue) {
			t.Fatalf("tick %d overdue in list %d at %d", tick, e.list, w.latest)
		}
	case tick < w.tick, tick == w.tick && !w.advancing:
		t.Fatalf("tick %d waits in list %d at %d", tick, e.list, w.tick)
	case e.list == w.place(tick):
	default:
		// Armed when it was beyond the top level's reach: it waits in a slot before its own.
		ahead := (int64(e.list) - w.tick>>wheelTopShift) & wheelSlotMask
		if e.list < wheelTop*wheelSlots || ahead == 0 || ahead >= tick>>wheelTopShift-w.tick>>wheelTopShift {
			t.Fatalf("tick %d in list %d at %d, want %d", tick, e.list, w.tick, w.place(tick))
		}
	}
}

func TestTimerIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Timer{}); size != 48 {
		t.Errorf("a Timer has %d bytes, want 48", size)
	}
	t.Logf("a Wheel has %d bytes", unsafe.Sizeof(Wheel{}))
}

func TestTimerZeroValueIsNotArmed(t *testing.T) {
	w := newTestWheel(0)
	var timer Timer
	w.Cancel(&timer)
	if timer.Armed() || timer.Deadline() != 0 || w.Len() != 0 {
		t.Error("the zero Timer is armed")
	}
}

func TestWheelArmCancelRearm(t *testing.T) {
	w := newTestWheel(0)
	p := newWheelProbe()
	if _, ok := w.Next(); ok {
		t.Error("an empty wheel has a Next")
	}
	w.Arm(&p.Timer, 5*WheelTick)
	if !p.Armed() || p.Deadline() != 5*WheelTick || w.Len() != 1 {
		t.Errorf("armed %v, deadline %d, Len %d", p.Armed(), p.Deadline(), w.Len())
	}
	w.Arm(&p.Timer, 9*WheelTick-1)
	checkWheel(t, w)
	if p.Deadline() != 9*WheelTick-1 || w.Len() != 1 {
		t.Errorf("re-armed: deadline %d, Len %d", p.Deadline(), w.Len())
	}
	if next, ok := w.Next(); !ok || next != 9*WheelTick {
		t.Errorf("Next %d %v", next, ok)
	}
	w.Cancel(&p.Timer)
	w.Cancel(&p.Timer)
	checkWheel(t, w)
	if p.Armed() || p.Deadline() != 0 || w.Len() != 0 {
		t.Errorf("cancelled: armed %v, deadline %d, Len %d", p.Armed(), p.Deadline(), w.Len())
	}
	if fired := w.Advance(100 * WheelTick); fired != 0 || p.fired != nil {
		t.Errorf("a cancelled timer fired %d times", fired)
	}
}

// wheelStarts are times whose digits stand low, high and across the sign in every level.
var wheelStarts = []int64{0, 1, 63, 64, 4095, 1<<18 - 1, 1<<24 - 1, 1<<30 - 1, 1 << 30, 123456789, -1, -64, -1 << 30, -987654321}

// wheelDistances are the spans of the levels and of the top level's reach, one tick less and more.
var wheelDistances = func() (distances []int64) {
	for _, span := range []int64{2, 64, 1 << 12, 1 << 18, 1 << 24, 63 << 24, 1 << 30, 1 << 32} {
		distances = append(distances, span-1, span, span+1)
	}
	return distances
}()

func TestWheelFiresInItsTickAtEveryLevelBoundary(t *testing.T) {
	for _, start := range wheelStarts {
		for _, distance := range wheelDistances {
			for _, early := range []int64{0, 1, WheelTick / 2, WheelTick - 1} {
				w := newTestWheel(start * WheelTick)
				p := newWheelProbe()
				due := (start + distance) * WheelTick
				w.Arm(&p.Timer, due-early)
				checkWheel(t, w)
				if fired := w.Advance(due - 1); fired != 0 {
					t.Fatalf("start %d distance %d: fired a tick early", start, distance)
				}
				checkWheel(t, w)
				if fired := w.Advance(due); fired != 1 || len(p.fired) != 1 || p.fired[0] != due {
					t.Fatalf("start %d distance %d: fired %d, calls %v, want at %d", start, distance, fired, p.fired, due)
				}
				checkWheel(t, w)
			}
		}
	}
}

func TestWheelSleepingUntilNextFiresInTheSameTickWithFewWakes(t *testing.T) {
	for _, start := range wheelStarts {
		for _, distance := range wheelDistances {
			w := newTestWheel(start * WheelTick)
			p := newWheelProbe()
			due := (start + distance) * WheelTick
			w.Arm(&p.Timer, due)
			wakes, now := 0, start*WheelTick
			for w.Len() > 0 {
				next, ok := w.Next()
				if !ok || next <= now || next > due || next%WheelTick != 0 {
					t.Fatalf("start %d distance %d: Next %d %v at %d, due %d", start, distance, next, ok, now, due)
				}
				now = next
				w.Advance(now)
				wakes++
			}
			// Each whole reach of the top level costs one wake more.
			if limit := int(5 + distance/(63<<24)); now != due || wakes > limit {
				t.Fatalf("start %d distance %d: fired at %d, due %d, after %d wakes of %d", start, distance, now, due, wakes, limit)
			}
		}
	}
}

func TestWheelFiresWithinOneTickWhenAdvancedEveryTick(t *testing.T) {
	const start = 4096 - 70 // crosses boundaries of levels 1 and 2
	w := newTestWheel(start * WheelTick)
	late := int64(-1)
	for offset := int64(1); offset < 9000; offset += 7 {
		p := newWheelProbe()
		deadline := start*WheelTick + offset*WheelTick*2/3
		p.then = func(now int64) {
			if now < deadline {
				t.Errorf("fired %d ns early", deadline-now)
			}
			late = max(late, now-deadline)
		}
		w.Arm(&p.Timer, deadline)
	}
	for tick := int64(start); w.Len() > 0; tick++ {
		w.Advance(tick * WheelTick)
	}
	if late < 0 || late >= WheelTick {
		t.Errorf("fired up to %d ns late", late)
	}
}

func TestWheelFiresInOrderOfTicksAndThenOfArming(t *testing.T) {
	w := newTestWheel(0)
	var order []int
	arm := func(id int, tick int64) {
		p := newWheelProbe()
		p.then = func(int64) { order = append(order, id) }
		w.Arm(&p.Timer, tick*WheelTick)
	}
	w.Advance(10 * WheelTick)
	arm(5, 5000)
	arm(2, 70)
	arm(3, 71)
	arm(6, 1<<20)
	arm(4, 71)
	arm(0, 10)
	arm(1, -7)
	arm(7, 1<<20)
	if fired := w.Advance(1 << 20 * WheelTick); fired != 8 {
		t.Errorf("fired %d", fired)
	}
	for i, id := range order {
		if i != id {
			t.Fatalf("order %v", order)
		}
	}
}

func TestWheelPastDeadlineFiresInTheNextAdvance(t *testing.T) {
	for _, deadline := range []int64{math.MinInt64, -1, 0, 1, 99 * WheelTick, 100 * WheelTick} {
		w := newTestWheel(100*WheelTick + 5)
		p := newWheelProbe()
		w.Arm(&p.Timer, deadline)
		checkWheel(t, w)
		if next, ok := w.Next(); !ok || next != 100*WheelTick {
			t.Errorf("deadline %d: Next %d %v", deadline, next, ok)
		}
		if w.Advance(100*WheelTick+6) != 1 {
			t.Errorf("deadline %d: not fired", deadline)
		}
		checkWheel(t, w)
	}
}

func TestWheelDeadlineInTheCurrentTickFiresWithTheNext(t *testing.T) {
	w := newTestWheel(100*WheelTick + 5)
	p := newWheelProbe()
	w.Arm(&p.Timer, 100*WheelTick+1)
	if w.Advance(101*WheelTick-1) != 0 || w.Advance(101*WheelTick) != 1 {
		t.Error("not fired with tick 101")
	}
}

func TestWheelMaxInt64NeverFires(t *testing.T) {
	w := newTestWheel(math.MinInt64)
	p := newWheelProbe()
	for _, deadline := range []int64{math.MaxInt64, math.MaxInt64 - WheelTick + 2} {
		w.Arm(&p.Timer, deadline)
		for _, now := range []int64{0, 1 << 60, math.MaxInt64 - 1, math.MaxInt64} {
			if w.Advance(now) != 0 {
				t.Fatalf("deadline %d fired at %d", deadline, now)
			}
			checkWheel(t, w)
		}
		if next, ok := w.Next(); !ok || next != math.MaxInt64 {
			t.Errorf("Next %d %v", next, ok)
		}
	}
	w.Arm(&p.Timer, math.MaxInt64-WheelTick+1)
	if w.Advance(math.MaxInt64) != 1 {
		t.Error("the last tick that an int64 can reach did not fire")
	}
}

func TestWheelTimeDoesNotGoBack(t *testing.T) {
	w := newTestWheel(0)
	w.Advance(1000 * WheelTick)
	p := newWheelProbe()
	w.Arm(&p.Timer, 1001*WheelTick)
	if w.Advance(5*WheelTick) != 0 || w.Advance(1001*WheelTick) != 1 {
		t.Error("a now from the past moved the wheel")
	}
	checkWheel(t, w)
}

func TestWheelJumpOfDaysFiresEverythingInOneAdvance(t *testing.T) {
	const day = int64(24 * 3600 * 1e9)
	for _, jump := range []int64{5 * day, 200 * day, 36500 * day} {
		w := newTestWheel(77)
		last := int64(math.MinInt64)
		for i := range int64(1000) {
			p := newWheelProbe()
			deadline := 77 + i*i*i*(day/1_000_000_000) + i*1_000_000
			p.then = func(int64) {
				if tick := wheelTickUp(deadline); tick < last {
					t.Errorf("tick %d fired after %d", tick, last)
				} else {
					last = tick
				}
			}
			w.Arm(&p.Timer, deadline)
		}
		far := newWheelProbe()
		w.Arm(&far.Timer, jump+5*day)
		if fired := w.Advance(jump); fired != 1000 || !far.fireless() {
			t.Errorf("jump %d: fired %d", jump, fired)
		}
		checkWheel(t, w)
		if w.Advance(jump+5*day+WheelTick) != 1 {
			t.Errorf("jump %d: the entry beyond it did not fire", jump)
		}
	}
}

func (p *wheelProbe) fireless() bool { return len(p.fired) == 0 }

func TestWheelMisuseIsRefused(t *testing.T) {
	refused := func(what string, f func()) {
		defer func() {
			if recover() == nil {
				t.Errorf("%s: no panic", what)
			}
		}()
		f()
	}
	refused("arming without a handler", func() { newTestWheel(0).Arm(new(Timer), 1) })
	refused("Init of an armed timer", func() {
		p := newWheelProbe()
		newTestWheel(0).Arm(&p.Timer, 1)
		p.Init(p)
	})
	refused("Init of a wheel in use", func() {
		w := newTestWheel(0)
		w.Arm(&newWheelProbe().Timer, 1)
		w.Init(0)
	})
	refused("Advance in a handler", func() {
		w := newTestWheel(0)
		p := newWheelProbe()
		p.then = func(now int64) { w.Advance(now) }
		w.Arm(&p.Timer, 1)
		w.Advance(WheelTick)
	})
}

func TestWheelAllocatesNothing(t *testing.T) {
	w := newTestWheel(0)
	timers := make([]wheelCounter, 100)
	for i := range timers {
		timers[i].Init(&timers[i])
	}
	now := int64(0)
	allocs := testing.AllocsPerRun(1000, func() {
		for i := range timers {
			w.Arm(&timers[i].Timer, now+int64(i*i)*1_000_000)
		}
		for i := range timers {
			w.Arm(&timers[i].Timer, now+int64(i*i)*2_000_000)
		}
		w.Cancel(&timers[50].Timer)
		now += 5_000_000_000
		w.Next()
		w.Advance(now)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
