package discovery

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Kind is what a Source is.
type Kind uint8

const (
	// Addresses: a name with A and AAAA records, or in the hosts file; or a literal address.
	Addresses Kind = iota
	// Services: a name with SRV records, such as "_ws._tcp.app.example", whose ports, weights and priorities count.
	Services
	// File: a file with a list (ParseFile).
	File
)

// Source is where endpoints come from. Sources that are equal are one.
type Source struct {
	Kind Kind
	// Name is what is asked for, or the file. A name with a dot in it is absolute first, then tried with the search list
	// of resolv.conf; one without is tried with the search list first; one that ends in a dot is absolute.
	Name string
	// Port and Weight are those of all Addresses: 1 to 65,535, and 0 to MaxWeight. Services and files have their own.
	Port   uint16
	Weight int
}

// Update is what has become of a source.
type Update struct {
	Source Source
	// Set is what is believed. Set.Since tells how it differs from the one before.
	Set Set
	// Known is false as long as nothing has been found out; Set is empty then, for want of anything better.
	Known bool
	// Warning says why Set may not be what the source says now, for people. Empty: it is.
	Warning string
}

// Options say how sources are watched. Zero values stand for what is said of each field.
type Options struct {
	// Clock returns nanoseconds of the monotonic clock. Required.
	Clock func() int64
	// Notify is told of each source at first, once it has been asked for the first time, and whenever something changes.
	// It is called by one goroutine, which waits for it. Required.
	Notify func(Update)

	// Servers are asked in place of those in ResolvConf.
	Servers []netip.AddrPort
	// ResolvConf and Hosts are the system's files. Empty: /etc/resolv.conf and /etc/hosts.
	ResolvConf, Hosts string
	// Exchange asks a server. nil: over the network.
	Exchange Exchange

	// Floor and Ceiling bound how long an answer holds, whatever its TTL. 1 to 300 s, 1 s to 1 h. 0: 5 s and 300 s.
	Floor, Ceiling time.Duration
	// Confirmations is how often in a row it must be said that a name does not exist or has no records until that is
	// believed, and ConfirmOver over how long at least. 1 to 100, up to 1 h. 0: 3 and 30 s. Negative: at once.
	Confirmations int
	ConfirmOver   time.Duration
	// Workers bounds how many sources are asked at a time. 1 to 64. 0: 8.
	Workers int
}

// limits returns the options with their defaults.
func (o *Options) limits() limits {
	l := limits{floor: 5 * second, ceiling: 300 * second, confirmations: 3, confirmOver: 30 * second}
	if o.Floor != 0 {
		l.floor = int64(o.Floor)
	}
	if o.Ceiling != 0 {
		l.ceiling = int64(o.Ceiling)
	}
	if o.Confirmations != 0 {
		l.confirmations = max(o.Confirmations, 1)
	}
	if o.ConfirmOver != 0 {
		l.confirmOver = max(int64(o.ConfirmOver), 0)
	}
	return l
}

// validate reports the first option that is out of its range.
func (o *Options) validate() error {
	if o.Clock == nil || o.Notify == nil {
		return errors.New("discovery: no clock, or nobody to notify")
	}
	l := o.limits()
	switch {
	case l.floor < second || l.floor > 300*second:
		return fmt.Errorf("the shortest time that an answer of DNS holds is 1 to 300 s, not %v", o.Floor)
	case l.ceiling < l.floor || l.ceiling > 3600*second:
		return fmt.Errorf("the longest time that an answer of DNS holds is the shortest to 1 h, not %v", o.Ceiling)
	case l.confirmations > 100:
		return fmt.Errorf("that a name does not exist is confirmed 1 to 100 times, not %d", o.Confirmations)
	case l.confirmOver > 3600*second:
		return fmt.Errorf("that a name does not exist is confirmed over up to 1 h, not %v", o.ConfirmOver)
	case o.Workers < 0 || o.Workers > 64:
		return fmt.Errorf("sources are asked by 1 to 64 workers, not %d", o.Workers)
	}
	return nil
}

// Validate reports what is wrong with the source.
func (s *Source) Validate() error {
	if s.Kind > File {
		return errors.New("a source is addresses, services or a file")
	}
	if s.Kind == File {
		if s.Name == "" {
			return errors.New("a source has no file")
		}
		return nil
	}
	if _, err := netip.ParseAddr(s.Name); err == nil && s.Kind == Services {
		return fmt.Errorf("%s is an address, and has no services", s.Name)
	} else if err != nil && !validName(s.Name) {
		return fmt.Errorf("%q is not a name: letters, digits, - and _ between dots, 253 bytes at most", s.Name)
	}
	if s.Kind == Addresses && (s.Port == 0 || s.Weight < 0 || s.Weight > MaxWeight) {
		return fmt.Errorf("%s: a port is 1 to 65535, a weight 0 to %d", s.Name, MaxWeight)
	}
	return nil
}
