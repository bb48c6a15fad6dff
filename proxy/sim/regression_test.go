package sim

import (
	"strings"
	"testing"

	"culvert/engine"
	"culvert/proxy/ws"
)

// TestRegressions replays what the simulation once found. A seed means something else as soon as plans are drawn in
// another way, so each finding is kept as the few decisions that matter, with everything else calm.
func TestRegressions(t *testing.T) {
	for _, scenario := range []struct {
		name  string // and the seed that found it, of the generator of its day
		plan  func() *plan
		want  engine.Outcome
		moved string // the situation in which some run must have moved the tunnel; "": it stays
	}{
		{
			name: "a write fails while a frame is inserted, and no event tells (seed 15815)",
			plan: insertIntoBroken,
			want: engine.Outcome{Reason: engine.EndBackendReset, By: engine.SideBackend},
		},
		{
			name:  "the same, and the tunnel is moved before its next turn",
			plan:  insertIntoBroken,
			want:  engine.Outcome{Reason: engine.EndBackendReset, By: engine.SideBackend},
			moved: situationNames[movedBroken],
		},
		{
			name: "memory runs out while the backend stalls and there is no stall timeout (seed 773)",
			plan: exhaustWithoutTimeout,
			want: engine.Outcome{Reason: engine.EndNoMemory, By: engine.SideBackend},
		},
	} {
		t.Run(scenario.name, func(t *testing.T) {
			met := Coverage{}
			for seed := uint64(1); seed <= 20; seed++ { // it decides the order of events within a turn
				var trace strings.Builder
				p := scenario.plan()
				p.seed, p.free = seed, scenario.moved != ""
				r := guarded(newWorld(p, Options{Move: p.free, Trace: &trace}).run)
				if r.Failure != "" || r.Endings[scenario.want] != 1 {
					t.Fatalf("ended %v, want %v: %s\n%s", r.Endings, scenario.want, r.Failure, &trace)
				}
				met.Add(r.Coverage)
			}
			if scenario.moved != "" && met[scenario.moved] == 0 {
				t.Errorf("never %s", scenario.moved)
			}
		})
	}
}

// calm is a plan of one tunnel in which nothing happens but that each side sends a message.
func calm() *plan {
	d := newDice(1, 1)
	p := &plan{seed: 1, loops: []loopPlan{{readBuffer: engine.MinReadBuffer}}}
	t := &tunnelPlan{
		startAt: epoch, endAt: epoch + 100*second, options: ws.Options{Strict: true},
		limits: engine.RelayLimits{Idle: second, Stalled: second, HalfClosed: second, Linger: second},
	}
	for side := range t.peers {
		sends := streamPlan{side: engine.Side(side), frames: 1, smallest: 10, largest: 100, total: 1}
		t.peers[side] = &peerPlan{
			stream: newStream(d, sends), chunk: 1000, bite: 1 << 20, fin: finNever,
			silentAt: never, resetAt: never, stallAt: never,
			socket: socketPlan{receive: 1 << 20, send: 1 << 20, lowWater: 1},
		}
	}
	p.tunnels = []*tunnelPlan{t}
	return p
}

// insertIntoBroken: the proxy inserts a frame at the moment at which the backend's reset arrives. The failing write
// takes the error with it, and the event that announced it.
func insertIntoBroken() *plan {
	p := calm()
	t := p.tunnels[0]
	at := epoch + second/2
	t.peers[engine.SideBackend].resetAt = at - epoch
	t.peers[engine.SideBackend].socket.deafError = 100
	t.inserts = []insertion{newInsertion(newDice(1, 2), at, engine.SideBackend)}
	t.moves = []int64{at}
	return p
}

// exhaustWithoutTimeout: the backend takes nothing, which fills the loop's memory.
func exhaustWithoutTimeout() *plan {
	p := calm()
	p.loops[0].memory = 100
	t := p.tunnels[0]
	t.limits.Stalled = 0
	sends := streamPlan{side: engine.SideClient, frames: 1, smallest: 20_000, largest: 20_000, total: 1}
	t.peers[engine.SideClient].stream = newStream(newDice(1, 3), sends)
	t.peers[engine.SideBackend].socket.send = 100
	t.peers[engine.SideBackend].stallAt, t.peers[engine.SideBackend].stallFor = 1, never
	return p
}
