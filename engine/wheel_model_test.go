package engine

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// What handlers may do inside Advance, one by one.

func TestWheelHandlerRearmsItself(t *testing.T) {
	w := newTestWheel(0)
	p := newWheelProbe()
	p.then = func(now int64) { w.Arm(&p.Timer, now+10*WheelTick) }
	w.Arm(&p.Timer, 10*WheelTick)
	for tick := int64(1); tick <= 100; tick++ {
		w.Advance(tick * WheelTick)
		checkWheel(t, w)
	}
	if len(p.fired) != 10 || p.fired[9] != 100*WheelTick {
		t.Errorf("fired at %v", p.fired)
	}
}

func TestWheelHandlerThatRearmsForThePastFiresOncePerAdvance(t *testing.T) {
	for _, back := range []int64{0, 1, WheelTick, 50 * WheelTick, 1 << 50} {
		w := newTestWheel(0)
		p := newWheelProbe()
		p.then = func(now int64) { w.Arm(&p.Timer, now-back) }
		w.Arm(&p.Timer, WheelTick)
		for i := int64(1); i <= 10; i++ {
			if fired := w.Advance(100 * i * WheelTick); fired != 1 {
				t.Fatalf("back %d: fired %d in one Advance", back, fired)
			}
			checkWheel(t, w)
		}
	}
}

func TestWheelHandlerArmsBetweenItsTickAndNow(t *testing.T) {
	w := newTestWheel(0)
	first, second := newWheelProbe(), newWheelProbe()
	first.then = func(int64) { w.Arm(&second.Timer, 50*WheelTick) }
	w.Arm(&first.Timer, 5*WheelTick)
	if fired := w.Advance(100 * WheelTick); fired != 1 {
		t.Errorf("fired %d", fired)
	}
	if fired := w.Advance(100*WheelTick + 1); fired != 1 || len(second.fired) != 1 {
		t.Errorf("fired %d", fired)
	}
}

func TestWheelHandlerCancelsAndMovesSiblingsOfItsTick(t *testing.T) {
	for _, tick := range []int64{1, 64, 100, 1 << 12, 1<<18 + 1, 1 << 24, 40 << 24} {
		w := newTestWheel(0)
		probes := make([]*wheelProbe, 6)
		for i := range probes {
			probes[i] = newWheelProbe()
			w.Arm(&probes[i].Timer, tick*WheelTick)
		}
		probes[1].then = func(now int64) {
			checkWheel(t, w)
			w.Cancel(&probes[2].Timer)                // the next of the tick
			w.Cancel(&probes[5].Timer)                // the last
			w.Arm(&probes[3].Timer, now+WheelTick)    // moved on
			w.Arm(&probes[0].Timer, now+2*WheelTick)  // fired already, armed again
			w.Arm(&probes[1].Timer, now+3*WheelTick)  // itself
			w.Arm(&probes[5].Timer, now-10*WheelTick) // cancelled, armed for the past
			checkWheel(t, w)
		}
		for step, want := range []int{3, 2, 1, 1, 0} {
			if fired := w.Advance((tick + int64(step)) * WheelTick); fired != want {
				t.Errorf("tick %d step %d: fired %d, want %d", tick, step, fired, want)
			}
			probes[1].then = nil
			checkWheel(t, w)
		}
		if !probes[2].fireless() || len(probes[0].fired) != 2 || len(probes[1].fired) != 2 {
			t.Errorf("tick %d: %v %v %v", tick, probes[0].fired, probes[1].fired, probes[2].fired)
		}
	}
}

func TestWheelHandlerCancelsOverdueSibling(t *testing.T) {
	w := newTestWheel(100 * WheelTick)
	first, second := newWheelProbe(), newWheelProbe()
	first.then = func(int64) { w.Cancel(&second.Timer) }
	w.Arm(&first.Timer, 0)
	w.Arm(&second.Timer, 0)
	if fired := w.Advance(100 * WheelTick); fired != 1 || w.Len() != 0 {
		t.Errorf("fired %d, Len %d", fired, w.Len())
	}
	checkWheel(t, w)
}

func TestWheelStormInOneTick(t *testing.T) {
	const storm = 100_000
	w := newTestWheel(0)
	timers := make([]wheelCounter, storm)
	for i := range timers {
		timers[i].Init(&timers[i])
		w.Arm(&timers[i].Timer, 60e9)
	}
	if fired := w.Advance(61e9); fired != storm || w.Len() != 0 {
		t.Errorf("fired %d, Len %d", fired, w.Len())
	}
	checkWheel(t, w)
}

// wheelCounter is the cheapest handler there is.
type wheelCounter struct {
	Timer
	calls int
}

