package tls

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"slices"
	"testing"
)

// eachKind runs a test for both versions and both roles of ours.
func eachKind(t *testing.T, test func(t *testing.T, server bool, version Version)) {
	for _, version := range []Version{Version12, Version13} {
		for _, server := range []bool{true, false} {
			name := fmt.Sprintf("%v/client", version)
			if server {
				name = fmt.Sprintf("%v/server", version)
			}
			t.Run(name, func(t *testing.T) { test(t, server, version) })
		}
	}
}

func TestBytesPassBothWays(t *testing.T) {
	eachKind(t, func(t *testing.T, server bool, version Version) {
		l, done := connect(t, configOf(t, server, version), peerConfig(),
			exchange(1, 125, 16<<10-1, 16<<10, 16<<10+1, 300<<10))
		l.echo = true
		if err := l.finish(done); err != nil {
			t.Fatal(err)
		}
		if l.status != StatusClosed {
			t.Errorf("status %v after the peer's close_notify", l.status)
		}
		info := l.conn.Info()
		if info.Version != version || info.Protocol != "http/1.1" || info.ServerName != serverName || info.Resumed {
			t.Errorf("info: %+v", info)
		}
		if name := info.Suite.String(); len(name) < 4 || name[:4] != "TLS_" {
			t.Errorf("the suite is called %q", name)
		}
		if shown := len(info.PeerCertificates) > 0; shown == server {
			t.Errorf("%d certificates of the peer", len(info.PeerCertificates))
		}
	})
}

func TestOneByteAtATime(t *testing.T) {
	eachKind(t, func(t *testing.T, server bool, version Version) {
		l, done := connect(t, configOf(t, server, version), peerConfig(), exchange(1, 125, 5000))
		l.echo, l.step, l.room = true, 1, 1
		if err := l.finish(done); err != nil {
			t.Fatal(err)
		}
		if l.status != StatusClosed {
			t.Errorf("status %v", l.status)
		}
	})
}

// TestTheFieldsMayBeMissing runs as if crypto/tls had changed: fatter, but right.
func TestTheFieldsMayBeMissing(t *testing.T) {
	for _, room := range []int{1, 4096, 32 << 10} {
		t.Run(fmt.Sprint(room), func(t *testing.T) {
			eachKind(t, func(t *testing.T, _ bool, version Version) {
				o := newOwner(t)
				server, client := pair(o, version)
				server.layer.(*standard).fields, client.layer.(*standard).fields = &fields{}, &fields{}
				for _, size := range []int{1, 125, 40 << 10} {
					want := bytes.Repeat([]byte{byte(size)}, size)
					if err := client.Seal(want); err != nil {
						t.Fatal(err)
					}
					if got, status := feed(server, take(client), room); !bytes.Equal(got, want) || status != StatusBlocked {
						t.Fatalf("%d bytes of %d, status %v", len(got), size, status)
					}
				}
			})
		})
	}
}

// TestRecordsAreCutAtEveryByte feeds three records, one of them empty of plaintext for TLS 1.3, in two pieces.
func TestRecordsAreCutAtEveryByte(t *testing.T) {
	eachKind(t, func(t *testing.T, fromClient bool, version Version) {
		o := newOwner(t)
		to, from := pair(o, version)
		if !fromClient {
			to, from = from, to
		}
		for at := 0; ; at++ {
			for _, piece := range []string{"first ", "second ", "third"} {
				if err := from.Seal([]byte(piece)); err != nil {
					t.Fatal(err)
				}
			}
			stream := take(from)
			if at > len(stream) {
				break
			}
			got, _ := feed(to, stream[:at], 4)
			rest, status := feed(to, stream[at:], 4)
			if got = append(got, rest...); string(got) != "first second third" || status != StatusBlocked {
				t.Fatalf("cut at %d: %q, status %v", at, got, status)
			}
		}
	})
}

// TestOwnersMayStopReading keeps what is borrowed at every possible moment.
func TestOwnersMayStopReading(t *testing.T) {
	eachKind(t, func(t *testing.T, _ bool, version Version) {
		o := newOwner(t)
		to, from := pair(o, version)
		want := bytes.Repeat([]byte("0123456789"), 5000)
		for _, room := range []int{1000, 16 << 10, 20 << 10, 49_999, 50_000} {
			if err := from.Seal(want); err != nil {
				t.Fatal(err)
			}
			stream := take(from)
			to.Feed(stream)
			p := make([]byte, room)
			var got []byte
			for status := StatusReady; status == StatusReady; {
				var n int
				n, status = to.Plain(p)
				got = append(got, p[:n]...)
				to.Keep()
				clear(stream)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("room %d: %d bytes came, or wrong ones", room, len(got))
			}
			if to.HeldBytes() != 0 || o.pool.Held() != 0 {
				t.Errorf("room %d: %d bytes are held in the end, %d lent", room, to.HeldBytes(), o.pool.Held())
			}
		}
	})
}

