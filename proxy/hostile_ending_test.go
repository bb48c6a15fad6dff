package proxy_test

import (
	"strings"
	"time"

	"culvert/proxy"
	"culvert/proxy/proxytest"

	gobwas "github.com/gobwas/ws"
)

// E: endings and pressure in an open tunnel. Every way to end is in docs/endings.md, with tests of its own; here it is
// what must hold under pressure.

// heldAtMost is the most that one direction may hold: a pipe's content, or one read and a frame on hold.
const heldAtMost = 512 << 10

// endingTests are all of E that this version can do but running out of something, which has a package of its own.
func endingTests() []hostileTest {
	return []hostileTest{
		{"E01/client-stops-reading", func(t *proxytest.T) { testOneStops(t, true) }},
		{"E01/backend-stops-reading", func(t *proxytest.T) { testOneStops(t, false) }},
		{"E02/both-stop-reading", testBothStop},
		{"E03/client-resets", func(t *proxytest.T) { testResetInFrame(t, false) }},
		{"E03/backend-resets", func(t *proxytest.T) { testResetInFrame(t, true) }},
		{"E04/client-finishes", func(t *proxytest.T) { testFinishAgainstPending(t, false) }},
		{"E04/backend-finishes", func(t *proxytest.T) { testFinishAgainstPending(t, true) }},
		{"E05/tunnel", testAnswerAfterFinish},
		{"E05/ordinary", testOrdinaryAnswerAfterFinish},
		{"E06/from-client", func(t *proxytest.T) { testFinishBehindQueue(t, false) }},
		{"E06/from-backend", func(t *proxytest.T) { testFinishBehindQueue(t, true) }},
		{"E07/client-resets", func(t *proxytest.T) { testResetWithData(t, false) }},
		{"E07/backend-resets", func(t *proxytest.T) { testResetWithData(t, true) }},
		{"E09/by-the-clients", testManyEndAtOnce},
	}
}

// startPressed starts a proxy whose stall timeout is short, and a backend and a tunnel with small kernel buffers.
func startPressed(t *proxytest.T, stalled time.Duration) (p *proxytest.Proxy, client, conn *proxytest.Conn) {
	t.Helper()
	backend := proxytest.NewBackendWith(t, proxytest.BackendOptions{ReceiveBuffer: proxytest.SmallBuffer})
	p = proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{backend}, Config: func(c *proxy.Config) {
		c.Timeouts.Stalled = stalled
	}})
	client = p.DialWith(t, proxytest.ConnOptions{ReceiveBuffer: proxytest.SmallBuffer})
	return p, client, p.Upgrade(t, client)
}

// endless is more than all the buffers on the way take, in a frame that is longer still.
var endless = strings.Repeat("endless ", 4<<20)

// press sends without end until the proxy resets the connection.
func press(t *proxytest.T, c *proxytest.Conn, header string) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c.TrySend(header+endless) == nil {
			t.Errorf("%s could send everything", c)
		}
	}()
	return done
}

// untilStalled waits until the stall timeout has ended the tunnel, and checks that no more than allowed was ever held.
func untilStalled(t *proxytest.T, p *proxytest.Proxy, allowed float64) {
	t.Helper()
	held := 0.0
	proxytest.Eventually(t, "the stall timeout ends the tunnel", func() bool {
		held = max(held, p.Metric(t, "culvert_relay_pending_bytes"))
		return p.Metric(t, "culvert_tunnels_ended_total", "reason=stalled-timeout") == 1
	})
	if held == 0 || held > allowed {
		t.Errorf("the proxy held %v bytes, want some, at most %v", held, allowed)
	}
}

// testOneStops: one side takes nothing any more while the other sends without end.
func testOneStops(t *proxytest.T, client bool) {
	p, reader, sender := startPressed(t, time.Second)
	header, by := proxytest.ServerHeader(proxytest.StallPayload), "client"
	if !client {
		reader, sender = sender, reader
		header, by = proxytest.ClientHeader(proxytest.StallPayload), "backend"
	}
	sending := press(t, sender, header)
	untilStalled(t, p, heldAtMost)
	<-sending
	if got := reader.WantReset(); !strings.HasPrefix(header+endless, got) {
		t.Errorf("what was delivered is no beginning of what was sent: %s", proxytest.Excerpt(got))
	}
	wantLog(t, p, "tunnel-open 101", "tunnel-end 101 stalled-timeout "+by)
}

