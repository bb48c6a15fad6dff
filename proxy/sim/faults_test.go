package sim

import (
	"encoding/binary"
	"strings"
	"testing"

	"culvert/engine"
	"culvert/proxy"
)

// faultSeeds is how many seeds a broken part may survive before the oracle must have noticed.
const faultSeeds = 10000

// TestTheOracleNotices breaks one thing at a time and looks whether some seed fails. An oracle that cannot fail proves
// nothing.
func TestTheOracleNotices(t *testing.T) {
	for _, fault := range []struct {
		name  string
		hooks func() hooks
	}{
		{"an end swallows a byte that it says it took", func() hooks { return breakEnd(func(b *brokenEnd) { b.swallow = true }) }},
		{"an end delivers a byte twice", func() hooks { return breakEnd(func(b *brokenEnd) { b.twice = true }) }},
		{"an end changes a byte", func() hooks { return breakEnd(func(b *brokenEnd) { b.change = true }) }},
		{"a FIN overtakes bytes", func() hooks { return breakEnd(func(b *brokenEnd) { b.hasty = true }) }},
		{"a FIN is lost", func() hooks { return breakEnd(func(b *brokenEnd) { b.noFinish = true }) }},
		{"a close is lost", func() hooks { return breakEnd(func(b *brokenEnd) { b.noClose = true }) }},
		{"readiness to write is not told", func() hooks { return breakEnd(func(b *brokenEnd) { b.deaf = engine.Writable }) }},
		{"readiness to read is not told", func() hooks { return breakEnd(func(b *brokenEnd) { b.deaf = engine.Readable }) }},
		{"an error is not told", func() hooks { return breakEnd(func(b *brokenEnd) { b.deaf = engine.Broken | engine.Readable }) }},
		{"bytes on hold are forgotten", func() hooks { return breakStage(forgetHeld) }},
		{"bytes on hold go on at once", func() hooks { return breakStage(forwardHeld) }},
		{"every read ends at a boundary", func() hooks { return breakStage(boundaryEverywhere) }},
		{"no boundary is ever told", func() hooks { return breakStage(boundaryNowhere) }},
		{"what is illegal passes", func() hooks { return breakStage(passIllegal) }},
		{"what follows a close frame passes", func() hooks { return breakStage(passDropped) }},
		{"a violation has another name", func() hooks { return breakStage(renameEnd) }},
		{"the stage begins anew where it is restored", func() hooks { return breakRestore() }},
		{"what is pending is lost on the way", func() hooks { return breakState(dropPending) }},
		{"insertions are lost on the way", func() hooks { return breakState(dropInserts) }},
		{"the half-close is forgotten on the way", func() hooks { return breakState(forgetFIN) }},
		{"an error is forgotten on the way", func() hooks { return breakState(forgetBroken) }},
		{"activity is newer after the way", func() hooks { return breakState(shiftActivity(second / 10)) }},
		{"activity is older after the way", func() hooks { return breakState(shiftActivity(-second / 10)) }},
		{"a timeout is longer after the way", func() hooks { return breakState(longerIdle) }},
	} {
		t.Run(fault.name, func(t *testing.T) {
			for seed := uint64(1); seed <= faultSeeds; seed++ {
				r := guarded(func() Report { return Run(Options{Seed: seed, Move: true, hooks: fault.hooks()}) })
				if r.Failure != "" {
					first, _, _ := strings.Cut(r.Failure, "\n")
					t.Logf("seed %d: %s", seed, first)
					return
				}
			}
			t.Errorf("not noticed in %d seeds", faultSeeds)
		})
	}
}

// brokenEnd does one thing wrong, again and again.
type brokenEnd struct {
	engine.End
	swallow, twice, change, hasty, noFinish, noClose bool
	deaf                                             engine.Readiness
	owner                                            engine.Owner
	calls                                            int
}

func breakEnd(how func(*brokenEnd)) hooks {
	return hooks{end: func(e engine.End) engine.End {
		b := &brokenEnd{End: e}
		how(b)
		return b
	}}
}

// now is true in every seventh call.
func (b *brokenEnd) now() bool {
	b.calls++
	return b.calls%7 == 0
}

func (b *brokenEnd) Attach(owner engine.Owner, side engine.Side) {
	b.owner = owner
	b.End.Attach(b, side)
}

// Ready keeps what is told to itself, in part and at times.
func (b *brokenEnd) Ready(side engine.Side, r engine.Readiness) {
	if b.deaf != 0 && b.now() {
		r &^= b.deaf
	}
	b.owner.Ready(side, r)
}

func (b *brokenEnd) Read(p []byte) (int, engine.Status) {
	n, status := b.End.Read(p)
	if b.hasty && n > 0 && b.now() {
		return n, engine.StatusEOF
	}
	return n, status
}

