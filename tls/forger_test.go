package tls

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// forger writes TLS 1.3 records of any kind in a client's name, which crypto/tls would not (RFC 8446 sections 5 and 7).
type forger struct {
	t        testing.TB
	secret   []byte
	sequence uint64
}

// forge returns an established server, and a client's forger and read half. The client must not write.
func forge(t testing.TB) (o *owner, server, client *Conn, f *forger) {
	t.Helper()
	o = newOwner(t)
	var keys bytes.Buffer
	config := configOf(t, false, Version13)
	config.standard.KeyLogWriter = &keys
	server, client = o.open(configOf(t, true, Version13)), o.open(config)
	shuttle(o, server, client)
	if suite := client.Info().Suite; suite != 0x1301 {
		t.Fatalf("%v was agreed upon: the forger knows AES-128 only", suite)
	}
	f = &forger{t: t}
	for line := range strings.Lines(keys.String()) {
		if words := strings.Fields(line); words[0] == "CLIENT_TRAFFIC_SECRET_0" {
			f.secret, _ = hex.DecodeString(words[2])
		}
	}
	return o, server, client, f
}

// expand is HKDF-Expand-Label with an empty context.
func (f *forger) expand(label string, length int) []byte {
	info := fmt.Sprintf("%s%ctls13 %s\x00", binary.BigEndian.AppendUint16(nil, uint16(length)), 6+len(label), label)
	b, err := hkdf.Expand(sha256.New, f.secret, info, length)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// seal returns one record.
func (f *forger) seal(kind byte, body []byte, padding int) []byte {
	block, err := aes.NewCipher(f.expand("key", 16))
	if err != nil {
		f.t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		f.t.Fatal(err)
	}
	nonce := f.expand("iv", 12)
	for i, b := range binary.BigEndian.AppendUint64(nil, f.sequence) {
		nonce[4+i] ^= b
	}
	f.sequence++
	inner := append(append(bytes.Clone(body), kind), make([]byte, padding)...)
	n := len(inner) + aead.Overhead()
	header := []byte{typeData, 3, 3, byte(n >> 8), byte(n)}
	return aead.Seal(header, nonce, inner, header)
}

const (
	typeData         = 23
	messageKeyUpdate = 24
)

// keyUpdate returns a message that goes over to new keys (RFC 8446 section 4.6.3), and does so itself.
func (f *forger) keyUpdate(request byte) []byte {
	b := f.seal(typeHandshake, []byte{messageKeyUpdate, 0, 0, 1, request}, 0)
	f.secret, f.sequence = f.expand("traffic upd", 32), 0
	return b
}

// earn returns the records with plaintext that pay for n without.
func (f *forger) earn(n int) []byte {
	var stream []byte
	for range n * emptyCost {
		stream = append(stream, f.seal(typeData, []byte("."), 0)...)
	}
	return stream
}

func TestKeyUpdatesAreFollowedAndAnswered(t *testing.T) {
	_, server, client, f := forge(t)
	for i := range byte(50) {
		request := i % 2
		stream := append(f.seal(typeData, []byte("before"), 0), f.keyUpdate(request)...)
		stream = append(stream, f.seal(typeData, []byte(" after"), 0)...)
		stream = append(stream, f.earn(1)...)
		if plain, status := feed(server, stream, 3); string(plain) != "before after"+strings.Repeat(".", emptyCost) || status != StatusBlocked {
			t.Fatalf("update %d: %q, status %v, %v", i, plain, status, server.Err())
		}
		if answered := len(server.Pending()) > 0; answered != (request == 1) {
			t.Fatalf("update %d: answered %v", i, answered)
		}
		if err := server.Seal([]byte("with the new keys")); err != nil {
			t.Fatal(err)
		}
		if plain, status := feed(client, take(server), 100); string(plain) != "with the new keys" || status != StatusBlocked {
			t.Fatalf("update %d, the other way: %q, status %v, %v", i, plain, status, client.Err())
		}
	}
}

func TestAKeyUpdateMayBeCutAnywhere(t *testing.T) {
	for at := range 5 {
		_, server, _, f := forge(t)
		message := []byte{messageKeyUpdate, 0, 0, 1, 0}
		var stream []byte
		if at > 0 {
			stream = f.seal(typeHandshake, message[:at], 0)
		}
		stream = append(stream, f.seal(typeHandshake, message[at:], 3)...)
		f.secret, f.sequence = f.expand("traffic upd", 32), 0
		stream = append(stream, f.seal(typeData, []byte("after"), 0)...)
		var got []byte
		for i := range stream {
			plain, status := feed(server, stream[i:i+1], 100)
			if got = append(got, plain...); status != StatusBlocked {
				t.Fatalf("cut at %d: status %v, %v", at, status, server.Err())
			}
		}
		if string(got) != "after" {
			t.Errorf("cut at %d: %q", at, got)
		}
	}
}

func TestRecordsWithoutUseAreBounded(t *testing.T) {
	const bound = 16 // crypto/tls's, between two records with data
	for name, next := range map[string]func(f *forger) []byte{
		"key updates":           func(f *forger) []byte { return f.keyUpdate(0) },
		"key updates, answered": func(f *forger) []byte { return f.keyUpdate(1) },
		"empty records":         func(f *forger) []byte { return f.seal(typeData, nil, 0) },
		"padded empty records":  func(f *forger) []byte { return f.seal(typeData, nil, 1000) },
	} {
		t.Run(name, func(t *testing.T) {
			_, server, _, f := forge(t)
			for range 3 {
				for i := range bound {
					if _, status := feed(server, next(f), 100); status != StatusBlocked {
						t.Fatalf("record %d: status %v, %v", i, status, server.Err())
					}
				}
				if plain, _ := feed(server, f.earn(bound), 100); len(plain) != bound*emptyCost {
					t.Fatalf("%q, %v", plain, server.Err())
				}
			}
			var stream []byte
			for range bound + 1 {
				stream = append(stream, next(f)...)
			}
			if _, status := feed(server, stream, 100); status != StatusFailed {
				t.Fatalf("status %v", status)
			}
			if e := server.Err(); e.Cause != CauseAlertSent || e.Alert != alertUnexpectedMessage {
				t.Error(e)
			}
			if n := len(server.Pending()); n == 0 || n > 5000 {
				t.Errorf("%d bytes are pending", n)
			}
		})
	}
}

func TestTheLongestRecordIsTheLongest(t *testing.T) {
	for size, alert := range map[int]Alert{plaintextMax: 0, plaintextMax + 1: alertRecordOverflow} {
		_, server, _, f := forge(t)
		plain, status := feed(server, f.seal(typeData, make([]byte, size), 0), 1<<20)
		if alert == 0 && (len(plain) != size || status != StatusBlocked) || alert != 0 && (server.Err() == nil || server.Err().Alert != alert) {
			t.Errorf("%d bytes: %d came, status %v, %v", size, len(plain), status, server.Err())
		}
	}
}

func TestOtherMessagesAfterTheHandshakeAreRefused(t *testing.T) {
	for name, body := range map[string][]byte{
		"a hello":                 append([]byte{messageClientHello, 0, 0, 4}, make([]byte, 4)...),
		"a certificate request":   {13, 0, 0, 3, 0, 0, 0},
		"a message that is none":  {99, 0, 0, 0},
		"a message of 16 MiB":     {messageKeyUpdate, 0xff, 0xff, 0xff},
		"a key update of 2":       {messageKeyUpdate, 0, 0, 1, 2},
		"two key updates at once": {messageKeyUpdate, 0, 0, 1, 0, messageKeyUpdate, 0, 0, 1, 0},
	} {
		_, server, _, f := forge(t)
		if _, status := feed(server, f.seal(typeHandshake, body, 0), 100); status != StatusFailed {
			t.Errorf("%s: status %v", name, status)
		} else if e := server.Err(); e.Cause != CauseAlertSent {
			t.Errorf("%s: %v", name, e)
		}
	}
	_, server, _, f := forge(t)
	feed(server, f.seal(typeAlert, []byte{2, 40}, 0), 100)
	if e := server.Err(); e == nil || e.Cause != CauseAlertReceived || e.Alert != 40 {
		t.Errorf("an alert: %v", e)
	}
}
