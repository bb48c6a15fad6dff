package engine

import (
	"bytes"
	"testing"
)

// countingEnd hands out what it is given in one read, and counts the writes.
type countingEnd struct {
	input, output []byte
	writes        int
}

func (*countingEnd) Attach(Owner, Side) {}
func (e *countingEnd) Read(p []byte) (int, Status) {
	n := copy(p, e.input)
	e.input = e.input[n:]
	return n, StatusBlocked
}
func (e *countingEnd) Write(p []byte) (int, Status) {
	e.writes++
	e.output = append(e.output, p...)
	return len(p), StatusReady
}
func (*countingEnd) Finish()                       {}
func (*countingEnd) Fault() Fault                  { return FaultReset }
func (*countingEnd) Reset()                        {}
func (*countingEnd) Close()                        {}
func (*countingEnd) Linger(*Pending, LingerLimits) {}
func (*countingEnd) RelayOver(_ *Relay, _ Outcome) {}

// TestDroppedBytesCostNoWrites: what is dropped from between runs is closed up, so that a peer that sends thousands of
// little runs in one read causes one write, not thousands.
func TestDroppedBytesCostNoWrites(t *testing.T) {
	var stream, passed []byte
	for i := range 1000 {
		kept := frame(kindForward, i%7, byte('a'+i%26))
		stream = append(append(stream, frame(kindDrop, i%5, 'x')...), kept...)
		passed = append(passed, kept...)
	}
	stream = append(stream, "F\x00"...) // on hold
	w := NewWorkspace(0, 1)
	client, backend := &countingEnd{input: stream}, &countingEnd{}
	r := new(Relay)
	r.Init(w, [2]End{client, backend}, [2]Stage{new(frameStage), new(frameStage)}, &RelayLimits{Idle: 1 << 40}, client)
	r.Start()
	if backend.writes != 1 {
		t.Errorf("%d writes for one read", backend.writes)
	}
	if !bytes.Equal(backend.output, passed) {
		t.Errorf("%d bytes passed, want %d, or others", len(backend.output), len(passed))
	}
	if cap(w.verdicts) > verdictsMax {
		t.Errorf("room for %d verdicts is kept", cap(w.verdicts))
	}
}
