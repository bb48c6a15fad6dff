package proxy_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/proxytest"
	"culvert/proxy/proxytest/authority"
)

// T01, T03 and T04: what an HTTPS listener meets that is no TLS, or breaks its rules. T02 and T05 have files of their own.

// inClear is a connection to an HTTPS listener that speaks HTTP without TLS.
func inClear(name, send, client string, secure func(*proxy.Config)) hostileCase {
	return hostileCase{name: "T01/" + name, send: send, client: client, log: []string{"request 400 plain-http client plain HTTP"}, change: secure}
}

// noTLS is one whose first bytes are neither TLS nor HTTP: it is closed without a word.
func noTLS(name, send string, secure func(*proxy.Config)) hostileCase {
	return hostileCase{name: "T01/" + name, send: send, log: []string{"request 0 tls-handshake client not TLS"}, change: secure}
}

// plainOnTLSTests are those of T01. The answer in clear has no Strict-Transport-Security: browsers would ignore it.
func plainOnTLSTests() []hostileTest {
	var tests []hostileTest
	for name, send := range map[string]string{
		"get": plain(""), "upgrade": chatRequest, "post": "POST /up HTTP/1.1¶Host: a¶Content-Length: 20000¶¶" + strings.Repeat("x", 20000),
		"post-100-continue": "POST /up HTTP/1.1¶Host: a¶Content-Length: 5¶Expect: 100-continue¶¶hello",
		"put":               "PUT / HTTP/1.1¶Host: a¶Content-Length: 0¶¶", "delete": "DELETE / HTTP/1.1¶Host: a¶¶", "patch": "PATCH / HTTP/1.1¶Host: a¶¶",
		"options": "OPTIONS * HTTP/1.1¶Host: a¶¶", "connect": "CONNECT a:443 HTTP/1.1¶Host: a:443¶¶", "trace": "TRACE / HTTP/1.1¶Host: a¶¶",
		"http2": "PRI * HTTP/2.0¶¶SM¶¶", "http10": "GET / HTTP/1.0¶¶", "malformed": "GET \x00\xff¶", "endless": "GET /" + strings.Repeat("a", 100_000),
	} {
		tests = append(tests, onTLS(inClear, name, send, "{400}")...)
	}
	tests = append(tests, onTLS(inClear, "head", "HEAD / HTTP/1.1¶Host: a¶¶", "{400 head}")...)
	for name, send := range map[string]string{
		"lower-case": "get / http/1.1¶host: a¶¶", "method-unknown": "PROPFIND / HTTP/1.1¶Host: a¶¶", "method-alike": "GETX / HTTP/1.1¶Host: a¶¶",
		"ssh": "SSH-2.0-OpenSSH_9.2¶", "smtp": "EHLO a¶", "zeros": strings.Repeat("\x00", 300), "proxy-header": proxyLine + plain(""),
		"empty-line": "¶" + plain(""), "ssl-version-4": "\x16\x04\x00\x00\x05hello",
	} {
		tests = append(tests, onTLS(func(name, send, _ string, secure func(*proxy.Config)) hostileCase { return noTLS(name, send, secure) }, name, send, "")...)
	}
	return append(tests, hostileTest{"T01/cut", plainly(cutInClear)}, hostileTest{"T01/silent", plainly(silentOnTLS)})
}

// onTLS makes the tests of a case, each of which has a listener with a certificate of its own.
func onTLS(make func(name, send, client string, secure func(*proxy.Config)) hostileCase, name, send, client string) []hostileTest {
	var tests []hostileTest
	for _, feed := range hostileFeeds {
		tests = append(tests, hostileTest{"T01/" + name + "/" + feed, func(t *proxytest.T) {
			make(name, send, client, func(c *proxy.Config) {
				secure(t, c)
				c.Listeners[0].TLS.HSTS = time.Hour
			}).run(t, feed)
		}})
	}
	return tests
}

// cutInClear: fewer bytes than a record's header has, and then a FIN.
func cutInClear(t *testing.T) {
	for text, answered := range map[string]bool{"G": true, "GET ": true, "GEX": false, "\x16": false, "\x16\x03\x01\x00": false} {
		s := startSecured(t, nil)
		client := s.Dial(t)
		client.Send(text)
		client.CloseWrite()
		if got := client.ReadUntilEOF(); strings.HasPrefix(got, "HTTP/1.1 400 ") != answered || !answered && got != "" {
			t.Errorf("%q and a FIN are answered by %q", text, got)
		}
	}
}

