package configfile

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
)

// Discovery is a source of servers. The file is as the configuration names it.
type Discovery struct {
	place
	proxy.Discovery
	// HTTPS has them spoken to so.
	HTTPS bool

	filePlace, httpsPlace place
}

const (
	// MaxResolvers bounds the resolvers of one source.
	MaxResolvers     = 16
	resolversAllowed = "addresses such as 10.0.0.2 or [2001:db8::2]:5353; without a port, 53"
	listAllowed      = "a file with a list of servers"
	dnsPort          = 53
	defaultMinTTL    = 5 * time.Second // of proxy.Discovery, where it has 0
	defaultMaxTTL    = 5 * time.Minute
)

// discoveryFields are the keys of a source.
var discoveryFields = sync.OnceValue(func() []field[Discovery] {
	return append([]field[Discovery]{
		rangeField("dns", "a name such as app.internal", textShape, "The addresses of this name are servers.", readDiscoveryName,
			func(to *Discovery, name string) { to.DNS, to.SRV = name, false }),
		rangeField("srv", "a name such as _http._tcp.app.internal", textShape, "The SRV records of this name say addresses, ports, weights, and by their priorities who is asked only where others cannot be.", readDiscoveryName,
			func(to *Discovery, name string) { to.DNS, to.SRV = name, true }),
		{
			key: "file", shape: textShape, allowed: listAllowed, help: "A list of servers, see below, which is looked at every second.",
			read: func(r *reader, n *node, to *Discovery) {
				to.filePlace = n.place
				text, ok := r.text(n)
				if !ok {
					return
				}
				name, err := settings.Decode[settings.ConfigFile]("config", text)
				reason, _ := settings.Reasons(err)
				if err == nil && name == "" {
					reason = "without a file, leave discovery out"
				}
				if reason != "" {
					r.wrong(n, text, reason, listAllowed)
				}
				to.File = string(name)
			},
		},
		rangeField("port", portAllowed, countShape(1, 65535), "The port of the addresses that `dns` has. Required with it.", readPort, func(to *Discovery, port uint16) { to.Port = port }),
		countField("weight", settings.Range{Min: "0", Max: strconv.Itoa(settings.MaxWeight)}, "The weight of each server that `dns` has; 1, if none is given.", func(to *Discovery, n int) { to.Weight = n }),
		flagField("max-connections", "max-connections-per-backend", "Connections to each server, tunnels included; 0, if not given.", func(to *Discovery, n int) { to.MaxConnections = n }),
		{
			key: "https", shape: booleanShape, allowed: "true, false", help: "Speak to them by HTTPS, as the group's `tls` says; `false`, if not given.",
			read: func(r *reader, n *node, to *Discovery) {
				to.HTTPS, _ = r.boolean(n)
				to.httpsPlace = n.place
			},
		},
	}, resolverFields()...)
})

// resolverFields say how DNS is asked.
func resolverFields() []field[Discovery] {
	return []field[Discovery]{
		{
			key: "resolvers", shape: oneOrMore(textShape), allowed: resolversAllowed, help: "Asked in turn; those of /etc/resolv.conf, if none are given.",
			read: readResolvers,
		},
		durationField("min-ttl", settings.Range{Min: "1s", Max: "5m"}, "How long an answer holds at least; 5s, if not given.", func(to *Discovery, d time.Duration) { to.MinTTL = d }),
		durationField("max-ttl", settings.Range{Min: "1s", Max: "1h"}, "How long an answer holds at most; 5m, if not given.", func(to *Discovery, d time.Duration) { to.MaxTTL = d }),
	}
}

func readDiscoveryName(text string) (string, error) {
	if host, port, ok := strings.Cut(text, ":"); ok && settings.HostName(host) {
		if _, err := readPort(port); err == nil {
			return "", errors.New("the port has a key of its own here")
		}
	}
	return text, settings.WrongDiscoveryName(text)
}

func readResolvers(r *reader, n *node, to *Discovery) {
	if n.kind == list && len(n.items) == 0 {
		r.fail(n.place, "resolvers: an empty list; leave it out to ask those of /etc/resolv.conf")
	}
	if !r.bounded(n, len(n.items), MaxResolvers, "resolvers") {
		return
	}
	r.texts(n, func(item *node, text string) {
		address, err := netip.ParseAddrPort(text)
		if err != nil {
			var alone netip.Addr
			alone, err = netip.ParseAddr(text)
			address = netip.AddrPortFrom(alone, dnsPort)
		}
		if err != nil || address.Port() == 0 || address.Addr().IsUnspecified() {
			r.wrong(item, text, "not the address of a resolver", resolversAllowed)
			return
		}
		to.Resolvers = append(to.Resolvers, netip.AddrPortFrom(address.Addr().Unmap(), address.Port()))
	})
}

