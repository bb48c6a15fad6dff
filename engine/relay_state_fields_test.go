package engine

import (
	"bytes"
	"testing"
)

// What an exported relay must not forget, looked at in the relay itself: a stream that goes wrong later shows it late.

// wantSameRelay compares everything that makes a relay go on as it would have.
func wantSameRelay(t *testing.T, got, want *Relay) {
	t.Helper()
	if *got.limits != *want.limits || got.activity != want.activity {
		t.Errorf("limits %v, activity %d; want %v, %d", *got.limits, got.activity, *want.limits, want.activity)
	}
	if got.firstFIN != want.firstFIN || got.broken != want.broken || got.finished != want.finished {
		t.Errorf("first FIN by the %s, broken %v, finished %v; want the %s, %v, %v", got.firstFIN, got.broken, got.finished,
			want.firstFIN, want.broken, want.finished)
	}
	for side := range want.directions {
		g, w := &got.directions[side], &want.directions[side]
		if g.opaque != w.opaque || g.bytes != w.bytes || g.taken != w.taken || g.insertCount != w.insertCount {
			t.Errorf("from the %s: opaque %d, bytes %d, taken %d, %d insertions; want %d, %d, %d, %d", Side(side),
				g.opaque, g.bytes, g.taken, g.insertCount, w.opaque, w.bytes, w.taken, w.insertCount)
		}
		if g.boundary != w.boundary || g.opaqueBoundary != w.opaqueBoundary || g.ended != w.ended {
			t.Errorf("from the %s: boundary %v, then %v, ended %v; want %v, %v, %v", Side(side),
				g.boundary, g.opaqueBoundary, g.ended, w.boundary, w.opaqueBoundary, w.ended)
		}
		if gs, ws := *g.stage.(*frameStage), *w.stage.(*frameStage); gs != ws {
			t.Errorf("from the %s: the stage is %v, want %v", Side(side), gs, ws)
		}
		for name, p := range map[string][2]*Pending{
			"pending": {g.pending, w.pending}, "on hold": {g.held, w.held}, "to insert": {g.inserts, w.inserts},
		} {
			if !bytes.Equal(p[0].Bytes(), p[1].Bytes()) {
				t.Errorf("from the %s %s: %.40q, want %.40q", Side(side), name, p[0].Bytes(), p[1].Bytes())
			}
		}
	}
}

// restored returns a relay that is set up from the exported state of r, on a workspace of its own.
func restored(t *testing.T, r *Relay) *Relay {
	t.Helper()
	copied := new(Relay)
	ends := [2]End{new(stubEnd), new(stubEnd)}
	rest, err := copied.RestoreState(r.AppendState(nil), NewWorkspace(0, r.workspace.now), ends, newStages(), observerFunc(func(Outcome) {}))
	if err != nil || len(rest) != 0 {
		t.Fatalf("%v, %d bytes left", err, len(rest))
	}
	return copied
}

func TestAnExportedRelayForgetsNothing(t *testing.T) {
	half := func(kind byte) []byte { return frame(kind, 100, kind)[:60] }
	for name, test := range map[string]struct {
		inputs [2][]byte
		rooms  [2]int
		act    func(r *Relay)
	}{
		"nothing happened":     {},
		"bytes wait":           {inputs: [2][]byte{half(kindForward), frame(kindForward, 9, 'b')}, rooms: [2]int{3, 5}},
		"bytes on hold":        {inputs: [2][]byte{half(kindHold), nil}},
		"in a spliced payload": {inputs: [2][]byte{half(kindSplice), half(kindForward)}, rooms: [2]int{100, 100}},
		"frames to insert": {[2][]byte{half(kindForward), nil}, [2]int{0, 100}, func(r *Relay) {
			r.Insert(SideBackend, []byte("one"))
			r.Insert(SideBackend, []byte("two"))
		}},
		"the client has finished": {rooms: [2]int{100, 100}, act: func(r *Relay) { r.sourceEnded(&r.directions[SideClient]) }},
		"the backend has finished, and bytes wait": {[2][]byte{nil, half(kindForward)}, [2]int{}, func(r *Relay) {
			r.sourceEnded(&r.directions[SideBackend])
		}},
		"the backend is broken": {[2][]byte{half(kindForward), nil}, [2]int{}, func(r *Relay) { r.broken[SideBackend] = true }},
	} {
		t.Run(name, func(t *testing.T) {
			w := NewWorkspace(0, 5e9)
			r, limits := new(Relay), &RelayLimits{Idle: 1e9, Stalled: 2e9, HalfClosed: 3e9, Linger: 4e9}
			ends := [2]End{&stubEnd{test.inputs[0], test.rooms[0]}, &stubEnd{test.inputs[1], test.rooms[1]}}
			r.Init(w, ends, newStages(), limits, observerFunc(func(Outcome) {}))
			r.Start()
			if test.act != nil {
				test.act(r)
			}
			w.now += 1e8 // what is exported is when things happened, not when they were exported
			wantSameRelay(t, restored(t, r), r)
		})
	}
}

func TestBytesInAPipeAreExportedAsPending(t *testing.T) {
	l := newSteppedLoop(t)
	r := pipeRig(t, l)
	fillPipe(t, r, SideClient)
	piped := r.relay.PendingBytes(SideClient)
	copied := restored(t, r.relay)
	if n := copied.PendingBytes(SideClient); n != piped {
		t.Errorf("%d bytes wait in the restored relay, %d were in the pipe", n, piped)
	}
	wantSameRelay(t, copied, r.relay)
}
