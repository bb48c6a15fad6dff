package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"culvert/engine"
)

// ErrNotRunning is returned by Reload before Start, and once the end has begun.
var ErrNotRunning = errors.New("the proxy is not running, or is ending")

// Reload replaces the configuration, all of it but what is fixed since New. New requests are decided by the new one from
// when Reload returns; a request whose head was whole before goes on as the old one had it. No tunnel is touched, nor a
// backend's counts where its group and address are the same. A listener that is new is bound before anything else
// changes: on any error nothing has. A listener that is gone stops accepting; its connections end with their present
// request. It may be called from any goroutine, and takes as long as every loop needs for a turn, and a new source of
// servers for its first answer, but not longer than two seconds.
func (s *Server) Reload(config Config) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if !s.running() { // whatever was watched from now on would be so for ever
		return ErrNotRunning
	}
	if err := s.discoverer.watch(&config); err != nil {
		return errors.Join(err, s.discoverer.refused(&s.asked)) // which was taken before
	}
	s.discoverer.wait(&config)
	if err := s.enterConfig(config); err != nil {
		return errors.Join(err, s.discoverer.refused(&s.asked))
	}
	s.discoverer.forget(&config)
	s.asked = config
	s.reloads.Add(1)
	return nil
}

// running tells whether the loops run, and the end has not begun.
func (s *Server) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == serverRunning && !s.shuttingDown.Load()
}

// enterConfig has all loops go over to a configuration, with the servers that are discovered. s.reloading is held.
func (s *Server) enterConfig(config Config) error {
	if !s.running() {
		return ErrNotRunning
	}
	s.mu.Lock()
	before := s.ports
	s.mu.Unlock()
	config = s.discoverer.withDiscovered(config)
	built, ports, err := s.prepare(&config, s.site.Load())
	if err != nil {
		s.forgetBackends()
		return err
	}
	added := without(ports, before)
	if err := s.bind(added, before); err != nil {
		s.forgetBackends()
		return err
	}
	removed := without(before, ports)
	// Lest a bound on bandwidth that is new takes all that was relayed before for the traffic of its first moment.
	s.everywhere((*shard).publishRelayed)
	if !s.workersFor(built) {
		s.forgetBackends()
		return ErrNotRunning
	}
	s.adopt(built)
	s.everywhere(func(h *shard) { h.enter(built, added, removed) })
	s.mu.Lock()
	s.ports = ports
	s.mu.Unlock()
	s.forgetBackends()
	return nil
}

// ReloadRefused counts a configuration that did not get as far as Reload, or that Reload returned an error for.
func (s *Server) ReloadRefused() { s.refused.Add(1) }

// adopt makes a site the server's: the loops enter it one by one.
func (s *Server) adopt(built *site) {
	built.label()
	s.registry.mark(built.weights)
	built.setRates()
	for b, security := range built.security {
		b.security.Store(security)
	}
	for _, a := range built.adoptions {
		a.listener.Adopt(a.loaded)
	}
	built.adoptions = nil
	s.limits.set(&built.config.Limits)
	s.clients.set(built.config.Limits.ClientConnections, built.config.Limits.ClientPrefix6)
	for _, g := range built.groups {
		for _, m := range g.members {
			m.backend.queue.Store(g.queue)
		}
	}
	s.steward.enter(built, engine.Monotonic())
}

// forgetBackends drops backends that are neither configured nor connected to. Only while no reload is under way.
func (s *Server) forgetBackends() {
	s.registry.mark(s.site.Load().weights)
	s.registry.forget()
}

