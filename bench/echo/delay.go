package echo

import (
	"slices"
	"sync"
	"time"

	"github.com/cloudwego/netpoll"

	"culvert/engine"
)

// schedule says when an echo is sent. Its promise is that what came later is not sent earlier.
type schedule struct {
	start                       int64 // Monotonic ns
	delay, stallEvery, stallFor time.Duration
}

// due returns when an echo of what came at now is sent, both in Monotonic nanoseconds.
func (s *schedule) due(now int64) int64 {
	at := now + int64(s.delay)
	if s.stallFor == 0 {
		return at
	}
	phase := (at - s.start) % int64(s.stallEvery)
	if phase >= int64(s.stallEvery-s.stallFor) {
		at += int64(s.stallEvery) - phase
	}
	return at
}

// delayLine holds echoes back. All wait in the order in which they are due, so that one queue serves every connection.
type delayLine struct {
	schedule schedule
	changed  chan struct{} // holds one token when the queue is no longer empty
	quit     chan struct{}
	done     chan struct{}

	mu    sync.Mutex
	queue []delayed
}

// delayed is what is sent at a time in Monotonic nanoseconds; without bytes the connection is closed.
type delayed struct {
	due        int64
	connection netpoll.Connection
	bytes      []byte
}

func startDelayLine(s schedule) *delayLine {
	s.start = engine.Monotonic()
	l := &delayLine{schedule: s, changed: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	// goroutine: delay line, ends when stop was called
	go l.run()
	return l
}

// push holds a copy of b back; nil closes the connection after what was pushed before.
func (l *delayLine) push(connection netpoll.Connection, b []byte) {
	item := delayed{due: l.schedule.due(engine.Monotonic()), connection: connection, bytes: slices.Clone(b)}
	l.mu.Lock()
	if n := len(l.queue); n > 0 {
		// Two handlers may have read the clock in the other order.
		item.due = max(item.due, l.queue[n-1].due)
	}
	l.queue = append(l.queue, item)
	l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

func (l *delayLine) stop() {
	close(l.quit)
	<-l.done
}

func (l *delayLine) run() {
	defer close(l.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var wait <-chan time.Time
		l.mu.Lock()
		if len(l.queue) > 0 {
			left := l.queue[0].due - engine.Monotonic()
			if left <= 0 {
				item := l.queue[0]
				l.queue = l.queue[1:]
				l.mu.Unlock()
				item.send()
				continue
			}
			timer.Reset(time.Duration(left))
			wait = timer.C
		}
		l.mu.Unlock()
		select {
		case <-wait:
		case <-l.changed:
		case <-l.quit:
			return
		}
	}
}

func (d *delayed) send() {
	if d.bytes == nil {
		_ = d.connection.Close()
		return
	}
	if _, err := d.connection.Writer().WriteBinary(d.bytes); err == nil {
		err = d.connection.Writer().Flush()
		if err != nil {
			_ = d.connection.Close()
		}
	}
}
