package proxy_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// Further hostile inputs over TLS. Those that are legal must be carried; the rest must end, and say why.

// inRecordsOf returns the same bytes of a handshake in records of a size.
func inRecordsOf(size int, flight string) string {
	var records strings.Builder
	for len(flight) >= 5 {
		length := int(flight[3])<<8 | int(flight[4])
		kind, body := flight[0], flight[5:5+length]
		flight = flight[5+length:]
		for len(body) > 0 {
			n := min(size, len(body))
			records.WriteString(clearRecord(kind, body[:n]))
			body = body[n:]
		}
	}
	return records.String()
}

// helloInPieces: the hello comes in records of few bytes each.
func helloInPieces(t *testing.T, version uint16) {
	s := startSecured(t, nil)
	for _, size := range []int{1, 3, 4, 5, 100} {
		c := s.client(s.config(version))
		first := true
		c.wire.write = func(p []byte) error {
			text := string(p)
			if first {
				text = inRecordsOf(size, text)
			}
			first = false
			return c.raw.TrySend(text)
		}
		s.ask(c.shake(), securedName)
		_ = c.Close()
		s.WaitEnd(t).Want(t, "complete", 204, "backend")
	}
}

// longHello: a hello of almost 16 KiB is read, a longer one is refused.
func longHello(t *testing.T, version uint16) {
	s := startSecured(t, nil)
	for names, want := range map[int]string{62: "", 64: "illegal parameter", 250: "illegal parameter"} {
		config := s.config(version)
		config.NextProtos = []string{"http/1.1"}
		for i := range names {
			config.NextProtos = append(config.NextProtos, fmt.Sprintf("%0255d", i))
		}
		c := s.client(config)
		if err := c.Handshake(); want == "" && err != nil || want != "" && (err == nil || endOf(t, err) != want) {
			t.Errorf("a hello with %d names: %v, want %q", names, err, want)
		}
		_ = c.Close()
	}
}

// alertsWithoutEnd: warnings mean nothing, but not for ever.
func alertsWithoutEnd(t *testing.T, version uint16) {
	warning := string([]byte{1, 90}) // user_canceled, RFC 8446 section 6.1
	t.Run("in the handshake", func(t *testing.T) {
		s := startSecured(t, nil)
		c := s.Dial(t)
		c.Send(helloOf(t, s.config(version)))
		_ = c.TrySend(strings.Repeat(clearRecord(typeAlert, warning), 5000))
		c.ReadUntilEOF()
		c.Close()
		s.WaitEnd(t).Want(t, "tls-handshake", 0, "client")
		s.wantNothingLeft()
	})
	t.Run("first of all", func(t *testing.T) {
		s := startSecured(t, nil)
		c := s.Dial(t)
		_ = c.TrySend(strings.Repeat(clearRecord(typeAlert, warning), 5000))
		c.ReadUntilEOF()
		c.Close()
		s.WaitEnd(t).Want(t, "tls-handshake", 0, "client")
		s.wantNothingLeft()
	})
	t.Run("in a tunnel", func(t *testing.T) {
		s := startSecured(t, nil)
		f, c, backend := s.forgedTunnel(version)
		for range 16 {
			f.send(f.record(typeAlert, warning, 0))
		}
		f.send(f.data(proxytest.ClientText("data"), longestRecord))
		backend.Want(proxytest.ClientText("data"))
		for range 1000 {
			if c.raw.TrySend(f.record(typeAlert, warning, 0)) != nil {
				break
			}
		}
		c.wantEnd("unexpected message")
		backend.WantReset()
		c.raw.Close()
		wantLog(t, s.Proxy, "tunnel-open 101", "tunnel-end 101 client-transport client alert sent: unexpected message")
		s.wantNothingLeft()
	})
}

// alertThatEnds: a client that gives up says why, and the log does.
func alertThatEnds(t *testing.T, version uint16) {
	s := startSecured(t, nil)
	f, c, backend := s.forgedTunnel(version)
	f.send(f.record(typeAlert, string([]byte{2, 80}), 0))
	backend.WantReset()
	c.raw.Close()
	wantLog(t, s.Proxy, "tunnel-open 101", "tunnel-end 101 client-transport client alert received: internal error")
	s.wantNothingLeft()
}

