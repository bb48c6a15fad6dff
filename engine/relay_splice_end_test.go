package engine

import (
	"bytes"
	"testing"
	"time"
)

// wholeStage hands all but the first byte of its message over unjudged, and says that the message is whole when asked
// again.
type wholeStage struct {
	messageStage
	asked []int // how many bytes it was given, each time
}

func (s *wholeStage) Judge(p []byte, v []Verdict) []Verdict {
	s.asked = append(s.asked, len(p))
	if !s.begun {
		s.begun = true
		return append(v, Verdict{Action: ActionForward, N: 1}, Verdict{Action: ActionSplice, N: int64(s.rest - 1)})
	}
	return append(v, Verdict{Action: ActionDone})
}

// TestTheEndOfASplicedMessageNeedsNoByte: the stage is asked as soon as what it had handed over has passed, through a
// pipe or copied, alone or with the beginning of a next message behind it.
func TestTheEndOfASplicedMessageNeedsNoByte(t *testing.T) {
	for _, c := range []struct {
		name  string
		size  int
		pipes int
		rest  string
	}{
		{"through a pipe", 300 << 10, 8, ""},
		{"copied", 300 << 10, 0, ""},
		{"copied, with a next message", 300 << 10, 0, "next"},
		{"small, with a next message", 5000, 8, "next"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := startLoop(t)
			r := newRelay(t, l, rigOptions{})
			o := &surrendered{rig: r}
			stage := &wholeStage{messageStage: messageStage{rest: c.size, broken: messageCut}}
			l.do(func() {
				r.relay.Detach()
				r.relay = new(Relay)
				l.loop.Workspace.SetBounds(c.pipes, 0)
				limits := &RelayLimits{Surrender: true, Idle: int64(time.Minute), Stalled: int64(time.Minute)}
				r.relay.Init(&l.loop.Workspace, r.ends(), [2]Stage{&messageStage{rest: 1, broken: messageCut}, stage}, limits, o)
				r.relay.Start()
			})
			r.peers[SideClient].send([]byte("?"))
			r.peers[SideBackend].receive([]byte("?"))
			message := bytes.Repeat([]byte("m"), c.size)
			r.peers[SideBackend].sendInBackground(message[:1])
			r.peers[SideClient].receive(message[:1])
			sent := r.peers[SideBackend].sendInBackground(append(message[1:len(message):len(message)], c.rest...))
			r.background(func() { r.peers[SideClient].receive(message[1:]) })
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			r.wantEnd(EndClosed, SideNone)
			r.do(func() {
				if len(stage.asked) != 2 || stage.asked[0] != 1 || stage.asked[1] != len(o.rests[SideBackend]) || len(c.rest) < stage.asked[1] {
					t.Errorf("the stage was given %v bytes, %q was left over", stage.asked, o.rests[SideBackend])
				}
			})
		})
	}
}