// silentOnTLS: no byte at all is nobody's fault, at the deadline and before.
func silentOnTLS(t *testing.T) {
	s := startSecured(t, func(c *proxy.Config) { c.Timeouts.TLSHandshake = 100 * time.Millisecond })
	s.Dial(t).WantEOF()
	gone := s.Dial(t)
	gone.Close()
	s.WaitMetric(t, 2, "culvert_exchanges_ended_total", "reason=silent")
	wantLog(t, s.Proxy)
}

// wantAlertInClear wants a fatal alert before there are keys, and a FIN.
func wantAlertInClear(t *testing.T, c *proxytest.Conn, alert byte) {
	t.Helper()
	got := c.ReadUntilEOF()
	if want := clearRecord(typeAlert, string([]byte{2, alert})); got != want && got != strings.Replace(want, "\x03\x03", "\x03\x01", 1) {
		t.Errorf("the client gets % x, want % x", got, want)
	}
}

// Alerts by their numbers (RFC 8446 section 6).
const (
	alertUnexpectedMessage    = 10
	alertRecordOverflow       = 22
	alertIllegalParameter     = 47
	alertDecodeError          = 50
	alertProtocolVersion      = 70
	alertUnsupportedExtension = 110
)

// firstBytes are connections that begin like TLS and go on otherwise.
var firstBytes = map[string]struct {
	send  string
	alert byte
	log   string
}{
	"record-too-long":    {"\x16\x03\x01\x48\x01", alertRecordOverflow, "record overflow"},
	"longest-length":     {"\x16\x03\x01\xff\xff", alertRecordOverflow, "record overflow"},
	"application-data":   {clearRecord(typeData, "x"), alertUnexpectedMessage, "unexpected message"},
	"change-cipher-spec": {clearRecord(typeChangeCipherSpec, "\x01"), alertUnexpectedMessage, "unexpected message"},
	"heartbeat":          {clearRecord(24, "\x01\x40\x00"), alertUnexpectedMessage, "unexpected message"},
	"empty-record":       {clearRecord(typeHandshake, ""), alertUnexpectedMessage, "unexpected message"},
	"a-servers-hello":    {clearRecord(typeHandshake, "\x02\x00\x00\x00"), alertUnexpectedMessage, "unexpected message"},
	"hello-of-zeros":     {clearRecord(typeHandshake, "\x01\x00\x00\x04\x00\x00\x00\x00"), alertDecodeError, "error decoding message"},
	"hello-of-16-MiB":    {clearRecord(typeHandshake, "\x01\xff\xff\xff"), alertIllegalParameter, "illegal parameter"},
	"sslv2":              {"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + strings.Repeat("x", 37), alertProtocolVersion, "protocol version not supported"},
}

// recordTests are those of T03 and T04.
func recordTests() []hostileTest {
	var tests []hostileTest
	for name, c := range firstBytes {
		for _, feed := range hostileFeeds {
			tests = append(tests, hostileTest{"T03/" + name + "/" + feed, func(t *proxytest.T) {
				send := c.send
				if feed == "trailing" {
					send += strings.Repeat("more of it, which nobody reads ", 1000)
				}
				s := startSecured(t, nil)
				client := s.Dial(t)
				_ = feedAs(client, send, feed) // what the proxy did is seen by its answer
				wantAlertInClear(t.T, client, c.alert)
				client.Close()
				wantLog(t, s.Proxy, "request 0 tls-handshake client alert sent: "+c.log)
				s.wantNothingLeft()
			}})
		}
	}
	for version := range bothVersions {
		for name, c := range wrongRecords {
			if only := c.only; only != "" && only != version {
				continue
			}
			for _, where := range []string{"keep-alive", "tunnel"} {
				tests = append(tests, hostileTest{fmt.Sprintf("%s/%s/%s", name, where, version), func(t *proxytest.T) {
					wrongRecordIsRefused(t.T, version, where == "tunnel", c.records, c.alert)
				}})
			}
		}
		for name, run := range map[string]func(t *testing.T, version string){
			"T03/endless-records-in-the-handshake": endlessHandshakeRecords,
			"T04/tunnel-cut":                       cutTunnel,
			"T04/tunnel-closed":                    closedTunnel,
			"T04/keep-alive-cut":                   cutKeepAlive,
			"T04/body-cut":                         cutBody,
		} {
			tests = append(tests, hostileTest{name + "/" + version, func(t *proxytest.T) { run(t.T, version) }})
		}
	}
	return append(tests,
		hostileTest{"T04/early-data", plainly(earlyData)}, hostileTest{"T04/key-updates-without-end", plainly(endlessKeyUpdates)},
		hostileTest{"T04/key-updates-that-nobody-reads", plainly(unreadKeyUpdates)},
	)
}

// manyRecords repeats a record until it is too many: crypto/tls bears 16 without use between two with data.
func manyRecords(next func(f *forger) string) func(f *forger) string {
	return func(f *forger) string {
		var all strings.Builder
		for range 17 {
			all.WriteString(next(f))
		}
		return all.String()
	}
}

// wrongRecords are what a forger sends behind the handshake, and the alert that answers it.
var wrongRecords = map[string]struct {
	records func(f *forger) string
	alert   string
	only    string // the version that it is for
}{
	"T03/too-long":           {func(*forger) string { return "\x17\x03\x03\x48\x01" }, "record overflow", ""},
	"T03/too-long-for-1.3":   {func(*forger) string { return "\x17\x03\x03\x41\x01" + strings.Repeat("x", 0x4101) }, "record overflow", "1.3"},
	"T03/plaintext-too-long": {func(f *forger) string { return f.record(typeData, strings.Repeat("x", longestRecord+1), 0) }, "record overflow", ""},
	"T03/unknown-type":       {func(f *forger) string { return f.record(99, "x", 0) }, "unexpected message", ""},
	"T03/in-clear":           {func(*forger) string { return clearRecord(typeAlert, "\x01\x00") }, "bad record MAC", ""},
	"T03/tampered": {func(f *forger) string {
		r := []byte(f.record(typeData, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0))
		r[len(r)-20] ^= 1
		return string(r)
	}, "bad record MAC", ""},
	"T03/replayed": {func(f *forger) string {
		r := f.record(typeData, "", 0)
		return r + r
	}, "bad record MAC", ""},
	"T03/empty-without-end":   {manyRecords(func(f *forger) string { return f.record(typeData, "", 0) }), "unexpected message", ""},
	"T03/padding-without-end": {manyRecords(func(f *forger) string { return f.record(typeData, "", 16000) }), "unexpected message", "1.3"},
	"T03/handshake-cut":       {func(f *forger) string { return f.record(typeHandshake, "\x18\x00", 0) + f.record(typeData, "x", 0) }, "unexpected message", "1.3"},
	"T04/renegotiation":       {func(f *forger) string { return f.record(typeHandshake, "\x01\x00\x00\x04\x00\x00\x00\x00", 0) }, "error decoding message", "1.2"},
	"T04/hello-again":         {func(f *forger) string { return f.record(typeHandshake, "\x01\x00\x00\x04\x00\x00\x00\x00", 0) }, "error decoding message", "1.3"},
	"T04/hello-request":       {func(f *forger) string { return f.record(typeHandshake, "\x00\x00\x00\x00", 0) }, "no renegotiation", "1.2"},
	"T04/key-update-in-1.2":   {func(f *forger) string { return f.record(typeHandshake, "\x18\x00\x00\x01\x00", 0) }, "unexpected message", "1.2"},
	"T04/key-update-of-2":     {func(f *forger) string { return f.record(typeHandshake, "\x18\x00\x00\x01\x02", 0) }, "error decoding message", "1.3"},
}

// wrongRecordIsRefused sends what is wrong, and more behind it: the client is told why, and the backend sees the end.
func wrongRecordIsRefused(t *testing.T, version string, inTunnel bool, records func(f *forger) string, alert string) {
	s := startSecured(t, func(c *proxy.Config) { c.KeepAliveRequests = 10 })
	f, c, backend := (*forger)(nil), (*secureClient)(nil), (*proxytest.Conn)(nil)
	if inTunnel {
		f, c, backend = s.forgedTunnel(bothVersions[version])
	} else {
		c = s.connect(bothVersions[version])
		f = forge(c)
		f.send(f.data("GET /first HTTP/1.1\r\nHost: "+securedName+"\r\n\r\n", longestRecord))
		backend = s.backend.Accept()
		backend.ReadHead()
		backend.Send("HTTP/1.1 204 No Content\r\n\r\n")
		c.readHead()
	}
	_ = c.raw.TrySend(records(f) + strings.Repeat("nothing of this may destroy the alert ", 2000))
	end := alert
	if alert == "no renegotiation" { // a warning, of which crypto/tls tells its callers nothing, and looks like this from outside
		end = "close_notify"
	}
	c.wantEnd(end)
	c.raw.Close()
	if inTunnel {
		backend.WantReset()
		wantLog(t, s.Proxy, "tunnel-open 101", "tunnel-end 101 client-transport client alert sent: "+alert)
	} else {
		backend.Close()
		wantLog(t, s.Proxy, "request 204 complete backend", "request 0 client-transport client alert sent: "+alert)
	}
	s.wantNothingLeft()
}

// endlessHandshakeRecords: a hello in one-byte records that never ends, so slow that the deadline counts, or so long that
// it is refused.
func endlessHandshakeRecords(t *testing.T, version string) {
	s := startSecured(t, func(c *proxy.Config) { c.Timeouts.TLSHandshake = 300 * time.Millisecond })
	slow := s.Dial(t)
	slow.Send(clearRecord(typeHandshake, "\x01") + clearRecord(typeHandshake, "\x00") + clearRecord(typeHandshake, "\x20"))
	patient := startSecured(t, nil) // whose deadline does not come before all is said
	long := patient.Dial(t)
	_ = long.TrySend(clearRecord(typeHandshake, "\x01") + clearRecord(typeHandshake, "\x00") + clearRecord(typeHandshake, "\x3f"))
	_ = long.TrySend(strings.Repeat(clearRecord(typeHandshake, "\xff"), 10_000))
	if rest, _ := slow.ReadUntilGone(); rest != "" {
		t.Errorf("the slow one gets % x", rest)
	}
	slow.Close()
	if rest, reset := long.ReadUntilGone(); !reset && rest != clearRecord(typeAlert, string([]byte{2, alertIllegalParameter})) {
		t.Errorf("the long one gets % x", rest)
	}
	long.Close()
	s.wantNothingLeft()
	patient.wantNothingLeft()
}

// cutTunnel: the client's FIN comes without close_notify, between two frames and within one.
func cutTunnel(t *testing.T, version string) {
	s := startSecured(t, nil)
	for _, text := range []string{proxytest.ClientText("all of it"), proxytest.ClientText("a part of it")[:9]} {
		c := s.connect(bothVersions[version])
		backend := s.tunnel(c)
		c.send(text)
		backend.Want(text)
		c.raw.CloseWrite()
		backend.WantEOF()
		backend.Close()
		c.wantEnd("close_notify")
		c.raw.Close()
		if line := s.WaitEnd(t); line.Inner("from_client")["tls_truncated"] != true {
			t.Errorf("the log does not say that the stream was truncated: %v", line)
		}
	}
}

// closedTunnel: one that ends as it should is not said to be truncated.
func closedTunnel(t *testing.T, version string) {
	s := startSecured(t, nil)
	c := s.connect(bothVersions[version])
	backend := s.tunnel(c)
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	backend.WantEOF()
	backend.Send(proxytest.ServerText("the other direction lives on"))
	c.want(proxytest.ServerText("the other direction lives on"))
	backend.Close()
	c.wantEnd("close_notify")
	c.raw.Close()
	line := s.WaitEnd(t)
	line.Want(t, "closed", 101, "client")
	for _, side := range sideNames {
		if _, said := line.Inner("from_" + side)["tls_truncated"]; said {
			t.Errorf("the log says that the stream was truncated: %v", line)
		}
	}
}

// cutKeepAlive: the client goes without close_notify between two requests, which is no request's business.
func cutKeepAlive(t *testing.T, version string) {
	s := startSecured(t, func(c *proxy.Config) { c.KeepAliveRequests = 10 })
	c := s.connect(bothVersions[version])
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	backend := s.backend.Accept()
	backend.ReadHead()
	backend.Send("HTTP/1.1 204 No Content\r\n\r\n")
	c.readHead()
	c.raw.CloseWrite()
	c.wantEnd("close_notify")
	backend.Close()
	s.WaitMetric(t, 1, "culvert_exchanges_ended_total", "reason=keep-alive")
	wantLog(t, s.Proxy, "request 204 complete backend")
	s.wantNothingLeft()
}

// cutBody: a request whose body ends in the middle, without close_notify.
func cutBody(t *testing.T, version string) {
	s := startSecured(t, nil)
	c := s.connect(bothVersions[version])
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
	backend := s.backend.Accept()
	backend.ReadHead()
	backend.Want("half")
	c.raw.CloseWrite()
	backend.WantReset()
	if head := c.readHead(); !strings.HasPrefix(head, "HTTP/1.1 400 ") {
		t.Errorf("the client gets %q", head)
	}
	_, _ = io.Copy(io.Discard, c)
	s.WaitEnd(t).Want(t, "request-cut", 400, "client")
}

// earlyData: nobody is given tickets that allow it, so it is refused with the hello that offers it.
func earlyData(t *testing.T) {
	s := startSecured(t, nil)
	client := s.Dial(t)
	hello := helloOf(t, s.config(bothVersions["1.3"]))
	const extensionEarlyData = 42 // RFC 8446 section 4.2.10
	_ = client.TrySend(withExtension(hello, extensionEarlyData, "") + clearRecord(typeData, strings.Repeat("x", 3000)))
	wantAlertInClear(t, client, alertUnsupportedExtension)
	client.Close()
	wantLog(t, s.Proxy, "request 0 tls-handshake client alert sent: unsupported extension")
	wantNobody(t, s.backend)
	s.wantNothingLeft()
}

// endlessKeyUpdates: a few are borne, more where there is data between them. A client that asks for answers gets as many.
func endlessKeyUpdates(t *testing.T) {
	for request := range byte(2) {
		s := startSecured(t, nil)
		f, c, backend := s.forgedTunnel(bothVersions["1.3"])
		for range 3 {
			for range 10 {
				f.send(f.keyUpdate(request))
			}
			f.send(f.data(strings.Repeat(proxytest.ClientText("data"), 200), 10))
			backend.Want(strings.Repeat(proxytest.ClientText("data"), 200))
			backend.Send(proxytest.ServerText("data"))
			c.want(proxytest.ServerText("data"))
		}
		for range 1000 {
			if c.raw.TrySend(f.keyUpdate(request)+f.data(proxytest.ClientText("data"), longestRecord)) != nil {
				break
			}
		}
		backend.WantReset()
		c.raw.Close()
		wantLog(t, s.Proxy, "tunnel-open 101", "tunnel-end 101 client-transport client flood")
		s.wantNothingLeft()
	}
}

// unreadKeyUpdates: each asks for an answer, and the client, for which there is much else, reads none. What is held is
// bounded: then the client is not read either.
func unreadKeyUpdates(t *testing.T) {
	const rounds, bound = 20_000, 512 << 10
	s := startSecured(t, func(c *proxy.Config) { c.NotSentLowat = 16 << 10 })
	raw := s.DialWith(t, proxytest.ConnOptions{ReceiveBuffer: proxytest.SmallBuffer})
	c := newSecureClient(t, raw, s.config(bothVersions["1.3"])).shake()
	f := forge(c)
	f.send(f.data(proxytest.UpgradeRequest(), longestRecord))
	backend := s.switched(c)
	backend.Send(proxytest.ServerHeader(proxytest.StallPayload))
	s.Stall(t, backend)
	go func() { _, _ = io.Copy(io.Discard, backend.Stream()) }()
	_ = raw.Stream().SetWriteDeadline(authority.Now().Add(3 * time.Second)) // the proxy stops reading long before
	sent := 0
	for ; sent < rounds; sent++ {
		records := f.keyUpdate(1) + f.data(strings.Repeat(proxytest.ClientText("x"), 16), 7)
		if _, err := io.WriteString(raw.Stream(), records); err != nil {
			break
		}
	}
	t.Logf("%d key updates were sent; %v bytes are held", sent, s.Metric(t, "culvert_buffer_bytes"))
	if held := s.Metric(t, "culvert_buffer_peak_bytes"); held > bound {
		t.Errorf("%v bytes were held, allowed are %d", held, bound)
	}
	if sent == rounds {
		t.Error("the proxy never stopped to read")
	}
	raw.Reset()
	s.WaitEnd(t).Want(t, "client-reset", 101, "client")
	s.wantNothingLeft()
}

// plainly runs a test that speaks TLS on its own.
func plainly(run func(*testing.T)) func(*proxytest.T) { return func(t *proxytest.T) { run(t.T) } }
