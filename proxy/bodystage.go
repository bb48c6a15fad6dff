package proxy

import (
	"math"

	"culvert/engine"
	"culvert/proxy/http1"
)

// bodyStage is the relay's stage for a body: it passes exactly the body, and says where it ends.
type bodyStage struct {
	scanner       http1.BodyScanner
	unseen        int64            // bytes of payload that were handed over unjudged, until the next Judge
	skipThreshold int64            // bytes from which a rest of payload is handed over unjudged; 0: never
	most          int64            // bytes of payload that may pass
	malformed     engine.EndReason // wrong chunked framing
	cut           engine.EndReason // its source finished before it was complete
	tooLarge      engine.EndReason // over most
	fault         http1.Reason     // what is malformed
}

// init makes the stage ready for a body that side sends.
func (s *bodyStage) init(kind http1.BodyKind, length int64, side http1.Side, x *exchange) {
	s.scanner.Init(kind, length, side, x.policy.heads)
	s.skipThreshold, s.most = int64(x.policy.skipThreshold), math.MaxInt64
	s.malformed, s.cut = EndBadAnswerBody, EndAnswerCut
	if side == http1.FromClient {
		s.malformed, s.cut, s.tooLarge = EndBadRequest, EndRequestCut, EndBodyTooLarge
		if most := x.policy.MaxBody; most > 0 {
			s.most = most
		}
	}
}

// Judge implements engine.Stage.
func (s *bodyStage) Judge(p []byte, verdicts []engine.Verdict) []engine.Verdict {
	if s.unseen > 0 {
		s.scanner.Skip(s.unseen)
		s.unseen = 0
	}
	for {
		forward, drop, done, err := s.scanner.Scan(p)
		p = p[forward+drop:]
		if s.scanner.Payload() > s.most {
			return append(verdicts, engine.Verdict{Action: engine.ActionEnd, Reason: s.tooLarge})
		}
		if forward > 0 {
			verdicts = append(verdicts, engine.Verdict{Action: engine.ActionForward, N: int64(forward)})
		}
		if drop > 0 {
			verdicts = append(verdicts, engine.Verdict{Action: engine.ActionDrop, N: int64(drop)})
		}
		switch {
		case err != nil:
			s.fault = err.Reason
			return append(verdicts, engine.Verdict{Action: engine.ActionEnd, Reason: s.malformed})
		case done:
			return append(verdicts, engine.Verdict{Action: engine.ActionDone})
		case len(p) == 0:
			return s.splice(verdicts)
		case drop == 0:
			return append(verdicts, engine.Verdict{Action: engine.ActionHold, N: int64(len(p))})
		}
	}
}

// splice hands a long rest of payload to the relay unjudged.
func (s *bodyStage) splice(verdicts []engine.Verdict) []engine.Verdict {
	opaque := s.scanner.Opaque()
	if s.scanner.Kind() == http1.BodyUntilClose || s.skipThreshold == 0 || opaque < s.skipThreshold || s.scanner.Payload()+opaque > s.most {
		return verdicts
	}
	s.unseen = opaque
	return append(verdicts, engine.Verdict{Action: engine.ActionSplice, N: opaque})
}

// Finish implements engine.Stage. A body that lasts until the FIN is complete by it.
func (s *bodyStage) Finish() engine.EndReason {
	if s.unseen == 0 && s.scanner.EOF() {
		return EndComplete
	}
	return s.cut
}

// AppendState implements engine.Stage. Only tunnels are exported.
func (s *bodyStage) AppendState(b []byte) []byte { return s.scanner.AppendState(b) }

// RestoreState implements engine.Stage.
func (s *bodyStage) RestoreState(b []byte) ([]byte, error) { return s.scanner.RestoreState(b) }