func (c *wheelCounter) OnTimer(*Timer, int64) { c.calls++ }

// wheelModel runs a wheel beside the plainest thing that does the same, a list that is searched, and
// compares every call, its order included. Choices come from pick, so that a seed or a fuzzer's bytes
// decide them.
type wheelModel struct {
	t         testing.TB
	w         *Wheel
	pick      func(n int64) int64 // 0 to n-1
	now       int64
	advancing bool
	advances  int
	armings   int
	entries   []*wheelModelEntry
	steps     int // actions left for handlers of this Advance, to keep it finite
	maxBits   int // deadlines lie up to 2^maxBits ns ahead
}

type wheelModelEntry struct {
	Timer
	m        *wheelModel
	armed    bool
	deadline int64
	tick     int64 // when it counts as due
	after    int   // not fired by the Advance of this number
	order    int
	far      bool // armed beyond the top level's reach: no order within the tick
}

func newWheelModel(t testing.TB, start int64, timers, maxBits int, pick func(int64) int64) *wheelModel {
	m := &wheelModel{t: t, w: newTestWheel(start), pick: pick, now: start, maxBits: maxBits}
	for range timers {
		e := &wheelModelEntry{m: m}
		e.Init(e)
		m.entries = append(m.entries, e)
	}
	return m
}

// wheelModelTickUp rounds up by division, unlike the code under test.
func wheelModelTickUp(deadline int64) int64 {
	tick := deadline / WheelTick
	if deadline%WheelTick > 0 {
		tick++
	}
	return tick
}

func wheelModelTickDown(now int64) int64 {
	tick := now / WheelTick
	if now%WheelTick < 0 {
		tick--
	}
	return tick
}

func (m *wheelModel) arm(e *wheelModelEntry, deadline int64) {
	m.armings++
	nowTick := wheelModelTickDown(m.now)
	e.armed, e.deadline, e.order = true, deadline, m.armings
	e.tick, e.after, e.far = wheelModelTickUp(deadline), 0, false
	if e.tick <= nowTick {
		e.tick = nowTick
		e.after = m.advances
		if !m.advancing {
			e.after = 0
		}
	}
	// Inside Advance the wheel's tick may be as old as the previous now: judge from there.
	e.far = e.tick-m.w.tick >= 63<<24
	m.w.Arm(&e.Timer, deadline)
	if !e.Armed() || e.Deadline() != deadline {
		m.t.Fatalf("armed %v, deadline %d, want %d", e.Armed(), e.Deadline(), deadline)
	}
}

func (m *wheelModel) cancel(e *wheelModelEntry) {
	e.armed = false
	m.w.Cancel(&e.Timer)
	if e.Armed() || e.Deadline() != 0 {
		m.t.Fatal("armed after Cancel")
	}
}

// due returns the entry that must fire next in the running Advance.
func (m *wheelModel) due() (first *wheelModelEntry) {
	for _, e := range m.entries {
		if !e.armed || e.tick > wheelModelTickDown(m.now) || e.after == m.advances {
			continue
		}
		if first == nil || e.tick < first.tick || e.tick == first.tick && e.order < first.order {
			first = e
		}
	}
	return first
}

func (e *wheelModelEntry) OnTimer(t *Timer, now int64) {
	m := e.m
	first := m.due()
	switch {
	case t != &e.Timer, now != m.now, e.Armed(), e.Deadline() != 0:
		m.t.Fatalf("handler: now %d want %d, armed %v", now, m.now, e.Armed())
	case !e.armed || now < e.deadline:
		m.t.Fatalf("fired at %d: armed %v for %d", now, e.armed, e.deadline)
	case first == nil || e.tick != first.tick:
		m.t.Fatalf("tick %d fired out of turn", e.tick)
	case e != first && !e.far && !first.far:
		m.t.Fatalf("tick %d: arming %d fired before %d", e.tick, e.order, first.order)
	}
	e.armed = false
	for m.steps > 0 && m.pick(3) == 0 {
		m.steps--
		m.act(e)
	}
}

// act arms or cancels a random entry, often the one given.
func (m *wheelModel) act(own *wheelModelEntry) {
	e := m.entries[m.pick(int64(len(m.entries)))]
	if own != nil && m.pick(3) == 0 {
		e = own
	}
	if m.pick(5) == 0 {
		m.cancel(e)
		return
	}
	m.arm(e, m.deadline())
	if m.pick(8) == 0 {
		checkWheel(m.t, m.w)
	}
}

