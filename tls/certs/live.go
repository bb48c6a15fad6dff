//go:build linux

package certs

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"

	"culvert/tls/internal/files"
)

// Live is a store that can be replaced by a newer one while handshakes go on. Store and GetCertificate are safe for
// concurrent use; Due and Reload are for one caller.
type Live struct {
	source Source
	store  atomic.Pointer[Store]
	watch  *files.Watch
}

// Open loads a source.
func Open(source Source, now time.Time) (*Live, error) {
	l := &Live{source: source, watch: watch(source)}
	store, err := Load(source, now)
	if err != nil {
		return nil, err
	}
	l.store.Store(store)
	return l, nil
}

// Fixed makes a store that comes from no file live; it is never due, and a reload keeps it.
func Fixed(store *Store) *Live {
	l := &Live{watch: watch(Source{})}
	l.store.Store(store)
	return l
}

func watch(source Source) *files.Watch { return files.NewWatch(source.Files()) }

// Store returns the present store.
func (l *Live) Store() *Store { return l.store.Load() }

// GetCertificate is Store.GetCertificate of the present store.
func (l *Live) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return l.store.Load().GetCertificate(hello)
}

// Due reports whether it is time to reload: the files have changed and are not changing just now, or a staple is no longer
// current. Ask about once a second; nothing is read.
func (l *Live) Due(now time.Time) bool {
	changed := l.watch.Changed()
	return changed || l.Store().stale(now)
}

// Reload reads all files again. Any error keeps the store as it is, and says so; the files are then due when they change. A staple
// that is no longer current goes in either case.
func (l *Live) Reload(now time.Time) error {
	if len(l.source.Pairs)+len(l.source.Folders) == 0 {
		return nil
	}
	l.watch.Take()
	store, err := Load(l.source, now)
	if err != nil {
		if old := l.Store(); old.stale(now) {
			l.store.Store(old.withoutStale(now))
		}
		return fmt.Errorf("the certificates stay as they are: %w", err)
	}
	l.store.Store(store)
	return nil
}