// ciphersChangedWithoutEnd: a few of these records are for the sake of middleboxes (RFC 8446 appendix D.4), and only before
// Finished.
func ciphersChangedWithoutEnd(t *testing.T, version uint16) {
	change := clearRecord(typeChangeCipherSpec, "\x01")
	s := startSecured(t, nil)
	c := s.Dial(t)
	c.Send(helloOf(t, s.config(version)))
	_ = c.TrySend(strings.Repeat(change, 5000))
	c.ReadUntilEOF()
	c.Close()
	s.WaitEnd(t).Want(t, "tls-handshake", 0, "client")
	f, later, backend := s.forgedTunnel(version)
	if version == tls.VersionTLS12 {
		change = f.record(typeChangeCipherSpec, "\x01", 0)
	}
	_ = later.raw.TrySend(strings.Repeat(change, 100))
	later.wantEnd("unexpected message")
	backend.WantReset()
	later.raw.Close()
	s.wantNothingLeft()
}

// glued does the handshake, and has what follows it go out in one segment with the client's last flight: a request, and
// then other bytes. In TLS 1.2 that is before the client has seen the other side's Finished (RFC 7918).
func (c *secureClient) glued(version uint16, request, behind string) *forger {
	c.t.Helper()
	f := &forger{t: c.t, client: c}
	flights, held := 0, ""
	c.wire.write = func(p []byte) error {
		flights++
		switch {
		case flights == 1:
			return c.raw.TrySend(string(p))
		case version == tls.VersionTLS13:
			held += string(p)
			return nil
		}
		f.keys12(c)
		return c.raw.TrySend(string(p) + f.data(request, longestRecord) + behind)
	}
	c.shake()
	if version == tls.VersionTLS13 {
		f = forge(c)
		c.raw.Send(held + f.data(request, longestRecord) + behind)
	}
	return f
}

// requestWithFinished: what comes in the segment of Finished is read at once, and nothing else tells of it.
func requestWithFinished(t *testing.T, version uint16) {
	s := startSecured(t, nil)
	c := s.client(s.config(version))
	f := c.glued(version, proxytest.UpgradeRequest()+proxytest.ClientText("early"), "")
	backend := s.switched(c)
	backend.Want(proxytest.ClientText("early"))
	f.send(f.data(proxytest.ClientText("later"), longestRecord))
	backend.Want(proxytest.ClientText("later"))
	backend.Send(proxytest.ServerText("answer"))
	c.want(proxytest.ServerText("answer"))
	c.raw.Reset()
	backend.WantReset()
}

// finWithFinished: the client's FIN comes in the same event as its Finished and its request, which is answered.
func finWithFinished(t *testing.T, version uint16) {
	s := startSecured(t, nil)
	c := s.client(s.config(version))
	c.glued(version, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "")
	c.raw.CloseWrite()
	backend := s.backend.Accept()
	backend.ReadHead()
	backend.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	c.readHead()
	c.want("ok")
	c.wantEnd("close_notify")
	s.WaitEnd(t).Want(t, "complete", 200, "backend")
}

// closeWithFinished: close_notify comes in the same record's wake as the request, which is answered; a tunnel is cancelled.
func closeWithFinished(t *testing.T, version uint16) {
	s := startSecured(t, nil)
	for _, request := range []string{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nall"} {
		c := s.client(s.config(version)).shake()
		f := forge(c)
		f.send(f.data(request, longestRecord) + f.record(typeAlert, "\x01\x00", 0))
		backend := s.backend.Accept()
		if backend.ReadHead(); strings.HasPrefix(request, "POST") {
			backend.Want("all")
		}
		backend.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		c.readHead()
		c.want("ok")
		c.wantEnd("close_notify")
		s.WaitEnd(t).Want(t, "complete", 200, "backend")
	}
	c := s.client(s.config(version)).shake()
	f := forge(c)
	f.send(f.data("GET / HTTP/1.1\r\nHost: a\r\n", longestRecord) + f.record(typeAlert, "\x01\x00", 0))
	if head := c.readHead(); !strings.HasPrefix(head, "HTTP/1.1 400 ") {
		t.Errorf("half a head is answered by %q", head)
	}
	s.WaitEnd(t).Want(t, "bad-request", 400, "client")
	c = s.client(s.config(version)).shake()
	f = forge(c)
	f.send(f.data(proxytest.UpgradeRequest(), longestRecord) + f.record(typeAlert, "\x01\x00", 0))
	c.wantEnd("close_notify")
	s.WaitEnd(t).Want(t, "client-left", 499, "client")
}

