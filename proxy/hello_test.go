package proxy_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"testing"
)

// Hellos of clients, as bytes.

// errEnough ends a handshake of which the first flight was wanted.
var errEnough = errors.New("enough")

// helloOf returns the first record of a client.
func helloOf(t testing.TB, config *tls.Config) string {
	t.Helper()
	ours, theirs := net.Pipe()
	_ = theirs.Close()
	defer func() { _ = ours.Close() }()
	var hello []byte
	c := tls.Client(&hearer{Conn: ours, heard: &hello}, config)
	if err := c.Handshake(); !errors.Is(err, errEnough) {
		t.Fatalf("a hello ends in %v", err)
	}
	return string(hello)
}

// hearer keeps what is written first, and fails.
type hearer struct {
	net.Conn
	heard *[]byte
}

func (h *hearer) Write(p []byte) (int, error) {
	*h.heard = bytes.Clone(p)
	return 0, errEnough
}

// withExtension returns a hello with one more extension.
func withExtension(hello string, number uint16, body string) string {
	h := []byte(hello[5:])                         // behind the record's header
	at := 4 + 2 + 32                               // message header, version, random
	at += 1 + int(h[at])                           // session
	at += 2 + int(binary.BigEndian.Uint16(h[at:])) // suites
	at += 1 + int(h[at])                           // compression
	extensions := binary.BigEndian.Uint16(h[at:])  // their length
	binary.BigEndian.PutUint16(h[at:], extensions+uint16(4+len(body)))
	h = binary.BigEndian.AppendUint16(h, number)
	h = binary.BigEndian.AppendUint16(h, uint16(len(body)))
	h = append(h, body...)
	h[1], h[2], h[3] = 0, byte((len(h)-4)>>8), byte(len(h)-4)
	return clearRecord(typeHandshake, string(h))
}
