//go:build linux

package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A Match says how a name was found.
type Match int

// From the best to none.
const (
	Exact    Match = iota + 1 // a certificate holds the name
	Narrow                    // a certificate holds the wildcard that stands for the name's first label
	Wide                      // a certificate holds a wildcard of a domain further up: no match by RFC 6125
	Fallback                  // none does: the default
	Refused                   // none does, and the store is strict
)

// A Set is what is shown to those who ask for a name: certificates with keys of different kinds, the preferred first. Sets
// with the same members are one. It is immutable.
type Set struct {
	ID           [sha256.Size]byte // a hash of the certificates: tells sets apart, also of other stores and processes
	Certificates []*Certificate
}

// Choose returns the first certificate that the client supports; if it supports none, the first of all, with which
// crypto/tls will find the right alert.
func (s *Set) Choose(hello *tls.ClientHelloInfo) *Certificate {
	if len(s.Certificates) > 1 {
		anonymous := *hello
		anonymous.ServerName = "" // the name has been judged already, and the default is not for it
		for _, c := range s.Certificates {
			if anonymous.SupportsCertificate(&c.tls) == nil {
				return c
			}
		}
	}
	return s.Certificates[0]
}

// A Store is a loaded set of certificates. It is immutable.
type Store struct {
	all       []*Certificate
	exact     map[string]*Set
	wild      map[string]*Set // by what stands behind "*."
	addresses map[netip.Addr]*Set
	first     *Set
	sets      []*Set
	strict    bool
	warnings  []Warning
}

// build makes the store of what was loaded: at least one certificate.
func (b *builder) build() *Store {
	s := &Store{
		all: b.loaded, strict: b.strict,
		exact: map[string]*Set{}, wild: map[string]*Set{}, addresses: map[netip.Addr]*Set{},
	}
	byName := map[string][]*Certificate{}
	var names []string // in the order of their appearance, and so are warnings
	for _, c := range b.loaded {
		for _, name := range c.Names {
			if byName[name] == nil {
				names = append(names, name)
			}
			if !slices.Contains(byName[name], c) {
				byName[name] = append(byName[name], c)
			}
		}
	}
	known, warned := map[[sha256.Size]byte]*Set{}, map[[2]*Certificate]bool{}
	for _, name := range names {
		set := intern(known, b.prefer(name, byName[name], warned))
		if parent, ok := strings.CutPrefix(name, "*."); ok {
			s.wild[parent] = set
			continue
		}
		s.exact[name] = set
		if a, err := netip.ParseAddr(name); err == nil {
			s.addresses[a] = set
		}
	}
	if first := b.loaded[0]; len(first.Names) == 0 {
		s.first = intern(known, []*Certificate{first})
	} else {
		s.first = intern(known, b.prefer(first.Names[0], byName[first.Names[0]], warned))
	}
	s.sets = slices.Collect(maps.Values(known))
	s.warnings = b.warnings
	return s
}

// prefer keeps one certificate per kind of key, the one that lasts longest, and puts them in order.
func (b *builder) prefer(name string, all []*Certificate, warned map[[2]*Certificate]bool) []*Certificate {
	var kept []*Certificate
	for _, c := range all {
		i := slices.IndexFunc(kept, func(k *Certificate) bool { return k.rank == c.rank })
		if i < 0 {
			kept = append(kept, c)
			continue
		}
		winner, loser := kept[i], c
		if c.Leaf.NotAfter.After(winner.Leaf.NotAfter) {
			winner, loser = c, kept[i]
		}
		kept[i] = winner
		if pair := [2]*Certificate{winner, loser}; !warned[pair] {
			warned[pair] = true
			b.warn(loser.File, "it is not used for %s: %s has the same kind of key and lasts at least as long", name, winner.File)
		}
	}
	slices.SortStableFunc(kept, func(x, y *Certificate) int { return x.rank - y.rank })
	return kept
}

// intern returns the one set of the members.
func intern(known map[[sha256.Size]byte]*Set, members []*Certificate) *Set {
	h := sha256.New()
	for _, c := range members {
		h.Write(c.Fingerprint[:])
	}
	var id [sha256.Size]byte
	h.Sum(id[:0])
	if known[id] == nil {
		known[id] = &Set{ID: id, Certificates: members}
	}
	return known[id]
}

