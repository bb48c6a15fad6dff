package ws

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	gobwas "github.com/gobwas/ws"
)

var testMask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// The examples of RFC 6455 section 5.7.
func TestControlFramePictures(t *testing.T) {
	for _, test := range []struct {
		got  []byte
		want string
	}{
		{AppendPing(nil, Server, testMask, []byte("Hello")), "89 05 48 65 6c 6c 6f"},
		{AppendPong(nil, Client, testMask, []byte("Hello")), "8a 85 37 fa 21 3d 7f 9f 4d 51 58"},
		{AppendClose(nil, Server, testMask, 1001, "x"), "88 03 03 e9 78"},
		{AppendClose(nil, Server, testMask, 1000, ""), "88 02 03 e8"},
		{AppendClose(nil, Server, testMask, 1005, "x"), "88 00"},
		{AppendClose(nil, Client, testMask, 1006, "x"), "88 80 37 fa 21 3d"},
		{AppendClose(nil, Server, testMask, 0, ""), "88 00"},
		{AppendPing([]byte{0xff}, Server, testMask, nil), "ff 89 00"},
	} {
		if want := unhex(t, test.want); !bytes.Equal(test.got, want) {
			t.Errorf("% x, want %s", test.got, test.want)
		}
	}
}

// Every length of payload, in both roles, is what gobwas/ws writes, and what our scanner lets pass.
func TestControlFramesAgainstGobwas(t *testing.T) {
	for length := range 130 {
		payload := bytes.Repeat([]byte{byte(length), 0x5a}, length)[:length]
		reason := strings.Repeat("r", length)
		for _, sender := range []Role{Client, Server} {
			cutPayload, cutReason := payload[:min(length, 125)], reason[:min(length, 123)]
			compile := func(f gobwas.Frame) []byte {
				if sender == Client {
					f = gobwas.MaskFrameWith(f, testMask)
				}
				return gobwas.MustCompileFrame(f)
			}
			ping, pong := AppendPing(nil, sender, testMask, payload), AppendPong(nil, sender, testMask, payload)
			closing := AppendClose(nil, sender, testMask, gobwas.StatusGoingAway, reason)
			if !bytes.Equal(ping, compile(gobwas.NewPingFrame(cutPayload))) || !bytes.Equal(pong, compile(gobwas.NewPongFrame(cutPayload))) {
				t.Fatalf("%v, %d bytes: ping % x, pong % x", sender, length, ping, pong)
			}
			if !bytes.Equal(closing, compile(gobwas.NewCloseFrame(gobwas.NewCloseFrameBody(1001, cutReason)))) {
				t.Fatalf("%v, %d bytes: close % x", sender, length, closing)
			}
			if len(ping) > MaxControlFrame || len(closing) > MaxControlFrame {
				t.Fatalf("%d bytes of ping, %d of close", len(ping), len(closing))
			}
			got, _ := walk(t, Options{Sender: sender, Strict: true}, join(ping, pong, closing), whole, nil)
			if !got.closed || got.closeCode != 1001 || got.closeInvalid || got.counts != (Counts{Frames: 3, Ping: 1, Pong: 1, Close: 1}) {
				t.Fatalf("%v, %d bytes: %+v", sender, length, got)
			}
		}
	}
}

// A reason is cut between characters, for it must stay UTF-8 (RFC 6455 section 5.5.1).
func TestCloseReasonIsCutBetweenCharacters(t *testing.T) {
	for shift := range 4 {
		reason := strings.Repeat("x", shift) + strings.Repeat("€", 60)
		payload := AppendClose(nil, Server, testMask, 1008, reason)[4:]
		if !utf8.Valid(payload) || len(payload) < 121 || len(payload) > 123 || !strings.HasPrefix(reason, string(payload)) {
			t.Errorf("shifted by %d: %q", shift, payload)
		}
	}
}
