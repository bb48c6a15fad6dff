package proxy_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"culvert/proxy/proxytest"
)

// Content types, and messages of the handshake (RFC 8446 sections 5.1 and 4).
const (
	typeChangeCipherSpec = 20
	typeAlert            = 21
	typeHandshake        = 22
	typeData             = 23

	messageKeyUpdate = 24
)

// clearRecord returns a record as it is before there are keys.
func clearRecord(kind byte, body string) string {
	return string([]byte{kind, 3, 3, byte(len(body) >> 8), byte(len(body))}) + body
}

// forger writes records of any kind in the name of a client whose handshake is over, which crypto/tls would not; the
// client itself must not write any more (RFC 8446 sections 5 and 7, RFC 5246 section 6).
type forger struct {
	t        testing.TB
	client   *secureClient
	secret   []byte // of TLS 1.3
	aead     cipher.AEAD
	iv       []byte
	sequence uint64
}

// forge takes the client's side of the connection over.
func forge(c *secureClient) *forger {
	c.t.Helper()
	f := &forger{t: c.t, client: c}
	state := c.ConnectionState()
	switch {
	case state.Version == tls.VersionTLS13 && state.CipherSuite == tls.TLS_AES_128_GCM_SHA256:
		f.secret = c.secrets("CLIENT_TRAFFIC_SECRET_0")
		f.rekey()
	case state.Version == tls.VersionTLS12 && state.CipherSuite == tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:
		f.keys12(c)
	default:
		c.t.Fatalf("%s was agreed upon: the forger knows AES-128 only", tls.CipherSuiteName(state.CipherSuite))
	}
	return f
}

// rekey derives the keys of TLS 1.3 from the secret.
func (f *forger) rekey() {
	f.setKey(f.expand("key", 16))
	f.iv, f.sequence = f.expand("iv", 12), 0
}

// keys12 derives those of TLS 1.2 from the master secret and the random numbers of both hellos.
func (f *forger) keys12(c *secureClient) {
	master := c.secrets("CLIENT_RANDOM")
	line := c.keys.String()[strings.Index(c.keys.String(), "CLIENT_RANDOM"):]
	var clientRandom []byte
	if _, err := fmt.Sscanf(line, "CLIENT_RANDOM %x", &clientRandom); err != nil {
		f.t.Fatal(err)
	}
	const randomAt, randomLength = 5 + 4 + 2, 32 // record, message, version
	serverRandom := c.wire.received[randomAt : randomAt+randomLength]
	seed := append(append([]byte("key expansion"), serverRandom...), clientRandom...)
	var block []byte
	for a := seed; len(block) < 40; {
		a = mac(master, a)
		block = append(block, mac(master, append(a[:len(a):len(a)], seed...))...)
	}
	f.setKey(block[:16])
	f.iv, f.sequence = block[32:36], 1 // Finished was number 0
}

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}

func (f *forger) setKey(key []byte) {
	block, err := aes.NewCipher(key)
	if err == nil {
		f.aead, err = cipher.NewGCM(block)
	}
	if err != nil {
		f.t.Fatal(err)
	}
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

// record returns one record, with padding in TLS 1.3.
func (f *forger) record(kind byte, body string, padding int) string {
	number := binary.BigEndian.AppendUint64(nil, f.sequence)
	f.sequence++
	if f.secret == nil {
		nonce := append(f.iv[:len(f.iv):len(f.iv)], number...)
		about := append(number[:8:8], kind, 3, 3, byte(len(body)>>8), byte(len(body)))
		n := 8 + len(body) + f.aead.Overhead()
		header := []byte{kind, 3, 3, byte(n >> 8), byte(n)}
		return string(f.aead.Seal(append(header, number...), nonce, []byte(body), about))
	}
	nonce := append([]byte(nil), f.iv...)
	for i, b := range number {
		nonce[4+i] ^= b
	}
	inner := append(append([]byte(body), kind), make([]byte, padding)...)
	n := len(inner) + f.aead.Overhead()
	header := []byte{typeData, 3, 3, byte(n >> 8), byte(n)}
	return string(f.aead.Seal(header, nonce, inner, header))
}

// keyUpdate returns a message that goes over to new keys (RFC 8446 section 4.6.3), and does so itself. The proxy may be
// requested to do the same.
func (f *forger) keyUpdate(request byte) string {
	text := f.record(typeHandshake, string([]byte{messageKeyUpdate, 0, 0, 1, request}), 0)
	f.secret = f.expand("traffic upd", 32)
	f.rekey()
	return text
}

// data returns text in records of a size.
func (f *forger) data(text string, size int) string {
	var records strings.Builder
	for len(text) > 0 {
		n := min(size, len(text))
		records.WriteString(f.record(typeData, text[:n], 0))
		text = text[n:]
	}
	return records.String()
}

// send sends text, which is records.
func (f *forger) send(text string) {
	f.t.Helper()
	f.client.raw.Send(text)
}

// longestRecord is the most that one record may hold, in bytes.
const longestRecord = 16 << 10

// forgedTunnel opens a tunnel in which a forger speaks for the client.
func (s *secured) forgedTunnel(version uint16) (*forger, *secureClient, *proxytest.Conn) {
	s.t.Helper()
	c := s.connect(version)
	f := forge(c)
	f.send(f.data(proxytest.UpgradeRequest(), longestRecord))
	return f, c, s.switched(c)
}
