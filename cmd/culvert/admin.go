//go:build linux

package main

import (
	"context"
	stdlog "log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"culvert/cmd/internal/settings"

	"github.com/rs/zerolog"
)

// Bounds of the admin port, which anyone may hold connections to.
const (
	adminHeadTimeout    = 5 * time.Second
	adminReadTimeout    = 10 * time.Second
	adminWriteTimeout   = 30 * time.Second
	adminIdleTimeout    = 60 * time.Second
	adminHeadBytes      = 8 << 10
	adminMaxConnections = 32 // of the descriptors that are kept free of clients
)

// adminServer serves metrics, probes, and what operators ask for. Its port is bound before the proxy starts, so that a port in use leaves
// nothing started, and served after that.
type adminServer struct {
	listener net.Listener
	path     string // of its Unix socket; "": it is none
	server   *http.Server
	ended    chan struct{} // closed when Serve has returned; nil: it was never called
}

// adminError says that the admin port could not be bound.
type adminError struct{ cause error }

// Error implements error.
func (e *adminError) Error() string { return "admin port: " + e.cause.Error() }

// Unwrap returns the cause.
func (e *adminError) Unwrap() error { return e.cause }

func bindAdmin(at settings.AdminAddress) (*adminServer, error) {
	a := &adminServer{path: at.Path}
	var err error
	if at.Path != "" {
		a.listener, err = listenUnix(at.Path)
	} else {
		a.listener, err = net.Listen("tcp", at.Address.String())
	}
	if err != nil {
		return nil, &adminError{err}
	}
	return a, nil
}

// place returns where it is, as the flag says it.
func (a *adminServer) place() string {
	if a.path != "" {
		return settings.AdminAddress{Path: a.path}.String()
	}
	return a.address().String()
}

// address returns where it listens, unless that is a Unix socket.
func (a *adminServer) address() netip.AddrPort {
	tcp, ok := a.listener.Addr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	address := tcp.AddrPort()
	return netip.AddrPortFrom(address.Addr().Unmap(), address.Port())
}

// serve begins to answer.
func (a *adminServer) serve(handler http.Handler, log zerolog.Logger) {
	a.server = &http.Server{
		Handler:           guardAdmin(handler, a.address().Addr().IsLoopback()),
		ReadHeaderTimeout: adminHeadTimeout, ReadTimeout: adminReadTimeout,
		WriteTimeout: adminWriteTimeout, IdleTimeout: adminIdleTimeout, MaxHeaderBytes: adminHeadBytes,
		ErrorLog: stdlog.New(debugWriter{log}, "", 0),
	}
	a.ended = make(chan struct{})
	go func() {
		defer close(a.ended)
		err := a.server.Serve(&boundedListener{Listener: a.listener, slots: make(chan struct{}, adminMaxConnections)})
		if err != nil && err != http.ErrServerClosed {
			log.Error().Err(err).Msg("the admin port has failed; the proxy goes on")
		}
	}()
}

// close ends the admin port: what it is answering may be finished until ctx is done.
func (a *adminServer) close(ctx context.Context) {
	if a.ended == nil {
		_ = a.listener.Close()
		return
	}
	if a.server.Shutdown(ctx) != nil {
		_ = a.server.Close()
	}
	<-a.ended
}

// debugWriter takes what net/http has to say about broken clients of the admin port.
type debugWriter struct{ log zerolog.Logger }

// Write implements io.Writer.
func (w debugWriter) Write(p []byte) (int, error) {
	w.log.Debug().Str("admin", strings.TrimSpace(string(p))).Send()
	return len(p), nil
}

// boundedListener closes connections over its bound as soon as they are accepted.
type boundedListener struct {
	net.Listener
	slots chan struct{}
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &boundedConn{Conn: c, release: sync.OnceFunc(func() { <-l.slots })}, nil
		default:
			_ = c.Close()
		}
	}
}

// boundedConn gives its place back when it is closed.
type boundedConn struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
