package main

import (
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// okAnswer is what the backend says to a request of a case that is about requests.
const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"

// A passed request is one that the backend has read whole.
type passed struct {
	method, target string
	body           []byte
}

// arrivals are what one case brought to the backend.
type arrivals struct {
	mu        sync.Mutex
	whole     []passed
	partial   bool  // bytes came that are not, or not yet, a request
	malformed error // what is wrong with these bytes, unless it is that they end
	answer    []byte
	open      sync.WaitGroup
	conns     []net.Conn
}

// A backend records what reaches it, and answers by the case that runs. One case runs at a time.
type backend struct {
	listener net.Listener
	mu       sync.Mutex
	current  *arrivals
	barrier  string        // the address from which settle has connected
	reached  chan struct{} // closed when that connection has been accepted
}

func startBackend() (*backend, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &backend{listener: listener, current: &arrivals{}}
	// goroutine: backend, ends when its listener is closed
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			b.accept(conn)
		}
	}()
	return b, nil
}

func (b *backend) accept(conn net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if conn.RemoteAddr().String() == b.barrier {
		_ = conn.Close()
		close(b.reached)
		b.barrier = ""
		return
	}
	a := b.current
	a.open.Add(1)
	// goroutine: connection of the backend, ends when its deadline has passed at the latest
	go a.serve(conn)
}

// settle waits until all connections have been accepted that were made before: the kernel hands them out in order.
func (b *backend) settle() error {
	b.mu.Lock()
	conn, err := net.Dial("tcp", b.listener.Addr().String())
	if err != nil {
		b.mu.Unlock()
		return err
	}
	defer conn.Close()
	reached := make(chan struct{})
	b.barrier, b.reached = conn.LocalAddr().String(), reached
	b.mu.Unlock()
	<-reached
	return nil
}

// begin makes all that arrives from now on part of a case.
func (b *backend) begin(c *testCase) *arrivals {
	a := &arrivals{}
	if c.response {
		a.answer = c.raw
	}
	b.mu.Lock()
	b.current = a
	b.mu.Unlock()
	return a
}

// finish waits until the connections of the case have ended, and cuts them after a while.
func (b *backend) finish(a *arrivals) error {
	if err := b.settle(); err != nil {
		return err
	}
	ended := make(chan struct{})
	// goroutine: waits for a case's connections, ends when their deadlines have passed at the latest
	go func() { a.open.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-time.After(settleTime):
	}
	a.mu.Lock()
	for _, conn := range a.conns {
		_ = conn.Close()
	}
	a.mu.Unlock()
	<-ended
	return nil
}

// serve reads requests and answers the first.
func (a *arrivals) serve(conn net.Conn) {
	defer a.open.Done()
	defer conn.Close()
	a.mu.Lock()
	a.conns = append(a.conns, conn)
	a.mu.Unlock()
	_ = conn.SetDeadline(time.Now().Add(caseTime))
	reader := newTape(conn)
	for first := true; ; first = false {
		reader.begin()
		request, err := http.ReadRequest(reader.Reader)
		if err == nil {
			var body []byte
			if body, err = io.ReadAll(request.Body); err == nil {
				a.mu.Lock()
				a.whole = append(a.whole, passed{request.Method, request.RequestURI, body})
				a.mu.Unlock()
			}
		}
		if err != nil {
			a.failed(reader, err)
			return
		}
		if first {
			a.reply(conn, request.Method)
		}
	}
}

// failed notes what came of a request that could not be read.
func (a *arrivals) failed(reader *tape, err error) {
	if len(reader.message()) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.partial = true
	if !reader.wasCut(err) {
		a.malformed = err
	}
}

// reply sends the case's answer, after which the backend has no more to say.
func (a *arrivals) reply(conn net.Conn, method string) {
	answer := a.answer
	if answer == nil {
		answer = []byte(okAnswer)
		if method != http.MethodHead {
			answer = append(answer, "ok"...)
		}
	}
	_, _ = conn.Write(answer)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}
