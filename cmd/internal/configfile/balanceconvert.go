package configfile

import (
	"culvert/cmd/internal/settings"
	"culvert/proxy"
	"culvert/proxy/health"
)

// groupConfig translates a group, without its servers.
func (f *File) groupConfig(g *Group) proxy.GroupConfig {
	c := proxy.GroupConfig{
		Name: g.Name, SendProxy: g.SendProxy, Schedule: g.Schedule, Sticky: f.stickiness(g.Sticky), Check: g.Check, Outliers: g.Outliers,
		SlowStart: health.DefaultSlowStart(), EndRate: g.EndRate, EndWhenDown: g.EndWhenDown, Queue: g.Queue, QueueTimeout: g.QueueTimeout, RetryShare: g.RetryShare,
	}
	c.SlowStart.Duration = int64(g.SlowStart)
	if d := g.Discovery; d != nil {
		source := d.Discovery
		source.File = f.path(source.File)
		if d.HTTPS {
			source.TLS = f.overTLS(d.name(), g.OverTLS)
		}
		c.Discovery = &source
	}
	return c
}

// stickiness translates a group's, or a rule's; nil: there is none.
func (f *File) stickiness(s *Sticky) *proxy.Stickiness {
	if s == nil {
		return nil
	}
	c := s.Stickiness
	c.KeyFile = f.path(c.KeyFile)
	return &c
}

// groupOf returns the group that flags ask for, without its servers.
func groupOf(i *settings.Invocation) Group {
	g, b := newGroup(proxy.DefaultGroup), &i.Balancing
	g.OverTLS = overTLSOf(i)
	if i.Command == settings.Demo {
		return g // it has none of these flags
	}
	g.Schedule, g.Sticky, g.Check, g.Discovery = proxy.Schedule{Algorithm: b.Schedule}, stickyOf(place{}, b.Sticky), checkOf(b.Check), discoveryOf(b)
	if b.Schedule == hashAlgorithm {
		g.Schedule.HashBy = hashKeyOf(b.HashBy)
	}
	if g.Sticky != nil {
		g.Sticky.Lifetime, g.Sticky.KeyFile = b.StickyLifetime, string(b.StickyKeyFile)
	}
	if c := g.Check; c != nil {
		c.Path, c.Interval, c.Timeout, c.Healthy, c.Unhealthy = string(b.CheckPath), int64(b.CheckInterval), int64(b.CheckTimeout), b.CheckHealthy, b.CheckUnhealthy
	}
	if g.Outliers.Failures = b.OutlierFailures; g.Outliers.Failures == 0 {
		g.Outliers = nil
	}
	g.SlowStart, g.Queue, g.QueueTimeout = b.SlowStart, b.Queue, b.QueueTimeout
	return g
}
