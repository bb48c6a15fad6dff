package sim

import (
	"cmp"
	"math"
	"slices"
	"time"

	"culvert/engine"
	"culvert/proxy/ws"
)

// never is the time of what does not happen.
const never = math.MaxInt64

const (
	microsecond = int64(time.Microsecond)
	millisecond = int64(time.Millisecond)
	second      = int64(time.Second)
)

// plan is all that a seed decides beforehand. It is immutable: the runs of a seed share it.
type plan struct {
	seed uint64
	// free lets each loop turn at times of its own, late at that, and tunnels move at any moment. Otherwise all
	// loops turn whenever something happens and tunnels move at the end of a turn: then a run in which tunnels move
	// must equal, to the nanosecond, one in which they stay.
	free    bool
	loops   []loopPlan
	pipes   int // per loop; 0: sockets cannot splice
	tunnels []*tunnelPlan
}

// loopPlan is what a loop has, in bytes.
type loopPlan struct {
	readBuffer int
	memory     int64 // 0: no bound
}

// pipeBytes is what a pipe of the engine holds.
const pipeBytes = 512 << 10

// tunnelPlan is one tunnel's fate.
type tunnelPlan struct {
	startAt int64
	limits  engine.RelayLimits
	options ws.Options // Sender is set per side
	head    []byte     // emitted towards the client in front of the stream
	peers   [2]*peerPlan
	inserts []insertion
	moves   []int64 // when it is exported
	ghosts  []ghost
	endAt   int64 // the proxy ends it
	abort   bool
}

// insertion is a frame of the proxy's own.
type insertion struct {
	at      int64
	towards engine.Side
	frame   []byte
}

// ghost is readiness that is told without cause.
type ghost struct {
	at        int64
	side      engine.Side
	readiness engine.Readiness
}

// finKind says when a peer finishes, once it has sent everything.
type finKind uint8

const (
	finAtEnd   finKind = iota // at once
	finInReply                // when it has seen the proxy's FIN
	finNever
)

// peerPlan is how one peer and the proxy's socket towards it behave.
type peerPlan struct {
	stream *stream
	early  int  // bytes that the proxy has read before the tunnel begins
	quiet  bool // the proxy knows then that nothing is left to be read

	chunk      int   // most bytes sent at once
	gap        int64 // longest time between two chunks
	latency    int64 // from room or bytes to the peer's reaction
	silentAt   int   // after so many bytes ...
	silentFor  int64 // ... it pauses
	fin        finKind
	finDelay   int64
	resetAt    int64
	resetDrops bool // what was not read yet is lost
	fault      engine.Fault

	bite     int   // most bytes read at once
	rest     int64 // longest time between two reads
	stallAt  int   // after so many bytes ...
	stallFor int64 // ... it stops reading; never: for ever

	socket socketPlan
}

// socketPlan is how a socket misbehaves, in percent of the calls.
type socketPlan struct {
	receive, send int // sizes of the buffers, in bytes
	lowWater      int // room that makes a full socket writable again
	shortRead     int
	shortWrite    int
	interrupted   int
	earlyBlock    int   // says blocked although more could be done
	blockFor      int64 // ... for at most so long
	lateStatus    int   // says EOF or failed in a call of its own, not with the last bytes
	deafError     int   // a call that reports a failure takes the event with it
}

func newPlan(seed uint64) *plan {
	d := newDice(seed, 0)
	p := &plan{seed: seed, free: d.percent(50)}
	volume := 400 << 10
	for range d.between(1, 2) {
		l := loopPlan{readBuffer: oneOf(d, 32, 500, engine.MinReadBuffer, 16<<10, engine.DefaultReadBuffer)}
		switch {
		case len(p.loops) > 0 && !p.free:
			l = p.loops[0] // reads of another size would be a difference
		case p.free && l.readBuffer >= engine.MinReadBuffer && d.percent(20):
			l.memory = int64(1000 + d.logUniform(300<<10))
		}
		volume = min(volume, l.readBuffer*100)
		p.loops = append(p.loops, l)
	}
	if p.free { // whether a tunnel that was moved splices or copies next is its own affair
		p.pipes = oneOf(d, 0, 1, engine.DefaultSplicePipes)
	}
	for range oneOf(d, 1, 1, 1, 2, 3) {
		p.tunnels = append(p.tunnels, newTunnelPlan(d, volume, p.loops[0].readBuffer))
	}
	return p
}

func newTunnelPlan(d dice, volume, feed int) *tunnelPlan {
	t := &tunnelPlan{startAt: epoch + d.logTime(50*millisecond)}
	t.limits = engine.RelayLimits{
		Idle: d.time(second, 4*second), Stalled: d.time(second, 4*second),
		HalfClosed: d.time(second, 4*second), Linger: d.time(second/5, 2*second),
	}
	if d.percent(15) {
		t.limits.Idle = 0
	}
	if d.percent(10) {
		t.limits.Stalled = 0
	}
	t.options = ws.Options{
		Strict: true, Extension: oneOf(d, ws.NoExtension, ws.NoExtension, ws.Deflate, ws.OtherExtension),
		SkipThreshold: uint32(oneOf(d, 0, 1, 100, 5000, 64<<10)),
	}
	if d.percent(50) {
		t.head = noise(d, d.logUniform(1000))
	}
	t.endAt = t.startAt + d.time(20*second, 40*second)
	if d.percent(8) {
		t.endAt, t.abort = t.startAt+d.logTime(2*second), d.percent(50)
	}
	for side := range t.peers {
		t.peers[side] = newPeerPlan(d, engine.Side(side), t, volume, feed)
	}
	t.planEvents(d)
	return t
}