// garbageWithFinished: the client is told, and what came in front of the garbage is nothing.
func garbageWithFinished(t *testing.T, version uint16) {
	s := startSecured(t, nil)
	for _, request := range []string{"", "GET / HTTP/1.1\r\nHost: a\r\n"} {
		c := s.client(s.config(version))
		c.glued(version, request, clearRecord(typeData, strings.Repeat("x", 100)))
		c.wantEnd("bad record MAC")
		c.raw.Close()
		s.WaitEnd(t).Want(t, "client-transport", 0, "client")
	}
	wantNobody(t, s.backend)
	s.wantNothingLeft()
}

// manyEarlyFrames: 1 MiB behind the request for a tunnel, in one go. One read buffer of it is held.
func manyEarlyFrames(t *testing.T, version uint16) {
	s := startSecured(t, nil)
	c := s.client(s.config(version)).shake()
	f := forge(c)
	frames := strings.Repeat(proxytest.ClientText(strings.Repeat("x", 100)), 10_000)
	sent := make(chan error, 1)
	go func() { sent <- c.raw.TrySend(f.data(proxytest.UpgradeRequest()+frames, longestRecord)) }()
	backend := s.backend.Accept()
	head := backend.ReadHead()
	s.WaitMetric(t, 1, "culvert_exchanges_active")
	if held := s.Metric(t, "culvert_buffer_peak_bytes"); held > 512<<10 {
		t.Errorf("%v bytes were held", held)
	}
	backend.Send(proxytest.SwitchingProtocols(head))
	backend.Want(frames)
	if err := <-sent; err != nil {
		t.Error(err)
	}
	c.raw.Reset()
	backend.WantReset()
}

// recordsOfOneByte: a message in as many records as it has bytes.
func recordsOfOneByte(t *testing.T, version uint16) {
	s := startSecured(t, nil)
	f, c, backend := s.forgedTunnel(version)
	payload := strings.Repeat("0123456789abcdef", tinyRecords/16)
	message := proxytest.ClientHeader(int64(len(payload))) + payload
	sent := make(chan error, 1)
	go func() {
		const piece = 16 << 10
		for rest := message; len(rest) > 0; {
			n := min(piece, len(rest))
			if err := c.raw.TrySend(f.data(rest[:n], 1)); err != nil {
				sent <- err
				return
			}
			rest = rest[n:]
		}
		sent <- nil
	}()
	backend.Want(message)
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if held := s.Metric(t, "culvert_buffer_peak_bytes"); held > 512<<10 {
		t.Errorf("%v bytes were held", held)
	}
	c.raw.Reset()
	backend.WantReset()
}

// longestRecordsCut: records of the largest size, each in two segments that part at another place.
func longestRecordsCut(t *testing.T, version uint16) {
	s := startSecured(t, nil)
	f, c, backend := s.forgedTunnel(version)
	payload := strings.Repeat("0123456789abcdef", longestRecord/16-1)
	message := proxytest.ClientHeader(int64(len(payload))) + payload
	for at, length := 1, 5+longestRecord; at < length; {
		record := f.data(message, longestRecord)
		length = len(record)
		c.raw.Send(record[:at])
		c.raw.UntilRead()
		c.raw.Send(record[at:])
		backend.Want(message)
		if at++; at > 64 && at < longestRecord-32 {
			at += cutStep
		}
	}
	c.raw.Reset()
	backend.WantReset()
}

