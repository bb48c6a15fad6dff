package proxy

import (
	"fmt"
	"net/netip"
	"slices"

	"culvert/engine"
	"culvert/proxy/access"
	"culvert/proxy/balance"
	"culvert/proxy/http1"
	"culvert/proxy/limit"
	"culvert/proxy/origin"
	"culvert/proxy/route"
	"culvert/proxy/sticky"
	"culvert/tls/tickets"
)

// site is one configuration as the loops use it. It is immutable, and replaced whole by a reload: an exchange decides by
// the one that its loop had when its head was whole, and takes its rule along, which does not lead back to the site.
type site struct {
	config    Config
	trusted   trustedProxies
	listeners map[*port]*listener
	groups    []*group
	lineups   map[*group][]*lineup
	weights   map[*backend]int                           // of its backends, as configured
	policy    *policy                                    // for what belongs to no listener any more
	security  map[*backend]*backendTLS                   // of those that are spoken to over TLS
	tls       []*listenerTLS                             // of the HTTPS listeners
	adoptions []adoption                                 // of what is there already, until the site is adopted
	limits    map[engine.RelayLimits]*engine.RelayLimits // by value, so that tunnels share them, across reloads too
}

// port is an address that is listened on. It outlives the configurations that name it. Immutable once it is bound.
type port struct {
	configured netip.AddrPort
	address    netip.AddrPort // as bound: the kernel may have chosen the port
}

// listener is what one configuration says about a port.
type listener struct {
	name      string
	named     bool    // by the configuration: else it is the address
	policy    *policy // until a rule is known
	access    *access.Checker
	tls       *listenerTLS   // nil: plain HTTP
	trustsFor []netip.Prefix // whose PROXY headers are believed
	preface   bool           // connections begin with a PROXY header
	table     *route.Table
	rules     []*rule
	fallback  *rule // for requests that no rule is for; nil: 404
}

// policy is a Policy with what is derived from it. Immutable; tunnels and transfers hold its limits only.
type policy struct {
	Policy
	tunnel, transfer *engine.RelayLimits
	heads            *http1.Limits // of all heads and bodies of the site; it leads nowhere else
	skipThreshold    uint32        // Config.SpliceThreshold as the stages take it: 0 for never
	keepsBackends    bool          // connections to backends may serve further exchanges
}

// rule is what becomes of a request. Immutable.
type rule struct {
	name     string
	policy   *policy
	access   *access.Checker
	origins  *origin.Set // nil: all
	rate     *limit.Rate // nil: no bound
	sticky   *stickiness // nil: nobody is brought back
	lineup   *lineup     // how the group's members are chosen among
	requests int         // per second, which rate is set to when the site is adopted
	group    *group      // nil: answered here
	fixed    *fixedAnswer
	request  *headEdits
	answer   *headEdits
	host     template // nil: the client's own
	rewrite  *pathRewrite
	refusals map[int]*fixedAnswer // own bodies of our own answers
}

// siteBuilder compiles a Config.
type siteBuilder struct {
	site     *site
	old      *site // nil: there was none
	registry *backendRegistry
	ring     *tickets.Ring
	secrets  []sticky.Secret
	heads    *http1.Limits
	secured  map[BackendTLS]*backendTLS
	policies map[*Policy]*policy
	rates    map[rateKey]*limit.Rate // of old, until taken over; nil: not looked for yet
}

