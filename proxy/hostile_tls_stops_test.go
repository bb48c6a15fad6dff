package proxy_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/proxytest"
	"culvert/proxy/proxytest/authority"
)

// T02: handshakes that stop at any byte, and then say nothing, finish, or reset. The proxy is a process of its own, so that
// its goroutines and descriptors can be counted.

const (
	// stopTimeout is what a handshake may take.
	stopTimeout = 300 * time.Millisecond
	// stopAtLeast is what it is left, by the client's clock: the proxy's counts from the begin of the turn that accepts it
	// among many others.
	stopAtLeast = stopTimeout / 2
)

// stopWays are what becomes of a handshake that stops.
var stopWays = []string{"silence", "FIN", "reset"}

// errStopped ends a client that has sent as much as it was to.
var errStopped = errors.New("stopped")

// stop is a handshake that stops behind so many bytes of the client's.
type stop struct {
	after int
	way   string
}

// stopper makes handshakes stop.
type stopper struct {
	proxy  netip.AddrPort
	config *tls.Config
	hello  string // the first flight
	length int    // of all flights, in bytes
}

func handshakesThatStop(t *testing.T, version uint16) {
	ca := authority.New(t, "Servers")
	timeouts := proxy.DefaultTimeouts()
	timeouts.TLSHandshake = stopTimeout
	p := startProxy(t, childSettings{
		Backends: []netip.AddrPort{proxytest.Refuses(t)}, Loops: 2, Timeouts: timeouts,
		TLS: &proxy.ListenerTLS{Certificates: certificatesOf(ca.Issue(authority.Leaf{Names: []string{securedName}}))},
	})
	s := &stopper{proxy: p.address, config: (&secured{ca: ca}).config(version)}
	s.hello = helloOf(t, s.config)
	s.length = s.measure(t)
	p.until("the first one is gone", func(s samples) bool { return s.sum("culvert_client_connections_active") == 0 })
	before := p.scrape()
	count := s.run(t)
	after := p.until("nothing is left", func(now samples) bool {
		for _, name := range []string{
			"culvert_tls_handshakes_active", "culvert_tls_handshakes_waiting", "culvert_client_connections_active", "culvert_timers",
			"culvert_exchanges_active", "culvert_lingering_closes_active", "culvert_buffer_bytes",
		} {
			if now.sum(name) != 0 {
				return false
			}
		}
		return now.sum("go_goroutines") <= before.sum("go_goroutines") && now.sum("process_open_fds") <= before.sum("process_open_fds")
	})
	if n := after.sum("culvert_tls_handshakes_total", `result="done"`) - before.sum("culvert_tls_handshakes_total", `result="done"`); n != 0 {
		t.Errorf("%v handshakes succeeded", n)
	}
	t.Logf("figure: %d handshakes of %d bytes stopped; %v had begun; at most %v bytes were held, and %v goroutines are left of %v", count, s.length,
		after.sum("culvert_tls_handshakes_total")-before.sum("culvert_tls_handshakes_total"), after.most("culvert_buffer_peak_bytes"),
		after.sum("go_goroutines"), before.sum("go_goroutines"))
}

// measure returns how many bytes a client sends in a handshake that succeeds.
func (s *stopper) measure(t *testing.T) int {
	t.Helper()
	sent := 0
	raw := s.dial(t)
	defer func() { _ = raw.Close() }()
	w := &wire{TCPConn: raw}
	w.write = func(p []byte) error {
		sent += len(p)
		_, err := raw.Write(p)
		return err
	}
	if err := tls.Client(w, s.config).Handshake(); err != nil {
		t.Fatal(err)
	}
	return sent
}

// run makes a handshake stop at each byte in each way, several at once, and returns how many it were.
func (s *stopper) run(t *testing.T) int {
	t.Helper()
	stops := make(chan stop)
	var busy sync.WaitGroup
	for range stopsAtOnce {
		busy.Go(func() {
			for one := range stops {
				begin := time.Now()
				if err := s.play(t, one); err != nil && time.Since(begin) < stopAtLeast { // else the proxy was first, on a busy machine
					t.Errorf("stopped after %d of %d bytes by %s: %v", one.after, s.length, one.way, err)
				}
			}
		})
	}
	count := 0
	for range stopsPerByte {
		for after := range s.length {
			for _, way := range stopWays {
				stops <- stop{after, way}
				count++
			}
		}
	}
	close(stops)
	busy.Wait()
	return count
}

// play has one handshake stop, and waits for the proxy to end it.
func (s *stopper) play(t *testing.T, one stop) error {
	begin := time.Now()
	raw := s.dial(t)
	defer func() { _ = raw.Close() }()
	if one.after <= len(s.hello) {
		if _, err := io.WriteString(raw, s.hello[:one.after]); err != nil {
			return err
		}
	} else if err := s.playOn(raw, one.after); err != nil {
		return err
	}
	switch one.way {
	case "reset":
		return raw.SetLinger(0)
	case "FIN":
		if err := raw.CloseWrite(); err != nil && !isReset(err) {
			return err
		}
	}
	_, err := io.Copy(io.Discard, raw) // until the proxy ends it
	if isReset(err) {
		err = nil
	}
	switch took := time.Since(begin); {
	case one.way == "silence" && took < stopAtLeast:
		return fmt.Errorf("it was ended after %v, want %v", took, stopTimeout)
	case took > proxytest.Patience:
		t.Errorf("a handshake was ended after %v, want %v", took, stopTimeout)
	}
	return err
}

// playOn goes as far as its number of bytes reaches.
func (s *stopper) playOn(raw *net.TCPConn, after int) error {
	w := &wire{TCPConn: raw}
	left := after
	w.write = func(p []byte) error {
		n := min(left, len(p))
		left -= n
		if _, err := raw.Write(p[:n]); err != nil {
			return err
		}
		if left == 0 {
			return errStopped
		}
		return nil
	}
	err := tls.Client(w, s.config).Handshake()
	if errors.Is(err, errStopped) {
		err = nil
	}
	return err
}

func (s *stopper) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", s.proxy.String(), proxytest.Patience)
	if err != nil {
		t.Error(err)
		return new(net.TCPConn)
	}
	_ = c.SetDeadline(time.Now().Add(2 * proxytest.Patience))
	return c.(*net.TCPConn)
}

func stopTests() []hostileTest {
	var tests []hostileTest
	for name, version := range bothVersions {
		tests = append(tests, hostileTest{"T02/" + name, func(t *proxytest.T) { handshakesThatStop(t.T, version) }})
	}
	return tests
}
