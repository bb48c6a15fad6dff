package proxy

import (
	"slices"
	"time"

	"culvert/engine"
	"culvert/tls"
	"culvert/tls/tickets"

	"github.com/rs/zerolog"
)

const (
	// keeperPeriod is how often certificates and keys of tickets are looked at.
	keeperPeriod = time.Second
	// expiryPeriod is how often certificates that end soon are warned of.
	expiryPeriod = 24 * time.Hour
)

// wallClock is what certificates and tickets go by.
func wallClock() time.Time { return engine.Today() }

// newTicketRing makes the keys of session tickets.
func newTicketRing(file string) (*tickets.Ring, error) {
	return tickets.New(tickets.Options{Clock: wallClock, File: file})
}

// startWorkers starts the threads that handshakes run on, once something is spoken over TLS. s.mu is held.
func (s *Server) startWorkers(built *site) {
	threads := built.config.HandshakeThreads()
	if s.workers != nil || threads == 0 {
		return
	}
	s.workers = tls.NewWorkers(tls.WorkersOptions{Threads: threads, Handshakes: s.config.HandshakesMax})
}

// workersFor starts the workers for a configuration that is about to be adopted; false: the end has begun.
func (s *Server) workersFor(built *site) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != serverRunning {
		return false
	}
	s.startWorkers(built)
	return true
}

// stopWorkers ends them, and what is in flight with them.
func (s *Server) stopWorkers() {
	if s.workers != nil {
		s.workers.Stop()
	}
}

// HandshakeThreads returns on how many threads the TLS handshakes of the configuration run; 0: nothing is spoken over TLS.
func (c *Config) HandshakeThreads() int {
	secure := slices.ContainsFunc(c.Listeners, func(l ListenerConfig) bool { return l.TLS != nil }) ||
		slices.ContainsFunc(c.Groups, func(g GroupConfig) bool {
			return slices.ContainsFunc(g.Backends, func(b BackendConfig) bool { return b.TLS != nil })
		})
	switch {
	case !secure:
		return 0
	case c.TLSWorkers > 0:
		return c.TLSWorkers
	}
	return max(1, c.Loops/2)
}

// keeper keeps certificates and keys of tickets up to date.
type keeper struct {
	end, ended chan struct{}
}

func (s *Server) startKeeper() *keeper {
	k := &keeper{end: make(chan struct{}), ended: make(chan struct{})}
	// goroutine: keeper of certificates, ends when stop is called
	go k.run(s)
	return k
}

func (k *keeper) run(s *Server) {
	defer close(k.ended)
	ticker := time.NewTicker(keeperPeriod)
	defer ticker.Stop()
	warned := time.Time{}
	for {
		if now := wallClock(); now.Sub(warned) >= expiryPeriod {
			warned = now
			s.site.Load().warnOfCertificates(s.logs.Error, now)
		}
		select {
		case <-k.end:
			return
		case <-ticker.C:
		}
		if err := s.ring.Advance(); err != nil {
			s.logs.Error.Error().Err(err).Msg("the keys of session tickets stay as they are")
		}
		if s.reloading.TryLock() { // a reload takes what has changed anyway
			for _, l := range s.site.Load().tls {
				l.tend(s.logs.Error, wallClock())
			}
			s.reloading.Unlock()
		}
	}
}

func (k *keeper) stop() {
	close(k.end)
	<-k.ended
}

// tend loads certificates that have changed, and takes new keys of tickets.
func (l *listenerTLS) tend(log zerolog.Logger, now time.Time) {
	if l.Due(now) {
		loaded, err := l.Load(now)
		if err != nil {
			log.Error().Str("listener", l.Options().Name).Err(err).Msg("the certificates have changed and are not taken over: the old ones stay")
		} else {
			l.Adopt(loaded)
			log.Info().Str("listener", l.Options().Name).Int("certificates", len(l.Expiry())).Msg("the certificates have changed and are taken over")
			l.warn(log, now)
		}
	}
	l.Refresh()
}

// warn says what people should know of the certificates.
func (l *listenerTLS) warn(log zerolog.Logger, now time.Time) {
	for _, w := range l.Warnings(now) {
		log.Warn().Str("listener", l.Options().Name).Str("file", w.File).Msg(w.Text)
	}
}

func (s *site) warnOfCertificates(log zerolog.Logger, now time.Time) {
	for _, l := range s.tls {
		l.warn(log, now)
	}
}
