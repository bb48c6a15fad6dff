package proxy

import (
	"fmt"

	"culvert/engine"
	"culvert/proxy/health"
	"culvert/proxy/ws"

	gobwas "github.com/gobwas/ws"
)

// tunnel is an exchange that was upgraded: the relay, the stage of each direction, and what the log says at the end.
// Owned by its loop. Its 480 bytes fill a size class of the allocator; the record lies apart because the two together
// would not, and lose more.
type tunnel struct {
	relay  engine.Relay
	stages [2]frameStage
	shard  *shard
	link   link
	record *tunnelRecord
}

// beginTunnel: a valid 101 came. rest is what followed it.
func (h *shard) beginTunnel(x *exchange, agreement ws.Agreement, rest []byte) {
	w := &h.loop.Workspace
	now := w.Now()
	x.record.status = 101
	h.log.tunnelOpen(&x.record, now)
	h.counters.tunnelsOpened++
	h.counters.statuses[1]++
	t := &tunnel{shard: h, record: x.record.forTunnel(now, x.admittedFor)}
	if o := x.rule.group.config.Outliers; o != nil {
		t.record.outliers = uint8(o.Failures) // 100 at most
	}
	for side, sender := range [2]ws.Role{engine.SideClient: ws.Client, engine.SideBackend: ws.Server} {
		t.stages[side].scanner.Init(ws.Options{
			Sender: sender, Extension: agreement.Extension, SkipThreshold: x.policy.skipThreshold, Strict: true,
		})
	}
	head := w.Acquire(1024)
	*head.Buffer() = x.appendSwitchingHead(*head.Buffer())
	t.relay.Init(w, [2]engine.End{x.client, x.backend}, h.tunnelStages(t), x.policy.tunnel, t)
	h.streams.add(t)
	h.handOver(&t.relay, x, head, rest)
	t.relay.Start()
}

// tunnelStages joins a tunnel's stages to the loop's counters.
func (h *shard) tunnelStages(t *tunnel) (stages [2]engine.Stage) {
	for side := range t.stages {
		t.stages[side].tunnel = t
		stages[side] = &t.stages[side]
	}
	return stages
}

// note takes note of what a stage saw: complete messages, and which side said first that it wants to close.
func (t *tunnel) note(s *frameStage, messages uint64) {
	side := engine.SideClient
	if s == &t.stages[engine.SideBackend] {
		side = engine.SideBackend
	}
	t.shard.counters.messages[side] += messages
	if t.record.closedFirst == engine.SideNone && s.scanner.Closed() {
		t.record.closedFirst = side
	}
}

// handOver gives a stream's relay what the exchange still holds, and retires the exchange. Start follows.
func (h *shard) handOver(r *engine.Relay, x *exchange, head *engine.Pending, rest []byte) {
	w := &h.loop.Workspace
	early := x.received
	x.received = nil
	r.Emit(engine.SideClient, x.interim.Bytes())
	r.FeedBehind(head.Bytes(), engine.SideBackend, rest)
	w.Release(head)
	r.Feed(engine.SideClient, early.Bytes())
	w.Release(early)
	if !x.clientReadable {
		r.Quiet(engine.SideClient)
	}
	if !x.backendReadable {
		r.Quiet(engine.SideBackend)
	}
	x.state = exchangeOver
	x.client, x.backend = nil, nil
	h.retire(x)
}

// RelayOver implements engine.RelayObserver.
func (t *tunnel) RelayOver(r *engine.Relay, o engine.Outcome) {
	h := t.shard
	h.streams.remove(t)
	if o.Reason == engine.EndClosed && t.record.closedFirst != engine.SideNone {
		o.By = t.record.closedFirst // who sent its FIN first says little: RFC 6455 7.1.1 leaves that to the server
	}
	t.judgeBackend(o)
	t.record.backend.leave()
	h.counters.tunnelsEnded[o.Reason]++
	h.log.tunnelEnd(t, o, h.loop.Now())
	ends := r.Ends()
	h.depart(t.record.counted, ends[:]...)
}

// judgeBackend takes note whether the backend failed the tunnel: by a reset in its first moment.
func (t *tunnel) judgeBackend(o engine.Outcome) {
	b := t.record.backend
	young := t.shard.loop.Now()-t.record.opened < health.EarlyReset
	if o.Reason != engine.EndBackendReset || !young {
		b.tally.Success()
		return
	}
	t.shard.countFailure(b, int(t.record.outliers))
}

// shutDown implements ender.
func (t *tunnel) shutDown() {
	t.relay.End(engine.Outcome{Reason: engine.EndShutdown, By: engine.SideNone})
}

// String describes the tunnel for a panic's last words.
func (t *tunnel) String() string {
	return fmt.Sprintf("tunnel %016x to %s (%d bytes from the client, %d from the backend)", t.record.id,
		t.record.backend.name(), t.relay.Bytes(engine.SideClient), t.relay.Bytes(engine.SideBackend))
}

// detail names the violation that ended the tunnel for this reason, if one did.
func (t *tunnel) detail(reason engine.EndReason) string {
	for side := range t.stages {
		if v := t.stages[side].scanner.Violation(); v != ws.NoViolation {
			return v.String()
		}
	}
	return transportDetail(reason, t.relay.Ends())
}

// closeCode returns the code of the close frame that went by; ok is false when there was none.
func closeCode(s *ws.Scanner) (code uint16, ok bool) {
	c := s.CloseCode()
	return uint16(c), c != gobwas.StatusCode(0)
}
