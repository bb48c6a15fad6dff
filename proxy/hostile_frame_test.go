package proxy_test

import (
	"fmt"
	"strings"
	"time"

	"culvert/engine"
	"culvert/proxy"
	"culvert/proxy/proxytest"

	gobwas "github.com/gobwas/ws"
)

// F: frames in an open tunnel, from either side.

// frameCase is a stream of frames from one side of a tunnel.
type frameCase struct {
	name        string
	fromBackend bool
	send        string
	passes      int    // how many bytes of send the other side gets; -1: all
	violation   string // what ends the tunnel; "": nothing does, the sender finishes
	log         string // what the log says besides when nothing is wrong
}

// frameFeeds are the ways in which each is fed: like hostileFeeds, and glued to the handshake.
var frameFeeds = []string{"whole", "bytes", "trailing", "glued"}

func (c frameCase) tests() []hostileTest {
	var tests []hostileTest
	for _, feed := range frameFeeds {
		tests = append(tests, hostileTest{c.name + "/" + feed, func(t *proxytest.T) { c.run(t, feed) }})
	}
	return tests
}

func (c frameCase) run(t *proxytest.T, feed string) {
	backend := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{backend}})
	send := c.send
	if feed == "trailing" && c.violation != "" {
		send += proxytest.ClientText("trailing")
	}
	client, conn := c.open(t, p, backend, send, feed)
	c.finish(t, p, client, conn)
}

// finish compares what comes of what was sent.
func (c frameCase) finish(t *proxytest.T, p *proxytest.Proxy, client, conn *proxytest.Conn) {
	t.Helper()
	sender, receiver, by := client, conn, "client"
	if c.fromBackend {
		sender, receiver, by = conn, client, "backend"
	}
	if c.violation == "" {
		sender.CloseWrite()
	}
	passes := c.passes
	if passes < 0 {
		passes = len(c.send)
	}
	receiver.Want(c.send[:passes])
	receiver.WantEOF()
	receiver.Close()
	sender.WantEOF()
	sender.Close()
	end := "tunnel-end 101 protocol-error " + by + " " + c.violation
	if c.violation == "" {
		end = "tunnel-end 101 closed " + by
	}
	if c.log != "" {
		end += " " + c.log
	}
	wantLog(t, p, "tunnel-open 101", end)
}

// open opens the tunnel and sends, both heads read.
func (c frameCase) open(t *proxytest.T, p *proxytest.Proxy, backend *proxytest.Backend, send, feed string) (client, conn *proxytest.Conn) {
	t.Helper()
	if feed != "glued" {
		client, conn = p.Tunnel(t)
		if c.fromBackend {
			_ = feedAs(conn, send, feed)
		} else {
			_ = feedAs(client, send, feed)
		}
		return client, conn
	}
	early, late := send, ""
	if c.fromBackend {
		early, late = "", send
	}
	client = p.Dial(t)
	client.Send(proxytest.UpgradeRequest() + early)
	conn = backend.Accept()
	conn.Send(proxytest.SwitchingProtocols(conn.ReadHead()) + late)
	client.ReadHead()
	return client, conn
}

// masked gives a header's bytes with a mask behind them, as a client sends them.
func masked(header string) string {
	bytes := []byte(header)
	bytes[1] |= 0x80
	return string(bytes) + string(proxytest.ClientMask[:])
}

// either returns a stream that ends in a violation, from both sides. The bad header is given as a server sends it.
func either(name, violation string, good func(fragment bool) (client, server string), fragment bool, header, payload string) []frameCase {
	client, server := good(fragment)
	return []frameCase{
		{name: name + "/from-client", send: client + masked(header) + payload, passes: len(client), violation: violation},
		{name: name + "/from-backend", fromBackend: true, send: server + header + payload, passes: len(server), violation: violation},
	}
}

// something is a stream without fault: a message, and the first fragment of another if asked for.
func something(fragment bool) (client, server string) {
	client, server = proxytest.ClientText("before"), proxytest.ServerText("before")
	if fragment {
		client += clientFragment(gobwas.OpBinary, "part")
		server += string(gobwas.MustCompileFrame(gobwas.NewFrame(gobwas.OpBinary, false, []byte("part"))))
	}
	return client, server
}

func nothing(bool) (client, server string) { return "", "" }

