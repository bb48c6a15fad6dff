package engine

import (
	"io"
	"math/rand/v2"
	"testing"
	"time"
)

// relayRig is a relay on real sockets with a peer beyond each end.
type relayRig struct {
	driver
	t     testing.TB
	relay *Relay
	conns [2]*Conn
	peers [2]*peer
	// over is what the observer was told; loop only.
	over   []Outcome
	overAt int64
	limits RelayLimits
}

// rigOptions say how a rig differs from two raw stages without deadlines.
type rigOptions struct {
	stages [2]Stage
	limits RelayLimits
	sizes  [2]socketSizes
}

// RelayOver implements RelayObserver.
func (r *relayRig) RelayOver(_ *Relay, outcome Outcome) {
	r.over = append(r.over, outcome)
	r.overAt = r.engine().Now()
}

// newRelay starts a relay on d's loop.
func newRelay(t testing.TB, d driver, o rigOptions) *relayRig {
	t.Helper()
	r := &relayRig{driver: d, t: t, relay: new(Relay), limits: o.limits}
	if r.limits.Linger == 0 {
		r.limits.Linger = int64(time.Minute)
	}
	if r.limits.HalfClosed == 0 {
		r.limits.HalfClosed = int64(time.Hour)
	}
	for side := range o.stages {
		if o.stages[side] == nil {
			o.stages[side] = new(rawStage)
		}
		r.conns[side], r.peers[side] = adopt(t, d, ignore, o.sizes[side])
	}
	d.do(func() {
		r.relay.Init(&d.engine().Workspace, r.ends(), o.stages, &r.limits, r)
		r.relay.Start()
	})
	return r
}

func (r *relayRig) ends() [2]End { return [2]End{r.conns[SideClient], r.conns[SideBackend]} }

// wantEnd waits until the relay is over, exactly once and as wanted, and nothing of it is left.
func (r *relayRig) wantEnd(reason EndReason, by Side) {
	r.t.Helper()
	r.until("the end of the relay", func() bool { return len(r.over) > 0 })
	r.do(func() {
		c := r.engine().Counters
		if len(r.over) != 1 || r.over[0] != (Outcome{reason, by}) {
			r.t.Errorf("the relay ended with %v, want %v", r.over, Outcome{reason, by})
		}
		if c.PendingBytes != 0 || c.Relays != c.RelaysOver || r.relay.timer.Armed() || !r.relay.Over() {
			r.t.Errorf("after the end: %d bytes pending, %d of %d relays over, timer armed %v", c.PendingBytes, c.RelaysOver, c.Relays, r.relay.timer.Armed())
		}
	})
}

// fill makes the peer of a side send until nothing more is taken: the kernel's buffers are full on both sides and the
// relay has paused. It returns what was sent. The other peer must not read.
func (r *relayRig) fill(from Side) []byte {
	r.t.Helper()
	const endlessly = 64 << 20
	stream := randomBytes(byte(from), endlessly)
	sent := 0
	full := func(n int) (paused bool) {
		r.do(func() { paused = r.relay.PendingBytes(from) > 0 })
		return paused && n == 0
	}
	for n := 1; !full(n) && sent < endlessly; sent += n {
		r.background(func() {
			const moment = 20 * time.Millisecond
			_ = r.peers[from].SetWriteDeadline(time.Now().Add(moment))
			n, _ = r.peers[from].Write(stream[sent:])
		})
	}
	_ = r.peers[from].SetWriteDeadline(time.Time{})
	return stream[:sent]
}

// background runs what the peers do on another goroutine, and meanwhile turns the loop if it is a stepped one.
func (r *relayRig) background(work func()) {
	r.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	r.until("the peers' work", func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
}

// sendInPieces sends a stream in pieces of random sizes.
func (p *peer) sendInPieces(random *rand.Rand, stream []byte, largest int) {
	for len(stream) > 0 {
		n := min(1+random.IntN(largest), len(stream))
		if _, err := p.Write(stream[:n]); err != nil {
			p.t.Errorf("the peer cannot send: %v", err)
			return
		}
		stream = stream[n:]
	}
}

// receiveInPieces reads n bytes in pieces of random sizes, and stops for a while now and then if it is slow.
func (p *peer) receiveInPieces(random *rand.Rand, n, largest int, slow bool) []byte {
	got := make([]byte, n)
	for at := 0; at < n; {
		m, err := p.Read(got[at:min(n, at+1+random.IntN(largest))])
		at += m
		if err != nil {
			if err != io.EOF {
				p.t.Errorf("the peer cannot read: %v", err)
			}
			return got[:at]
		}
		if slow && random.IntN(100) == 0 {
			<-time.After(time.Millisecond)
		}
	}
	return got
}
