package configfile

import (
	"culvert/cmd/internal/settings"
	"culvert/proxy"
)

// Served returns what is served: the file's listeners and groups, or, where it has none or is nil, those that the flags
// ask for: a listener for each --listen and --tls-listen, which leads to a group of all --backend.
func Served(f *File, i *settings.Invocation) *File {
	if f != nil && f.HasSite() {
		return f
	}
	served := &File{Groups: []Group{groupOf(i)}}
	if f != nil {
		served.Name, served.Settings = f.Name, f.Settings
	}
	for _, address := range i.Settings.Listeners.Listen {
		l := Listener{Address: address, Group: proxy.DefaultGroup}
		if l.HTTPSRedirect, l.HTTPSPort = redirectOf(i); l.HTTPSRedirect != 0 {
			l.Group = "" // it would serve nothing
		}
		served.Listeners = append(served.Listeners, l)
	}
	served.Listeners = append(served.Listeners, httpsOf(i)...)
	for _, backend := range i.Backends {
		served.Groups[0].Servers = append(served.Groups[0].Servers, Server{Backend: backend, MaxConnections: i.Balancing.MaxConnectionsPerBackend})
	}
	return served
}

// PolicyOf translates the settings that a listener or a rule may have different.
func PolicyOf(s *settings.Settings) proxy.Policy {
	t, h := &s.Timeouts, &s.HTTP
	policy := proxy.Policy{
		Timeouts: proxy.Timeouts{
			Idle: t.Idle, Stalled: t.Stalled, HalfClosed: t.HalfClosed, TLSHandshake: t.TLSHandshake, ClientHead: t.ClientHead, Connect: t.Connect,
			ConnectTotal: t.ConnectTotal, Answer: t.Answer, ClientWrite: t.ClientWrite, Linger: t.Linger,
			KeepAlive: h.KeepAliveTimeout, BodyRate: proxy.DefaultTimeouts().BodyRate, BackendIdle: h.BackendIdleTimeout,
		},
		MaxBody: int64(h.MaxBody), MinBodyRate: int64(h.MinBodyRate), KeepAliveRequests: h.KeepAliveRequests,
		AbortOnClientFIN: h.AbortOnClientFin,
		Announce:         proxy.Announcements{Forwarded: h.Forwarded, RequestID: h.RequestID, Via: h.Via, SLBID: h.SLBID},
	}
	if h.SLBID == "off" {
		policy.Announce.SLBID = ""
	}
	return policy
}

// LimitsOf translates the limits of the instance.
func LimitsOf(s *settings.Settings) proxy.InstanceLimits {
	l := &s.Limits
	return proxy.InstanceLimits{
		Connections: l.MaxConnections, NewConnections: l.MaxNewConnections, Requests: l.MaxRequests, Bandwidth: int64(l.MaxBandwidth),
		ClientConnections: l.MaxConnectionsPerClient, ClientNewConnections: l.MaxNewConnectionsPerClient,
		ClientRequests: l.MaxRequestsPerClient, ClientPrefix6: l.ClientPrefixIPv6,
	}
}

// ListenerConfigs translates the listeners. global are the settings that count where neither a listener nor a rule has
// others: the invocation's.
func (f *File) ListenerConfigs(global *settings.Settings) []proxy.ListenerConfig {
	configs := make([]proxy.ListenerConfig, len(f.Listeners))
	for i := range f.Listeners {
		l := &f.Listeners[i]
		own := with(*global, l.Policy)
		c := proxy.ListenerConfig{
			Name: l.Name, Address: l.Address, Policy: policyIfOther(&own, l.Policy), Access: l.Access,
			ProxyProtocol: l.ProxyProtocol, ProxyProtocolFrom: l.ProxyProtocolFrom, Group: l.Group,
		}
		f.httpsConfig(l, &c)
		for j := range l.Rules {
			rule := l.Rules[j].config(&own)
			rule.Sticky = f.stickiness(l.Rules[j].Sticky)
			c.Rules = append(c.Rules, rule)
		}
		configs[i] = c
	}
	return configs
}

func policyIfOther(s *settings.Settings, others []Setting) *proxy.Policy {
	if len(others) == 0 {
		return nil
	}
	policy := PolicyOf(s)
	return &policy
}

// config translates a rule of a listener with these settings.
func (rule *Rule) config(listener *settings.Settings) proxy.RuleConfig {
	own := with(*listener, rule.Policy)
	c := proxy.RuleConfig{
		Name: rule.Name, Match: rule.Match, Policy: policyIfOther(&own, rule.Policy), Access: rule.Access,
		AllowedOrigins: rule.AllowedOrigins, Requests: rule.Requests, Group: rule.Group, Redirect: rule.Redirect,
		RequestHeaders: rule.RequestHeaders, AnswerHeaders: rule.AnswerHeaders, Host: rule.Host, Rewrite: rule.Rewrite,
		Schedule: rule.Schedule,
	}
	if rule.Answer != nil {
		c.Answer = &proxy.AnswerConfig{Status: rule.Answer.Status, Body: rule.Answer.Body.Body, Headers: rule.Answer.Headers}
	}
	if len(rule.ErrorBodies) > 0 {
		c.ErrorBodies = make(map[int]proxy.Body, len(rule.ErrorBodies))
		for status, body := range rule.ErrorBodies {
			c.ErrorBodies[status] = body.Body
		}
	}
	return c
}

// A Resolver finds the addresses of servers: for each, one backend or, where a name has several addresses, more.
type Resolver func(servers []settings.Backend) ([][]proxy.BackendConfig, error)

// GroupConfigs translates the groups. All servers are resolved together.
func (f *File) GroupConfigs(resolve Resolver) ([]proxy.GroupConfig, error) {
	var servers []settings.Backend
	for i := range f.Groups {
		for _, s := range f.Groups[i].Servers {
			servers = append(servers, s.Backend)
		}
	}
	resolved, err := resolve(servers)
	if err != nil {
		return nil, err
	}
	configs := make([]proxy.GroupConfig, len(f.Groups))
	for i := range f.Groups {
		g := &f.Groups[i]
		configs[i] = f.groupConfig(g)
		for j := range g.Servers {
			s := &g.Servers[j]
			overTLS := f.backendTLS(g, s)
			for _, backend := range resolved[0] {
				backend.TLS = overTLS
				if s.Secondary {
					backend.Priority = 1
				}
				backend.MaxConnections, backend.Drain, backend.DrainFor = s.MaxConnections, s.Drain, s.DrainFor
				configs[i].Backends = append(configs[i].Backends, backend)
			}
			resolved = resolved[1:]
		}
	}
	return configs, nil
}
