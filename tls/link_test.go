package tls

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// wire is the transport between a connection of ours and a peer, seen from the peer: a net.Conn without bounds.
type wire struct {
	lock          sync.Mutex
	changed       sync.Cond
	toPeer, toUs  []byte
	ended, closed bool // no more comes to the peer; to us
	kick          chan struct{}
}

func newWire() *wire {
	w := &wire{kick: make(chan struct{}, 1)}
	w.changed.L = &w.lock
	return w
}

func (w *wire) Read(p []byte) (int, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	for len(w.toPeer) == 0 {
		if w.ended {
			return 0, io.EOF
		}
		w.changed.Wait()
	}
	n := copy(p, w.toPeer)
	w.toPeer = w.toPeer[n:]
	return n, nil
}

func (w *wire) Write(p []byte) (int, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.toUs = append(w.toUs, p...)
	w.poke()
	return len(p), nil
}

func (w *wire) Close() error {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.closed = true
	w.poke()
	return nil
}

func (w *wire) poke() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// deliver hands bytes to the peer.
func (w *wire) deliver(b []byte, end bool) {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.toPeer, w.ended = append(w.toPeer, b...), w.ended || end
	w.changed.Broadcast()
}

// arrived takes what the peer has sent.
func (w *wire) arrived() (b []byte, end bool) {
	w.lock.Lock()
	defer w.lock.Unlock()
	b, w.toUs = w.toUs, nil
	return b, w.closed
}

func (w *wire) LocalAddr() net.Addr              { return nowhere{} }
func (w *wire) RemoteAddr() net.Addr             { return nowhere{} }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// link joins a connection of ours with a peer whose script runs on a goroutine of its own.
type link struct {
	owner   *owner
	conn    *Conn
	wire    *wire
	waiting []byte // from the peer, not fed yet
	ended   bool

	step int  // how many bytes go at once, each way; 0: all
	room int  // how much is read at once
	echo bool // send back what comes

	got    []byte
	status Status
}

// connect returns a link in which we have the role of config. The peer's script gets the other end.
func connect(t testing.TB, config *Config, peer *tls.Config, script func(*tls.Conn) error) (*link, chan error) {
	t.Helper()
	l := &link{owner: newOwner(t), wire: newWire(), room: 32 << 10}
	l.conn = l.owner.open(config)
	done := make(chan error, 1)
	go func() {
		remote := tls.Client(l.wire, peer)
		if !config.server {
			remote = tls.Server(l.wire, peer)
		}
		err := remote.Handshake()
		if err == nil {
			err = script(remote)
		}
		done <- err
		l.wire.poke()
	}()
	t.Cleanup(func() { l.wire.deliver(nil, true) })
	return l, done
}

// drive moves bytes until done holds. It calls done again and again.
func (l *link) drive(what string, done func() bool) {
	l.owner.t.Helper()
	late := time.After(patience)
	for {
		moved := l.move()
		if done() {
			return
		}
		if moved {
			continue
		}
		select {
		case task := <-l.owner.tasks:
			task()
		case <-l.wire.kick:
		case <-late:
			l.owner.t.Fatalf("did not happen: %s (%v, status %v)", what, l.conn.Err(), l.status)
		}
	}
}

// move moves one piece in each direction and reports whether it did.
func (l *link) move() bool {
	b, end := l.wire.arrived()
	l.waiting = append(l.waiting, b...)
	moved := false
	if n := l.piece(len(l.waiting)); n > 0 && l.conn.Wants() {
		plain, status := feed(l.conn, l.waiting[:n], l.room)
		l.waiting, moved = l.waiting[n:], true
		l.take(plain, status)
	} else if n == 0 && end && !l.ended && l.conn.Wants() {
		l.ended, moved = true, true
		l.conn.FeedEnd()
	}
	l.take(drain(l.conn, l.room))
	if n := l.piece(len(l.conn.Pending())); n > 0 {
		l.wire.deliver(l.conn.Pending()[:n], false)
		l.conn.Advance(n)
		moved = true
	}
	return moved
}

func (l *link) take(plain []byte, status Status) {
	l.got, l.status = append(l.got, plain...), status
	if l.echo && len(plain) > 0 {
		if err := l.conn.Seal(plain); err != nil {
			l.owner.t.Errorf("sealing %d bytes: %v", len(plain), err)
		}
	}
}

func (l *link) piece(n int) int {
	if l.step > 0 {
		return min(n, l.step)
	}
	return n
}

// finish drives until the peer's script is done, and returns its error.
func (l *link) finish(done chan error) (err error) {
	l.owner.t.Helper()
	over := false
	l.drive("the end of the peer's script", func() bool {
		if !over {
			select {
			case err = <-done:
				over = true
			default:
			}
		}
		return over
	})
	for l.move() {
	}
	return err
}

// exchange is a script: it sends messages of the given sizes and expects each back.
func exchange(sizes ...int) func(*tls.Conn) error {
	return func(peer *tls.Conn) error {
		for i, size := range sizes {
			message, answer := make([]byte, size), make([]byte, size)
			for j := range message {
				message[j] = byte(i + j*7)
			}
			if _, err := peer.Write(message); err != nil {
				return err
			}
			if _, err := io.ReadFull(peer, answer); err != nil {
				return err
			}
			if string(message) != string(answer) {
				return errors.New("what came back is not what was sent")
			}
		}
		return peer.CloseWrite()
	}
}
