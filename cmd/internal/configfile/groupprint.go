package configfile

import (
	"fmt"

	"culvert/cmd/internal/settings"
)

func (p *printer) group(g *Group) {
	p.line(1, "%s:", quote(g.Name))
	if g.SendProxy > 0 {
		p.line(2, "send-proxy: v%d", g.SendProxy)
	}
	if g.OverTLS != nil {
		p.line(2, "tls: %s", g.OverTLS.text(p.path))
	}
	p.balancing(g)
	if g.Discovery != nil {
		p.line(2, "discovery: %s", g.Discovery.text(p.path))
	}
	switch {
	case len(g.Servers) > 0:
		p.line(2, "servers:")
	case g.Discovery == nil:
		p.line(2, "servers: []")
	}
	for i := range g.Servers {
		p.server(&g.Servers[i])
	}
}

// balancing writes how a group's servers are chosen: all of it, since what nobody says counts too.
func (p *printer) balancing(g *Group) {
	p.line(2, "schedule: %s", scheduleText(g.Schedule))
	if g.Sticky != nil {
		p.line(2, "sticky: %s", g.Sticky.text(p.path))
	}
	p.line(2, "check: %s", checkText(g.Check))
	if g.EndWhenDown {
		p.line(2, "end-when-down: true")
	}
	p.line(2, "outliers: %s", outliersText(g.Outliers))
	p.line(2, "slow-start: %s", settings.DurationText(g.SlowStart))
	p.line(2, "end-rate: %d", g.EndRate)
	p.line(2, "retry-share: %d%%", g.RetryShare)
	if g.Queue > 0 {
		p.line(2, "queue: %d", g.Queue)
		p.line(2, "queue-timeout: %s", settings.DurationText(g.QueueTimeout))
	}
}

func (p *printer) server(s *Server) {
	more := ""
	if s.Secondary {
		more = ", secondary: true"
	}
	if s.MaxConnections > 0 {
		more += fmt.Sprintf(", max-connections: %d", s.MaxConnections)
	}
	switch {
	case s.DrainFor > 0:
		more += ", drain-for: " + settings.DurationText(s.DrainFor)
	case s.Drain:
		more += ", drain: true"
	}
	if s.OverTLS != nil {
		more += ", tls: " + s.OverTLS.text(p.path)
	}
	p.line(3, "- {address: %s, weight: %d%s}", quote(s.Name), s.Weight, more)
}