// discovery reads a source; nil: it is wrong.
func (r *reader) discovery(n *node) *Discovery {
	d := &Discovery{place: n.place, Discovery: proxy.Discovery{Weight: 1}}
	before := len(r.problems.Errors())
	values, ok := readMapping(r, n, discoveryFields(), d)
	if !ok || len(r.problems.Errors()) > before {
		return nil
	}
	var sources []string
	for _, key := range []string{"dns", "srv", "file"} {
		if values[key] != nil {
			sources = append(sources, key)
		}
	}
	switch {
	case len(sources) == 0:
		r.fail(n.place, "discovery: there is no source; it has one of dns, srv, file")
		return nil
	case len(sources) > 1:
		r.fail(values[sources[1]].place, "discovery: %s, and a group has one source; choose one of dns, srv, file", strings.Join(sources, " and "))
		return nil
	}
	r.checkSource(n, sources[0], values)
	least, most := d.MinTTL, d.MaxTTL
	if least == 0 {
		least = defaultMinTTL
	}
	if most == 0 {
		most = defaultMaxTTL
	}
	if least > most {
		r.fail(n.place, "discovery: min-ttl (%s) is more than max-ttl (%s)", settings.DurationText(least), settings.DurationText(most))
	}
	return d
}

// checkSource looks whether all that is said of a source is for one of that kind.
func (r *reader) checkSource(n *node, source string, values map[string]*node) {
	unused := map[string]string{"port": "SRV records have ports of their own", "weight": "SRV records have weights of their own"}
	switch source {
	case "dns":
		unused = nil
		if values["port"] == nil {
			r.fail(n.place, "discovery: dns has addresses; say by port which port of them")
		}
	case "file":
		const own = "each server in the file has its own"
		unused = map[string]string{"port": own, "weight": own, "resolvers": "a file is asked, and no resolver", "min-ttl": "a file is looked at every second", "max-ttl": "a file is looked at every second"}
	}
	for _, key := range keysOf(discoveryFields()) {
		if values[key] != nil && unused[key] != "" {
			r.fail(values[key].place, "%s: it is not for %s: %s", key, source, unused[key])
		}
	}
}

// name returns that of the servers' certificate, as far as the source tells; "": it does not.
func (d *Discovery) name() string {
	if d.DNS == "" || d.SRV {
		return ""
	}
	return strings.TrimSuffix(d.DNS, ".")
}

// text writes it as a file says it.
func (d *Discovery) text(path func(string) string) string {
	var parts []string
	switch {
	case d.File != "":
		parts = append(parts, "file: "+quote(path(d.File)))
	case d.SRV:
		parts = append(parts, "srv: "+quote(d.DNS))
	default:
		parts = append(parts, "dns: "+quote(d.DNS), fmt.Sprintf("port: %d, weight: %d", d.Port, d.Weight))
	}
	if d.MaxConnections > 0 {
		parts = append(parts, fmt.Sprintf("max-connections: %d", d.MaxConnections))
	}
	if d.HTTPS {
		parts = append(parts, "https: true")
	}
	var resolvers []string
	for _, address := range d.Resolvers {
		resolvers = append(resolvers, address.String())
	}
	if len(resolvers) > 0 {
		parts = append(parts, "resolvers: "+quoteList(resolvers))
	}
	for _, one := range []struct {
		key string
		ttl time.Duration
	}{{"min-ttl", d.MinTTL}, {"max-ttl", d.MaxTTL}} {
		if one.ttl != 0 {
			parts = append(parts, one.key+": "+settings.DurationText(one.ttl))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// discoveryOf translates the source that flags name; nil: none.
func discoveryOf(b *settings.Balancing) *Discovery {
	d, s := &Discovery{}, b.Discover
	switch s.Kind {
	case "":
		return nil
	case "file":
		d.File = s.Name
	case "srv":
		d.DNS, d.SRV = s.Name, true
	default:
		d.DNS, d.Port = s.Name, s.Port
	}
	d.Weight, d.MaxConnections = 1, b.MaxConnectionsPerBackend
	return d
}
