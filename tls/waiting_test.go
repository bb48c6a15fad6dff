package tls

import (
	"crypto/tls"
	"net"
	"net/netip"
	"testing"
)

// crowded returns an owner whose workers have no place left for one role: a handshake of it is in flight until the
// connection returned is abandoned.
func crowded(t *testing.T, server bool) (o *owner, stalled *Conn) {
	t.Helper()
	o = newOwner(t)
	o.workers = startWorkers(t, WorkersOptions{Handshakes: 1})
	stalled = o.openReady(server)
	o.wait("a flight", func() bool { return len(stalled.Pending()) > 0 })
	if !o.workers.Full(server) || o.workers.Full(!server) {
		t.Fatal("the other role is full, or this one is not")
	}
	return o, stalled
}

// openReady returns a connection whose handshake has begun if there was a place for it.
func (o *owner) openReady(server bool) *Conn {
	o.t.Helper()
	hello := helloOf(o.t)
	c := o.open(configOf(o.t, server, Version13))
	if server {
		c.Feed(hello)
	}
	return c
}

// leave abandons a connection and waits until its place is free.
func (o *owner) leave(c *Conn) {
	o.t.Helper()
	before := o.workers.Stats().InFlight
	c.Abandon()
	o.wait("a free place", func() bool { return o.workers.Stats().InFlight < before })
}

func eachRole(t *testing.T, test func(t *testing.T, server bool)) {
	for name, server := range map[string]bool{"server": true, "client": false} {
		t.Run(name, func(t *testing.T) { test(t, server) })
	}
}