// portsFor returns the ports of a configuration's listeners: those that are there already, and new ones.
func (s *Server) portsFor(c *Config) ([]*port, error) {
	if len(c.Listeners) == 0 {
		return nil, errors.New("no listener: at least one address is needed")
	}
	s.mu.Lock()
	free := slices.Clone(s.ports)
	s.mu.Unlock()
	var ports []*port
	for i := range c.Listeners {
		address := c.Listeners[i].Address
		same := func(p *port) bool { return p.configured == address }
		if address.Port() != 0 && slices.ContainsFunc(ports, same) {
			return nil, fmt.Errorf("there are two listeners at %s", address)
		}
		if j := slices.IndexFunc(free, same); j >= 0 {
			ports = append(ports, free[j])
			free = slices.Delete(free, j, j+1)
			continue
		}
		ports = append(ports, &port{configured: address})
	}
	return ports, nil
}

// without returns the ports of list that are not in other.
func without(list, other []*port) []*port {
	return slices.DeleteFunc(slices.Clone(list), func(p *port) bool { return slices.Contains(other, p) })
}

// sharesPort tells whether a port has the number of one of others, which are bound: to all addresses and to one of them.
func sharesPort(p *port, others []*port) bool {
	return slices.ContainsFunc(others, func(other *port) bool { return other.address.Port() == p.configured.Port() })
}

// bind binds new ports on every loop, without accepting yet. Where one cannot be bound none is.
func (s *Server) bind(added, present []*port) error {
	var failure error
	for n, p := range added {
		shared := sharesPort(p, present) || sharesPort(p, added[:n])
		for _, h := range s.shards {
			done := make(chan error, 1)
			if !h.loop.PostAlways(func() { done <- h.listen(p, shared, true) }) {
				done <- ErrNotRunning
			}
			if err := <-done; err != nil && failure == nil {
				failure = err
			}
			shared = true
		}
		if failure != nil {
			break
		}
	}
	if failure != nil {
		s.everywhere(func(h *shard) {
			for _, p := range added {
				h.unlisten(p)
			}
		})
	}
	return failure
}

// listen binds a port on this loop. shared says that another socket of ours may be bound to it, held that nothing is
// accepted until enter.
func (h *shard) listen(p *port, shared, held bool) error {
	if h.closing { // a shutdown has overtaken the reload, and looks for listeners no more
		return ErrNotRunning
	}
	address := p.configured
	if p.address.IsValid() {
		address = p.address // where the kernel chose a port, all loops share it
	}
	config := &h.server.site.Load().config
	l, err := h.loop.Listen(address, engine.ListenOptions{
		Backlog: config.Backlog, Sockets: config.sockets(), Shared: shared, Held: held,
	}, &door{h, p})
	if err != nil {
		return err
	}
	if !p.address.IsValid() {
		p.address = l.Address() // nobody else knows the port yet
	}
	h.listeners[p] = l
	return nil
}

// unlisten closes the listening socket of a port, if there is one; what waits to be accepted is accepted first.
func (h *shard) unlisten(p *port) {
	if l := h.listeners[p]; l != nil {
		l.Close()
		delete(h.listeners, p)
	}
}

// enter goes over to a new site.
func (h *shard) enter(built *site, added, removed []*port) {
	for _, p := range removed {
		h.unlisten(p)
	}
	h.use(built)
	for _, g := range built.groups {
		g.attend() // who waits on this loop may pick from it now
	}
	for _, p := range added {
		if l := h.listeners[p]; l != nil {
			l.Open()
		}
	}
	h.applyLine() // a listener may have become another kind
	if len(removed) > 0 {
		h.exchanges.each(func(e ender) {
			if x := e.(*exchange); x.idle() && slices.Contains(removed, x.port) {
				x.shutDown()
			}
		})
	}
	h.pool.trim()
}

// use makes a site the loop's own.
func (h *shard) use(built *site) {
	h.site = built
	h.useChecks(built)
}

// door is a port as one loop listens on it.
type door struct {
	shard *shard
	port  *port
}

// Accepted implements engine.Acceptor.
func (d *door) Accepted(c *engine.Conn, peer netip.AddrPort, _ *engine.Listener) {
	d.shard.accepted(c, peer, d.port)
}
