package proxy

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"culvert/engine"
	"culvert/proxy/discovery"
)

// Servers that are discovered are added to those that a group has in the configuration, and what results is compiled and
// entered as a reload is: tunnels to servers that are gone run on, servers that stay keep their counts, new ones start
// slowly.

const (
	// discoveryPatience is how long a start, or a reload, waits for sources that have not answered yet. Their groups have no
	// servers then.
	discoveryPatience = 2 * time.Second
	// discoveryPeriod is the least time between two changes that are entered.
	discoveryPeriod = 200 * time.Millisecond
	// discoveryRetry is how long it takes until a change that could not be entered is tried again: a certificate, or a file
	// of keys, may have been on its way just then.
	discoveryRetry = 2 * time.Second
	// mostLevels bounds the priorities of a source that are told apart: of those beyond, all servers are asked last.
	mostLevels = 16
)

// discoverer watches the sources of the present configuration. It has one goroutine, beside those of its watchers.
type discoverer struct {
	server     *Server
	changed    chan struct{} // for run; one is enough
	told       chan struct{} // for wait; one is enough
	end, ended chan struct{} // ended is nil before start
	once       sync.Once     // of the end

	watchers map[watcherKey]*discovery.Watcher // guarded by Server.reloading

	mu    sync.Mutex // never held while a watcher is waited for, which waits for take
	found map[sourceKey]discovery.Update
	news  bool // found differs from what the site has
}

// watcherKey is what the sources of one watcher have in common. Files have one of their own: those who look at them must not
// all be waiting for resolvers that do not answer.
type watcherKey struct {
	files          bool
	resolvers      string
	minTTL, maxTTL time.Duration
}

// sourceKey names a source.
type sourceKey struct {
	watcher watcherKey
	source  discovery.Source
}

func newDiscoverer(s *Server) *discoverer {
	return &discoverer{
		server: s, changed: make(chan struct{}, 1), told: make(chan struct{}, 1), end: make(chan struct{}),
		watchers: make(map[watcherKey]*discovery.Watcher), found: make(map[sourceKey]discovery.Update),
	}
}

// keyOf returns the source of a group; ok is false where it has none.
func keyOf(c *GroupConfig) (key sourceKey, ok bool) {
	d := c.Discovery
	if d == nil {
		return key, false
	}
	key.watcher = watcherKey{false, fmt.Sprint(d.Resolvers), d.MinTTL, d.MaxTTL}
	key.source = discovery.Source{Kind: discovery.Addresses, Name: d.DNS, Port: d.Port, Weight: d.Weight}
	switch {
	case d.File != "":
		key.watcher = watcherKey{files: true}
		key.source = discovery.Source{Kind: discovery.File, Name: d.File}
	case d.SRV:
		key.source = discovery.Source{Kind: discovery.Services, Name: d.DNS}
	}
	return key, true
}

// watch has the sources of a configuration watched, and no others. What is known of the others stays until forget.
// Server.reloading is held.
func (d *discoverer) watch(c *Config) error {
	sources := make(map[watcherKey][]discovery.Source)
	options := make(map[watcherKey]*Discovery)
	for i := range c.Groups {
		if key, ok := keyOf(&c.Groups[i]); ok {
			if err := key.source.Validate(); err != nil {
				return fmt.Errorf("group %s: discovery: %w", c.Groups[i].Name, err)
			}
			sources[key.watcher] = append(sources[key.watcher], key.source)
			options[key.watcher] = c.Groups[i].Discovery
		}
	}
	for key, w := range d.watchers {
		if sources[key] == nil {
			delete(d.watchers, key)
			w.Stop()
		}
	}
	for key, list := range sources {
		d.inherit(key, list)
		var err error
		if w := d.watchers[key]; w != nil {
			err = w.Replace(list)
		} else {
			d.watchers[key], err = d.startWatcher(key, options[key], list)
		}
		if err != nil {
			return fmt.Errorf("discovery: %w", err)
		}
	}
	return nil
}

