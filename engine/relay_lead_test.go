package engine

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"
)

// A head of ours and the bytes behind it leave by one write, where that costs no copy of the body or a small one.

// writesEnd is an end that takes so many bytes per write and notes each write. It has nothing to read.
type writesEnd struct {
	takes  int // per write; 0: all
	writes []string
}

func (e *writesEnd) Attach(Owner, Side)            {}
func (e *writesEnd) Read([]byte) (int, Status)     { return 0, StatusBlocked }
func (e *writesEnd) Finish()                       {}
func (e *writesEnd) Fault() Fault                  { return FaultReset }
func (e *writesEnd) Reset()                        {}
func (e *writesEnd) Close()                        {}
func (e *writesEnd) Linger(*Pending, LingerLimits) {}

func (e *writesEnd) Write(p []byte) (int, Status) {
	n := len(p)
	if e.takes > 0 {
		n = min(n, e.takes)
	}
	e.writes = append(e.writes, string(p[:n]))
	if n < len(p) {
		return n, StatusBlocked
	}
	return n, StatusReady
}

// scriptStage answers one Judge with what it was told to.
type scriptStage struct {
	messageStage
	verdicts []Verdict
	heads    []string
}

func (s *scriptStage) Judge(_ []byte, v []Verdict) []Verdict { return append(v, s.verdicts...) }

func (s *scriptStage) Emission(n int) []byte {
	head := s.heads[0]
	s.heads = s.heads[1:]
	return []byte(head)[:n]
}

func forwards(n int) Verdict { return Verdict{Action: ActionForward, N: int64(n)} }
func drops(n int) Verdict    { return Verdict{Action: ActionDrop, N: int64(n)} }
func emits(n int) Verdict    { return Verdict{Action: ActionEmit, N: int64(n)} }

func TestHeadsOfOursAddNoWrite(t *testing.T) {
	long := string(bytes.Repeat([]byte("h"), HoldMax+20))
	for _, c := range []struct {
		name     string
		read     string
		verdicts []Verdict
		heads    []string
		counted  int
		writes   []string
	}{
		{"shorter than what it replaces", "oldhead body", []Verdict{drops(8), emits(4), forwards(4)}, []string{"new "}, 4, []string{"new body"}},
		{"longer, into the headroom", "old body", []Verdict{drops(4), emits(8), forwards(4)}, []string{"longer: "}, 4, []string{"longer: body"}},
		{"longer than all room", "old body", []Verdict{drops(4), emits(len(long)), forwards(4)}, []string{long}, 4, []string{long, "body"}},
		{"two heads", "oneoldtwoold body", []Verdict{drops(6), emits(3), drops(7), emits(3), forwards(4)}, []string{"1: ", "2: "}, 4, []string{"1: 2: body"}},
		{"behind a run", "xxoldbody", []Verdict{forwards(2), drops(3), emits(2), forwards(4)}, []string{"| "}, 6, []string{"xx| body"}},
		{"behind a run, without room", "xxbody", []Verdict{forwards(2), emits(2), forwards(4)}, []string{"| "}, 6, []string{"xx", "| ", "body"}},
		{"alone", "old", []Verdict{drops(3), emits(4)}, []string{"head"}, 0, []string{"head"}},
	} {
		for _, takes := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s, %d a write", c.name, takes), func(t *testing.T) {
				w := NewWorkspace(0, 1)
				client, backend := &writesEnd{takes: takes}, &writesEnd{}
				stage := &scriptStage{verdicts: c.verdicts, heads: slices.Clone(c.heads)}
				r := new(Relay)
				r.Init(w, [2]End{client, backend}, [2]Stage{new(messageStage), stage}, &RelayLimits{Idle: int64(time.Minute)}, nil)
				room := HoldMax
				n := copy(w.readBuffer[room:], c.read)
				r.process(&r.directions[SideBackend], w.readBuffer[:room+n], room, 0)
				if takes == 0 && !slices.Equal(client.writes, c.writes) {
					t.Errorf("writes %q, want %q", client.writes, c.writes)
				}
				client.takes = 0
				r.Ready(SideClient, Writable)
				var got, want string
				for _, s := range client.writes {
					got += s
				}
				for _, s := range c.writes {
					want += s
				}
				if got != want || int(r.Bytes(SideBackend)) != c.counted {
					t.Errorf("%q, %d bytes of the stream counted; want %q, %d", got, r.Bytes(SideBackend), want, c.counted)
				}
			})
		}
	}
}

func TestAHeadAndAnEarlyBodyLeaveTogether(t *testing.T) {
	for _, c := range []struct {
		body   int
		writes int
	}{{10, 1}, {mergeMax - 5, 1}, {mergeMax - 4, 2}} {
		w := NewWorkspace(0, 1)
		client, backend := &writesEnd{}, &writesEnd{}
		r := new(Relay)
		limits := &RelayLimits{Idle: int64(time.Minute), Surrender: true}
		r.Init(w, [2]End{client, backend}, [2]Stage{&messageStage{rest: c.body}, new(messageStage)}, limits, nil)
		body := bytes.Repeat([]byte("b"), c.body)
		r.FeedBehind([]byte("head:"), SideClient, body)
		var got string
		for _, s := range backend.writes {
			got += s
		}
		if len(backend.writes) != c.writes || got != "head:"+string(body) || int(r.Bytes(SideClient)) != c.body {
			t.Errorf("a body of %d bytes: %d writes of %d bytes, %d counted", c.body, len(backend.writes), len(got), r.Bytes(SideClient))
		}
	}
}
