package proxy

import "culvert/engine"

// requestStage is the relay's stage for a request's body on its way to the backend.
type requestStage struct {
	bodyStage
	x *exchange
}

// Judge implements engine.Stage.
func (s *requestStage) Judge(p []byte, verdicts []engine.Verdict) []engine.Verdict {
	verdicts = s.bodyStage.Judge(p, verdicts)
	if s.scanner.Done() {
		s.x.requestWhole()
	}
	return verdicts
}
