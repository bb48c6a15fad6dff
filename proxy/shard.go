package proxy

import (
	"sync/atomic"

	"culvert/engine"
	"culvert/proxy/balance"
	"culvert/proxy/http1"
	"culvert/proxy/route"
	"culvert/proxy/ws"
)

// spareExchanges is how many finished exchanges a loop keeps for the next ones.
const spareExchanges = 256

// shard is the proxy on one loop: everything that the exchanges and tunnels of this loop share. Owned by the loop.
type shard struct {
	server    *Server
	index     int
	loop      *engine.Loop
	site      *site // what holds for the next request
	listeners map[*port]*engine.Listener
	log       accessLog
	counters  counters
	nextID    uint64
	relayed   atomic.Uint64 // bytes, as last published for the bound on bandwidth
	load      atomic.Int64  // client connections, those on their way here included; all loops read it when they accept
	sources   sources
	lingering uint64 // as last asked for by the shutdown

	// Scratch values of one event; nothing in them outlives it.
	check   ws.RequestCheck
	verdict ws.ResponseCheck
	route   route.Scratch
	path    []byte // of a rewritten target
	cookies []byte // lines of a request

	pool    backendPool
	closing bool // a shutdown has begun: no connection lives on behind its exchange

	exchanges     ring // live ones, for the shutdown
	streams       streams
	handshakes    ring             // exchanges in their handshake, the oldest first
	lines         [2]handshakeLine // by side, of handshakes that wait
	checks        map[*backend]*check
	picks         balance.Request
	holders       ring // exchanges that hold bytes of their clients, the oldest first
	spare         []*exchange
	transfers     []*transfer
	requestHeads  []*http1.RequestHead
	responseHeads []*http1.ResponseHead
}

func newShard(s *Server, loop *engine.Loop, index int, first *site) *shard {
	h := &shard{
		server: s, loop: loop, index: index, log: newAccessLog(s.logs.Access),
		sources:   sources{addresses: s.config.Sources, next: index % max(len(s.config.Sources), 1)},
		nextID:    s.nonce<<40 | uint64(index)<<32,
		listeners: make(map[*port]*engine.Listener),
	}
	h.pool.init(h)
	h.exchanges.init()
	h.picks.Random = s.nonce ^ uint64(index+1)<<32
	h.holders.init()
	h.handshakes.init()
	for side := range h.lines {
		l := &h.lines[side]
		l.shard, l.side = h, engine.Side(side)
		l.timer.Init(l)
	}
	loop.SetShedder(h)
	h.streams.init()
	h.use(first)
	return h
}

func (h *shard) newExchange() *exchange {
	x := (*exchange)(nil)
	if n := len(h.spare); n > 0 {
		x, h.spare = h.spare[n-1], h.spare[:n-1]
	} else {
		x = &exchange{shard: h}
		x.timer.Init(x)
	}
	h.nextID++
	x.record.id = h.nextID
	h.exchanges.add(&x.link, x)
	return x
}

// retire takes an exchange that is over, or whose work a stream goes on with.
func (h *shard) retire(x *exchange) {
	w := &h.loop.Workspace
	w.Wheel.Cancel(&x.timer)
	x.letGo()
	w.Release(x.received)
	w.Release(x.request)
	w.Release(x.answer)
	w.Release(x.interim)
	w.Release(x.answerLines)
	h.putRequestHead(x.requestHead)
	h.putResponseHead(x.responseHead)
	h.exchanges.remove(&x.link)
	x.record.reset()
	*x = exchange{shard: h, timer: x.timer, record: x.record}
	if len(h.spare) < spareExchanges {
		h.spare = append(h.spare, x)
	}
}

func (h *shard) takeTransfer() *transfer {
	if n := len(h.transfers); n > 0 {
		t := h.transfers[n-1]
		h.transfers = h.transfers[:n-1]
		return t
	}
	return new(transfer)
}

func (h *shard) putTransfer(t *transfer) {
	if len(h.transfers) < spareExchanges {
		h.transfers = append(h.transfers, t)
	}
}

func (h *shard) takeRequestHead() *http1.RequestHead {
	if n := len(h.requestHeads); n > 0 {
		head := h.requestHeads[n-1]
		h.requestHeads = h.requestHeads[:n-1]
		head.Reset()
		return head
	}
	return new(http1.RequestHead)
}

func (h *shard) putRequestHead(head *http1.RequestHead) {
	if head != nil && len(h.requestHeads) < spareExchanges {
		h.requestHeads = append(h.requestHeads, head)
	}
}

func (h *shard) takeResponseHead() *http1.ResponseHead {
	if n := len(h.responseHeads); n > 0 {
		head := h.responseHeads[n-1]
		h.responseHeads = h.responseHeads[:n-1]
		head.Reset()
		return head
	}
	return new(http1.ResponseHead)
}

func (h *shard) putResponseHead(head *http1.ResponseHead) {
	if head != nil && len(h.responseHeads) < spareExchanges {
		h.responseHeads = append(h.responseHeads, head)
	}
}

// ring is an intrusive list of what lives on a shard.
type ring struct {
	root  link
	count int
}

type link struct {
	next, prev *link
	value      ender
}

// ender is something that a shutdown ends.
type ender interface{ shutDown() }

func (r *ring) init() { r.root.next, r.root.prev = &r.root, &r.root }

func (r *ring) add(l *link, value ender) {
	l.value = value
	l.prev, l.next = r.root.prev, &r.root
	l.prev.next, r.root.prev = l, l
	r.count++
}

// remove takes out a member of this ring.
func (r *ring) remove(l *link) {
	l.prev.next, l.next.prev = l.next, l.prev
	l.next, l.prev = nil, nil
	r.count--
}

// each calls f for every member; f may take out the one that it is given.
func (r *ring) each(f func(ender)) {
	for l := r.root.next; l != &r.root; {
		next := l.next
		f(l.value)
		l = next
	}
}

// endOldest ends up to n members, the oldest first.
func (r *ring) endOldest(n int) {
	for ; n > 0 && r.count > 0; n-- {
		r.root.next.value.shutDown()
	}
}