// planEvents spreads what happens to the tunnel itself over its life, more densely at the beginning.
func (t *tunnelPlan) planEvents(d dice) {
	moment := func() int64 { return t.startAt + d.logTime(3*second) }
	if d.percent(50) {
		for range d.between(1, 6) {
			t.inserts = append(t.inserts, newInsertion(d, moment(), oneOf(d, engine.SideClient, engine.SideBackend)))
		}
	}
	if d.percent(10) { // more than may wait
		at, towards := moment(), oneOf(d, engine.SideClient, engine.SideBackend)
		for range engine.InsertMax + 2 {
			t.inserts = append(t.inserts, newInsertion(d, at, towards))
		}
	}
	for range d.between(1, 6) {
		t.moves = append(t.moves, moment())
	}
	if d.percent(10) { // all at once
		at, towards := moment(), oneOf(d, engine.SideClient, engine.SideBackend)
		t.peers[towards].resetAt = at - t.startAt
		t.inserts = append(t.inserts, newInsertion(d, at, towards))
		t.moves = append(t.moves, at)
	}
	slices.SortStableFunc(t.inserts, func(a, b insertion) int { return cmp.Compare(a.at, b.at) })
	slices.Sort(t.moves)
	for range d.between(0, 4) {
		flags := engine.Readiness(d.IntN(16)) &^ engine.Broken
		t.ghosts = append(t.ghosts, ghost{moment(), oneOf(d, engine.SideClient, engine.SideBackend), flags})
	}
	slices.SortStableFunc(t.ghosts, func(a, b ghost) int { return cmp.Compare(a.at, b.at) })
}

// newInsertion makes a ping whose length no peer uses. What goes to the backend is masked, as a client's is.
func newInsertion(d dice, at int64, towards engine.Side) insertion {
	i := insertion{at: at, towards: towards}
	sender := ws.Server
	if i.towards == engine.SideBackend {
		sender = ws.Client
	}
	i.frame = ws.AppendPing(nil, sender, [4]byte(noise(d, 4)), noise(d, insertedPayload))
	return i
}

func newPeerPlan(d dice, side engine.Side, t *tunnelPlan, volume, feed int) *peerPlan {
	p := &peerPlan{}
	sends := streamPlan{
		side: side, extension: t.options.Extension, frames: d.logUniform(40),
		largest: min(oneOf(d, 125, 3000, 70<<10, 300<<10), volume), total: volume,
		illegal: d.percent(8), closes: d.percent(20), endless: d.percent(4), cut: d.percent(10),
	}
	bulk := d.percent(20) && volume > 100<<10
	if bulk {
		sends.smallest, sends.largest, sends.frames = 30<<10, min(300<<10, volume), d.between(1, 4)
		sends.endless = d.percent(30)
	}
	p.stream = newStream(d, sends)
	total := len(p.stream.bytes)
	if d.percent(20) {
		p.early = d.logUniform(min(total, feed))
	}
	p.quiet = d.percent(50)
	p.planSending(d, total)
	p.planReading(d, volume)
	p.socket = socketPlan{
		receive: 1 + d.logUniform(128<<10), send: 1 + d.logUniform(128<<10),
		shortRead: oneOf(d, 0, 0, 5, 30), shortWrite: oneOf(d, 0, 0, 5, 30), interrupted: oneOf(d, 0, 0, 0, 5),
		earlyBlock: oneOf(d, 0, 0, 5, 20), blockFor: oneOf(d, 0, 10*microsecond, millisecond, 300*millisecond),
		lateStatus: oneOf(d, 0, 50, 100), deafError: oneOf(d, 0, 50, 100),
	}
	if bulk { // comes fast enough to be spliced
		p.chunk = max(p.chunk, d.between(10<<10, 100<<10))
		p.socket.receive = max(p.socket.receive, d.between(20<<10, 300<<10))
	}
	p.socket.receive = max(p.socket.receive, total/150)
	p.socket.send = max(p.socket.send, volume/300)
	p.socket.lowWater = max(1, p.socket.send/oneOf(d, 1, 2, 3, 1<<20))
	return p
}

func (p *peerPlan) planSending(d dice, total int) {
	p.chunk = max(1, total/100, d.logUniform(64<<10))
	p.gap = oneOf(d, 0, 20*microsecond, millisecond, 10*millisecond)
	p.latency = oneOf(d, 0, 5*microsecond, 500*microsecond)
	p.silentAt = never
	if d.percent(25) {
		p.silentAt, p.silentFor = d.IntN(total+1), d.logTime(6*second)
	}
	p.fin = oneOf(d, finAtEnd, finAtEnd, finInReply, finInReply, finNever)
	p.finDelay = d.logTime(oneOf(d, millisecond, 100*millisecond, 6*second))
	p.resetAt = never
	if d.percent(12) {
		p.resetAt = d.logTime(4 * second)
		p.resetDrops = d.percent(50)
		p.fault = oneOf(d, engine.FaultReset, engine.FaultReset, engine.FaultLost)
	}
}

func (p *peerPlan) planReading(d dice, volume int) {
	p.bite = max(1, volume/100, d.logUniform(64<<10))
	p.rest = oneOf(d, 0, 20*microsecond, millisecond, 10*millisecond)
	p.stallAt = never
	if d.percent(20) {
		p.stallAt = d.logUniform(volume)
		p.stallFor = oneOf(d, never, d.logTime(6*second), d.logTime(6*second))
	}
}
