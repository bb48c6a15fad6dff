package demo

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Options says what to start. Its zero value is the demo as documented.
type Options struct {
	// Backends is how many HTTP servers to start, 1 to 16; 0 means 2.
	Backends int
	// Push is the interval at which each backend sends a message of its own to
	// its members, 10 ms to 1 h; 0 means 2 s.
	Push time.Duration
	// MaxPeople bounds the tunnels of all backends together, 1 to 100,000; 0
	// means 1,000. One more gets 503.
	MaxPeople int
	// Logger receives one line per start and end at info level, and one per
	// tunnel at debug level. The zero value is silent.
	Logger zerolog.Logger
}

// Demo is a running set of backends that share one room.
type Demo struct {
	room     *room
	backends []*backend
	log      zerolog.Logger
	stop     chan struct{} // closed by Close
	running  sync.WaitGroup
	once     sync.Once
}

// Start listens on one ephemeral loopback port per backend and serves them in
// goroutines of this process until [Demo.Close]. The error names the option
// that is out of range or the listener that could not be opened; then nothing
// is left running.
func Start(options Options) (*Demo, error) {
	if err := options.complete(); err != nil {
		return nil, err
	}
	d := &Demo{room: newRoom(options.MaxPeople), log: options.Logger, stop: make(chan struct{})}
	for i := range options.Backends {
		b, err := newBackend(backendName(i), d.room, options.Logger)
		if err != nil {
			d.Close()
			return nil, fmt.Errorf("demo: start %s: %w", backendName(i), err)
		}
		d.backends = append(d.backends, b)
		d.running.Go(b.serve)
		d.running.Go(func() { pushEvery(options.Push, d.stop, d.room, b.name) })
		d.log.Info().Str("backend", b.name).Stringer("address", b.address).Msg("demo backend listens")
	}
	return d, nil
}

// complete puts the defaults in and checks the ranges.
func (o *Options) complete() error {
	if o.Backends == 0 {
		o.Backends = 2
	}
	if o.Push == 0 {
		o.Push = 2 * time.Second
	}
	if o.MaxPeople == 0 {
		o.MaxPeople = 1000
	}
	switch {
	case o.Backends < 1 || o.Backends > 16:
		return fmt.Errorf("demo: %d backends: want 1 to 16", o.Backends)
	case o.Push < 10*time.Millisecond || o.Push > time.Hour:
		return fmt.Errorf("demo: push every %s: want 10ms to 1h", o.Push)
	case o.MaxPeople < 1 || o.MaxPeople > 100_000:
		return errors.New("demo: the room holds 1 to 100,000 people")
	}
	return nil
}

func backendName(i int) string { return fmt.Sprintf("demo-%d", i+1) }

// Addresses returns where the backends listen, in the order of their names
// (demo-1 first). The slice is the caller's.
func (d *Demo) Addresses() []netip.AddrPort {
	addresses := make([]netip.AddrPort, len(d.backends))
	for i, b := range d.backends {
		addresses[i] = b.address
	}
	return addresses
}

// Stats returns the counters of the room at this moment.
func (d *Demo) Stats() Stats { return d.room.snapshot() }

// Close ends every tunnel with close code 1001, stops the backends and waits
// for all goroutines of the demo: about a second where a peer does not answer
// the close. Calling it again only waits.
func (d *Demo) Close() {
	d.once.Do(func() {
		close(d.stop)
		d.room.close()
		for _, b := range d.backends {
			b.close()
		}
		s := d.Stats()
		d.log.Info().Uint64("tunnels", s.Joined).Uint64("messages", s.Messages).
			Uint64("slow_dropped", s.SlowDropped).Msg("demo ends")
	})
	for _, b := range d.backends {
		b.wait()
	}
	d.running.Wait()
}

// pushEvery is the server push of one backend; it returns when stop is closed.
func pushEvery(interval time.Duration, stop <-chan struct{}, r *room, backend string) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			r.push(backend, now)
		case <-stop:
			return
		}
	}
}
