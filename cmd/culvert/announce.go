//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"culvert/proxy"
)

// fewTunnels is how many are worth a warning when no more fit: a machine's default limit of 1,024 descriptors.
const fewTunnels = 500

// warn tells of settings that are allowed and yet will surprise.
func (p *preparation) warn(siteInFile bool) {
	log := &p.service.logs.errors
	if bound, most := p.config.Limits.Connections, proxy.MaxTunnels(&p.config); bound > most {
		log.Warn().Int("max_connections", bound).Int("tunnels_max", most).Uint64("descriptors", p.descriptors).
			Msg("--max-connections is more than the limit of descriptors allows: raise that (ulimit -n, LimitNOFILE)")
	}
	if most := proxy.MaxTunnels(&p.config); most > 0 && most < fewTunnels {
		log.Warn().Int("tunnels_max", most).Uint64("descriptors", p.descriptors).
			Msg("the limit of descriptors leaves room for few tunnels: raise it (ulimit -n, LimitNOFILE)")
	}
	switch open := !p.admin.Off && p.admin.Path == "" && !p.admin.Address.Addr().IsLoopback(); {
	case open && p.service.tokenFile != "":
		log.Warn().Stringer("admin", p.admin.Address).Msg("the admin port is plain HTTP: anyone who reaches it can read the metrics, and whoever is in between the token")
	case open:
		log.Warn().Stringer("admin", p.admin.Address).Msg("the admin port asks for no password: anyone who reaches it can read the metrics")
	}
	if siteInFile {
		return // the file's warnings have told the rest, with its places
	}
	for _, g := range p.config.Groups {
		if g.Discovery == nil && !slices.ContainsFunc(g.Backends, func(b proxy.BackendConfig) bool { return b.Weight > 0 }) {
			log.Warn().Str("group", g.Name).Msg("every backend has weight 0: no request will be served")
		}
	}
}

// announce says what was started: in one line that programs can read, or in a few for people.
func (p *preparation) announce() {
	if p.service.logs.console {
		p.announceToPeople()
		return
	}
	backends := zerolog.Arr()
	for _, g := range p.config.Groups {
		for _, b := range g.Backends {
			backends.Dict(zerolog.Dict().Str("group", g.Name).Str("name", b.Name).Str("address", where(b)).Int("weight", b.Weight))
		}
	}
	listeners := zerolog.Arr()
	for _, address := range p.service.server.Addresses() {
		listeners.Str(address.String())
	}
	p.service.logs.errors.Info().Str("version", p.config.Version).Int("loops", p.config.Loops).
		Array("listeners", listeners).Array("backends", backends).Str("admin", p.service.adminAddress()).
		Uint64("descriptors", p.descriptors).Int("tunnels_max", proxy.MaxTunnels(&p.config)).
		Msg("ready")
}

func (p *preparation) announceToPeople() {
	log := &p.service.logs.errors
	log.Info().Msgf("Culvert %s, %s", p.config.Version, counted(p.config.Loops, "loop"))
	for n, address := range p.service.server.Addresses() {
		log.Info().Msgf("clients   %s", urlOf(&p.config.Listeners[n], address))
	}
	for _, g := range p.config.Groups {
		for _, b := range g.Backends {
			log.Info().Msg("backend   " + describeBackend(b))
		}
		if d := g.Discovery; d != nil {
			log.Info().Msg("backends  found " + describeDiscovery(d))
		}
	}
	if p.service.admin != nil {
		log.Info().Msgf("metrics   %s", p.service.admin.url("/metrics"))
	}
	log.Info().Msgf("room for  %d tunnels (%d descriptors)", proxy.MaxTunnels(&p.config), p.descriptors)
}

// adminAddress returns where the admin port is, or "off".
func (s *service) adminAddress() string {
	if s.admin == nil {
		return "off"
	}
	return s.admin.place()
}

// url returns where something of it is asked for; of a Unix socket, where that is.
func (a *adminServer) url(path string) string {
	if a.path != "" {
		return a.place()
	}
	return "http://" + forBrowser(a.address()) + path
}

// where returns a backend's address.
func where(b proxy.BackendConfig) string {
	if b.Path != "" {
		return "unix:" + b.Path
	}
	return b.Address.String()
}

func describeBackend(b proxy.BackendConfig) string {
	text := b.Name
	if address := where(b); !strings.Contains(text, address) {
		text += " at " + address
	}
	return fmt.Sprintf("%s, weight %d", text, b.Weight)
}

// describeDiscovery says where backends are found.
func describeDiscovery(d *proxy.Discovery) string {
	switch {
	case d.File != "":
		return "in " + d.File
	case d.SRV:
		return "by the SRV records of " + d.DNS
	}
	return fmt.Sprintf("at port %d of the addresses of %s", d.Port, d.DNS)
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// urlOf returns where a listener is reached that is bound to an address.
func urlOf(l *proxy.ListenerConfig, address netip.AddrPort) string {
	if l.TLS != nil {
		return "https://" + forBrowser(address)
	}
	return "http://" + forBrowser(address)
}

// forBrowser returns the address as one would type it on this machine.
func forBrowser(address netip.AddrPort) string {
	if address.Addr().IsUnspecified() {
		return fmt.Sprintf("localhost:%d", address.Port())
	}
	return address.String()
}
