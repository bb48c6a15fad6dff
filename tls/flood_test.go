package tls

import "testing"

// TestAFloodOfKeyUpdatesEnds although there is data between them. The peer reads nothing: what is pending for it is no
// more than it has sent, so an owner that stops reading while much is pending bounds both.
func TestAFloodOfKeyUpdatesEnds(t *testing.T) {
	const most = creditMax/emptyCost + 1
	_, server, _, f := forge(t)
	updates, sent := 0, 0
	for server.Err() == nil && updates <= most {
		stream := f.keyUpdate(1)
		if updates++; updates%16 == 0 {
			stream = append(stream, f.seal(typeData, []byte("x"), 0)...)
		}
		sent += len(stream)
		feed(server, stream, 100)
		if n := len(server.Pending()); n > sent {
			t.Fatalf("%d bytes are pending for %d", n, sent)
		}
	}
	if e := server.Err(); updates != most || e == nil || e.Cause != CauseFlood || e.Alert != 0 {
		t.Errorf("after %d updates: %v", updates, e)
	}
	if err := server.Seal([]byte("x")); err == nil {
		t.Error("something can be sent")
	}
}

// TestKeyUpdatesWithMeasureGoOn for as long as there is data, and no idle time makes rich.
func TestKeyUpdatesWithMeasureGoOn(t *testing.T) {
	_, server, _, f := forge(t)
	for i := range 3 * creditMax / emptyCost {
		stream := append(f.keyUpdate(1), f.earn(1)...)
		if plain, status := feed(server, stream, 100); len(plain) != emptyCost || status != StatusBlocked {
			t.Fatalf("update %d: status %v, %v", i, status, server.Err())
		}
	}
	if credit := server.layer.(*standard).credit; credit != creditMax {
		t.Errorf("the credit is %d", credit)
	}
}

// TestOldVersionsDoNotPay: with CBC in TLS 1.0 some peers send an empty record before each other one.
func TestOldVersionsDoNotPay(t *testing.T) {
	for version, pays := range map[Version]bool{Version12: false, Version13: true} {
		server, client := pair(newOwner(t), version)
		for _, c := range []*Conn{server, client} {
			if c.layer.(*standard).pays != pays {
				t.Errorf("%v: pays %v", version, !pays)
			}
		}
	}
}

// certificate begins a message of 256 KiB, the longest that crypto/tls takes.
var certificate = []byte{11, 3, 0xff, 0xf0}

func TestAMessageWithoutEndIsRefused(t *testing.T) {
	_, server, _, f := forge(t)
	sent := 0
	for body := certificate; server.Err() == nil && sent < 1<<18; body = make([]byte, 4000) {
		sent += len(body)
		feed(server, f.seal(typeHandshake, body, 0), 100)
		if held := server.HeldBytes(); server.Err() == nil && held != sent {
			t.Fatalf("%d bytes of a message of %d are said to be held", held, sent)
		}
	}
	if e := server.Err(); e == nil || e.Cause != CauseFlood || sent > messageMax+4000 || server.HeldBytes() != 0 {
		t.Errorf("after %d bytes: %v", sent, e)
	}
}

func TestAHandshakeWithoutEndIsRefused(t *testing.T) {
	o := newOwner(t)
	client := o.open(configOf(t, false, Version12))
	o.wait("a hello", func() bool { return len(client.Pending()) > 0 })
	server := o.open(configOf(t, true, Version12))
	server.Feed(take(client))
	o.wait("an answer", func() bool { return len(server.Pending()) > 0 })
	sent, body := 0, certificate
	o.wait("the refusal", func() bool {
		if server.Wants() {
			server.Feed(record(typeHandshake, body))
			sent, body = sent+len(body), make([]byte, plaintextMax)
		}
		return server.Err() != nil
	})
	if e := server.Err(); e.Cause != CauseFlood || sent > handshakeMax+plaintextMax {
		t.Errorf("after %d bytes: %v", sent, e)
	}
}
