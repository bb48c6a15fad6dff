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
	"culvert/proxy/sticky"
	"culvert/tls"
	"culvert/tls/tickets"

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

// Server is a proxy: its loops, listeners and backends. New makes one, Start runs it, Reload gives it another
// configuration, Shutdown or Close ends it.
type Server struct {
	config     Config // as it was started: what is fixed counts, the rest is in the site
	logs       Logs
	clients    *clientLimit
	registry   backendRegistry
	limits     instanceLimits
	steward    *steward
	discoverer *discoverer
	asked      Config // what was given last, without what is discovered; guarded by reloading
	ring       *tickets.Ring
	secrets    []sticky.Secret // for cookies, where nobody has given keys
	workers    *tls.Workers    // of TLS handshakes; nil until something is spoken over TLS
	nonce      uint64          // of this process, in every exchange's id

	reloading sync.Mutex // held by whoever changes the site
	site      atomic.Pointer[site]
	reloads   atomic.Uint64
	refused   atomic.Uint64 // reloads that changed nothing
	sites     *atomic.Int64 // how many are in memory; not part of s, lest it keep them there

	mu       sync.Mutex // guards the fields of the life cycle below
	state    serverState
	starting bool // Start was called
	shards   []*shard
	ports    []*port // in the order of Config.Listeners
	watchdog *watchdog
	keeper   *keeper

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

// New checks the configuration and returns a server that has opened nothing yet.
func New(config Config, logs Logs) (*Server, error) {
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
	if config.BufferMemory == 0 {
		config.BufferMemory = DefaultBufferMemory()
	}
	s := &Server{config: config, logs: logs, clients: newClientLimit(), sites: new(atomic.Int64)}
	s.asked, s.discoverer = config, newDiscoverer(s)
	s.steward, s.secrets = newSteward(s), newSecrets()
	s.registry.ephemeral = ephemeralPorts()
	var err error
	if s.ring, err = newTicketRing(config.TicketKeys); err != nil {
		return nil, err
	}
	first, ports, err := s.prepare(&config, nil)
	if err != nil {
		return nil, err
	}
	s.ports = ports
	s.adopt(first)
	var nonce [8]byte
	_, _ = rand.Read(nonce[:]) // never fails
	s.nonce = binary.LittleEndian.Uint64(nonce[:]) >> 40
	s.collector = newCollector(s)
	return s, nil
}

// prepare compiles a configuration for this server. Nothing has changed when it fails.
func (s *Server) prepare(config *Config, old *site) (*site, []*port, error) {
	c := *config
	s.fix(&c)
	c.setBounds()
	if c.Limits.Connections == 0 {
		return nil, nil, errors.New("the process's limit of descriptors leaves none for tunnels: raise it (ulimit -n, LimitNOFILE), or run fewer loops")
	}
	ports, err := s.portsFor(&c)
	if err != nil {
		return nil, nil, err
	}
	built, err := newSite(&c, ports, old, &s.registry, s.ring, s.secrets)
	if err != nil {
		return nil, nil, err
	}
	s.sites.Add(1)
	runtime.AddCleanup(built, func(n *atomic.Int64) { n.Add(-1) }, s.sites)
	return built, ports, nil
}

// fix gives a configuration what is fixed since the start.
func (s *Server) fix(c *Config) {
	f := &s.config
	c.Loops, c.ReadBuffer, c.BufferMemory, c.SplicePipes = f.Loops, f.ReadBuffer, f.BufferMemory, f.SplicePipes
	c.NotSentLowat, c.Sources, c.Version = f.NotSentLowat, f.Sources, f.Version
	c.TLSWorkers, c.HandshakesMax, c.TicketKeys = f.TLSWorkers, f.HandshakesMax, f.TicketKeys
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
	if c.BackendIdle == 0 {
		c.BackendIdle = DefaultBackendIdle
	}
	c.BackendIdle = min(c.BackendIdle, maxBackendIdle(c.Loops))
	if most := MaxTunnels(c); c.Limits.Connections == 0 || c.Limits.Connections > most {
		c.Limits.Connections = most
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
	fresh := s.state == serverNew && !s.starting
	s.starting = true
	s.mu.Unlock()
	if !fresh {
		return errors.New("the server was started before")
	}
	err := s.discover()
	if err == nil {
		err = s.run()
	}
	if err != nil {
		s.discoverer.stop()
	}
	return err
}

// run opens everything and starts the loops.
func (s *Server) run() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != serverNew { // closed meanwhile
		return ErrNotRunning
	}
	s.startWorkers(s.site.Load())
	if err := s.open(); err != nil {
		for _, h := range s.shards {
			h.loop.Abandon()
		}
		s.stopWorkers()
		s.shards, s.state = nil, serverEnded
		return err
	}
	for _, h := range s.shards {
		h.loop.Start()
	}
	s.watchdog, s.keeper = s.startWatchdog(s.shards), s.startKeeper()
	s.steward.start()
	s.state = serverRunning
	return nil
}

func (s *Server) open() error {
	current := s.site.Load()
	for i := range s.config.Loops {
		loop, err := engine.NewLoop(engine.LoopOptions{
			Name: strconv.Itoa(i), ReadBuffer: s.config.ReadBuffer, Sockets: current.config.sockets(),
			SplicePipes: max(current.config.SplicePipes, 0), BufferMemory: s.config.BufferMemory / int64(s.config.Loops),
			OnPanic: s.lastWords,
		})
		if err != nil {
			return err
		}
		s.shards = append(s.shards, newShard(s, loop, i, current))
	}
	for n, p := range s.ports {
		shared := sharesPort(p, s.ports[:n])
		for i, h := range s.shards {
			if err := h.listen(p, shared || i > 0, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// lastWords is called when a loop panics: the panic itself follows, and ends the process.
func (s *Server) lastWords(message string) {
	s.logs.Error.WithLevel(zerolog.FatalLevel).Str("build", s.config.Version).Msg(message)
}

// Addresses returns the addresses of the listeners, in the order of Config.Listeners, with the ports that were chosen.
func (s *Server) Addresses() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.shards) == 0 {
		return nil
	}
	var addresses []netip.AddrPort
	for _, p := range s.ports {
		addresses = append(addresses, p.address)
	}
	return addresses
}
