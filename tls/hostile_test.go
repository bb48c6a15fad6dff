package tls

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"strings"
	"testing"
)

// record returns one in clear.
func record(kind byte, body []byte) []byte {
	return append([]byte{kind, 3, 3, byte(len(body) >> 8), byte(len(body))}, body...)
}

// helloOf returns a ClientHello of crypto/tls: one record.
func helloOf(t testing.TB) []byte {
	o := newOwner(t)
	client := o.open(configOf(t, false, Version13))
	o.wait("a hello", func() bool { return len(client.Pending()) > 0 })
	return take(client)
}

// withExtension returns a hello with one more extension.
func withExtension(hello []byte, number uint16, body []byte) []byte {
	h := bytes.Clone(hello[headerLength:])
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
	return record(typeHandshake, h)
}

// strange are first bytes that are no good ClientHello.
var strange = map[string]struct {
	input string
	cause Cause
	alert string
}{
	"HTTP":                    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", CausePlainHTTP, ""},
	"HTTP, an upgrade":        {"OPTIONS * HTTP/1.1\r\n", CausePlainHTTP, ""},
	"HTTP/2":                  {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", CausePlainHTTP, ""},
	"HTTP, five bytes of it":  {"POST ", CausePlainHTTP, ""},
	"SSH":                     {"SSH-2.0-OpenSSH_9.2\r\n", CauseNotTLS, ""},
	"zeros":                   {strings.Repeat("\x00", 40), CauseNotTLS, ""},
	"SMTP":                    {"EHLO a\r\n", CauseNotTLS, ""},
	"PROXY protocol":          {"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", CauseNotTLS, ""},
	"SSLv2":                   {"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", CauseAlertSent, "protocol version not supported"},
	"application data":        {"\x17\x03\x03\x00\x01x", CauseAlertSent, "unexpected message"},
	"a change of cipher":      {"\x14\x03\x03\x00\x01\x01", CauseAlertSent, "unexpected message"},
	"a heartbeat":             {"\x18\x03\x02\x00\x03\x01\x40\x00", CauseAlertSent, "unexpected message"},
	"a record too long":       {"\x16\x03\x01\x48\x01", CauseAlertSent, "record overflow"},
	"the longest length":      {"\x16\x03\x01\xff\xff", CauseAlertSent, "record overflow"},
	"a server's hello":        {"\x16\x03\x03\x00\x04\x02\x00\x00\x00", CauseAlertSent, "unexpected message"},
	"a hello of 16 MiB":       {"\x16\x03\x03\x00\x04\x01\xff\xff\xff", CauseAlertSent, "illegal parameter"},
	"a hello of 16 KiB and 1": {"\x16\x03\x03\x00\x04\x01\x00\x40\x01", CauseAlertSent, "illegal parameter"},
	"a hello of zeros":        {"\x16\x03\x03\x00\x08\x01\x00\x00\x04\x00\x00\x00\x00", CauseAlertSent, "error decoding message"},
	"an empty record":         {"\x16\x03\x03\x00\x00", CauseAlertSent, "unexpected message"},
	"an alert":                {"\x15\x03\x01\x00\x02\x02\x30", CauseAlertReceived, "unknown certificate authority"},
}

func TestWhatIsNoHandshakeIsRecognised(t *testing.T) {
	for name, c := range strange {
		for _, step := range []int{1, len(c.input)} {
			o := newOwner(t)
			conn := o.open(configOf(t, true, 0))
			input := []byte(c.input)
			for len(input) > 0 && conn.Err() == nil {
				n := min(step, len(input))
				conn.Feed(input[:n])
				input = input[n:]
			}
			o.wait(name, func() bool { return conn.Err() != nil })
			e := conn.Err()
			if e.Cause != c.cause || e.Alert != 0 && e.Alert.String() != c.alert || (e.Alert == 0) != (c.alert == "") {
				t.Errorf("%s: %v", name, e)
			}
			clear := e.Cause == CausePlainHTTP || e.Cause == CauseNotTLS
			if clear && (len(e.First) < headerLength || !strings.HasPrefix(c.input, string(e.First))) {
				t.Errorf("%s: the first bytes are said to be %q", name, e.First)
			}
			if sent := conn.Pending(); e.Cause == CauseAlertSent != (len(sent) > 0) || len(sent) > 0 && sent[len(sent)-1] != byte(e.Alert) {
				t.Errorf("%s: sent % x", name, sent)
			}
			conn.Feed([]byte("more of it"))
			conn.FeedEnd()
			if n := conn.in.len(); n != 0 {
				t.Errorf("%s: %d bytes are held", name, n)
			}
		}
	}
}

func TestEmptyAlertIsNotTheOnlySignOfFailure(t *testing.T) {
	e := &Error{Cause: CauseAlertReceived, Alert: 48}
	if e.Error() != "tls: alert received: unknown certificate authority" {
		t.Error(e)
	}
	e = &Error{Cause: CausePlainHTTP, First: []byte("GET /")}
	if e.Error() != `tls: plain HTTP: "GET /"` || e.Unwrap() != nil {
		t.Error(e)
	}
}

func TestAServerThatAnswersInClearIsRecognised(t *testing.T) {
	for input, want := range map[string]Cause{
		"HTTP/1.1 400 Bad Request\r\n": CausePlainHTTP, "220 mail ESMTP\r\n": CauseNotTLS, "\x17\x03\x03\x00\x01x": CauseAlertSent,
	} {
		o := newOwner(t)
		client := o.open(configOf(t, false, 0))
		o.wait("a hello", func() bool { return len(client.Pending()) > 0 })
		for i := range input {
			client.Feed([]byte(input[i : i+1]))
		}
		o.wait(input, func() bool { return client.Err() != nil })
		if client.Err().Cause != want {
			t.Errorf("%q: %v", input, client.Err())
		}
	}
}

func TestAHelloMaySpanRecords(t *testing.T) {
	hello := helloOf(t)
	for _, size := range []int{1, 3, 4, 5, 100, len(hello)} {
		o := newOwner(t)
		server := o.open(configOf(t, true, Version13))
		for rest := hello[headerLength:]; len(rest) > 0; {
			n := min(size, len(rest))
			server.Feed(record(typeHandshake, rest[:n]))
			rest = rest[n:]
		}
		o.wait("an answer", func() bool { return len(server.Pending()) > 0 || server.Err() != nil })
		if server.Err() != nil {
			t.Errorf("records of %d bytes: %v", size, server.Err())
		}
	}
}

func TestAHelloWithoutEndIsRefused(t *testing.T) {
	o := newOwner(t)
	server := o.open(configOf(t, true, Version13))
	server.Feed(record(typeHandshake, []byte{messageClientHello, 0}))
	fed := 0
	o.wait("the refusal", func() bool {
		if server.Wants() {
			server.Feed(record(typeHandshake, append([]byte{0xff}, make([]byte, 99)...)))
			fed += 100
		}
		return server.Err() != nil
	})
	if fed > 2*MaxHello {
		t.Errorf("%d bytes were taken", fed)
	}
	if server.Err().Cause != CauseAlertSent {
		t.Error(server.Err())
	}
}

func TestEarlyDataIsRefused(t *testing.T) {
	const earlyData = 42 // RFC 8446 section 4.2.10
	o := newOwner(t)
	server := o.open(configOf(t, true, Version13))
	server.Feed(append(withExtension(helloOf(t), earlyData, nil), record(23, make([]byte, 200))...))
	o.wait("the refusal", func() bool { return server.Err() != nil })
	if e := server.Err(); e.Cause != CauseAlertSent || e.Alert.String() != "unsupported extension" {
		t.Error(e)
	}
	o = newOwner(t)
	server = o.open(configOf(t, true, Version13))
	server.Feed(withExtension(helloOf(t), 0xfafa, nil)) // the same with an extension that nobody knows
	o.wait("the answer", func() bool { return len(server.Pending()) > 0 })
	if server.Err() != nil {
		t.Error(server.Err())
	}
}

func TestRecordsBeyondTheRulesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		input []byte
		alert string
	}{
		"too long for 1.3":   {[]byte{23, 3, 3, 0x41, 0x01}, "record overflow"},
		"too long for all":   {[]byte{23, 3, 3, 0x48, 0x01}, "record overflow"},
		"another version":    {append([]byte{23, 3, 1, 0, 40}, make([]byte, 40)...), "protocol version not supported"},
		"an unknown type":    {record(99, make([]byte, 40)), "bad record MAC"},
		"in clear":           {record(typeAlert, []byte{1, 0}), "bad record MAC"},
		"nothing encrypted":  {record(23, nil), "bad record MAC"},
		"a handshake hidden": {record(typeHandshake, make([]byte, 40)), "bad record MAC"},
	} {
		o := newOwner(t)
		server, _ := pair(o, Version13)
		if len(c.input) == headerLength {
			c.input = append(c.input, make([]byte, int(c.input[3])<<8|int(c.input[4]))...)
		}
		if _, status := feed(server, c.input, 100); status != StatusFailed {
			t.Errorf("%s: status %v", name, status)
			continue
		}
		if e := server.Err(); e.Cause != CauseAlertSent || e.Alert.String() != c.alert {
			t.Errorf("%s: %v", name, e)
		}
	}
}