// violations are F01 to F04 and the over-long close of F08.
func violations() []frameCase {
	cases := []frameCase{
		{name: "F01/unmasked-client", send: proxytest.ServerText("no mask"), violation: "unmasked-client-frame"},
		{name: "F01/unmasked-empty", send: "\x81\x00", violation: "unmasked-client-frame"},
		{
			name: "F01/unmasked-client-later", send: proxytest.ClientText("before") + proxytest.ServerText("no mask"),
			passes: len(proxytest.ClientText("before")), violation: "unmasked-client-frame",
		},
		{name: "F01/masked-server", fromBackend: true, send: proxytest.ClientText("mask"), violation: "masked-server-frame"},
		{
			name: "F01/masked-server-later", fromBackend: true, send: proxytest.ServerText("before") + proxytest.ClientText("mask"),
			passes: len(proxytest.ServerText("before")), violation: "masked-server-frame",
		},
	}
	for _, v := range []struct {
		name, violation string
		fragment        bool
		header, payload string
	}{
		{"F02/rsv1", "reserved-bit", false, "\xc1\x02", "hi"},
		{"F02/rsv2", "reserved-bit", false, "\xa1\x02", "hi"},
		{"F02/rsv3", "reserved-bit", false, "\x91\x02", "hi"},
		{"F02/rsv1-on-a-ping", "reserved-bit", false, "\xc9\x00", ""},
		{"F02/opcode-3", "reserved-opcode", false, "\x83\x02", "hi"},
		{"F02/opcode-7", "reserved-opcode", true, "\x87\x00", ""},
		{"F02/opcode-11", "reserved-opcode", false, "\x8b\x00", ""},
		{"F02/opcode-15", "reserved-opcode", false, "\x8f\x00", ""},
		{"F03/fragmented-ping", "fragmented-control", false, "\x09\x00", ""},
		{"F03/fragmented-close", "fragmented-control", true, "\x08\x02", "\x03\xe8"},
		{"F03/ping-of-126", "long-control", false, "\x89\x7e\x00\x7e", strings.Repeat("p", 126)},
		{"F03/pong-with-long-length", "long-control", true, "\x8a\x7f\x00\x00\x00\x00\x00\x01\x00\x00", "pong"},
		{"F03/stray-continuation", "stray-continuation", false, "\x80\x02", "hi"},
		{"F03/stray-fragment", "stray-continuation", false, "\x00\x02", "hi"},
		{"F03/text-inside", "interrupted-message", true, "\x81\x02", "hi"},
		{"F03/fragment-inside", "interrupted-message", true, "\x02\x00", ""},
		{"F04/125-in-16-bits", "non-minimal-length", false, "\x82\x7e\x00\x7d", strings.Repeat("x", 125)},
		{"F04/0-in-16-bits", "non-minimal-length", false, "\x82\x7e\x00\x00", ""},
		{"F04/65535-in-64-bits", "non-minimal-length", false, "\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff", "xxx"},
		{"F04/0-in-64-bits", "non-minimal-length", true, "\x80\x7f\x00\x00\x00\x00\x00\x00\x00\x00", ""},
		{"F04/top-bit", "length-overflow", false, "\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x01", "x"},
		{"F04/all-bits", "length-overflow", false, "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", "x"},
		{"F08/close-of-126", "long-control", false, "\x88\x7e\x00\x7e", strings.Repeat("c", 126)},
	} {
		cases = append(cases, either(v.name, v.violation, something, v.fragment, v.header, v.payload)...)
	}
	return append(cases, either("F04/top-bit-at-once", "length-overflow", nothing, false, "\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x01", "x")...)
}

// closes are F08 and F09: whatever a close frame holds is passed on and logged, and nothing behind it is.
func closes() []frameCase {
	var cases []frameCase
	for _, body := range []struct{ name, body, log string }{
		{"F08/empty", "", "close 1005"},
		{"F08/one-byte", "\x03", "close 1005 invalid"},
		{"F08/normal", "\x03\xe8", "close 1000"},
		{"F08/longest", "\x0f\xa1" + strings.Repeat("r", 123), "close 4001"},
		{"F08/invalid-code", "\x00\x05", "close 5 invalid"},
		{"F08/reserved-code", "\x03\xed", "close 1005 invalid"},
		{"F08/top-code", "\xff\xff", "close 65535 invalid"},
		{"F08/not-utf-8", "\x03\xe8\xff\xfe", "close 1000"},
		{"F08/code-0", "\x00\x00", "invalid"},
	} {
		client, server := proxytest.ClientFrame(gobwas.OpClose, body.body), proxytest.ServerFrame(gobwas.OpClose, body.body)
		log := func(side string) string {
			if strings.HasPrefix(body.log, "close") {
				return "from_" + side + " " + body.log
			}
			return body.log
		}
		cases = append(cases,
			frameCase{name: body.name + "/from-client", send: client, passes: -1, log: log("client")},
			frameCase{name: body.name + "/from-backend", fromBackend: true, send: server, passes: -1, log: log("backend")})
	}
	for _, after := range []struct{ name, client, server string }{
		{"message", proxytest.ClientText("late"), proxytest.ServerText("late")},
		{"ping", proxytest.ClientFrame(gobwas.OpPing, ""), proxytest.ServerFrame(gobwas.OpPing, "")},
		{"close", proxytest.ClientClose(1001), proxytest.ServerClose(1001)},
		{"garbage", "\xff\xff\xff\xff", "\xff\xff\xff\xff"},
		{"one-byte", "\x81", "\x81"},
	} {
		client, server := proxytest.ClientClose(1000), proxytest.ServerClose(1000)
		cases = append(cases,
			frameCase{name: "F09/" + after.name + "/from-client", send: client + after.client, passes: len(client), log: "from_client close 1000"},
			frameCase{name: "F09/" + after.name + "/from-backend", fromBackend: true, send: server + after.server, passes: len(server), log: "from_backend close 1000"})
	}
	return cases
}