// inherit has a source that is asked in another way from now on, such as with another bound on TTLs, keep what is known
// of it until there is an answer. The port and the weight of addresses are no part of that: they are ours.
func (d *discoverer) inherit(by watcherKey, sources []discovery.Source) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, source := range sources {
		key := sourceKey{by, source}
		if _, told := d.found[key]; told {
			continue
		}
		for other, u := range d.found {
			if u.Known && other.source.Kind == source.Kind && other.source.Name == source.Name {
				d.found[key] = discovery.Update{Source: source, Known: true, Warning: u.Warning, Set: rewritten(u.Set, source)}
				break
			}
		}
	}
}

// rewritten returns what was found for a source of the same name as what is found for this one.
func rewritten(set discovery.Set, source discovery.Source) discovery.Set {
	if source.Kind != discovery.Addresses {
		return set
	}
	set = slices.Clone(set) // in the order of addresses, of which each is there once, as before
	for i := range set {
		set[i].Address, set[i].Weight = netip.AddrPortFrom(set[i].Address.Addr(), source.Port), source.Weight
	}
	return set
}

// forget drops what is known of sources that a configuration does not have.
func (d *discoverer) forget(c *Config) {
	keys := make(map[sourceKey]bool)
	for i := range c.Groups {
		if key, ok := keyOf(&c.Groups[i]); ok {
			keys[key] = true
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.found, func(key sourceKey, _ discovery.Update) bool { return !keys[key] })
}

// refused goes back to a configuration, after one that was not entered. What had been found for that has yet to be entered.
func (d *discoverer) refused(c *Config) error {
	err := d.watch(c)
	d.forget(c)
	d.keepNews()
	signal(d.changed)
	return err
}

func signal(one chan struct{}) {
	select {
	case one <- struct{}{}:
	default:
	}
}

func (d *discoverer) startWatcher(key watcherKey, o *Discovery, sources []discovery.Source) (*discovery.Watcher, error) {
	return discovery.Start(discovery.Options{
		Clock: engine.Monotonic, Servers: slices.Clone[[]netip.AddrPort](o.Resolvers), Floor: key.minTTL, Ceiling: key.maxTTL,
		Notify: func(u discovery.Update) { d.take(sourceKey{key, u.Source}, u) },
	}, sources)
}

// take takes in what became of a source, and tells people. It is called by watchers, and waits for nobody.
func (d *discoverer) take(key sourceKey, u discovery.Update) {
	d.mu.Lock()
	before, told := d.found[key]
	if before.Known && !u.Known { // the source was known to a watcher before this one
		u.Set, u.Known = before.Set, true
	}
	d.found[key] = u
	changed := !told || !u.Set.Equal(before.Set)
	d.news = d.news || changed
	d.mu.Unlock()
	signal(d.told)
	log := &d.server.logs.Error
	if u.Warning != "" && u.Warning != before.Warning {
		text := "discovery: what was known last holds"
		if !u.Known {
			text = "discovery: the servers are not known yet"
		}
		log.Warn().Str("source", u.Source.String()).Str("detail", u.Warning).Int("servers", len(u.Set)).Msg(text)
	}
	if !changed {
		return
	}
	if diff := u.Set.Since(before.Set); u.Known {
		log.Info().Str("source", u.Source.String()).Int("servers", len(u.Set)).Int("added", len(diff.Added)).
			Int("removed", len(diff.Removed)).Int("changed", len(diff.Changed)).Msg("discovery: servers have changed")
	}
	signal(d.changed)
}

// standing returns how many servers the source of a group has, and 1 where they are held against what it said last; ok is
// false where the group has none.
func (d *discoverer) standing(c *GroupConfig) (servers int, stale float64, ok bool) {
	key, ok := keyOf(c)
	if !ok {
		return 0, 0, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	found, told := d.found[key]
	if !told || found.Warning != "" {
		stale = 1
	}
	return len(found.Set), stale, true
}

// wait waits until all sources of a configuration are known, for a while.
func (d *discoverer) wait(c *Config) {
	patience := time.NewTimer(discoveryPatience)
	defer patience.Stop()
	for {
		unknown := d.unknown(c)
		if unknown == 0 {
			return
		}
		select {
		case <-d.told:
		case <-patience.C:
			d.server.logs.Error.Warn().Int("sources", unknown).Msg("going on without the servers of sources that do not answer")
			return
		}
	}
}

// unknown returns how many groups wait for a source that has not told anything yet.
func (d *discoverer) unknown(c *Config) (count int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range c.Groups {
		if key, ok := keyOf(&c.Groups[i]); ok {
			if _, told := d.found[key]; !told {
				count++
			}
		}
	}
	return count
}

func (d *discoverer) start() {
	d.ended = make(chan struct{})
	// goroutine: discoverer of backends, ends when stop is called
	go d.run()
}

func (d *discoverer) run() {
	defer close(d.ended)
	retry := time.NewTimer(discoveryRetry)
	retry.Stop()
	defer retry.Stop()
	for {
		select {
		case <-d.end:
			return
		case <-d.changed:
		case <-retry.C:
		}
		pause := time.NewTimer(discoveryPeriod) // what comes together is entered together
		select {
		case <-d.end:
			pause.Stop()
			return
		case <-pause.C:
			if !d.server.rediscover() {
				retry.Reset(discoveryRetry)
			}
		}
	}
}

// stop ends all of it. The server's reloads must be able to go on meanwhile.
func (d *discoverer) stop() {
	d.once.Do(func() {
		close(d.end)
		if d.ended != nil {
			<-d.ended
		}
		d.server.reloading.Lock()
		defer d.server.reloading.Unlock()
		for key, w := range d.watchers {
			delete(d.watchers, key)
			w.Stop()
		}
	})
}

// withDiscovered returns a configuration with the servers that were discovered.
func (d *discoverer) withDiscovered(c Config) Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.news = false
	c.Groups = slices.Clone(c.Groups)
	for i := range c.Groups {
		g := &c.Groups[i]
		key, ok := keyOf(g)
		if !ok {
			continue
		}
		servers := slices.Clone(g.Backends)
		written := make(map[netip.AddrPort]bool, len(servers))
		for i := range servers {
			written[servers[i].Address] = true
		}
		level := levels(key.source.Kind, d.found[key].Set)
		for _, e := range d.found[key].Set {
			if written[e.Address] {
				continue // what is written down goes before what is found
			}
			servers = append(servers, BackendConfig{
				Name: e.Address.String(), Address: e.Address, Weight: e.Weight, Priority: level(e.Priority), TLS: g.Discovery.TLS,
				MaxConnections: g.Discovery.MaxConnections,
			})
		}
		g.Backends = servers
	}
	return c
}

// levels returns what a priority means for a group. Those of SRV records are any numbers, of which only the order counts:
// the first is that of primary servers. Those of a file are ours.
func levels(kind discovery.Kind, found discovery.Set) func(uint16) uint16 {
	if kind != discovery.Services {
		return func(priority uint16) uint16 { return priority }
	}
	var order []uint16
	for _, e := range found {
		order = append(order, e.Priority)
	}
	slices.Sort(order)
	order = slices.Compact(order)
	return func(priority uint16) uint16 {
		rank, _ := slices.BinarySearch(order, priority)
		return uint16(min(rank, mostLevels-1))
	}
}

// rediscover enters the present configuration with what is discovered now. It reports false where that has yet to be done.
func (s *Server) rediscover() bool {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if !s.discoverer.hasNews() { // a reload was here before
		return true
	}
	err := s.enterConfig(s.asked)
	if err == nil {
		return true
	}
	s.discoverer.keepNews()
	if !errors.Is(err, ErrNotRunning) { // a start is not over, or the end has begun
		s.logs.Error.Error().Err(err).Msg("discovery: the servers found cannot be used yet; those before stay")
	}
	return false
}

func (d *discoverer) hasNews() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.news
}

// keepNews notes that what is found has yet to be entered.
func (d *discoverer) keepNews() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.news = true
}

// discover begins to watch the sources of servers, and compiles the configuration that Start begins with anew once they
// have told what they know.
func (s *Server) discover() error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if err := s.discoverer.watch(&s.asked); err != nil {
		return err
	}
	if len(s.discoverer.watchers) > 0 {
		s.discoverer.wait(&s.asked)
		config := s.discoverer.withDiscovered(s.asked)
		built, _, err := s.prepare(&config, s.site.Load())
		if err != nil {
			return err
		}
		s.adopt(built)
	}
	s.discoverer.start()
	return nil
}
