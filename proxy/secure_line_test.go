package proxy_test

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// Handshakes that wait for others.

// withPlain adds a plain listener to the same group; its address is the second.
func withPlain(c *proxy.Config) {
	c.Listeners = append(c.Listeners, proxy.ListenerConfig{Address: netip.MustParseAddrPort("127.0.0.1:0"), Group: proxy.DefaultGroup})
}

// stall has a client begin a handshake that counts, and go silent.
func (s *secured) stall() *proxytest.Conn {
	s.t.Helper()
	c := s.Dial(s.t)
	c.Send(helloOf(s.t, s.config(tls.VersionTLS13)))
	return c
}

// serving answers every request of the backend.
func (s *secured) serving() {
	s.backend.Serve(func(c *proxytest.Conn) {
		for c.TryReadHead() {
			c.Send("HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
}

// TestSilentClientsDoNotKeepOthersOut: as many as may begin a handshake do, and say nothing more. Who comes then is served
// within seconds, for which those who are silent are given up; plain listeners notice nothing.
func TestSilentClientsDoNotKeepOthersOut(t *testing.T) {
	t.Parallel()
	const most, others, roundTrip = 2, 6, 40 * time.Millisecond
	s := startSecured(t, func(c *proxy.Config) {
		c.HandshakesMax, c.KeepAliveRequests = most, 10
		withPlain(c)
	})
	s.serving()
	var silent []*proxytest.Conn
	for range most {
		silent = append(silent, s.stall())
	}
	s.WaitMetric(t, most, "culvert_tls_handshakes_active")
	begin := time.Now()
	clients := make(chan error, others)
	for range others {
		c := s.client(s.config(tls.VersionTLS13))
		c.wire.write = func(p []byte) error {
			<-time.After(roundTrip)
			return c.raw.TrySend(string(p))
		}
		go func() {
			err := c.Handshake()
			if err == nil {
				_, err = c.Write([]byte(getSecured))
			}
			if err == nil {
				_, err = c.Read(make([]byte, 1))
			}
			clients <- err
		}()
	}
	proxytest.Eventually(t, "somebody waits", func() bool { return s.Metric(t, "culvert_tls_handshakes_waiting") > 0 })
	suspended := s.Metric(t, "culvert_accept_suspensions_total")
	plainly := proxytest.Dial(t, s.Server().Addresses()[1])
	plainly.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	plainly.ReadHead()
	plainTook := time.Since(begin)
	plainly.Close()
	for range others {
		if err := <-clients; err != nil {
			t.Errorf("a client that says what it has to is not served: %v", err)
		}
	}
	took := time.Since(begin)
	t.Logf("served over TLS in %v, in clear in %v", took, plainTook)
	if took > 3*time.Second || suspended == 0 {
		t.Errorf("others were served after %v; accepting was suspended %v times", took, suspended)
	}
	for _, c := range silent {
		c.ReadUntilGone()
	}
	s.WaitMetric(t, most, "culvert_tls_handshakes_shed_total")
	for range most {
		s.WaitLog(t, func(l proxytest.Line) bool {
			return l.Text("reason") == "tls-handshake-timeout" && l.Text("detail") == "handshakes-max"
		})
	}
	s.WaitMetric(t, 0, "culvert_tls_handshakes_waiting")
	s.askServing(t)
}

// askServing sends a request on a new connection, to a backend that serves.
func (s *secured) askServing(t *testing.T) {
	t.Helper()
	c := s.connect(tls.VersionTLS12)
	c.send(getSecured)
	if head := c.readHead(); !strings.HasPrefix(head, "HTTP/1.1 204 ") {
		t.Errorf("the client gets %q", head)
	}
	_ = c.Close()
}

// TestWaitingClientsThatLeave give their places up, and those behind them do not wait for that.
func TestWaitingClientsThatLeave(t *testing.T) {
	t.Parallel()
	s := startSecured(t, func(c *proxy.Config) { c.HandshakesMax, c.Timeouts.TLSHandshake = 1, 400*time.Millisecond })
	s.serving()
	var all []*proxytest.Conn
	for range 20 {
		all = append(all, s.stall())
	}
	proxytest.Eventually(t, "somebody waits", func() bool { return s.Metric(t, "culvert_tls_handshakes_waiting") > 0 })
	for _, c := range all {
		c.Reset()
	}
	s.askServing(t)
	s.WaitMetric(t, 0, "culvert_tls_handshakes_waiting")
	s.WaitMetric(t, 0, "culvert_tls_handshakes_active")
	s.WaitMetric(t, 0, "culvert_client_connections_active")
	s.backend.Close()
	s.wantNothingLeft()
}

// TestStalledBackendsDoNotKeepClientsOut: handshakes with backends are bounded apart from those with clients, and who waits
// for one does not keep clients of another from theirs.
func TestStalledBackendsDoNotKeepClientsOut(t *testing.T) {
	t.Parallel()
	const most = 2
	stalled := proxytest.NewBackend(t)
	stalled.Serve(func(c *proxytest.Conn) { c.ReadUntilGone() })
	s := startSecured(t, func(c *proxy.Config) {
		c.HandshakesMax, c.KeepAliveRequests, c.Timeouts.Connect = most, 10, 2*time.Second
		c.Groups = append(c.Groups, proxy.GroupConfig{Name: "stalled", Backends: []proxy.BackendConfig{{
			Name: "stalled", Address: stalled.Address(), Weight: 1, TLS: &proxy.BackendTLS{ServerName: "x", Insecure: true},
		}}})
		withPlain(c)
		c.Listeners[1].Group = "stalled"
	})
	s.serving()
	for range 2 * most {
		c := proxytest.Dial(t, s.Server().Addresses()[1])
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		defer c.Close()
	}
	s.WaitMetric(t, most, "culvert_tls_handshakes_active")
	proxytest.Eventually(t, "requests wait for their handshakes with the backend", func() bool {
		return s.Metric(t, "culvert_tls_handshakes_waiting") == most
	})
	begin := time.Now()
	s.askServing(t)
	if took := time.Since(begin); took > time.Second {
		t.Errorf("a client waited %v for handshakes with a backend that have nothing to do with it", took)
	}
}

// TestManyClientsAtOnce: more than may have their handshakes at once, all of whom go on, are served one after the other,
// and nobody is given up.
func TestManyClientsAtOnce(t *testing.T) {
	t.Parallel()
	const most, clients = 3, 60
	s := startSecured(t, func(c *proxy.Config) { c.HandshakesMax, c.KeepAliveRequests, c.Loops = most, 10, 2 })
	s.serving()
	done := make(chan error, clients)
	for i := range clients {
		c := s.client(s.config([]uint16{tls.VersionTLS12, tls.VersionTLS13}[i%2]))
		go func() {
			err := c.Handshake()
			if err == nil {
				_, err = c.Write([]byte(getSecured))
			}
			answer := make([]byte, 12)
			if err == nil {
				_, err = c.Read(answer)
			}
			if err == nil && string(answer) != "HTTP/1.1 204" {
				err = fmt.Errorf("got %q", answer)
			}
			done <- err
		}()
	}
	for range clients {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := s.Metric(t, "culvert_tls_handshakes_shed_total"); n > 0 {
		t.Errorf("%v handshakes were given up", n)
	}
	if s.Metric(t, "culvert_tls_handshakes_waited_total") == 0 {
		t.Log("nobody had to wait")
	}
	s.WaitMetric(t, 0, "culvert_tls_handshakes_waiting")
}
