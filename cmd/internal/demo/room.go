package demo

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

// Limits of a room and its members. None is a flag: this is a demo.
const (
	maxMessageBytes   = 4096            // one message from a client, all its fragments together
	historyMessages   = 20              // chat messages that a newcomer gets
	queueMessages     = 64              // messages waiting for one member; one more and it is dropped
	messagesPerSecond = 10              // what one member may send for long
	messageBurst      = 20              // and at once
	errorInterval     = time.Second     // between two error messages to one member
	writeTimeout      = 5 * time.Second // for one message to be accepted by the kernel
	lingerTimeout     = time.Second     // from our close frame to the end of the connection
	lingerBytes       = 64 << 10        // read and thrown away in that time
)

var (
	errRoomClosed = errors.New("the demo is ending")
	errRoomFull   = errors.New("the room is full")
)

// Stats counts what happened in the room since the start. All are totals but
// People.
type Stats struct {
	People      int    // in the room now
	Joined      uint64 // tunnels that got a welcome
	Refused     uint64 // upgrades turned away: full, ending, foreign origin or malformed
	Messages    uint64 // chat messages accepted
	Pushes      uint64 // pushes sent, one per member and tick
	SlowDropped uint64 // members dropped because their queue was full
	RateLimited uint64 // messages ignored because a member sent too many
	TooBig      uint64 // members that sent a message over the limit
}

// room is the one chat that all backends share. Every field is guarded by mu;
// nothing under mu waits for a peer, because a member's queue never blocks.
type room struct {
	id        string // immutable
	maxPeople int    // immutable

	mu         sync.Mutex
	members    map[*member]struct{}
	history    []chat // at most historyMessages, oldest first
	lastChat   uint64
	lastMember uint64
	closed     bool
	stats      Stats
}

func newRoom(maxPeople int) *room {
	return &room{id: rand.Text(), maxPeople: maxPeople, members: make(map[*member]struct{})}
}

// join names the member and lets it in. Its welcome is queued under the same
// lock, so that no other message can come before it and none is missed after.
func (r *room) join(m *member) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return errRoomClosed
	case len(r.members) >= r.maxPeople:
		return errRoomFull
	}
	r.lastMember++
	m.name = fmt.Sprintf("guest-%d", r.lastMember)
	r.members[m] = struct{}{}
	r.stats.Joined++
	r.deliver(m, textFrame(welcome{
		Type:         typeWelcome,
		Room:         r.id,
		Backend:      m.backend,
		Name:         m.name,
		People:       len(r.members),
		ForwardedFor: m.forwardedFor,
		History:      append([]chat{}, r.history...),
	}))
	return nil
}

// leave takes the member out of the room; it may have gone already.
func (r *room) leave(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.members, m)
}

// say gives a message to everyone, its sender included: what comes back is the
// proof that it went through.
func (r *room) say(from *member, text string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, in := r.members[from]; !in {
		return
	}
	r.lastChat++
	message := chat{
		Type:    typeChat,
		ID:      r.lastChat,
		From:    from.name,
		Backend: from.backend,
		Text:    text,
		Time:    milliseconds(now),
	}
	if len(r.history) == historyMessages {
		r.history = append(r.history[:0], r.history[1:]...)
	}
	r.history = append(r.history, message)
	r.stats.Messages++
	frame := textFrame(message)
	for m := range r.members {
		r.deliver(m, frame)
	}
}

// push tells the members of one backend the time and the number of people.
func (r *room) push(backend string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	frame := textFrame(push{Type: typePush, Backend: backend, People: len(r.members), Time: milliseconds(now)})
	for m := range r.members {
		if m.backend == backend {
			r.stats.Pushes++
			r.deliver(m, frame)
		}
	}
}

// tell gives a frame to one member, if it is still here.
func (r *room) tell(m *member, frame []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, in := r.members[m]; in {
		r.deliver(m, frame)
	}
}

// deliver queues a frame without ever waiting. A member whose queue is full
// does not read as fast as the room talks: it is dropped, for the alternatives
// are unbounded memory or a room that waits for its slowest member. The caller
// holds mu.
func (r *room) deliver(m *member, frame []byte) {
	select {
	case m.queue <- frame:
	default:
		delete(r.members, m)
		r.stats.SlowDropped++
		m.abort()
	}
}

// count changes the statistics under the lock.
func (r *room) count(change func(*Stats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.stats)
}

func (r *room) snapshot() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.People = len(r.members)
	return s
}

// full reports whether a newcomer would be turned away, and why. It lets an
// upgrade be refused by an HTTP status; join decides.
func (r *room) full() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return errRoomClosed
	case len(r.members) >= r.maxPeople:
		return errRoomFull
	}
	return nil
}

// close lets nobody in any more and asks every member to leave: close code
// 1001, going away (RFC 6455 section 7.4.1).
func (r *room) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for m := range r.members {
		m.finish(ws.StatusGoingAway, errRoomClosed.Error())
	}
}
