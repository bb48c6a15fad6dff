//go:build linux

// Package listener is the TLS side of an HTTPS listener as one thing: certificates, policy, clients' certificates and
// session tickets, put together for each handshake and replaced while handshakes go on.
//
//	l, err := listener.Open(listener.Options{Name: "192.0.2.1:443", Certificates: source}, ring, now)
//	conn := tls.New(tls.Options{Config: l.Config(), Local: local, ...})
//	...
//	if l.Due(now) { // about once a second
//		if loaded, err := l.Load(now); err == nil { // else everything stays as it is
//			l.Adopt(loaded)
//		}
//	}
//	l.Refresh() // when the ring has advanced
//
// # What decides a handshake
//
// The name that the client asks for, or without one the address that it has connected to, chooses a set of certificates
// (package certs). Each set has a configuration of its own, which is made when the files are loaded and does not change:
// tickets are bound to what is shown (package tickets), so each needs its own keys.
package listener

import (
	"crypto/sha256"
	standard "crypto/tls"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"culvert/tls"
	"culvert/tls/authorities"
	"culvert/tls/certs"
	"culvert/tls/clientauth"
	"culvert/tls/internal/files"
	"culvert/tls/policy"
	"culvert/tls/tickets"
)

// defaultProtocols are what ALPN chooses from.
var defaultProtocols = []string{"http/1.1"}

// renewal is how long before its end a self-signed certificate is replaced.
const renewal = 24 * time.Hour

// Options say what a listener shows and asks. They are not changed by the listener.
type Options struct {
	Name         string       // context of tickets: the listener's name or address, the same on all machines that share them
	Certificates certs.Source // where certificates come from
	SelfSigned   bool         // in place of Certificates: one that nobody has reason to trust
	Policy       string       // what is accepted, by its name; empty: policy.Default
	ClientCA     string       // a PEM file: clients are asked for a certificate that those have issued; empty: nobody is
	// ClientOptional lets clients without a certificate in.
	ClientOptional bool
	// Protocols are offered by ALPN, best first; none: http/1.1. A client that offers others only is refused
	// (RFC 7301 section 3.2), one that offers nothing is not.
	Protocols []string
}

// normal spells what means the same in one way.
func (o Options) normal() Options {
	if o.SelfSigned {
		o.Certificates = certs.Source{}
	}
	if o.Policy == "" {
		o.Policy = policy.Default
	}
	if o.ClientCA == "" {
		o.ClientOptional = false
	}
	if len(o.Protocols) == 0 {
		o.Protocols = defaultProtocols
	}
	return o
}

// Equal reports whether both mean the same. What the files hold does not count.
func (o Options) Equal(other Options) bool {
	a, b := o.normal(), other.normal()
	return a.Name == b.Name && a.SelfSigned == b.SelfSigned && a.Policy == b.Policy &&
		a.ClientCA == b.ClientCA && a.ClientOptional == b.ClientOptional && slices.Equal(a.Protocols, b.Protocols) &&
		a.Certificates.Strict == b.Certificates.Strict && slices.Equal(a.Certificates.Pairs, b.Certificates.Pairs) &&
		slices.Equal(a.Certificates.Folders, b.Certificates.Folders)
}

// watch takes note of the files as they are.
func (o Options) watch() *files.Watch {
	needed, optional, folders := o.normal().Certificates.Files()
	if o.ClientCA != "" {
		needed = append(needed, o.ClientCA)
	}
	return files.NewWatch(needed, optional, folders)
}

// A Listener is the TLS side of a listener. Adopt and Due are for one caller; everything else is safe for concurrent
// use.
type Listener struct {
	options Options
	ring    *tickets.Ring // nil: no tickets
	config  *tls.Config
	present atomic.Pointer[Loaded]
	watch   *files.Watch // owned by the caller of Adopt and Due
}

// Loaded is what the files held at one moment, ready for handshakes. It is immutable.
type Loaded struct {
	rules    *policy.Policy
	store    *certs.Store
	clients  *authorities.Bundle // nil: clients are not asked
	watch    *files.Watch        // taken before the files were read
	configs  map[*certs.Set]*standard.Config
	stranger *standard.Config // without a certificate, for clients that are refused for the name they ask for
	bindings []*tickets.Binding
}

// Open loads what the options name. The ring's clock also tells whether a client's certificate is valid. The ring may be
// nil: no session is resumed then, and the time is the system's. All problems are reported at once,
// each line beginning with the file that it is about.
func Open(o Options, ring *tickets.Ring, now time.Time) (*Listener, error) {
	l := &Listener{options: o, ring: ring}
	loaded, err := l.Load(now)
	if err != nil {
		return nil, err
	}
	l.Adopt(loaded)
	l.config = tls.FromStandard(l.outer(), true)
	return l, nil
}

// outer returns the configuration that looks at the client's hello and hands over to another.
func (l *Listener) outer() *standard.Config {
	return &standard.Config{GetConfigForClient: l.choose, SessionTicketsDisabled: true}
}

// Config returns the configuration for connections, in the role of a server. It is the same for life.
func (l *Listener) Config() *tls.Config { return l.config }

// Options returns what the listener was opened with.
func (l *Listener) Options() Options { return l.options }

