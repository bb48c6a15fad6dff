package echo

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/cloudwego/netpoll"
)

const (
	// readTimeout bounds how long a client may pause within a head or a frame, writeTimeout how long it may take none
	// of an echo.
	readTimeout  = time.Minute
	writeTimeout = time.Minute
	// closePatience is how long Close waits for handlers under way.
	closePatience = 5 * time.Second
	closeAgain    = 10 * time.Millisecond
)

// Options are the settings of a Server.
type Options struct {
	// Listen is the address to listen on; port 0 takes a free one.
	Listen netip.AddrPort
	// Pollers is the number of netpoll's pollers, which all servers of a process share; 0: as they are (one, unless
	// the machine has 20 CPUs or more).
	Pollers int
	// Delay is how long each echo is held back.
	Delay time.Duration
	// StallFor is how long the server stands still at the end of every StallEvery, counted from Start; 0: never. It
	// reads on meanwhile, and sends nothing.
	StallEvery, StallFor time.Duration
}

// Server is an echo server under way.
type Server struct {
	listener net.Listener
	events   netpoll.EventLoop
	line     *delayLine    // nil: echoes are sent at once
	served   chan struct{} // closed when Serve has returned
	failure  error         // what it returned

	mu       sync.Mutex
	closed   bool
	sessions map[*session]struct{}
}

// Start listens and serves until Close.
func Start(o Options) (*Server, error) {
	if o.Delay < 0 || o.StallFor < 0 || o.StallFor > 0 && o.StallEvery <= o.StallFor {
		return nil, fmt.Errorf("echo server: it would stand still for %s in every %s", o.StallFor, o.StallEvery)
	}
	if o.Pollers > 0 {
		if err := netpoll.Configure(netpoll.Config{PollerNum: o.Pollers}); err != nil {
			return nil, fmt.Errorf("echo server: %w", err)
		}
	}
	listener, err := net.Listen("tcp", o.Listen.String())
	if err != nil {
		return nil, fmt.Errorf("echo server: %w", err)
	}
	s := &Server{listener: listener, served: make(chan struct{}), sessions: map[*session]struct{}{}}
	s.events, err = netpoll.NewEventLoop(answer,
		netpoll.WithOnPrepare(s.prepare), netpoll.WithReadTimeout(readTimeout), netpoll.WithWriteTimeout(writeTimeout))
	if err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("echo server: %w", err)
	}
	if o.Delay > 0 || o.StallFor > 0 {
		s.line = startDelayLine(schedule{delay: o.Delay, stallEvery: o.StallEvery, stallFor: o.StallFor})
	}
	// goroutine: echo server, ends when Close has shut the event loop down
	go func() {
		s.failure = s.events.Serve(listener)
		close(s.served)
	}()
	return s, nil
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() netip.AddrPort {
	return s.listener.Addr().(*net.TCPAddr).AddrPort()
}

// Len returns how many connections are open now, as the server sees it. A tunnel is one.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Close ends the server and all its connections, and waits until they have ended. The error says what did not end.
func (s *Server) Close() error {
	if s.line != nil {
		s.line.stop()
	}
	s.mu.Lock()
	s.closed = true
	sessions := s.sessions
	s.sessions = nil
	s.mu.Unlock()
	for session := range sessions {
		_ = session.connection.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	_ = s.listener.Close()
	again := time.NewTicker(closeAgain)
	defer again.Stop()
	for {
		// A shutdown that comes before Serve has begun is not heard.
		if err := s.events.Shutdown(ctx); err != nil {
			return fmt.Errorf("echo server: %w", err)
		}
		select {
		case <-s.served:
			return nil
		case <-again.C:
		}
	}
}

// Ended returns a channel that is closed when the server does not serve any more, be it by itself.
func (s *Server) Ended() <-chan struct{} { return s.served }

// prepare gives a new connection its session, before the first byte is read.
func (s *Server) prepare(connection netpoll.Connection) context.Context {
	session := &session{server: s, connection: connection, request: &request{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = connection.Close()
		return context.Background()
	}
	s.sessions[session] = struct{}{}
	_ = connection.AddCloseCallback(func(netpoll.Connection) error {
		s.mu.Lock()
		delete(s.sessions, session)
		s.mu.Unlock()
		return nil
	})
	return context.WithValue(context.Background(), sessionKey{}, session)
}

// sessionKey is the key of a connection's session in the context that netpoll keeps for it.
type sessionKey struct{}

// answer is called by netpoll, on a goroutine of its pool, when a connection has bytes.
func answer(ctx context.Context, connection netpoll.Connection) error {
	session, ok := ctx.Value(sessionKey{}).(*session)
	if !ok {
		return connection.Close()
	}
	err := session.serve()
	if err != nil {
		_ = connection.Close()
	}
	return err
}
