package proxy_test

import (
	"strings"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// The endings of a tunnel, phase T of docs/endings.md. Most rows come twice, once for each side: their tests are
// written for a near side, which is the one that the row is about, and a far side.

// sides are a tunnel's two far ends as one row sees them.
type sides struct {
	*ending
	swapped                     bool // the backend is near
	near, far                   *proxytest.Conn
	nearText, farText           string // a whole message of each
	nearHeader, farHeader       string // the header of a message that does not end in a test
	nearViolation, farViolation string // a frame that RFC 6455 forbids each
}

func nearClient(test func(*sides)) func(*ending) {
	return func(e *ending) { test(&sides{ending: e}) }
}

func nearBackend(test func(*sides)) func(*ending) {
	return func(e *ending) { test(&sides{ending: e, swapped: true}) }
}

// open starts the proxy and opens the tunnel.
func (s *sides) open(change func(*proxy.Config)) {
	s.t.Helper()
	s.start(change)
	s.tunnel()
	s.label()
}

// openNarrow does the same with kernels that hold little.
func (s *sides) openNarrow(change func(*proxy.Config)) {
	s.t.Helper()
	s.narrow = true
	s.open(change)
}

func (s *sides) label() {
	s.near, s.far = s.client, s.server
	s.nearText, s.farText = proxytest.ClientText("from the client"), proxytest.ServerText("from the backend")
	s.nearHeader, s.farHeader = proxytest.ClientHeader(proxytest.StallPayload), proxytest.ServerHeader(proxytest.StallPayload)
	s.nearViolation, s.farViolation = proxytest.ServerText("no mask"), proxytest.ClientText("a mask")
	if s.swapped {
		s.near, s.far = s.far, s.near
		s.nearText, s.farText = s.farText, s.nearText
		s.nearHeader, s.farHeader = s.farHeader, s.nearHeader
		s.nearViolation, s.farViolation = s.farViolation, s.nearViolation
	}
}

// fill sends from a side until bytes are pending, and returns all that it sent.
func (s *sides) fill(from *proxytest.Conn) string {
	s.t.Helper()
	header := s.nearHeader
	if from == s.far {
		header = s.farHeader
	}
	from.Send(header)
	return header + s.p.Stall(s.t, from)
}

// over: the far side finishes, and with that the tunnel is over.
func (s *sides) over() {
	s.t.Helper()
	s.far.CloseWrite()
	s.near.WantEOF()
	s.released(s.near, s.far)
}

// gone: the near side has gone, the far side is reset.
func (s *sides) gone() string {
	s.t.Helper()
	rest := s.far.WantReset()
	s.released(s.near, s.far)
	return rest
}

// halfClose has the far side finish first.
func (s *sides) halfClose() {
	s.t.Helper()
	s.far.CloseWrite()
	s.near.WantEOF()
}

func finOpen(s *sides) {
	s.open(nil)
	s.near.Send(s.nearText)
	s.near.CloseWrite()
	s.far.Want(s.nearText)
	s.far.WantEOF()
	s.far.Send(s.farText)
	s.near.Want(s.farText)
	s.over()
}

func finPendingToFar(s *sides) {
	s.openNarrow(nil)
	sent := s.fill(s.near)
	s.near.CloseWrite()
	s.far.Want(sent)
	s.far.WantEOF()
	s.over()
}

func finPendingToNear(s *sides) {
	s.openNarrow(nil)
	sent := s.fill(s.far)
	s.near.Send(s.nearText)
	s.near.CloseWrite()
	s.far.Want(s.nearText)
	s.far.WantEOF()
	s.near.Want(sent)
	s.over()
}

func finHalfClosed(s *sides) {
	s.open(nil)
	s.halfClose()
	s.near.Send(s.nearText)
	s.near.CloseWrite()
	s.far.Want(s.nearText)
	s.far.WantEOF()
	s.released(s.near, s.far)
}

func finHalfClosedPending(s *sides) {
	s.openNarrow(nil)
	s.halfClose()
	sent := s.fill(s.near)
	s.near.CloseWrite()
	s.far.Want(sent)
	s.far.WantEOF()
	s.released(s.near, s.far)
}

func finInHeader(s *sides) {
	s.open(nil)
	part := s.nearText + s.nearHeader[:3]
	s.near.Send(part)
	s.near.CloseWrite()
	s.far.Want(part)
	s.far.WantEOF()
	s.over()
}

func finBehindTheAnswer(s *sides) {
	s.start(nil)
	s.dial()
	s.client.Send(proxytest.UpgradeRequest())
	s.server = s.backend.Accept()
	s.label()
	s.near.Send(proxytest.SwitchingProtocols(s.near.ReadHead()) + s.nearText)
	s.near.CloseWrite()
	s.far.ReadHead()
	s.far.Want(s.nearText)
	s.far.WantEOF()
	s.over()
}

func resetOpen(s *sides) {
	s.open(nil)
	s.near.Send(s.nearText)
	s.near.Reset()
	if rest := s.gone(); rest != s.nearText {
		s.t.Errorf("%s got %q, want what came before the reset", s.far, rest)
	}
}

func resetPendingToFar(s *sides) {
	s.openNarrow(nil)
	sent := s.fill(s.near)
	s.near.Reset()
	s.released(s.near, s.far)
	s.prefix(s.far.WantReset(), sent, false)
}

func resetPendingToNear(s *sides) {
	s.openNarrow(nil)
	s.fill(s.far)
	s.near.Reset()
	s.gone()
}

func resetHalfClosed(s *sides) {
	s.open(nil)
	s.halfClose()
	s.near.Reset()
	s.gone()
}

func resetAfterFIN(s *sides) {
	s.open(nil)
	s.near.Send(s.nearText)
	s.near.CloseWrite()
	s.far.Want(s.nearText)
	s.far.WantEOF()
	s.near.Reset()
	s.far.WantResetAfterEOF()
	s.released(s.near, s.far)
}

func resetAfterFINPending(s *sides) {
	s.openNarrow(nil)
	sent := s.fill(s.near)
	s.near.CloseWrite()
	s.near.Reset()
	s.released(s.near, s.far)
	s.prefix(s.far.WantReset(), sent, false)
}

func lostOpen(s *sides) {
	s.open(nil)
	s.p.Lose(s.t, s.near)
	s.far.Send(s.farText)
	s.gone()
}

func lostPending(s *sides) {
	s.openNarrow(nil)
	s.fill(s.far)
	s.p.Lose(s.t, s.near)
	s.gone()
}

func lostHalfClosed(s *sides) {
	s.open(nil)
	s.halfClose()
	s.p.Lose(s.t, s.near)
	s.gone()
}

func idleHalfClosed(s *sides) {
	s.open(func(c *proxy.Config) { c.Timeouts.HalfClosed = shortTimeout })
	s.near.CloseWrite()
	s.far.WantEOF()
	s.near.WantEOF()
	s.released(s.near)
	s.lingers(s.far)
}

// stall: the near side takes nothing.
func stall(s *sides) {
	s.openNarrow(func(c *proxy.Config) { c.Timeouts.Stalled = stallTimeout })
	sent := s.fill(s.far)
	s.far.WantReset()
	s.prefix(s.near.WantReset(), sent, false)
	s.released(s.near, s.far)
}

func stallBeforeFIN(s *sides) {
	s.openNarrow(func(c *proxy.Config) { c.Timeouts.Stalled = stallTimeout })
	sent := s.fill(s.far)
	s.far.CloseWrite()
	s.far.WantReset()
	s.prefix(s.near.WantReset(), sent, false)
	s.released(s.near, s.far)
}

func stallHalfClosed(s *sides) {
	s.openNarrow(func(c *proxy.Config) { c.Timeouts.Stalled = stallTimeout })
	s.near.CloseWrite()
	s.far.WantEOF()
	sent := s.fill(s.far)
	s.far.WantResetAfterEOF()
	s.prefix(s.near.WantReset(), sent, false)
	s.released(s.near, s.far)
}

func violation(s *sides) {
	s.open(nil)
	s.near.Send(s.nearText + s.nearViolation + s.nearText)
	s.far.Want(s.nearText)
	s.finished()
}

func violationPending(s *sides) {
	// The far side's FIN may stand behind more than a lingering close reads.
	s.openNarrow(func(c *proxy.Config) { c.Timeouts.Linger = stallTimeout })
	sent := s.fill(s.far)
	s.near.Send(s.nearText + s.nearViolation + s.nearText)
	s.far.Want(s.nearText)
	s.far.WantEOF()
	s.logged() // first: a side that reads goes on receiving
	s.prefix(s.near.ReadUntilEOF(), sent, false)
	s.lingers(s.near, s.far)
}

func violationHalfClosed(s *sides) {
	s.open(nil)
	s.halfClose()
	s.near.Send(s.nearText + s.nearViolation + s.nearText)
	s.far.Want(s.nearText)
	s.far.WantEOF()
	s.released(s.far)
	s.lingers(s.near)
}

var tunnelEndings = map[string]func(*ending){
	"T01": nearClient(finOpen),
	"T02": nearClient(finPendingToFar),
	"T03": nearClient(finPendingToNear),
	"T04": nearClient(finHalfClosed),
	"T05": nearClient(finHalfClosedPending),
	"T06": nearClient(finInHeader),
	"T07": nearBackend(finOpen),
	"T08": nearBackend(finPendingToFar),
	"T09": nearBackend(finPendingToNear),
	"T10": nearBackend(finHalfClosed),
	"T11": nearBackend(finHalfClosedPending),
	"T12": nearBackend(finBehindTheAnswer),
	"T13": nearClient(resetOpen),
	"T14": nearClient(resetPendingToFar),
	"T15": nearClient(resetPendingToNear),
	"T16": nearClient(resetHalfClosed),
	"T17": nearClient(resetAfterFIN),
	"T18": nearClient(resetAfterFINPending),
	"T19": nearBackend(resetOpen),
	"T20": nearBackend(resetPendingToFar),
	"T21": nearBackend(resetPendingToNear),
	"T22": nearBackend(resetHalfClosed),
	"T23": nearBackend(resetAfterFIN),
	"T24": nearBackend(resetAfterFINPending),
	"T25": nearClient(lostOpen),
	"T26": nearClient(lostPending),
	"T27": nearClient(lostHalfClosed),
	"T28": nearBackend(lostOpen),
	"T29": nearBackend(lostPending),
	"T30": nearBackend(lostHalfClosed),
	"T31": nearClient(idle),
	"T32": nearClient(idleBehindClose),
	"T33": nearClient(idleHalfClosed),
	"T34": nearBackend(idleHalfClosed),
	"T35": nearClient(stall),
	"T36": nearBackend(stall),
	"T37": nearClient(stallBoth),
	"T38": nearBackend(stallBeforeFIN),
	"T39": nearClient(stallHalfClosed),
	"T40": nearClient(stallOver),
	"T41": nearClient(violation),
	"T42": nearClient(violationPending),
	"T43": nearClient(violationHalfClosed),
	"T44": nearBackend(violation),
	"T45": nearBackend(violationPending),
	"T46": nearClient(shutdownOpen),
	"T47": nearClient(shutdownPending),
	"T48": nearClient(shutdownHalfClosed),
	"T49": nearClient(shutdownInTime),
	"T50": nearClient(closeAtOnce),
	"T51": nearClient(noMemory),
}

func idle(s *sides) {
	s.open(func(c *proxy.Config) { c.Timeouts.Idle = shortTimeout })
	s.finished()
}

func idleBehindClose(s *sides) {
	s.open(func(c *proxy.Config) { c.Timeouts.Idle = stallTimeout })
	goodbye := proxytest.ClientClose(1000)
	s.client.Send(goodbye)
	s.server.Want(goodbye)
	proxytest.Eventually(s.t, "the tunnel is over", func() bool {
		_ = s.client.TrySend(s.nearText)
		return s.p.Metric(s.t, "culvert_tunnels_active") == 0
	})
	s.finished()
}

func stallBoth(s *sides) {
	s.openNarrow(func(c *proxy.Config) { c.Timeouts.Stalled = stallTimeout })
	fromNear := s.fill(s.near)
	fromFar := s.fill(s.far)
	s.released(s.near, s.far) // first: a side that reads ends its stall
	s.prefix(s.near.WantReset(), fromFar, false)
	s.prefix(s.far.WantReset(), fromNear, false)
}

// stallOver: that a second tunnel ran into the idle timeout shows that the first one could have.
func stallOver(s *sides) {
	s.openNarrow(func(c *proxy.Config) { c.Timeouts.Idle = stallTimeout })
	sent := s.fill(s.far)
	s.p.Tunnel(s.t)
	s.p.WaitEnd(s.t).Want(s.t, "idle-timeout", 101, "proxy")
	s.near.Want(sent)
	s.near.CloseWrite()
	s.far.WantEOF()
	s.over()
}

func shutdownOpen(s *sides) {
	s.open(nil)
	wait := s.shutDown()
	s.finished()
	wait()
}

func shutdownPending(s *sides) {
	s.openNarrow(nil)
	sent := s.fill(s.far)
	wait := s.shutDown()
	s.logged()
	s.prefix(s.near.ReadUntilEOF(), sent, false)
	s.far.ReadUntilGone()
	wait()
	s.p.WaitReleased(s.t, s.near)
	s.p.WaitReleased(s.t, s.far)
}

func shutdownHalfClosed(s *sides) {
	s.open(nil)
	s.near.CloseWrite()
	s.far.WantEOF()
	wait := s.shutDown()
	s.near.WantEOF()
	s.released(s.near)
	s.lingers(s.far)
	wait()
}

func shutdownInTime(s *sides) {
	s.open(func(c *proxy.Config) { c.ShutdownGrace = longTimeout })
	wait := s.shutDown()
	s.p.WaitMetric(s.t, 1, "culvert_shutting_down")
	s.near.Send(s.nearText)
	s.far.Want(s.nearText)
	s.near.CloseWrite()
	s.far.WantEOF()
	s.over()
	wait()
}

func closeAtOnce(s *sides) {
	s.open(nil)
	s.p.Close(s.t)
	s.near.ReadUntilGone()
	s.far.ReadUntilGone()
	s.released(s.near, s.far)
}

func noMemory(s *sides) {
	s.openNarrow(littleMemory)
	_ = s.far.TrySend(s.farHeader + strings.Repeat("0123456789", 6<<10)) // it may be reset in the middle
	s.far.WantReset()
	s.near.WantReset()
	s.released(s.near, s.far)
}