// newSite compiles config, whose bounds are set and whose listeners have these ports, in order. What old has the same is
// taken over.
func newSite(config *Config, ports []*port, old *site, registry *backendRegistry, ring *tickets.Ring, secrets []sticky.Secret) (*site, error) {
	limits, err := config.headLimits()
	if err != nil {
		return nil, err
	}
	b := &siteBuilder{
		site: &site{
			config: *config, trusted: config.TrustedProxies, listeners: make(map[*port]*listener),
			lineups: make(map[*group][]*lineup), weights: make(map[*backend]int), limits: make(map[engine.RelayLimits]*engine.RelayLimits), security: make(map[*backend]*backendTLS),
		},
		old: old, registry: registry, ring: ring, secrets: secrets, heads: &limits, secured: make(map[BackendTLS]*backendTLS), policies: make(map[*Policy]*policy),
	}
	b.site.policy = b.policy(&b.site.config.Policy)
	if err := b.addGroups(); err != nil {
		return nil, err
	}
	for i, p := range ports {
		if err := b.addListener(p, &config.Listeners[i]); err != nil {
			return nil, err
		}
	}
	return b.site, nil
}

func (b *siteBuilder) addGroups() error {
	b.site.config.Groups = slices.Clone(b.site.config.Groups) // which are the caller's
	for i := range b.site.config.Groups {
		c := &b.site.config.Groups[i]
		g := &group{name: c.Name, config: *c, queue: b.registry.queue(c.Name), retries: b.registry.budget(c.Name)}
		g.config.Backends = nil
		if len(c.Backends) == 0 && c.Discovery == nil {
			return fmt.Errorf("group %s: no backend: at least one is needed", c.Name)
		}
		if b.site.group(c.Name) != nil {
			return fmt.Errorf("group %s: there are two of this name", c.Name)
		}
		if n := len(c.Backends); n > balance.MaxMembers {
			return fmt.Errorf("group %s: %d servers, with all that their names resolve to: there may be %d", c.Name, n, balance.MaxMembers)
		}
		if err := b.addMembers(g, c); err != nil {
			return err
		}
		if b.old != nil && g.same(b.old.group(c.Name)) {
			g = b.old.group(c.Name)
		}
		b.site.groups = append(b.site.groups, g)
		if err := b.finishGroup(g, c); err != nil {
			return fmt.Errorf("group %s: %w", c.Name, err)
		}
	}
	return nil
}

// addMembers gives a group its members. A server that is there twice, as by two names for one address, is one, of which
// counts what is said first.
func (b *siteBuilder) addMembers(g *group, c *GroupConfig) error {
	present, taken := make(map[*backend]bool, len(c.Backends)), make(map[uint64]bool, len(c.Backends))
	backends := c.Backends
	c.Backends = make([]BackendConfig, 0, len(backends))
	for _, m := range backends {
		if m.Weight < 0 || m.Weight > 100 {
			return fmt.Errorf("backend %s: weight %d: allowed are 0 to 100", m.Name, m.Weight)
		}
		if (m.TLS != nil) != (backends[0].TLS != nil) && c.SendProxy > 0 {
			return fmt.Errorf("group %s: a PROXY header needs servers that all speak TLS, or none", c.Name)
		}
		server := b.registry.take(backendKey{c.Name, m.Address, m.Path, m.TLS != nil}, m.Name)
		if present[server] {
			continue
		}
		if err := b.secureMember(server, &m); err != nil {
			return fmt.Errorf("group %s: %w", c.Name, err)
		}
		present[server] = true
		c.Backends = append(c.Backends, m)
		id := server.identity
		for taken[id] {
			id++
		}
		taken[id] = true
		g.members = append(g.members, member{
			backend: server, id: id, weight: m.Weight, priority: m.Priority,
			most: int64(m.MaxConnections), drain: m.Drain, drainFor: int64(m.DrainFor),
		})
		b.site.weights[server] = m.Weight
	}
	return nil
}

// group returns the group of this name, or nil.
func (s *site) group(name string) *group {
	if i := slices.IndexFunc(s.groups, func(g *group) bool { return g.name == name }); i >= 0 {
		return s.groups[i]
	}
	return nil
}

// label gives the backends the names that this configuration has for them.
func (s *site) label() {
	for i, g := range s.groups {
		for j := range g.members {
			name := s.config.Groups[i].Backends[j].Name
			if b := g.members[j].backend; b.name() != name {
				b.label.Store(&name)
			}
		}
	}
}

