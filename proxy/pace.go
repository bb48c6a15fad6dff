package proxy

import "culvert/engine"

// pace ends an exchange whose client sends the body slower than it must (Policy.MinBodyRate). Owned by its transfer.
type pace struct {
	timer engine.Timer
	x     *exchange
	seen  uint64 // bytes of body at the last look
}

// begin starts to look, if there is a bound.
func (p *pace) begin(x *exchange) {
	if x.policy.MinBodyRate > 0 {
		p.x = x
		x.shard.loop.Wheel.Arm(&p.timer, x.shard.loop.Now()+int64(x.policy.Timeouts.BodyRate))
	}
}

func (p *pace) end(w *engine.Workspace) { w.Wheel.Cancel(&p.timer) }

// OnTimer implements engine.TimerHandler. While bytes wait for the backend it is not the client that is slow.
func (p *pace) OnTimer(_ *engine.Timer, now int64) {
	x := p.x
	r := &x.transfer.relay
	bytes := r.Bytes(engine.SideClient)
	config := x.policy
	enough := uint64(float64(config.MinBodyRate) * config.Timeouts.BodyRate.Seconds())
	waits := x.expects && bytes == 0 // for a 100: the backend's affair
	if !waits && bytes-p.seen < enough && r.PendingBytes(engine.SideClient) == 0 {
		x.record.detail = "slow-body"
		x.shard.counters.limits[limitBodyRate]++
		r.End(engine.Outcome{Reason: EndRequestTimeout, By: engine.SideClient})
		return
	}
	p.seen = bytes
	x.shard.loop.Wheel.Arm(&p.timer, now+int64(x.policy.Timeouts.BodyRate))
}