// testBothStop: nobody reads, both send without end.
func testBothStop(t *proxytest.T) {
	p, client, conn := startPressed(t, time.Second)
	fromClient := press(t, client, proxytest.ClientHeader(proxytest.StallPayload))
	fromBackend := press(t, conn, proxytest.ServerHeader(proxytest.StallPayload))
	untilStalled(t, p, 2*heldAtMost)
	<-fromClient
	<-fromBackend
	if line := p.WaitEnd(t); line.Text("reason") != "stalled-timeout" { // by the one who was first to take nothing
		t.Errorf("the tunnel ended by %s", line.Text("reason"))
	}
}

// tunnelSides returns the ends of a tunnel in order: who acts first.
func tunnelSides(client, conn *proxytest.Conn, backend bool) (first, second *proxytest.Conn, by string) {
	if backend {
		return conn, client, "backend"
	}
	return client, conn, "client"
}

// promptly is much less than any deadline would take, and enough for a busy machine.
const promptly = proxytest.Patience / 10

// testResetInFrame: a reset amid a frame is at once a reset for the other side, behind what came before.
func testResetInFrame(t *proxytest.T, backend bool) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}})
	client, conn := p.Tunnel(t)
	first, second, by := tunnelSides(client, conn, backend)
	part := proxytest.ClientHeader(1000) + "part"
	if backend {
		part = proxytest.ServerHeader(1000) + "part"
	}
	first.Send(part)
	second.Want(part)
	begin := time.Now()
	first.Reset()
	if rest := second.WantReset(); rest != "" {
		t.Errorf("something came before the reset: %s", proxytest.Excerpt(rest))
	}
	if took := time.Since(begin); took > promptly {
		t.Errorf("the reset was passed on after %v, want at most %v", took, promptly)
	}
	wantLog(t, p, "tunnel-open 101", "tunnel-end 101 "+by+"-reset "+by)
}

// testFinishAgainstPending: a FIN while bytes are pending towards its sender ends neither them nor what follows.
func testFinishAgainstPending(t *proxytest.T, backend bool) {
	p, client, conn := startPressed(t, time.Minute)
	first, second, by := tunnelSides(client, conn, backend)
	header := proxytest.ServerHeader
	if backend {
		header = proxytest.ClientHeader
	}
	const more = "the end"
	second.Send(header(proxytest.StallPayload))
	sent := p.Stall(t, second)
	first.CloseWrite()
	second.WantEOF()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = second.TrySend(more)
		second.CloseWrite()
	}()
	first.Want(header(proxytest.StallPayload))
	first.Want(sent)
	first.Want(more)
	first.WantEOF()
	<-done
	wantLog(t, p, "tunnel-open 101", "tunnel-end 101 closed "+by)
}

// testAnswerAfterFinish: the client has finished; what the backend says afterwards arrives.
func testAnswerAfterFinish(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}})
	client, conn := p.Tunnel(t)
	question, answer := proxytest.ClientText("question"), proxytest.ServerText("answer")
	client.Send(question)
	client.CloseWrite()
	conn.Want(question)
	conn.WantEOF()
	conn.Send(answer + proxytest.ServerClose(1000))
	client.Want(answer + proxytest.ServerClose(1000))
	conn.Close()
	client.WantEOF()
	wantLog(t, p, "tunnel-open 101", "tunnel-end 101 closed backend from_backend close 1000")
}

// testOrdinaryAnswerAfterFinish: the same for an ordinary request.
func testOrdinaryAnswerAfterFinish(t *proxytest.T) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}})
	client := p.Dial(t)
	expand := expander(p, client, b.Address())
	client.Send(expand(plain("")))
	client.CloseWrite()
	conn := b.Accept()
	conn.Want(expand(ordinaryForwarded))
	conn.Send(expand(okAnswer))
	conn.WantEOF()
	conn.Close()
	client.Want(expand(okClient))
	client.WantEOF()
	wantLog(t, p, okLog)
}