// setRates gives the rules' rates the bounds of this configuration.
func (s *site) setRates() {
	for _, l := range s.listeners {
		for _, r := range l.rules {
			if r.rate != nil {
				r.rate.Set(r.requests, 0)
			}
		}
	}
}

// addListener compiles what the configuration says about a port.
func (b *siteBuilder) addListener(p *port, c *ListenerConfig) error {
	l := &listener{name: c.Name, preface: c.ProxyProtocol, trustsFor: c.ProxyProtocolFrom}
	if l.named = l.name != ""; !l.named {
		l.name = p.configured.String()
	}
	own := c.Policy
	if own == nil {
		own = &b.site.config.Policy
	}
	l.policy = b.policy(own)
	var err error
	if l.access, err = checker(c.Access); err != nil {
		return fmt.Errorf("listener %s: %w", l.name, err)
	}
	if c.TLS != nil {
		if err := b.secureListener(p, l, c.TLS); err != nil {
			return fmt.Errorf("listener %s: %w", l.name, err)
		}
	}
	if c.HTTPSRedirect != nil {
		return b.redirectToHTTPS(p, l, c)
	}
	if c.Group != "" {
		l.fallback = &rule{name: l.name, policy: l.policy, group: b.site.group(c.Group)}
		if l.fallback.group == nil {
			return fmt.Errorf("listener %s: there is no group %q", l.name, c.Group)
		}
		l.fallback.lineup, l.fallback.sticky = l.fallback.group.own, l.fallback.group.sticky
		if l.fallback.answer, err = compileEdits(l.secureAnswers(nil)); err != nil {
			return fmt.Errorf("listener %s: %w", l.name, err)
		}
	}
	matches := make([]route.Match, len(c.Rules))
	for i := range c.Rules {
		matches[i] = c.Rules[i].Match
		r, err := b.rule(l, &c.Rules[i], i, own)
		if err != nil {
			return fmt.Errorf("listener %s: rule %d: %w", l.name, i+1, err)
		}
		l.rules = append(l.rules, r)
	}
	if l.table, err = route.New(matches); err != nil {
		return fmt.Errorf("listener %s: %w", l.name, err)
	}
	b.site.listeners[p] = l
	return nil
}

// checker compiles access lists; nil where they let everybody in.
func checker(l access.Lists) (*access.Checker, error) {
	if !l.HasWhite && len(l.White) == 0 && len(l.Black) == 0 {
		return nil, nil
	}
	return access.New(l)
}

func (b *siteBuilder) rule(l *listener, c *RuleConfig, index int, outer *Policy) (*rule, error) {
	r := &rule{name: c.Name}
	if r.name == "" {
		r.name = fmt.Sprintf("%s/%d", l.name, index+1)
	}
	own := c.Policy
	if own == nil {
		own = outer
	}
	r.policy = b.policy(own)
	if err := b.action(r, c); err != nil {
		return nil, err
	}
	var err error
	if r.access, err = checker(c.Access); err != nil {
		return nil, err
	}
	if len(c.AllowedOrigins) > 0 {
		if r.origins, err = origin.New(c.AllowedOrigins); err != nil {
			return nil, err
		}
	}
	if r.request, err = compileEdits(c.RequestHeaders); err != nil {
		return nil, fmt.Errorf("request headers: %w", err)
	}
	if r.answer, err = compileEdits(l.secureAnswers(c.AnswerHeaders)); err != nil {
		return nil, fmt.Errorf("answer headers: %w", err)
	}
	if c.Host != "" {
		if r.host, err = parseTemplate(c.Host); err != nil {
			return nil, fmt.Errorf("host: %w", err)
		}
	}
	if c.Rewrite != nil {
		if r.rewrite, err = newPathRewrite(c.Match.Path, *c.Rewrite); err != nil {
			return nil, err
		}
	}
	for status, body := range c.ErrorBodies {
		if status < 400 || status > 599 {
			return nil, fmt.Errorf("an own body for status %d: allowed are 400 to 599", status)
		}
		if r.refusals == nil {
			r.refusals = make(map[int]*fixedAnswer)
		}
		if r.refusals[status], err = newFixedAnswer(&AnswerConfig{Status: status, Body: body}); err != nil {
			return nil, err
		}
	}
	if c.Requests > 0 {
		r.rate, r.requests = b.rate(rateKey{l.name, r.name}), c.Requests
	}
	return r, nil
}