func TestAHandshakeWaitsForItsPlaceAndSucceeds(t *testing.T) {
	eachRole(t, func(t *testing.T, server bool) {
		o, stalled := crowded(t, server)
		ours, theirs := o.open(configOf(t, true, Version13)), newOwner(t)
		peer := theirs.open(configOf(t, false, Version13))
		if server {
			theirs.wait("a hello", func() bool { return len(peer.Pending()) > 0 })
			ours.Feed(take(peer))
		} else {
			ours, peer = o.open(configOf(t, false, Version13)), theirs.open(configOf(t, true, Version13))
		}
		if !ours.Waits() || ours.Wants() || ours.Begin() || ours.Established() || len(ours.Pending()) > 0 || ours.Err() != nil {
			t.Fatalf("waits %v, wants %v, %v", ours.Waits(), ours.Wants(), ours.Err())
		}
		if s := o.workers.Stats(); s.Waiting != 1 || s.Waited != 1 || s.InFlight != 1 {
			t.Errorf("%+v", s)
		}
		o.leave(stalled)
		if !ours.Begin() || ours.Waits() || !ours.Begin() {
			t.Fatal("it has not begun")
		}
		o.wait("the handshake", func() bool {
			for len(theirs.tasks) > 0 {
				(<-theirs.tasks)()
			}
			ours.Feed(take(peer))
			peer.Feed(take(ours))
			return ours.Established() && peer.Established()
		})
		if s := o.workers.Stats(); s.Waiting != 0 || s.Waited != 1 || s.InFlight != 0 || s.Done != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// TestStalledClientsDoNotKeepBackendsAway, nor the other way round.
func TestStalledClientsDoNotKeepBackendsAway(t *testing.T) {
	eachRole(t, func(t *testing.T, server bool) {
		o, _ := crowded(t, server)
		c := o.openReady(!server)
		if c.Waits() {
			t.Fatal("it waits for one of the other role")
		}
		o.wait("its flight", func() bool { return len(c.Pending()) > 0 })
		if s := o.workers.Stats(); s.Servers != 1 || s.Clients != 1 || s.InFlight != 2 {
			t.Errorf("%+v", s)
		}
	})
}

func TestAPlaceGoesToWhoeverBeginsFirst(t *testing.T) {
	eachRole(t, func(t *testing.T, server bool) {
		o, stalled := crowded(t, server)
		first, second := o.openReady(server), o.openReady(server)
		o.leave(stalled)
		if !first.Begin() || second.Begin() {
			t.Fatal("there was a place for one")
		}
		o.wait("the first one's flight", func() bool { return len(first.Pending()) > 0 })
		o.leave(first)
		if !second.Begin() {
			t.Fatal("the second one has to wait for nobody")
		}
		if s := o.workers.Stats(); s.Waiting != 0 || s.Waited != 2 {
			t.Errorf("%+v", s)
		}
	})
}

func TestWhoWaitsMayLeave(t *testing.T) {
	eachRole(t, func(t *testing.T, server bool) {
		o, _ := crowded(t, server)
		held := o.pool.Held()
		abandoned, ended, reset := o.openReady(server), o.openReady(server), o.openReady(server)
		abandoned.Abandon()
		ended.FeedEnd()
		if e := ended.Err(); e == nil || e.Cause != CauseTruncated || len(ended.Pending()) > 0 {
			t.Errorf("after a FIN: %v, %d bytes pending", e, len(ended.Pending()))
		}
		reset.FeedEnd()
		reset.Abandon()
		for _, c := range []*Conn{abandoned, ended, reset} {
			if c.Waits() || !c.Begin() || c.HeldBytes() != 0 {
				t.Errorf("waits %v, %d bytes held", c.Waits(), c.HeldBytes())
			}
		}
		if s := o.workers.Stats(); s.Waiting != 0 || s.Waited != 3 || s.InFlight != 1 || s.Abandoned != 0 {
			t.Errorf("%+v", s)
		}
		if o.pool.Held() != held {
			t.Errorf("%d bytes are lent, %d before", o.pool.Held(), held)
		}
	})
}

func TestNobodyWaitsForStoppedWorkers(t *testing.T) {
	eachRole(t, func(t *testing.T, server bool) {
		o := newOwner(t)
		o.workers = NewWorkers(WorkersOptions{Handshakes: 1})
		stalled := o.openReady(server)
		o.wait("a flight", func() bool { return len(stalled.Pending()) > 0 })
		waiting := o.openReady(server)
		if !waiting.Waits() {
			t.Fatal("it does not wait")
		}
		o.workers.Stop()
		if !waiting.Begin() || waiting.Err() == nil || waiting.Err().Cause != CauseStopped {
			t.Errorf("%v", waiting.Err())
		}
		if s := o.workers.Stats(); s.Waiting != 0 || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestWhatComesWhileOneWaits: nothing should, but the bytes of one read may hold more than the first record.
func TestWhatComesWhileOneWaits(t *testing.T) {
	o, _ := crowded(t, false)
	client := o.openReady(false)
	client.Feed([]byte("HTTP/1.1 400 Bad"))
	if e := client.Err(); e == nil || e.Cause != CausePlainHTTP {
		t.Errorf("an answer in clear: %v", e)
	}
	o, stalled := crowded(t, true)
	server := o.openReady(true)
	server.Feed(record(23, make([]byte, 40))) // nothing that a client may say
	if !server.Waits() {
		t.Fatal("it does not wait")
	}
	o.leave(stalled)
	server.Begin()
	o.wait("the refusal", func() bool { return server.Err() != nil })
	if e := server.Err(); e.Cause != CauseAlertSent || e.Alert.String() != "bad record MAC" {
		t.Error(e)
	}
}

func TestCallbacksSeeTheAddressThatThePeerConnectedTo(t *testing.T) {
	for _, local := range []string{"192.0.2.1:443", "[2001:db8::1]:8443", ""} {
		o := newOwner(t)
		var seen net.Addr
		config := serverOf(t, func(c *tls.Config) {
			c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				seen = hello.Conn.LocalAddr()
				return nil, nil
			}
		})
		options := Options{Config: config, Workers: o.workers, Buffers: &o.pool, Post: o.post, Observer: o}
		if local != "" {
			options.Local = netip.MustParseAddrPort(local)
		}
		server, client := New(options), o.open(configOf(t, false, Version13))
		o.conns = append(o.conns, server)
		shuttle(o, server, client)
		tcp, known := seen.(*net.TCPAddr)
		if known != (local != "") || known && tcp.String() != local {
			t.Errorf("%q was seen, want %q", seen, local)
		}
		if s := server.layer.(*standard); s.memory.local != nil {
			t.Error("the address is kept")
		}
	}
}
