package proxy

import (
	"culvert/engine"
	"culvert/proxy/http1"
)

// bodyStage is the relay's stage for the body of an ordinary answer: it passes exactly the body and ends the exchange
// behind it.
type bodyStage struct {
	scanner       http1.BodyScanner
	skipThreshold int64 // bytes from which a rest of payload is handed over unjudged; 0: never
}

// Judge implements engine.Stage.
func (s *bodyStage) Judge(p []byte, verdicts []engine.Verdict) []engine.Verdict {
	for {
		forward, drop, done, err := s.scanner.Scan(p)
		p = p[forward+drop:]
		if forward > 0 {
			verdicts = append(verdicts, engine.Verdict{Action: engine.ActionForward, N: int64(forward)})
		}
		if drop > 0 {
			verdicts = append(verdicts, engine.Verdict{Action: engine.ActionDrop, N: int64(drop)})
		}
		switch {
		case err != nil:
			return append(verdicts, engine.Verdict{Action: engine.ActionEnd, Reason: EndBadAnswerBody})
		case done:
			return append(verdicts, engine.Verdict{Action: engine.ActionEnd, Reason: EndComplete})
		case len(p) == 0:
			return s.splice(verdicts)
		case drop == 0:
			return append(verdicts, engine.Verdict{Action: engine.ActionHold, N: int64(len(p))})
		}
	}
}

// splice hands a long rest of payload to the relay unjudged. The end of a body of known length has to be seen here, so
// its last byte is left out.
func (s *bodyStage) splice(verdicts []engine.Verdict) []engine.Verdict {
	opaque := s.scanner.Opaque() - 1
	if s.scanner.Kind() == http1.BodyUntilClose || s.skipThreshold == 0 || opaque < s.skipThreshold {
		return verdicts
	}
	s.scanner.Skip(opaque)
	return append(verdicts, engine.Verdict{Action: engine.ActionSplice, N: opaque})
}

// Finish implements engine.Stage.
func (s *bodyStage) Finish() engine.EndReason {
	if s.scanner.EOF() {
		return EndComplete
	}
	return EndAnswerCut
}

// AppendState implements engine.Stage.
func (s *bodyStage) AppendState(b []byte) []byte { return s.scanner.AppendState(b) }

// RestoreState implements engine.Stage.
func (s *bodyStage) RestoreState(b []byte) ([]byte, error) { return s.scanner.RestoreState(b) }