// action sets what answers the rule's requests.
func (b *siteBuilder) action(r *rule, c *RuleConfig) (err error) {
	actions := 0
	if c.Group != "" {
		actions++
		if r.group = b.site.group(c.Group); r.group == nil {
			return fmt.Errorf("there is no group %q", c.Group)
		}
		r.lineup, r.sticky = r.group.own, r.group.sticky
		if c.Sticky != nil {
			if r.sticky, err = b.stickiness(c.Sticky, c.Group); err != nil {
				return err
			}
		}
		if c.Schedule != nil {
			s, err := newSchedule(c.Schedule)
			if err != nil {
				return err
			}
			r.lineup = b.lineup(r.group, s)
		}
	}
	if c.Redirect != nil {
		actions++
		r.fixed, err = newRedirect(c.Redirect)
	}
	if c.Answer != nil && err == nil {
		actions++
		r.fixed, err = newFixedAnswer(c.Answer)
	}
	if err == nil && actions != 1 {
		err = fmt.Errorf("%d actions: exactly one of a group, a redirect and an answer is needed", actions)
	}
	return err
}

// rateKey names a rule's rate across reloads.
type rateKey struct{ listener, rule string }

// rate returns the rate of the rule of this name that was there before, lest a reload begins it anew; or a new one. Its
// bound is not touched here: this site may still be refused, and then the one before goes on with it.
func (b *siteBuilder) rate(key rateKey) *limit.Rate {
	if b.rates == nil {
		b.rates = make(map[rateKey]*limit.Rate)
		if b.old != nil {
			for _, l := range b.old.listeners {
				for _, r := range l.rules {
					if r.rate != nil {
						b.rates[rateKey{l.name, r.name}] = r.rate
					}
				}
			}
		}
	}
	r := b.rates[key]
	delete(b.rates, key) // two rules of one name do not share it
	if r == nil {
		r = limit.NewRate(1, 1)
	}
	return r
}

// policy compiles a Policy, once each.
func (b *siteBuilder) policy(from *Policy) *policy {
	if p := b.policies[from]; p != nil {
		return p
	}
	config := &b.site.config
	p := &policy{
		Policy: *from, heads: b.heads, skipThreshold: uint32(max(config.SpliceThreshold, 0)), keepsBackends: config.BackendIdle > 0,
	}
	if p.KeepAliveRequests == 0 {
		p.KeepAliveRequests = DefaultKeepAliveRequests
	}
	t := &p.Timeouts
	p.tunnel = b.relayLimits(engine.RelayLimits{
		Idle: int64(t.Idle), Stalled: int64(t.Stalled), HalfClosed: int64(t.HalfClosed), Linger: int64(t.Linger),
	})
	p.transfer = b.relayLimits(engine.RelayLimits{Surrender: true, Idle: int64(t.Answer), Stalled: int64(t.ClientWrite)})
	b.policies[from] = p
	return p
}

func (b *siteBuilder) relayLimits(value engine.RelayLimits) *engine.RelayLimits {
	if p := b.site.limits[value]; p != nil {
		return p
	}
	var p *engine.RelayLimits
	if b.old != nil {
		p = b.old.limits[value]
	}
	if p == nil {
		p = &value
	}
	b.site.limits[value] = p
	return p
}