// deadline picks a time from now: any magnitude, often at a tick or a level's boundary, seldom past.
func (m *wheelModel) deadline() int64 {
	switch m.pick(10) {
	case 0:
		return m.now - m.pick(1<<30)
	case 1:
		return m.now
	case 2:
		boundary := int64(1) << (wheelTickBits + m.pick(int64(m.maxBits-wheelTickBits+1)))
		return wheelModelSum(m.now&^(boundary-1), boundary) + (m.pick(5)-2)*m.pick(WheelTick+1)
	case 3:
		if m.maxBits > 60 {
			return math.MaxInt64 - m.pick(1<<25)
		}
	}
	return wheelModelSum(m.now, m.pick(1<<m.pick(int64(m.maxBits))))
}

// wheelModelSum adds without leaving int64, with room for a few ticks.
func wheelModelSum(now, delta int64) int64 {
	if now > 0 && delta > math.MaxInt64-now-4*WheelTick {
		return math.MaxInt64 - 4*WheelTick
	}
	return now + delta
}

// advance moves both to now and compares the outcome.
func (m *wheelModel) advance(now int64) {
	m.now = now
	m.advances++
	m.advancing = true
	m.steps = 20
	armed, armings := m.w.Len(), m.armings
	fired := m.w.Advance(now)
	m.advancing = false
	if late := m.due(); late != nil {
		m.t.Fatalf("at %d: deadline %d (tick %d) did not fire", now, late.deadline, late.tick)
	}
	if fired > armed+m.armings-armings {
		m.t.Fatalf("%d entries, %d armed since, %d fired", armed, m.armings-armings, fired)
	}
	m.check()
}

func (m *wheelModel) check() {
	checkWheel(m.t, m.w)
	earliest := int64(math.MaxInt64)
	armed := 0
	for _, e := range m.entries {
		if e.armed != e.Armed() {
			m.t.Fatalf("armed %v, model says %v", e.Armed(), e.armed)
		}
		if e.armed {
			armed++
			earliest = min(earliest, e.tick)
		}
	}
	next, ok := m.w.Next()
	if ok != (armed > 0) || m.w.Len() != armed {
		m.t.Fatalf("Next %v, Len %d, armed %d", ok, m.w.Len(), armed)
	}
	if ok && wheelModelTickDown(next) > earliest || ok && next < m.now-WheelTick {
		m.t.Fatalf("at %d: Next %d, earliest tick %d", m.now, next, earliest)
	}
	if ok && next%WheelTick != 0 && next != math.MaxInt64 {
		m.t.Fatalf("Next %d is not at a tick", next)
	}
}

// run acts and advances: every tick, when Next says so, or by random gaps and jumps.
func (m *wheelModel) run(rounds int) {
	mode := m.pick(3)
	for range rounds {
		for range m.pick(4) {
			m.act(nil)
		}
		m.check()
		now := m.now
		switch mode {
		case 0:
			now = wheelModelSum(now&^(WheelTick-1), WheelTick)
		case 1:
			if next, ok := m.w.Next(); ok {
				now = max(now, next)
			}
		default:
			now = wheelModelSum(now, m.pick(1<<m.pick(int64(m.maxBits))))
		}
		m.advance(max(now, m.now))
	}
}

func TestWheelModel(t *testing.T) {
	seeds := uint64(3000)
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 20))
		// Up to 2^52 ns lies within the top level's reach; 2^62 does not.
		maxBits := []int{28, 36, 47, 52, 62}[seed%5]
		start := rng.Int64N(1 << rng.Int64N(61))
		if seed%4 == 0 {
			start = -start
		}
		m := newWheelModel(t, start, 1+rng.IntN(30), maxBits, rng.Int64N)
		m.run(60)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// The order within a tick is promised below the top level's reach; the model must not be lax there.
func TestWheelModelKeepsOrderWithinReach(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	m := newWheelModel(t, 0, 30, 52, rng.Int64N)
	m.run(300)
	if slices.ContainsFunc(m.entries, func(e *wheelModelEntry) bool { return e.far }) {
		t.Error("an entry counts as beyond reach")
	}
}

func FuzzWheel(f *testing.F) {
	f.Add(int64(0), byte(20), []byte("seed of a wheel"))
	f.Add(int64(-1), byte(60), []byte{0, 1, 2, 3, 255, 254, 253, 7, 7, 7, 7, 9, 40, 40})
	f.Fuzz(func(t *testing.T, start int64, bits byte, choices []byte) {
		pick := func(n int64) int64 {
			value := uint64(0)
			for range 3 {
				if len(choices) > 0 {
					value = value<<8 | uint64(choices[0])
					choices = choices[1:]
				}
			}
			return int64(value * 0x9e3779b97f4a7c15 >> 1 % uint64(n))
		}
		m := newWheelModel(t, start>>1, 12, 28+int(bits%35), pick)
		m.run(min(len(choices)/8, 200) + 2)
	})
}
