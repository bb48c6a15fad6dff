package engine

import (
	"sync"

	"golang.org/x/sys/unix"
)

// MailboxMax is how many posted tasks may wait in one loop's mailbox.
const MailboxMax = 1 << 16

// mailbox is the one way into a loop from other goroutines: tasks in order, and an eventfd in the loop's set that
// wakes it. Any goroutine may post; only the loop takes.
type mailbox struct {
	loop *Loop
	fd   int32

	mu      sync.Mutex
	tasks   []func()
	refused uint64
	closed  bool
}

// post reports false when that many tasks wait already or the loop has ended; the task is not run then.
func (m *mailbox) post(task func(), limit int) bool {
	m.mu.Lock()
	if m.closed || len(m.tasks) >= limit {
		m.refused++
		m.mu.Unlock()
		return false
	}
	m.tasks = append(m.tasks, task)
	if len(m.tasks) == 1 {
		m.wake() // under the lock: once closed is set, fd may be somebody else's
	}
	m.mu.Unlock()
	return true
}

func (m *mailbox) wake() {
	one := [8]byte{1}
	_, _ = unix.Write(int(m.fd), one[:])
}

// handle implements the slot's handler: the eventfd was written.
func (m *mailbox) handle(uint32) {
	var count [8]byte
	_, _ = unix.Read(int(m.fd), count[:])
	m.run()
}

// run takes all tasks and runs them. Tasks posted meanwhile wake the loop again.
func (m *mailbox) run() {
	m.mu.Lock()
	tasks := m.tasks
	m.tasks = nil
	m.loop.Counters.PostsRefused = m.refused
	m.mu.Unlock()
	for _, task := range tasks {
		task()
	}
}

// close refuses all later posts and runs what was accepted before.
func (m *mailbox) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.run()
}