// Lookup finds what is shown for a name, in any case. It does not consider strictness: Wide and Fallback come with a set
// too. It allocates nothing.
func (s *Store) Lookup(name string) (*Set, Match) {
	if set := s.exact[name]; set != nil {
		return set, Exact
	}
	var buffer [maxName]byte
	n, ok := fold(&buffer, name)
	if !ok {
		return s.first, Fallback
	}
	host := buffer[:n]
	if set := s.exact[string(host)]; set != nil {
		return set, Exact
	}
	if numeric(host) || len(s.wild) == 0 {
		return s.first, Fallback
	}
	for match := Narrow; ; match = Wide {
		dot := bytes.IndexByte(host, '.')
		if dot < 0 {
			return s.first, Fallback
		}
		host = host[dot+1:]
		if set := s.wild[string(host)]; set != nil {
			return set, match
		}
	}
}

// Select finds what is shown to a client. The set is nil, and the match Refused, if the store is strict and holds no
// certificate for it.
func (s *Store) Select(hello *tls.ClientHelloInfo) (*Set, Match) {
	set, match := s.first, Fallback
	if hello.ServerName != "" {
		set, match = s.Lookup(hello.ServerName)
	} else if len(s.addresses) > 0 && hello.Conn != nil {
		if a, ok := addressOf(hello.Conn.LocalAddr()); ok && s.addresses[a] != nil {
			set, match = s.addresses[a], Exact
		}
	}
	if s.strict && match > Narrow {
		return nil, Refused
	}
	return set, match
}

func addressOf(a net.Addr) (netip.Addr, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || tcp == nil {
		return netip.Addr{}, false
	}
	ip, ok := netip.AddrFromSlice(tcp.IP)
	return ip.Unmap(), ok
}

// GetCertificate is a hook for tls.Config, whose Certificates must be empty: when the hook returns neither a certificate
// nor an error, crypto/tls sends the alert unrecognized_name (RFC 6066, section 3).
func (s *Store) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	set, _ := s.Select(hello)
	if set == nil {
		return nil, nil
	}
	return &set.Choose(hello).tls, nil
}

// Certificates returns all, in the order in which they were loaded. Do not change it.
func (s *Store) Certificates() []*Certificate { return s.all }

// Sets returns every set that Select may return, in no order. Do not change it.
func (s *Store) Sets() []*Set { return s.sets }

// Default returns what is shown to those who ask for no name, or for one that nobody holds.
func (s *Store) Default() *Set { return s.first }

// Warnings returns what people should know of the files. Dates are not among them: see Expiring.
func (s *Store) Warnings() []Warning { return s.warnings }

// expiryWarning is how long before its end a certificate is warned of.
const expiryWarning = 30 * 24 * time.Hour

// Expiring warns of the certificates that end within 30 days or have ended. Ask at the start, after each reload and daily;
// the metric is Certificates()[i].Leaf.NotAfter.
func (s *Store) Expiring(now time.Time) []Warning {
	var out []Warning
	for _, c := range s.all {
		left := c.Leaf.NotAfter.Sub(now)
		switch {
		case left <= 0:
			out = append(out, Warning{c.File, fmt.Sprintf("the certificate %s has expired on %s", nameOf(c.Leaf), day(c.Leaf.NotAfter))})
		case left <= expiryWarning:
			out = append(out, Warning{c.File, fmt.Sprintf("the certificate %s expires in %d days, on %s", nameOf(c.Leaf), left/(24*time.Hour), day(c.Leaf.NotAfter))})
		}
	}
	return out
}

// An Expiry is the end of one certificate, for a metric.
type Expiry struct {
	File, Name, Kind string // Name is the first of the certificate's names
	NotAfter         time.Time
}

// Expiry returns the end of every certificate, in the order in which they were loaded.
func (s *Store) Expiry() []Expiry {
	out := make([]Expiry, 0, len(s.all))
	for _, c := range s.all {
		e := Expiry{File: c.File, Kind: c.Kind, NotAfter: c.Leaf.NotAfter}
		if len(c.Names) > 0 {
			e.Name = c.Names[0]
		}
		out = append(out, e)
	}
	return out
}