// cutStep is how far the places of the middle lie apart, in bytes.
const cutStep = 61

// emptyRecords: records without data among others are carried, that is left out.
func emptyRecords(t *testing.T, version uint16) {
	s := startSecured(t, nil)
	f, c, backend := s.forgedTunnel(version)
	frame := proxytest.ClientText("between empty records")
	for i := range 60 {
		records := f.record(typeData, "", 0) + f.data(frame[:7], longestRecord)
		if version == tls.VersionTLS12 || i%16 == 0 { // in TLS 1.3 they have their price
			records += f.record(typeData, "", 0)
		}
		f.send(records + f.data(frame[7:], 1))
		backend.Want(frame)
	}
	c.raw.Reset()
	backend.WantReset()
}

// answersInRecords: what a client is sent comes in records of at most 16 KiB, whatever the backend's pieces are.
func answersInRecords(t *testing.T, version uint16) {
	s := startSecured(t, nil)
	c := s.connect(version)
	backend := s.tunnel(c)
	payload := strings.Repeat("0123456789abcdef", 1<<16)
	before := len(c.wire.received)
	go func() { _ = backend.TrySend(proxytest.ServerHeader(int64(len(payload))) + payload) }()
	c.want(proxytest.ServerHeader(int64(len(payload))) + payload)
	records, longest := 0, 0
	for rest := c.wire.received[before:]; len(rest) >= 5; records++ {
		length := int(rest[3])<<8 | int(rest[4])
		longest = max(longest, length)
		rest = rest[min(len(rest), 5+length):]
	}
	t.Logf("1 MiB came in %d records of at most %d bytes", records, longest)
	if longest > longestRecord+256 || records > 300 {
		t.Errorf("1 MiB came in %d records of at most %d bytes", records, longest)
	}
	_ = c.Close()
	backend.WantEOF()
}

// silentReader: a client that never reads its answer, in records that nobody takes.
func silentReader(t *testing.T, version uint16) {
	s := startSecured(t, func(c *proxy.Config) { c.NotSentLowat = 16 << 10 })
	raw := s.DialWith(t, proxytest.ConnOptions{ReceiveBuffer: proxytest.SmallBuffer})
	c := newSecureClient(t, raw, s.config(version)).shake()
	backend := s.tunnel(c)
	backend.Send(proxytest.ServerHeader(proxytest.StallPayload))
	sent := s.Stall(t, backend)
	if held := s.Metric(t, "culvert_buffer_peak_bytes"); held > 512<<10 {
		t.Errorf("%v bytes were held", held)
	}
	backend.CloseWrite()
	all, err := io.ReadAll(c)
	if want := proxytest.ServerHeader(proxytest.StallPayload) + sent; err != nil || string(all) != want {
		t.Errorf("%v; %s", err, proxytest.Difference(string(all), want))
	}
	if !c.wire.closed() {
		t.Error("the end of the stream was not said")
	}
}

func secureExtraTests() []hostileTest {
	var tests []hostileTest
	for name, run := range map[string]func(*testing.T, uint16){
		"X33/hello-in-pieces": helloInPieces, "X34/long-hello": longHello, "X35/warnings": alertsWithoutEnd, "X35/fatal": alertThatEnds,
		"X36/change-cipher-spec": ciphersChangedWithoutEnd, "X37/request": requestWithFinished, "X37/fin": finWithFinished, "X37/closed": closeWithFinished,
		"X37/garbage": garbageWithFinished, "X38/early-frames": manyEarlyFrames, "X39/records-of-one-byte": recordsOfOneByte,
		"X40/longest-records-cut": longestRecordsCut, "X40/empty-records": emptyRecords, "X40/answers": answersInRecords,
		"X41/never-reads": silentReader,
	} {
		for version, number := range bothVersions {
			tests = append(tests, hostileTest{name + "/" + version, func(t *proxytest.T) { run(t.T, number) }})
		}
	}
	return tests
}
