package tls

import (
	"bytes"
	"crypto/tls"
	"net"
	"testing"
)

// socketEnd runs a connection of ours on a real socket: it sends back what comes, and closes when the peer does. All
// but its reader runs on the owner's goroutine.
type socketEnd struct {
	*owner
	conn   *Conn
	socket net.Conn
	got    []byte
	quiet  bool // do not send back
	status Status
	over   bool

	arrived int // bytes of ciphertext
}

func newSocketEnd(t testing.TB, config *Config, socket net.Conn) *socketEnd {
	e := &socketEnd{owner: newOwner(t), socket: socket, status: StatusBlocked}
	e.conn = New(Options{Config: config, Workers: e.workers, Buffers: &e.pool, Post: e.post, Observer: e})
	e.conns = append(e.conns, e.conn)
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.read()
	}()
	t.Cleanup(func() {
		_ = socket.Close()
		<-done
	})
	return e
}

func (e *socketEnd) read() {
	for p := make([]byte, 64<<10); ; {
		n, err := e.socket.Read(p)
		b := bytes.Clone(p[:n])
		e.post(func() {
			e.arrived += n
			e.conn.Feed(b)
			if err != nil {
				e.conn.FeedEnd()
			}
			e.Stepped(e.conn)
		})
		if err != nil {
			return
		}
	}
}

// Stepped implements Observer: it reads what there is and writes what is to be sent.
func (e *socketEnd) Stepped(*Conn) {
	plain, status := drain(e.conn, 8<<10)
	e.got, e.status = append(e.got, plain...), status
	if !e.quiet && len(plain) > 0 {
		if err := e.conn.Seal(plain); err != nil {
			e.t.Errorf("sealing: %v", err)
		}
	}
	if status == StatusClosed && !e.over {
		if err := e.conn.CloseWrite(); err != nil {
			e.t.Errorf("closing: %v", err)
		}
	}
	e.flush()
	if status > StatusBlocked && !e.over {
		e.over = true
		_ = e.socket.Close()
	}
}

func (e *socketEnd) flush() {
	if b := take(e.conn); len(b) > 0 {
		_, _ = e.socket.Write(b) // a peer that is gone shows when reading
	}
}

// sockets returns two ends of a TCP connection.
func sockets(t testing.TB) (a, b net.Conn) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if a, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func TestOnRealSocketsAndPipes(t *testing.T) {
	for name, transport := range map[string]func() (a, b net.Conn){"TCP": func() (a, b net.Conn) { return sockets(t) }, "pipe": net.Pipe} {
		t.Run(name, func(t *testing.T) {
			eachKind(t, func(t *testing.T, server bool, version Version) {
				our, theirs := transport()
				done := make(chan error, 1)
				go func() {
					defer theirs.Close()
					remote := tls.Client(theirs, peerConfig())
					if !server {
						remote = tls.Server(theirs, peerConfig())
					}
					err := exchange(1, 125, 5000)(remote)
					if err == nil {
						_, err = remote.Read(make([]byte, 1))
						err = expectEOF(err)
					}
					done <- err
				}()
				e := newSocketEnd(t, configOf(t, server, version), our)
				e.Stepped(e.conn)
				e.wait("the end", func() bool { return e.over })
				if err := <-done; err != nil {
					t.Error(err)
				}
				if e.status != StatusClosed || len(e.got) != 1+125+5000 {
					t.Errorf("status %v, %d bytes", e.status, len(e.got))
				}
			})
		})
	}
}