func TestAnUnreadRemainderIsPrepended(t *testing.T) {
	o := newOwner(t)
	to, from := pair(o, Version13)
	var want []byte
	for i := range 50 {
		message := bytes.Repeat([]byte{byte(i)}, 1000+i)
		want = append(want, message...)
		if err := from.Seal(message); err != nil {
			t.Fatal(err)
		}
		to.Feed(take(from)) // without reading
	}
	if got, _ := drain(to, 777); !bytes.Equal(got, want) {
		t.Fatalf("%d of %d bytes came, or wrong ones", len(got), len(want))
	}
}

func TestAnIdleConnectionHoldsNoBuffer(t *testing.T) {
	eachKind(t, func(t *testing.T, _ bool, version Version) {
		o := newOwner(t)
		server, client := pair(o, version)
		if n := o.pool.Held(); n != 0 {
			t.Errorf("%d bytes are lent after the handshake", n)
		}
		for _, c := range []*Conn{server, client} {
			other := server
			if c == server {
				other = client
			}
			if err := c.Seal(make([]byte, 40<<10)); err != nil {
				t.Fatal(err)
			}
			feed(other, take(c), 64<<10)
			layer := other.layer.(*standard)
			raw, hand, input := layer.fields.rawInputOf(layer.conn), layer.fields.handOf(layer.conn), layer.fields.inputOf(layer.conn)
			if raw.Cap() != 0 || hand.Cap() != 0 || input.Size() != 0 {
				t.Errorf("crypto/tls keeps %d, %d and %d bytes", raw.Cap(), hand.Cap(), input.Size())
			}
		}
		if n := o.pool.Held(); n != 0 {
			t.Errorf("%d bytes are lent after a message", n)
		}
	})
}

func TestSmallRemaindersDoNotKeepLargeBuffers(t *testing.T) {
	o := newOwner(t)
	server, _ := pair(o, Version13)
	if err := server.Seal(make([]byte, 60<<10)); err != nil {
		t.Fatal(err)
	}
	for len(server.Pending()) > 100 {
		server.Advance(len(server.Pending()) - len(server.Pending())/2)
		if n, held := len(server.Pending()), o.pool.Held(); held > max(classSizes[1], classSizes[2]*(n/(4<<10)+1)) {
			t.Errorf("%d bytes are held for %d", held, n)
		}
	}
}

func TestSealingNothingSendsNothing(t *testing.T) {
	o := newOwner(t)
	server, _ := pair(o, Version13)
	if err := server.Seal(nil); err != nil || len(server.Pending()) != 0 {
		t.Errorf("%v, %d bytes", err, len(server.Pending()))
	}
}

func TestRecordsAreAsLargeAsTheyMayBe(t *testing.T) {
	o := newOwner(t)
	server, _ := pair(o, Version13)
	if err := server.Seal(make([]byte, 3*plaintextMax)); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for b := server.Pending(); len(b) > 0; b = b[recordLength(b):] {
		sizes = append(sizes, recordLength(b))
	}
	if want := plaintextMax + headerLength + 17; !slices.Equal(sizes, []int{want, want, want}) {
		t.Errorf("records of %v bytes", sizes)
	}
}

func TestTheFirstBytesMayComeWithTheEndOfTheHandshake(t *testing.T) {
	eachKind(t, func(t *testing.T, server bool, version Version) {
		l, done := connect(t, configOf(t, server, version), peerConfig(), func(peer *tls.Conn) error {
			_, err := peer.Write([]byte("early bird"))
			return err
		})
		if err := l.finish(done); err != nil {
			t.Fatal(err)
		}
		l.drive("the early bytes", func() bool { return string(l.got) == "early bird" })
	})
}

func TestNothingIsSealedTooEarlyOrTooLate(t *testing.T) {
	o := newOwner(t)
	if err := o.open(configOf(t, true, Version13)).Seal([]byte("x")); err != ErrNotEstablished {
		t.Errorf("before the handshake: %v", err)
	}
	server, client := pair(o, Version13)
	if err := server.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := server.Seal([]byte("x")); err != ErrWriteClosed {
		t.Errorf("after close_notify: %v", err)
	}
	if err := server.CloseWrite(); err != ErrWriteClosed {
		t.Errorf("a second close_notify: %v", err)
	}
	if _, status := feed(client, take(server), 100); status != StatusClosed {
		t.Errorf("the client's status: %v", status)
	}
	if err := client.Seal([]byte("the other direction goes on")); err != nil {
		t.Fatal(err)
	}
	if got, status := feed(server, take(client), 100); string(got) != "the other direction goes on" || status != StatusBlocked {
		t.Errorf("%q, status %v", got, status)
	}
	if b, err := server.Export([]byte("x")); string(b) != "x" || err != ErrNotExportable {
		t.Errorf("exported %q, %v", b, err)
	}
}
