package tls

import (
	"crypto/tls"
	"errors"
	"fmt"
	"testing"
	"time"
)

// patienceEnds is some moment.
var patienceEnds = time.Unix(1, 0)

func TestATruncationIsNotAClose(t *testing.T) {
	eachKind(t, func(t *testing.T, server bool, version Version) {
		for _, notify := range []bool{true, false} {
			l, done := connect(t, configOf(t, server, version), peerConfig(), func(peer *tls.Conn) error {
				if _, err := peer.Write([]byte("the last words")); err != nil {
					return err
				}
				if notify {
					return peer.Close()
				}
				return peer.NetConn().Close()
			})
			if err := l.finish(done); err != nil {
				t.Fatal(err)
			}
			want := StatusTruncated
			if notify {
				want = StatusClosed
			}
			l.drive("the end", func() bool { return l.status == want })
			if string(l.got) != "the last words" {
				t.Errorf("close_notify %v: %q came", notify, l.got)
			}
			if e := l.conn.Err(); (e == nil) != notify || e != nil && e.Cause != CauseTruncated {
				t.Errorf("close_notify %v: error %v", notify, e)
			}
			if err := l.conn.Seal([]byte("we may still speak")); err != nil {
				t.Errorf("close_notify %v: %v", notify, err)
			}
		}
	})
}

func TestAStreamThatEndsInMidRecordIsTruncated(t *testing.T) {
	o := newOwner(t)
	server, client := pair(o, Version13)
	if err := client.Seal([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	stream := take(client)
	if _, status := feed(server, stream[:len(stream)-1], 100); status != StatusBlocked {
		t.Errorf("status %v before the end", status)
	}
	server.FeedEnd()
	server.FeedEnd()
	if plain, status := drain(server, 100); status != StatusTruncated || len(plain) > 0 {
		t.Errorf("%q, status %v", plain, status)
	}
	if server.HeldBytes() != 0 {
		t.Errorf("%d bytes are held", server.HeldBytes())
	}
}

func TestWhatFollowsACloseIsIgnored(t *testing.T) {
	eachKind(t, func(t *testing.T, _ bool, version Version) {
		o := newOwner(t)
		server, client := pair(o, version)
		if err := errors.Join(client.Seal([]byte("bye")), client.CloseWrite()); err != nil {
			t.Fatal(err)
		}
		stream := append(take(client), "GARBAGE behind the end of everything"...)
		if plain, status := feed(server, stream, 100); string(plain) != "bye" || status != StatusClosed {
			t.Errorf("%q, status %v", plain, status)
		}
		server.Feed([]byte("more garbage"))
		server.FeedEnd()
		if _, status := drain(server, 100); status != StatusClosed || server.Err() != nil || server.Wants() {
			t.Errorf("status %v, %v", status, server.Err())
		}
	})
}

func TestAHandshakeThatEndsEarlyIsTruncated(t *testing.T) {
	hello := helloOf(t)
	for _, n := range []int{0, 1, 4, 5, len(hello) - 1, len(hello)} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			o := newOwner(t)
			c := o.open(configOf(t, true, Version13))
			if !c.Wants() {
				t.Error("a fresh server wants no bytes")
			}
			c.Feed(hello[:n])
			c.FeedEnd()
			o.wait("the failure", func() bool { return c.Err() != nil })
			want := CauseTruncated
			if n > 0 && n < headerLength {
				want = CauseNotTLS
			}
			if _, status := drain(c, 1); c.Err().Cause != want || status != StatusFailed || c.Wants() {
				t.Errorf("%v, status %v", c.Err(), status)
			}
			o.wait("all is counted", func() bool { return o.workers.Stats().InFlight == 0 })
		})
	}
}

// refusals are handshakes that fail on agreement, with who says so and how.
func refusals(t *testing.T) map[string]struct {
	config *Config
	peer   *tls.Config
	cause  Cause
	alert  string
} {
	type refusal = struct {
		config *Config
		peer   *tls.Config
		cause  Cause
		alert  string
	}
	old, other, stranger := peerConfig(), peerConfig(), peerConfig()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	other.NextProtos = []string{"h3"}
	stranger.RootCAs = nil
	strict, err := NewServerConfig(ServerOptions{
		Certificates: []Certificate{ours().certificate}, ClientAuthorities: ours().authorities,
	})
	if err != nil {
		t.Fatal(err)
	}
	anonymous := peerConfig()
	anonymous.Certificates = nil
	doubting, err := NewClientConfig(ClientOptions{ServerName: "somebody.else", Authorities: ours().authorities})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]refusal{
		"an old version":        {configOf(t, true, Version12), old, CauseAlertSent, "protocol version not supported"},
		"an unknown protocol":   {configOf(t, true, Version13), other, CauseAlertSent, "no application protocol"},
		"an untrusted server":   {configOf(t, true, Version13), stranger, CauseAlertReceived, "bad certificate"},
		"no client certificate": {strict, anonymous, CauseAlertSent, "certificate required"},
		"another server's name": {doubting, peerConfig(), CauseAlertSent, "bad certificate"},
	}
}

func TestAlertsAreToldApart(t *testing.T) {
	for name, c := range refusals(t) {
		t.Run(name, func(t *testing.T) {
			l, done := connect(t, c.config, c.peer, func(peer *tls.Conn) error {
				_, err := peer.Read(make([]byte, 1))
				return err
			})
			if err := l.finish(done); err == nil {
				t.Error("the peer heard nothing")
			}
			l.drive("our failure", func() bool { return l.conn.Err() != nil })
			e := l.conn.Err()
			if e.Cause != c.cause || e.Alert.String() != c.alert {
				t.Errorf("%v: cause %v, alert %q", e, e.Cause, e.Alert)
			}
			stats := l.owner.workers.Stats()
			if stats.Failed != 1 || stats.Alerts[e.Alert] != 1 || stats.Done != 0 {
				t.Errorf("counted: %+v", stats)
			}
			if err := l.conn.Seal([]byte("x")); err != error(e) {
				t.Errorf("sealing after a failure: %v", err)
			}
		})
	}
}

func TestACorruptRecordIsAnsweredByAnAlert(t *testing.T) {
	eachKind(t, func(t *testing.T, _ bool, version Version) {
		o := newOwner(t)
		server, client := pair(o, version)
		if err := client.Seal([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		stream := take(client)
		stream[len(stream)-1]++
		if _, status := feed(server, stream, 100); status != StatusFailed {
			t.Errorf("status %v", status)
		}
		if e := server.Err(); e.Cause != CauseAlertSent || e.Alert.String() != "bad record MAC" {
			t.Errorf("%v", e)
		}
		if _, status := feed(client, take(server), 100); status != StatusFailed {
			t.Errorf("the client's status: %v", status)
		}
		if e := client.Err(); e.Cause != CauseAlertReceived || e.Alert.String() != "bad record MAC" {
			t.Errorf("the client was told: %v", e)
		}
		if err := server.CloseWrite(); err != error(server.Err()) {
			t.Errorf("closing after a failure: %v", err)
		}
	})
}
