//go:build linux

// Package tickets keeps the keys of session tickets: they change with time, machines can share them, and a ticket never
// resumes a session under another context than the one in which it was issued.
//
//	ring, err := tickets.New(tickets.Options{Clock: clock})
//	binding := ring.Bind(config, tickets.Context{Listener: "192.0.2.1:443", Certificates: set.ID, Policy: "modern"})
//	...
//	ring.Advance() // about once a second
//	binding.Refresh()
//
// # What a ticket is bound to
//
// To the context: the keys that crypto/tls is given are derived (HKDF, RFC 5869) from the ring's secret and everything
// that a full handshake would have checked. To the name that the client asked for (RFC 6066, section 3), which is inside
// the ticket. And to its age: a session is resumed for Options.Lifetime after its full handshake (TLS 1.2) or its last
// resumption (TLS 1.3, where each makes new secrets). Whatever does not fit leads to a full handshake, never to an error.
//
// crypto/tls tells clients of TLS 1.3 a lifetime of 7 days, which cannot be changed: they offer tickets that are too old,
// and perform a full handshake.
package tickets

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"culvert/tls/internal/files"
)

const (
	// DefaultRotation is how long one key makes new tickets.
	DefaultRotation = 8 * time.Hour
	// DefaultLifetime is how long a session can be resumed.
	DefaultLifetime = 300 * time.Second
	// clockSkew is how far the clocks of machines that share a file may differ: a key is accepted that much longer.
	clockSkew = time.Minute
)

// Options are what a ring needs to know. The zero value of all but Clock is sensible.
type Options struct {
	Clock    func() time.Time // required; also gives sessions their age
	Rotation time.Duration    // DefaultRotation; of no meaning with a file
	Lifetime time.Duration    // DefaultLifetime
	File     string           // keys shared between machines; none: the ring makes its own
}

// A Key makes new tickets from a moment on, until the next one's comes.
type Key struct {
	from   time.Time
	secret [32]byte
}

// String tells the key's time and keeps its secret, also from whoever prints what holds it.
func (k Key) String() string { return "key of " + k.from.UTC().Format(time.RFC3339) }

// GoString is String.
func (k Key) GoString() string { return k.String() }

// A generation is the keys of one moment, immutable: the first makes new tickets, all are accepted.
type generation struct{ keys []Key }

// A Ring holds the keys. Bindings may be made and used concurrently with Advance, which is for one caller.
type Ring struct {
	options Options
	present atomic.Pointer[generation]
	all     []Key // in the order of their times; owned by the caller of Advance
	watch   *files.Watch
}

// New makes a ring with a random key, or with those of the file.
func New(o Options) (*Ring, error) {
	if o.Clock == nil {
		return nil, errors.New("session tickets need a clock")
	}
	if o.Rotation == 0 {
		o.Rotation = DefaultRotation
	}
	if o.Lifetime == 0 {
		o.Lifetime = DefaultLifetime
	}
	r := &Ring{options: o}
	now := o.Clock()
	if o.File != "" {
		r.watch = files.NewWatch([]string{o.File}, nil, nil)
		keys, err := readFile(o.File)
		if err != nil {
			return nil, err
		}
		r.all = keys
	} else {
		r.all = []Key{newKey(now)}
	}
	r.publish(now)
	return r, nil
}

// newKey makes a random key.
func newKey(from time.Time) Key {
	k := Key{from: from}
	_, _ = rand.Read(k.secret[:]) // never fails
	return k
}

// Now tells the time of the ring's clock.
func (r *Ring) Now() time.Time { return r.options.Clock() }

// Advance makes a new key when the time has come, reads the file again when it has changed, and forgets keys that are too
// old. Call it about once a second, and refresh the bindings after it. An error keeps the keys as they are.
func (r *Ring) Advance() error {
	now := r.options.Clock()
	var err error
	if r.watch != nil {
		if r.watch.Changed() {
			err = r.Reload()
		}
	} else if last := r.all[len(r.all)-1].from; now.Sub(last) >= r.options.Rotation {
		r.all = append(r.all, newKey(now))
	}
	r.publish(now)
	return err
}

// Reload reads the file now. An error keeps the keys as they are.
func (r *Ring) Reload() error {
	if r.watch == nil {
		return nil
	}
	r.watch.Take()
	keys, err := readFile(r.options.File)
	if err != nil {
		return fmt.Errorf("the ticket keys stay as they are: %w", err)
	}
	r.all = keys
	r.publish(r.options.Clock())
	return nil
}

// publish makes the generation of a moment the present one, if it is another. The key in use is the last whose time has
// come; if none has, the first, since some key there must be. Accepted are those whose successor has been in use for no
// longer than a session lives, and those of the future, which a machine whose clock is ahead may use already.
func (r *Ring) publish(now time.Time) {
	current := 0
	for i, k := range r.all {
		if !k.from.After(now) {
			current = i
		}
	}
	oldest := current
	for oldest > 0 && now.Sub(r.all[oldest].from) <= r.options.Lifetime+clockSkew {
		oldest--
	}
	if r.watch == nil {
		r.all = slices.Clone(r.all[oldest:]) // the secrets of a file are on disk anyway, and its order is kept
		current -= oldest
		oldest = 0
	}
	next := &generation{keys: []Key{r.all[current]}}
	next.keys = append(next.keys, r.all[current+1:]...)
	for i := current - 1; i >= oldest; i-- {
		next.keys = append(next.keys, r.all[i])
	}
	if old := r.present.Load(); old == nil || !slices.Equal(old.keys, next.keys) {
		r.present.Store(next)
	}
}
