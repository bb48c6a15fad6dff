package load

import (
	"fmt"

	"golang.org/x/sys/unix"

	"culvert/engine"
)

const (
	// pacerQuantum is the least time between two wake-ups of a pacer, in nanoseconds. At higher rates several messages
	// are due at a time.
	pacerQuantum = 20_000
	// pacerBurst is how many are started in one go; who is further behind goes on at the next wake-up, so that echoes
	// are read between.
	pacerBurst = 256
)

// pacer calls due at evenly spread times, more finely than the ticks of the loop's wheel: by a timerfd of its own in
// the loop's set, which is re-armed for each time. Nothing reads it, since it is registered edge-triggered. Owned by
// the loop.
type pacer struct {
	station  *station
	conn     *engine.Conn // of the timerfd
	due      func(intended, now int64)
	interval float64 // ns
	start    int64   // Monotonic ns
	count    uint64  // how many were due
	stopped  bool
}

// startPacer calls due perSecond times a second from now on; phase, 0 to 1, is by how much of an interval later.
func startPacer(s *station, perSecond, phase float64, now int64, due func(intended, now int64)) (*pacer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("timerfd_create: %w", err)
	}
	p := &pacer{station: s, due: due, interval: 1e9 / perSecond}
	p.start = now + int64(phase*p.interval)
	if p.conn, err = s.loop.Adopt(int32(fd), p, engine.SideNone); err != nil {
		return nil, err
	}
	p.arm(now)
	return p, nil
}

// Ready implements engine.Owner: the timer has expired.
func (p *pacer) Ready(engine.Side, engine.Readiness) { p.tick(engine.Monotonic()) }

func (p *pacer) intended() int64 { return p.start + int64(float64(p.count)*p.interval) }

// tick starts what is due.
func (p *pacer) tick(now int64) {
	for n := 0; n < pacerBurst && !p.stopped; n++ {
		at := p.intended()
		if at > now {
			break
		}
		p.count++
		p.due(at, now)
	}
	if !p.stopped {
		p.arm(now)
	}
}

func (p *pacer) arm(now int64) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(p.intended(), now+pacerQuantum))}
	if err := unix.TimerfdSettime(p.conn.Descriptor(), unix.TFD_TIMER_ABSTIME, &spec, nil); err != nil {
		panic("load: timerfd_settime: " + err.Error())
	}
}

// stop ends it; due is not called any more.
func (p *pacer) stop() {
	if p != nil && !p.stopped {
		p.stopped = true
		p.conn.Close()
	}
}
