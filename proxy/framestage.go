package proxy

import (
	"culvert/engine"
	"culvert/proxy/ws"
)

// frameStage is the relay's stage for one direction of a WebSocket tunnel: it lets whole, legal headers and their
// payload pass, and ends the tunnel in front of an illegal one.
type frameStage struct {
	scanner ws.Scanner
	tunnel  *tunnel // whose stage it is; nil: nobody's, and nothing is counted
}

// NewFrameStage returns the stage for one direction of a tunnel, for whoever drives a relay without a Server.
func NewFrameStage(options ws.Options) engine.Stage {
	s := new(frameStage)
	s.scanner.Init(options)
	return s
}

// Judge implements engine.Stage.
func (s *frameStage) Judge(p []byte, verdicts []engine.Verdict) []engine.Verdict {
	before := s.scanner.Messages()
	r := s.scanner.Scan(p)
	if s.tunnel != nil {
		s.tunnel.note(s, s.scanner.Messages()-before)
	}
	forward := r.Forward
	if r.Boundary >= 0 && !s.scanner.Closed() {
		verdicts = append(verdicts, engine.Verdict{Action: engine.ActionForward, N: int64(r.Boundary), Boundary: true})
		forward -= r.Boundary
	}
	if forward > 0 {
		verdicts = append(verdicts, engine.Verdict{Action: engine.ActionForward, N: int64(forward)})
	}
	if r.Violation != ws.NoViolation {
		return append(verdicts, engine.Verdict{Action: engine.ActionEnd, Reason: EndProtocolError})
	}
	if r.Drop > 0 {
		verdicts = append(verdicts, engine.Verdict{Action: engine.ActionDrop, N: int64(r.Drop)})
	}
	if r.Hold > 0 {
		verdicts = append(verdicts, engine.Verdict{Action: engine.ActionHold, N: int64(r.Hold)})
	}
	if r.Skip > 0 {
		verdicts = append(verdicts, engine.Verdict{Action: engine.ActionSplice, N: r.Skip, Boundary: r.SkipEndsAtBoundary})
	}
	return verdicts
}

// Finish implements engine.Stage: a half-close passes, also inside a frame; what is missing is the peers' affair.
func (s *frameStage) Finish() engine.EndReason { return engine.EndNone }

// AppendState implements engine.Stage.
func (s *frameStage) AppendState(b []byte) []byte { return s.scanner.AppendState(b) }

// RestoreState implements engine.Stage.
func (s *frameStage) RestoreState(b []byte) ([]byte, error) { return s.scanner.RestoreState(b) }