// AsksClients reports whether clients are asked for a certificate.
func (l *Listener) AsksClients() bool { return l.options.ClientCA != "" }

// Load reads everything again and changes nothing. An error is like that of Open.
func (l *Listener) Load(now time.Time) (*Loaded, error) {
	watch := l.options.watch()
	rules, policyErr := policy.Lookup(l.options.normal().Policy)
	store, storeErr := l.loadStore(now)
	var clients *authorities.Bundle
	var clientsErr error
	if l.options.ClientCA != "" {
		clients, clientsErr = authorities.Load(l.options.ClientCA)
	}
	if err := errors.Join(policyErr, storeErr, clientsErr); err != nil {
		return nil, err
	}
	return l.compose(rules, store, clients, watch), nil
}

// loadStore returns the certificates. One that was made here is kept until its end is near.
func (l *Listener) loadStore(now time.Time) (*certs.Store, error) {
	if !l.options.SelfSigned {
		return certs.Load(l.options.Certificates, now)
	}
	if old := l.present.Load(); old != nil && !old.renewable(now) {
		return old.store, nil
	}
	return certs.SelfSigned(now)
}

// renewable reports whether a self-signed certificate is about to end.
func (p *Loaded) renewable(now time.Time) bool {
	return p.store.Certificates()[0].Leaf.NotAfter.Sub(now) < renewal
}

// compose makes a configuration for each set of certificates.
func (l *Listener) compose(rules *policy.Policy, store *certs.Store, clients *authorities.Bundle, watch *files.Watch) *Loaded {
	p := &Loaded{rules: rules, store: store, clients: clients, watch: watch, configs: map[*certs.Set]*standard.Config{}}
	p.stranger = l.inner(rules, clients)
	p.stranger.SessionTicketsDisabled = true
	for _, set := range store.Sets() {
		c := l.inner(rules, clients)
		c.GetCertificate = func(hello *standard.ClientHelloInfo) (*standard.Certificate, error) {
			return set.Choose(hello).TLS(), nil
		}
		p.configs[set] = c
		if l.ring == nil {
			c.SessionTicketsDisabled = true
			continue
		}
		context := tickets.Context{Listener: l.options.Name, Certificates: set.ID, ClientCA: idOf(clients), Policy: rules.Name}
		p.bindings = append(p.bindings, l.ring.Bind(c, context))
	}
	return p
}

// inner returns a configuration without certificates and without keys of tickets.
func (l *Listener) inner(rules *policy.Policy, clients *authorities.Bundle) *standard.Config {
	c := &standard.Config{
		NextProtos: slices.Clone(l.options.normal().Protocols),
		// See culvert/tls: no use to a tunnel, and up to 14 records where one would do.
		DynamicRecordSizingDisabled: true,
		Renegotiation:               standard.RenegotiateNever,
	}
	if l.ring != nil {
		c.Time = l.ring.Now
	}
	rules.Apply(c)
	if clients != nil {
		mode := clientauth.Require
		if l.options.ClientOptional {
			mode = clientauth.Optional
		}
		clientauth.Apply(c, clients, mode)
	}
	return c
}

func idOf(clients *authorities.Bundle) (id [sha256.Size]byte) {
	if clients != nil {
		id = clients.ID
	}
	return id
}

// choose is the hook of the outer configuration. It runs on workers.
func (l *Listener) choose(hello *standard.ClientHelloInfo) (*standard.Config, error) {
	p := l.present.Load()
	set, _ := p.store.Select(hello)
	if set == nil {
		return p.stranger, nil // crypto/tls says unrecognized_name, where the version and the suites fit
	}
	return p.configs[set], nil
}

// Adopt makes what was loaded by this listener decide about handshakes that begin from now on. Those under way, and
// connections, go on with what they have begun with.
func (l *Listener) Adopt(loaded *Loaded) {
	l.watch = loaded.watch
	l.present.Store(loaded)
	l.Refresh()
}

// Due reports whether it is time to load: files have changed and are not changing just now, or a self-signed
// certificate is about to end. Ask about once a second; nothing is read. Staples that are no longer current are let go
// of at once.
func (l *Listener) Due(now time.Time) bool {
	p := l.present.Load()
	if current := p.store.Current(now); current != p.store {
		l.present.Store(l.compose(p.rules, current, p.clients, p.watch))
	}
	changed := l.watch.Changed()
	return changed || l.options.SelfSigned && p.renewable(now)
}

// Refresh takes the ring's present keys. Where they have not changed it does next to nothing.
func (l *Listener) Refresh() {
	for _, b := range l.present.Load().bindings {
		b.Refresh()
	}
}

// Warnings tells what people should know of the files, and of dates that have come or are near. Ask at the start, after
// each Adopt and daily.
func (l *Listener) Warnings(now time.Time) []certs.Warning {
	p := l.present.Load()
	warnings := slices.Concat(p.store.Warnings(), p.store.Expiring(now))
	if p.clients != nil {
		for _, text := range p.clients.Warnings(now) {
			warnings = append(warnings, certs.Warning{File: l.options.ClientCA, Text: text})
		}
	}
	return warnings
}

// Expiry returns the end of every certificate that is shown, for a metric.
func (l *Listener) Expiry() []certs.Expiry { return l.present.Load().store.Expiry() }