func TestASessionIsResumed(t *testing.T) {
	eachKind(t, func(t *testing.T, server bool, version Version) {
		config, peer := configOf(t, server, version), peerConfig()
		if server {
			peer.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		} else {
			var err error
			config, err = NewClientConfig(ClientOptions{
				ServerName: serverName, Authorities: ours().authorities, MinVersion: version, MaxVersion: version, Sessions: 1,
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, resumed := range []bool{false, true} {
			l, done := connect(t, config, peer, exchange(10))
			l.echo = true
			if err := l.finish(done); err != nil {
				t.Fatal(err)
			}
			if got := l.conn.Info().Resumed; got != resumed {
				t.Errorf("resumed: %v, want %v", got, resumed)
			}
		}
	})
}

func TestConfigurationsWithoutSenseAreRefused(t *testing.T) {
	certificates := []Certificate{ours().certificate}
	if _, err := NewServerConfig(ServerOptions{}); err == nil {
		t.Error("a server without a certificate")
	}
	if _, err := NewServerConfig(ServerOptions{Certificates: certificates, MinVersion: Version13, MaxVersion: Version12}); err == nil {
		t.Error("a server of no version")
	}
	if _, err := NewClientConfig(ClientOptions{}); err == nil {
		t.Error("a client that trusts nobody in particular")
	}
	if _, err := NewClientConfig(ClientOptions{ServerName: "a", MaxVersion: Version11}); err == nil {
		t.Error("a client of no version")
	}
	if _, err := ParseCertificate([]byte("x"), []byte("y")); err == nil {
		t.Error("a certificate that is none")
	}
}
