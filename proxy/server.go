// Package proxy is a layer-7 proxy and load balancer for WebSocket on event loops. It decides: exchanges, balancing,
// trust in headers, deadlines, logs and metrics. Bytes and time are moved by package engine.
//
//	server, err := proxy.New(proxy.Config{
//		Listen:   []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8080")},
//		Backends: []proxy.BackendConfig{{Name: "a", Address: netip.MustParseAddrPort("127.0.0.1:9001"), Weight: 1}},
//		Timeouts: proxy.DefaultTimeouts(),
//	}, proxy.Logs{Access: os.Stdout})
//	if err == nil {
//		err = server.Start()
//	}
//	...
//	server.Shutdown(ctx)
package proxy

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"culvert/engine"
	"culvert/proxy/http1"

	"github.com/rs/zerolog"
)

// MaxLoops is the largest number of event loops.
const MaxLoops = 256

// Logs are where a Server writes.
type Logs struct {
	// Error takes what operators must know. Its writer may be slow: it is not used on the loops' data path.
	Error zerolog.Logger
	// Access takes one JSON line per event of an exchange, each by one Write. It is called on the loops and must
	// never block. nil: off.
	Access io.Writer
	// Dropped tells how many lines Access has dropped, for the metrics. nil: unknown.
	Dropped func() uint64
}

// Server is a proxy: its loops, listeners and backends. New makes one, Start runs it, Shutdown or Close ends it.
type Server struct {
	config     Config
	logs       Logs
	headLimits *http1.Limits
	trusted    trustedProxies
	backends   []*backend
	clients    *clientLimit
	nonce      uint64 // of this process, in every exchange's id

	mu       sync.Mutex // guards the fields of the life cycle below
	state    serverState
	shards   []*shard
	watchdog *watchdog

	active       atomic.Int64 // client connections, tunnels included
	shuttingDown atomic.Bool
	collector    *collector
}

type serverState uint8

const (
	serverNew     serverState = iota // nothing is open
	serverRunning                    // the loops run
	serverEnded                      // everything is closed; final
)

// backend is one server that requests are balanced over. Immutable but for the counters, which all loops share.
type backend struct {
	name     string
	address  netip.AddrPort // not valid: path tells
	path     string         // of a Unix socket
	weight   int
	active   atomic.Int64 // connections, those being dialed included
	failures atomic.Uint64
	fault    atomic.Pointer[string] // of the last failure, a stable token; nil: there was none

	portIsEphemeral bool // the kernel takes the ports of outgoing connections from around there
}

// failed counts a dial that failed.
func (b *backend) failed(fault string) {
	b.fault.Store(&fault) // first: whoever sees the count sees a fault
	b.failures.Add(1)
}

// where returns the backend's address as logs and metrics show it.
func (b *backend) where() string {
	if b.path != "" {
		return "unix:" + b.path
	}
	return b.address.String()
}

// New checks the configuration and returns a server that has opened nothing yet.
func New(config Config, logs Logs) (*Server, error) {
	if len(config.Listen) == 0 {
		return nil, errors.New("no listener: at least one address is needed")
	}
	if len(config.Backends) == 0 {
		return nil, errors.New("no backend: at least one is needed")
	}
	if config.Loops == 0 {
		config.Loops = runtime.GOMAXPROCS(0)
	}
	if config.Loops < 0 || config.Loops > MaxLoops {
		return nil, fmt.Errorf("%d loops: allowed are 1 to %d", config.Loops, MaxLoops)
	}
	if config.ReadBuffer == 0 {
		config.ReadBuffer = engine.DefaultReadBuffer
	}
	if config.ReadBuffer < engine.MinReadBuffer || config.ReadBuffer > engine.MaxReadBuffer {
		return nil, fmt.Errorf("a read buffer of %d bytes: allowed are %d to %d", config.ReadBuffer, engine.MinReadBuffer, engine.MaxReadBuffer)
	}
	config.setBounds()
	if config.MaxConnections == 0 {
		return nil, errors.New("the process's limit of descriptors leaves none for tunnels: raise it (ulimit -n, LimitNOFILE), or run fewer loops")
	}
	limits, err := config.headLimits()
	if err != nil {
		return nil, err
	}
	s := &Server{clients: newClientLimit(config.MaxConnectionsPerClient), config: config, logs: logs, headLimits: &limits, trusted: config.TrustedProxies}
	ephemeral := ephemeralPorts()
	for _, b := range config.Backends {
		if b.Weight < 0 || b.Weight > 100 {
			return nil, fmt.Errorf("backend %s: weight %d: allowed are 0 to 100", b.Name, b.Weight)
		}
		s.backends = append(s.backends, &backend{
			name: b.Name, address: b.Address, path: b.Path, weight: b.Weight, portIsEphemeral: ephemeral.contain(b.Address.Port()),
		})
	}
	var nonce [8]byte
	_, _ = rand.Read(nonce[:]) // never fails
	s.nonce = binary.LittleEndian.Uint64(nonce[:]) >> 40
	s.collector = newCollector(s)
	return s, nil
}