// frameTests are all of F.
func frameTests() []hostileTest {
	var tests []hostileTest
	for _, c := range append(violations(), closes()...) {
		tests = append(tests, c.tests()...)
	}
	for _, bits := range []int{34, 62} {
		for _, side := range []string{"client", "backend"} {
			name := fmt.Sprintf("F05/2-to-the-%d/from-%s", bits, side)
			tests = append(tests, hostileTest{name, func(t *proxytest.T) { testDeclaredLength(t, 1<<bits, side) }})
		}
	}
	for name, frame := range map[string]string{
		"one-byte-fragments": clientFragment(gobwas.OpContinuation, "f"),
		"empty-fragments":    clientFragment(gobwas.OpContinuation, ""),
		"empty-messages":     "",
		"pings":              proxytest.ClientFrame(gobwas.OpPing, ""),
	} {
		tests = append(tests, hostileTest{"F06/" + name, func(t *proxytest.T) { testFrameFlood(t, frame) }})
	}
	return append(tests, hostileTest{"F07/from-client", func(t *proxytest.T) { testCutHeaders(t, false) }},
		hostileTest{"F07/from-backend", func(t *proxytest.T) { testCutHeaders(t, true) }})
}

// testDeclaredLength: a length is a number, not a size; the idle timeout ends what never comes.
func testDeclaredLength(t *proxytest.T, length int64, side string) {
	backend := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{backend}, Config: func(c *proxy.Config) {
		c.Timeouts.Idle = time.Second
	}})
	client, conn := p.Tunnel(t)
	sender, receiver, frame := client, conn, proxytest.ClientHeader(length)+"begin"
	if side == "backend" {
		sender, receiver, frame = conn, client, proxytest.ServerHeader(length)+"begin"
	}
	sender.Send(frame)
	receiver.Want(frame)
	receiver.WantEOF()
	receiver.Close()
	sender.WantEOF()
	sender.Close()
	wantLog(t, p, "tunnel-open 101", "tunnel-end 101 idle-timeout proxy")
}

// testFrameFlood: a million frames in one tunnel cost no memory, and another tunnel of the loop goes on meanwhile.
func testFrameFlood(t *proxytest.T, frame string) {
	const frames = 1_000_000
	backend := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{backend}})
	client, conn := p.Tunnel(t)
	other, otherConn := p.Tunnel(t)
	begin, end := clientFragment(gobwas.OpText, "f"), proxytest.ClientFrame(gobwas.OpContinuation, "")
	if frame == "" {
		frame, begin, end = proxytest.ClientText(""), "", ""
	}
	flood := begin + strings.Repeat(frame, frames) + end
	go func() { _ = client.TrySend(flood) }()
	got := make(chan string)
	go func() { got <- conn.ReadExactly(len(flood)) }()
	ping, pong := proxytest.ClientText("still there?"), proxytest.ServerText("yes")
	rounds := 0
	for running := true; running; rounds++ {
		other.Send(ping)
		otherConn.Want(ping)
		otherConn.Send(pong)
		other.Want(pong)
		select {
		case all := <-got:
			if all != flood {
				t.Errorf("the backend got other bytes: %s", proxytest.Difference(all, flood))
			}
			running = false
		default:
		}
	}
	t.Logf("%d round trips of another tunnel during %d frames", rounds, frames)
	if held := p.Metric(t, "culvert_relay_pending_peak_bytes"); held > engine.DefaultReadBuffer+engine.HoldMax {
		t.Errorf("up to %v bytes were held, want at most one read", held)
	}
}

// testCutHeaders: each form of header is cut at each byte, so that the parts come in two reads.
func testCutHeaders(t *proxytest.T, fromBackend bool) {
	backend := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{backend}})
	client, conn := p.Tunnel(t)
	sender, receiver, frame := client, conn, proxytest.ClientFrame
	if fromBackend {
		sender, receiver, frame = conn, client, proxytest.ServerFrame
	}
	for _, length := range []int{0, 1, 125, 126, 127, 65535, 65536} {
		whole := frame(gobwas.OpBinary, strings.Repeat("x", length))
		for cut := 1; cut <= len(whole)-length && cut < len(whole); cut++ {
			sender.Send(whole[:cut])
			if !sender.UntilRead() {
				t.Fatalf("the proxy did not read %d bytes of a header", cut)
			}
			if cut < len(whole)-length {
				receiver.WantNothing() // a part of a header is never passed on
			}
			sender.Send(whole[cut:])
			receiver.Want(whole)
		}
	}
}
