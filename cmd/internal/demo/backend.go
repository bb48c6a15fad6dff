package demo

import (
	"bufio"
	"encoding/json"
	"errors"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/rs/zerolog"
)

// Bounds of the HTTP side of a backend.
const (
	headTimeout      = 10 * time.Second // for a request's head
	keepAliveTimeout = 60 * time.Second // between two requests
	headBytes        = 32 << 10         // of a request's head
)

// backend is one HTTP server of the demo.
type backend struct {
	name     string
	address  netip.AddrPort
	room     *room
	log      zerolog.Logger
	listener net.Listener
	server   *http.Server

	connections sync.WaitGroup // those that net/http still holds
	tunnels     sync.WaitGroup // those taken over from it
}

func newBackend(name string, r *room, logger zerolog.Logger) (*backend, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address, err := netip.ParseAddrPort(listener.Addr().String())
	if err != nil {
		listener.Close()
		return nil, err
	}
	b := &backend{
		name:     name,
		address:  address,
		room:     r,
		log:      logger.With().Str("backend", name).Logger(),
		listener: listener,
	}
	b.server = &http.Server{
		Handler:           b.routes(),
		ReadHeaderTimeout: headTimeout,
		IdleTimeout:       keepAliveTimeout,
		MaxHeaderBytes:    headBytes,
		ErrorLog:          log.New(b.log, "", 0),
		ConnState:         b.connectionChanged,
	}
	return b, nil
}

// serve accepts until close.
func (b *backend) serve() {
	if err := b.server.Serve(b.listener); !errors.Is(err, http.ErrServerClosed) {
		b.log.Error().Err(err).Msg("demo backend stopped")
	}
}

// close ends the listener and every connection that is not a tunnel; the room
// ends the tunnels.
func (b *backend) close() { _ = b.server.Close() } // the listener's error has no use

// wait returns when no goroutine serves a connection of this backend any more.
// Only a handler that net/http still holds begins a tunnel, so the order
// matters.
func (b *backend) wait() {
	b.connections.Wait()
	b.tunnels.Wait()
}

// connectionChanged counts the connections that net/http holds: its own Close
// does not wait for their goroutines.
func (b *backend) connectionChanged(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		b.connections.Add(1)
	case http.StateHijacked, http.StateClosed:
		b.connections.Done()
	}
}

func (b *backend) routes() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /{$}", servePage)
	routes.HandleFunc("GET /ws", b.serveTunnel)
	routes.HandleFunc("GET /whoami", b.serveWhoami)
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n")) // a client that is gone needs no answer
	})
	return routes
}

// serveTunnel upgrades the connection and carries it until it ends.
func (b *backend) serveTunnel(w http.ResponseWriter, r *http.Request) {
	b.tunnels.Add(1)
	defer b.tunnels.Done()
	if !sameOrigin(r) {
		b.refuse(w, http.StatusForbidden, "the page that asks is not from here")
		return
	}
	if err := b.room.full(); err != nil {
		w.Header().Set("Retry-After", "5")
		b.refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	forwardedFor := strings.Join(r.Header.Values("X-Forwarded-For"), ", ")
	conn, input, _, err := ws.HTTPUpgrader{Timeout: writeTimeout}.Upgrade(r, w)
	if err != nil {
		// The upgrader has taken the connection over and answered.
		if conn != nil {
			conn.Close()
		}
		b.room.count(func(s *Stats) { s.Refused++ })
		b.log.Debug().Err(err).Msg("upgrade refused")
		return
	}
	b.carry(conn, input.Reader, forwardedFor)
}

func (b *backend) carry(conn net.Conn, input *bufio.Reader, forwardedFor string) {
	m := newMember(b.room, conn, input, b.name, forwardedFor)
	start := time.Now()
	m.serve()
	b.log.Debug().Str("member", m.name).Dur("lasted", time.Since(start)).Msg("tunnel ended")
}

func (b *backend) refuse(w http.ResponseWriter, status int, reason string) {
	b.room.count(func(s *Stats) { s.Refused++ })
	http.Error(w, reason, status)
}

// sameOrigin reports whether a browser's page may open the WebSocket: only one
// that came through the same host, for the same-origin policy does not cover
// WebSockets (RFC 6455 section 10.2). Clients that are no browsers send no
// Origin.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	parsed, err := url.Parse(origin)
	return err == nil && strings.EqualFold(parsed.Host, r.Host)
}

// whoami is what /whoami answers with.
type whoami struct {
	Backend  string              `json:"backend"`
	Address  string              `json:"address"`
	Peer     string              `json:"peer"` // the proxy, where there is one
	Method   string              `json:"method"`
	Target   string              `json:"target"`
	Protocol string              `json:"protocol"`
	Host     string              `json:"host"`
	Headers  map[string][]string `json:"headers"`
}

// serveWhoami shows the request as this backend saw it.
func (b *backend) serveWhoami(w http.ResponseWriter, r *http.Request) {
	headers := r.Header.Clone()
	for _, secret := range []string{"Authorization", "Cookie", "Proxy-Authorization"} {
		if headers.Get(secret) != "" {
			// A page must not learn by this detour what its browser keeps from it.
			headers[secret] = []string{"(not shown)"}
		}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(whoami{ // a client that is gone needs no answer
		Backend:  b.name,
		Address:  b.address.String(),
		Peer:     r.RemoteAddr,
		Method:   r.Method,
		Target:   r.RequestURI,
		Protocol: r.Proto,
		Host:     r.Host,
		Headers:  headers,
	})
}