func (b *brokenEnd) Write(p []byte) (int, engine.Status) {
	switch {
	case len(p) < 2:
	case b.swallow && b.now():
		n, status := b.End.Write(p[:len(p)-1])
		return n + 1, status
	case b.twice && b.now():
		n, status := b.End.Write(p)
		return max(n-1, 0), status
	case b.change && b.now():
		changed := append([]byte(nil), p...)
		changed[len(p)-1] ^= 1
		return b.End.Write(changed)
	}
	return b.End.Write(p)
}

func (b *brokenEnd) Finish() {
	if !b.noFinish {
		b.End.Finish()
	}
}

func (b *brokenEnd) Close() {
	if !b.noClose {
		b.End.Close()
	}
}

// brokenStage falsifies verdicts.
type brokenStage struct {
	engine.Stage
	falsify func(*engine.Verdict)
}

func breakStage(falsify func(*engine.Verdict)) hooks {
	return hooks{stage: func(s engine.Stage) engine.Stage { return brokenStage{s, falsify} }}
}

func (s brokenStage) Judge(p []byte, verdicts []engine.Verdict) []engine.Verdict {
	verdicts = s.Stage.Judge(p, verdicts)
	covered := int64(0)
	for i := range verdicts {
		v := &verdicts[i]
		if v.Action == engine.ActionEnd {
			v.N = int64(len(p)) - covered
		}
		s.falsify(v)
		if v.Action != engine.ActionSplice {
			covered += v.N
		}
	}
	return verdicts
}

func forgetHeld(v *engine.Verdict) {
	if v.Action == engine.ActionHold {
		v.Action = engine.ActionDrop
	}
}

func forwardHeld(v *engine.Verdict) {
	if v.Action == engine.ActionHold {
		v.Action = engine.ActionForward
	}
}

func boundaryEverywhere(v *engine.Verdict) { v.Boundary = v.Action == engine.ActionForward }

func boundaryNowhere(v *engine.Verdict) { v.Boundary = false }

func passIllegal(v *engine.Verdict) {
	if v.Action == engine.ActionEnd {
		v.Action = engine.ActionForward
	}
}

func passDropped(v *engine.Verdict) {
	if v.Action == engine.ActionDrop {
		v.Action = engine.ActionForward
	}
}

func renameEnd(v *engine.Verdict) {
	if v.Action == engine.ActionEnd {
		v.Reason = proxy.EndBadRequest
	}
}

// forgetful is a stage that reads its state and takes no notice of it.
type forgetful struct{ engine.Stage }

func (s forgetful) RestoreState(b []byte) ([]byte, error) {
	blank := s.AppendState(nil)
	rest, err := s.Stage.RestoreState(b)
	if err == nil {
		_, err = s.Stage.RestoreState(blank)
	}
	return rest, err
}

func breakRestore() hooks {
	return hooks{stage: func(s engine.Stage) engine.Stage { return forgetful{s} }}
}

// breakState changes the exported state of a relay. Where its fields lie is written in engine/relay_state.go.
func breakState(change func(state []byte) []byte) hooks { return hooks{state: change} }

const (
	stateBroken     = 2
	stateActivity   = 3
	stateIdle       = 11
	stateDirection  = 43 // of the client; then the flags, the count of insertions and three numbers
	statePending    = stateDirection + 26
	flagsEnded      = 1<<3 | 1<<4
	stateInsertions = stateDirection + 1
)

func dropPending(state []byte) []byte {
	n := int(binary.LittleEndian.Uint32(state[statePending:]))
	binary.LittleEndian.PutUint32(state[statePending:], 0)
	return append(state[:statePending+4:statePending+4], state[statePending+4+n:]...)
}

func dropInserts(state []byte) []byte {
	at := statePending
	for range 2 { // what is pending and what is held
		at += 4 + int(binary.LittleEndian.Uint32(state[at:]))
	}
	n := int(binary.LittleEndian.Uint32(state[at:]))
	binary.LittleEndian.PutUint32(state[at:], 0)
	state[stateInsertions] = 0
	return append(state[:at+4:at+4], state[at+4+n:]...)
}

func forgetFIN(state []byte) []byte {
	state[stateDirection] &^= flagsEnded
	return state
}

func forgetBroken(state []byte) []byte {
	state[stateBroken] = 0
	return state
}

func shiftActivity(nanos int64) func([]byte) []byte {
	return func(state []byte) []byte { return addTo(state, stateActivity, nanos) }
}

func longerIdle(state []byte) []byte { return addTo(state, stateIdle, second/10) }

func addTo(state []byte, at int, nanos int64) []byte {
	v := binary.LittleEndian.Uint64(state[at:])
	binary.LittleEndian.PutUint64(state[at:], v+uint64(nanos))
	return state
}
