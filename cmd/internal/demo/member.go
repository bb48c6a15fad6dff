package demo

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

// member is one tunnel's end in the room. The goroutine that calls serve owns
// it and reads; one more goroutine writes. They share queue and farewell only.
type member struct {
	backend      string // immutable
	forwardedFor string // immutable
	conn         net.Conn
	input        io.Reader // conn, behind what arrived along with the upgrade request
	room         *room

	name      string // set by room.join, then immutable
	queue     chan []byte
	finished  chan struct{} // closed by finish
	once      sync.Once
	farewell  []byte // the close frame; set before finished is closed
	budget    budget // owned by the reader
	lastError time.Time
}

func newMember(r *room, conn net.Conn, input *bufio.Reader, backend, forwardedFor string) *member {
	return &member{
		backend:      backend,
		forwardedFor: forwardedFor,
		conn:         conn,
		input:        input,
		room:         r,
		queue:        make(chan []byte, queueMessages),
		finished:     make(chan struct{}),
	}
}

// serve joins the room, carries the member's messages both ways and returns
// when the tunnel has ended, its connection is closed and its writer is gone.
func (m *member) serve() {
	defer m.conn.Close()
	var writer sync.WaitGroup
	writer.Go(m.write)
	if err := m.room.join(m); err != nil {
		m.room.count(func(s *Stats) { s.Refused++ })
		m.finish(ws.StatusCode(1013), err.Error()) // 1013: try again later (IANA registry)
		writer.Wait()
		m.linger()
		return
	}
	end := closeError{code: ws.StatusGoingAway}
	isClose := errors.As(m.read(), &end)
	m.room.leave(m)
	if end.code == ws.StatusMessageTooBig {
		m.room.count(func(s *Stats) { s.TooBig++ })
	}
	m.finish(end.code, end.reason)
	writer.Wait()
	if isClose {
		m.linger()
	}
}

// finish ends the tunnel with a close frame that carries code and reason; the
// first call counts. It never waits.
func (m *member) finish(code ws.StatusCode, reason string) {
	m.once.Do(func() {
		var body []byte
		if code != 0 {
			body = ws.NewCloseFrameBody(code, reason)
		}
		m.farewell = frameBytes(ws.NewCloseFrame(body))
		close(m.finished)
	})
}

// abort ends the tunnel without a word: nothing more fits into its socket, and
// what the kernel still holds for it is let go.
func (m *member) abort() {
	if tcp, ok := m.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only where the connection is closed already
	}
	m.conn.Close()
}

// write sends the queue until the tunnel ends, then the close frame. After a
// failed write it closes the connection, which also ends the reader.
func (m *member) write() {
	for {
		select {
		case frame := <-m.queue:
			if !m.send(frame, writeTimeout) {
				m.conn.Close()
				return
			}
		case <-m.finished:
			// The reader gets this long to see the peer's own close frame.
			m.send(m.farewell, lingerTimeout)
			_ = m.conn.SetReadDeadline(time.Now().Add(lingerTimeout))
			if half, ok := m.conn.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite() // fails only where the peer is gone
			}
			return
		}
	}
}

func (m *member) send(frame []byte, timeout time.Duration) bool {
	if m.conn.SetWriteDeadline(time.Now().Add(timeout)) != nil {
		return false
	}
	_, err := m.conn.Write(frame)
	return err == nil
}

// linger reads what the peer still sends, within bounds: closing a connection
// with unread input would reset it, and the close frame with it. The writer has
// set the deadline.
func (m *member) linger() {
	_, _ = io.CopyN(io.Discard, m.input, lingerBytes) // every outcome ends the tunnel
}

// read takes messages until the tunnel ends and returns why: a closeError, or
// the error of a connection that has nothing more to give.
func (m *member) read() error {
	reader := messageReader{source: m.input, control: m.answer}
	for {
		payload, err := reader.next()
		if err != nil {
			return err
		}
		m.handle(payload, time.Now())
	}
}

// answer queues the pong that a ping frame asks for (RFC 6455 section 5.5.3).
func (m *member) answer(ping []byte) {
	m.room.tell(m, frameBytes(ws.NewPongFrame(ping)))
}

// handle acts on one message, whose bytes are valid for the call only.
func (m *member) handle(payload []byte, now time.Time) {
	if !m.budget.take(now) {
		m.room.count(func(s *Stats) { s.RateLimited++ })
		m.complain("Too many messages: this one was ignored.", now)
		return
	}
	r, ok := parseRequest(payload)
	switch {
	case !ok:
		m.complain(`Not understood: send {"type":"chat","text":"..."} or plain text.`, now)
	case r.Type == typePing:
		m.room.tell(m, textFrame(pong{Type: typePong, Sent: r.Sent}))
	case r.Text != "":
		m.room.say(m, r.Text, now)
	}
}

// complain sends an error message, but not more often than errorInterval: a
// flood must not be answered by a flood.
func (m *member) complain(text string, now time.Time) {
	if !m.lastError.IsZero() && now.Sub(m.lastError) < errorInterval {
		return
	}
	m.lastError = now
	m.room.tell(m, textFrame(failure{Type: typeError, Text: text}))
}

// budget is a token bucket: messageBurst at once, messagesPerSecond for long.
// Its zero value is full.
type budget struct {
	spent float64   // tokens taken and not yet grown back
	last  time.Time // of the previous take
}

// take reports whether one more message may pass at now.
func (b *budget) take(now time.Time) bool {
	b.spent = max(0, b.spent-now.Sub(b.last).Seconds()*messagesPerSecond)
	b.last = now
	if b.spent+1 > messageBurst {
		return false
	}
	b.spent++
	return true
}