// setBounds fills in the bounds that were left to us.
func (c *Config) setBounds() {
	if c.SplicePipes == 0 {
		c.SplicePipes = engine.DefaultSplicePipes
	}
	c.SplicePipes = min(c.SplicePipes, maxSplicePipes(c.Loops))
	if c.SpliceThreshold == 0 {
		c.SpliceThreshold = engine.DefaultSpliceThreshold
	}
	if c.KeepAliveRequests == 0 {
		c.KeepAliveRequests = DefaultKeepAliveRequests
	}
	if c.BackendIdle == 0 {
		c.BackendIdle = DefaultBackendIdle
	}
	c.BackendIdle = min(c.BackendIdle, maxBackendIdle(c.Loops))
	if c.BufferMemory == 0 {
		c.BufferMemory = DefaultBufferMemory()
	}
	if most := MaxTunnels(c); c.MaxConnections == 0 || c.MaxConnections > most {
		c.MaxConnections = most
	}
}

// headLimits are the limits of heads, with their defaults.
func (c *Config) headLimits() (http1.Limits, error) {
	limits := http1.DefaultLimits()
	for _, l := range []struct {
		value int
		into  *int
	}{{c.MaxHead, &limits.MaxHeadBytes}, {c.MaxStartLine, &limits.MaxStartLineBytes}, {c.MaxHeaders, &limits.MaxHeaders}} {
		if l.value != 0 {
			*l.into = l.value
		}
	}
	limits.MaxStartLineBytes = min(limits.MaxStartLineBytes, limits.MaxHeadBytes)
	if c.Announce.SLBID != "" && !http1.IsToken([]byte(c.Announce.SLBID)) {
		return limits, fmt.Errorf("the name %q for SLB-ID: allowed are letters, digits, - and", c.Announce.SLBID)
	}
	return limits, limits.Validate()
}

// sockets are the settings of all sockets. A host counts as lost no earlier than a slow receiver as stalled.
func (c *Config) sockets() engine.SocketOptions {
	const slack = 5 * time.Second
	o := engine.SocketOptions{NotSentLowat: c.NotSentLowat}
	switch patience := max(c.Timeouts.Stalled, c.Timeouts.ClientWrite) + slack; {
	case c.Timeouts.Stalled == 0:
		o.UserTimeout = -1
	case patience > engine.DefaultUserTimeout+slack:
		o.UserTimeout = patience
	}
	return o
}

// Start binds every listener on every loop, and then starts the loops. On an error nothing is left open.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != serverNew {
		return errors.New("the server was started before")
	}
	if err := s.open(); err != nil {
		for _, h := range s.shards {
			h.loop.Abandon()
		}
		s.shards, s.state = nil, serverEnded
		return err
	}
	for _, h := range s.shards {
		h.loop.Start()
	}
	s.watchdog = startWatchdog(s.shards, s.backends, s.logs.Error)
	s.state = serverRunning
	return nil
}

func (s *Server) open() error {
	addresses := append([]netip.AddrPort(nil), s.config.Listen...)
	for i := range s.config.Loops {
		loop, err := engine.NewLoop(engine.LoopOptions{
			Name: strconv.Itoa(i), ReadBuffer: s.config.ReadBuffer, Sockets: s.config.sockets(),
			SplicePipes: max(s.config.SplicePipes, 0), BufferMemory: s.config.BufferMemory / int64(s.config.Loops),
			OnPanic: s.lastWords,
		})
		if err != nil {
			return err
		}
		h := newShard(s, loop, i)
		s.shards = append(s.shards, h)
		for j, address := range addresses {
			listener, err := loop.Listen(address, engine.ListenOptions{
				Backlog: s.config.Backlog, Sockets: s.config.sockets(), Shared: i > 0,
			}, h)
			if err != nil {
				return err
			}
			h.listeners = append(h.listeners, listener)
			addresses[j] = listener.Address() // where the kernel chose a port, all loops share it
		}
	}
	return nil
}

// lastWords is called when a loop panics: the panic itself follows, and ends the process.
func (s *Server) lastWords(message string) {
	s.logs.Error.WithLevel(zerolog.FatalLevel).Str("build", s.config.Version).Msg(message)
}

// Addresses returns the addresses of the listeners, in the order of Config.Listen, with the ports that were chosen.
func (s *Server) Addresses() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.shards) == 0 {
		return nil
	}
	var addresses []netip.AddrPort
	for _, listener := range s.shards[0].listeners {
		addresses = append(addresses, listener.Address())
	}
	return addresses
}

// admit counts a client connection in; false: the bound is reached.
func (s *Server) admit() bool {
	if n := s.active.Add(1); n > int64(s.config.MaxConnections) {
		s.active.Add(-1)
		return false
	}
	return true
}

// skipThreshold is Config.SpliceThreshold as the stages take it: 0 for never.
func (s *Server) skipThreshold() uint32 { return uint32(max(s.config.SpliceThreshold, 0)) }