// testFinishBehindQueue: the FIN stands behind megabytes that nobody has read yet, and arrives behind all of them.
func testFinishBehindQueue(t *proxytest.T, backend bool) {
	p, client, conn := startPressed(t, time.Minute)
	first, second, by := tunnelSides(client, conn, backend)
	frame := proxytest.ClientFrame
	if backend {
		frame = proxytest.ServerFrame
	}
	message := frame(gobwas.OpBinary, strings.Repeat("0123456789abcdef", 1<<10))
	sent := strings.Repeat(message, 256)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = first.TrySend(sent)
		first.CloseWrite()
	}()
	proxytest.Eventually(t, "the proxy holds bytes that nobody takes", func() bool {
		return p.Metric(t, "culvert_relay_pending_bytes") > 0
	})
	for at := 0; at < len(sent); at += len(message) / 4 { // slowly: a quarter of a message at a time
		second.Want(sent[at:min(len(sent), at+len(message)/4)])
	}
	<-done
	second.WantEOF()
	second.CloseWrite()
	first.WantEOF()
	wantLog(t, p, "tunnel-open 101", "tunnel-end 101 closed "+by)
}

// testResetWithData: data and a reset in one go. The data may be lost; nothing else may.
func testResetWithData(t *proxytest.T, backend bool) {
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}})
	const rounds = 50
	var want []string
	for range rounds {
		client, conn := p.Tunnel(t)
		first, second, by := tunnelSides(client, conn, backend)
		data := proxytest.ClientText("going") + proxytest.ClientHeader(10) + "gone"
		if backend {
			data = proxytest.ServerText("going") + proxytest.ServerHeader(10) + "gone"
		}
		first.Send(data)
		first.Reset()
		if got := second.WantReset(); got != "" && got != data {
			t.Errorf("the other side got other bytes: %s", proxytest.Difference(got, data))
		}
		p.WaitEnd(t)
		want = append(want, "tunnel-open 101", "tunnel-end 101 "+by+"-reset "+by)
	}
	var got []string
	for _, line := range p.Log() {
		got = append(got, logSummary(line))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the access log says\n     %q\nwant %q", got, want)
	}
}

// testManyEndAtOnce: a thousand tunnels whose clients vanish in one instant are cleared away while another goes on.
func testManyEndAtOnce(t *proxytest.T) {
	tunnels := 1000
	if t.Way() != (proxytest.Way{}) {
		tunnels = 100 // which takes as long: each begins with handshakes
	}
	b := proxytest.NewBackend(t)
	p := proxytest.Start(t, proxytest.Options{Backends: []*proxytest.Backend{b}})
	other, otherConn := p.Tunnel(t)
	clients := make([]*proxytest.Conn, tunnels)
	for i := range clients {
		clients[i], _ = p.Tunnel(t)
	}
	for i, client := range clients {
		if i%2 == 0 {
			client.Reset()
		} else {
			client.CloseWrite()
		}
	}
	ping := proxytest.ClientText("still there?")
	other.Send(ping)
	otherConn.Want(ping)
	p.WaitMetric(t, float64(tunnels/2), "culvert_tunnels_ended_total", "reason=client-reset")
	for _, conn := range b.Connections()[1:] {
		conn.ReadUntilGone()
		conn.Close()
	}
	p.WaitMetric(t, float64(tunnels/2), "culvert_tunnels_ended_total", "reason=closed")
	p.WaitMetric(t, 1, "culvert_tunnels_active")
	now := p.Scrape(t)
	turns, short := now.Sum("culvert_loop_turn_seconds_count"), now.Sum("culvert_loop_turn_seconds_bucket", "le=1")
	if turns == 0 || short != turns {
		t.Errorf("of %v turns only %v took at most 1 s: the loop stood still", turns, short)
	}
}
