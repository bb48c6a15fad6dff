package proxy

import "culvert/engine"

// backendPool keeps connections to backends between two exchanges. The one used last is taken first, and where there are
// too many the one used longest ago is closed. Owned by the loop.
type backendPool struct {
	shard     *shard
	all       ring
	byBackend map[*backend]*ring
	spare     []*idleBackend
}

// idleBackend is one connection in the pool.
type idleBackend struct {
	pool      *backendPool
	backend   *backend
	conn      engine.Connection
	secured   *backendTLS
	timer     engine.Timer
	all, same link
}

func (p *backendPool) init(h *shard) {
	p.shard = h
	p.all.init()
	p.byBackend = make(map[*backend]*ring)
}

// put keeps a connection on which nothing is under way and nothing is left to be read, and which was secured so.
func (p *backendPool) put(b *backend, c engine.Connection, secured *backendTLS) {
	config := &p.shard.site.config
	if c.Hangup() || b.dropped.Load() || secured != b.security.Load() {
		c.Close()
		return
	}
	if p.all.count >= config.BackendIdle {
		p.all.endOldest(1)
	}
	same := p.byBackend[b]
	if same == nil {
		same = new(ring)
		same.init()
		p.byBackend[b] = same
	}
	var i *idleBackend
	if n := len(p.spare); n > 0 {
		i, p.spare = p.spare[n-1], p.spare[:n-1]
	} else {
		i = new(idleBackend)
	}
	*i = idleBackend{pool: p, backend: b, conn: c, secured: secured}
	i.timer.Init(i)
	p.all.add(&i.all, i)
	same.add(&i.same, i)
	w := &p.shard.loop.Workspace
	w.Wheel.Arm(&i.timer, w.Now()+int64(config.Timeouts.BackendIdle))
	c.Attach(i, engine.SideBackend)
}

// take returns the connection to b that was used last, or nil.
func (p *backendPool) take(b *backend) engine.Connection {
	same := p.byBackend[b]
	if same == nil || same.count == 0 {
		return nil
	}
	i := same.root.prev.value.(*idleBackend)
	return i.leave()
}

// trim closes the connections that are too many, to backends that take no more requests, or secured as they are no more.
func (p *backendPool) trim() {
	weights := p.shard.site.weights
	p.all.each(func(e ender) {
		if i := e.(*idleBackend); weights[i.backend] == 0 || i.secured != i.backend.security.Load() {
			i.shutDown()
		}
	})
	p.all.endOldest(p.all.count - p.shard.site.config.BackendIdle)
	for b, same := range p.byBackend {
		if same.count == 0 && weights[b] == 0 {
			delete(p.byBackend, b)
		}
	}
}

// close closes all connections.
func (p *backendPool) close() { p.all.endOldest(p.all.count) }

// leave takes the connection out of the pool and returns it; i is used again.
func (i *idleBackend) leave() engine.Connection {
	p, c := i.pool, i.conn
	p.shard.loop.Wheel.Cancel(&i.timer)
	p.all.remove(&i.all)
	p.byBackend[i.backend].remove(&i.same)
	if len(p.spare) < spareExchanges {
		p.spare = append(p.spare, i)
	}
	return c
}

// shutDown implements ender.
func (i *idleBackend) shutDown() {
	i.leave().Close()
}

// Ready implements engine.Owner: whatever an idle backend says, it is of no use any more. But an event may tell of what
// was read already, with the end of the answer.
func (i *idleBackend) Ready(_ engine.Side, r engine.Readiness) {
	if r&^engine.Writable != 0 && !i.pool.shard.quiet(i.conn) {
		i.shutDown()
	}
}

// OnTimer implements engine.TimerHandler.
func (i *idleBackend) OnTimer(*engine.Timer, int64) { i.shutDown() }
