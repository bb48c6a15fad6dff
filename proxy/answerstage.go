package proxy

import (
	"culvert/engine"
	"culvert/proxy/http1"
	"culvert/proxy/ws"
)

// answerStage is the relay's stage for what a backend answers to an ordinary request: it takes the heads out of the
// stream, puts those for the client in their place, and passes the body.
type answerStage struct {
	bodyStage
	x        *exchange
	untilEnd bool            // nothing but its end says where the body ends
	headDone bool            // the final head is on its way to the client
	emission *engine.Pending // heads for the client that the relay has not taken
}

// Judge implements engine.Stage.
func (s *answerStage) Judge(p []byte, verdicts []engine.Verdict) []engine.Verdict {
	if !s.headDone {
		rest, final, reason := s.x.takeHeads(p)
		verdicts = append(verdicts, engine.Verdict{Action: engine.ActionDrop, N: int64(len(p) - len(rest))})
		p = rest
		if final && reason == engine.EndNone {
			reason = s.begin()
		}
		if n := s.emission.Len(); n > 0 {
			verdicts = append(verdicts, engine.Verdict{Action: engine.ActionEmit, N: int64(n)})
		}
		if reason != engine.EndNone {
			return append(verdicts, engine.Verdict{Action: engine.ActionEnd, Reason: reason})
		}
		if !s.headDone {
			return verdicts
		}
	}
	return s.end(s.bodyStage.Judge(p, verdicts))
}

// begin judges the final head and prepares what the client gets in its place.
func (s *answerStage) begin() engine.EndReason {
	x := s.x
	head := x.responseHead
	if head.Status() == 101 {
		x.record.detail = ws.UpgradeNotRequested.String()
		return EndBadUpgradeAnswer
	}
	kind, length, chunked := x.answerFraming()
	s.init(kind, length, http1.FromBackend, x)
	s.untilEnd = kind == http1.BodyUntilClose
	if kind == http1.BodyChunked && !chunked {
		s.scanner.Dechunk()
	}
	x.answerBegins(kind, chunked)
	w := &x.shard.loop.Workspace
	out := w.Acquire(2048)
	*out.Buffer() = x.appendAnswerHead(*out.Buffer(), chunked)
	s.emit(out.Bytes())
	w.Release(out)
	s.headDone = true
	x.shard.putResponseHead(x.responseHead)
	x.responseHead = nil
	return engine.EndNone
}

// end judges the body's end. Where the client's connection does not live on, the exchange ends at once: what the client
// has not taken yet is left to the lingering close, and the rest of a request that is not whole is not waited for.
func (s *answerStage) end(verdicts []engine.Verdict) []engine.Verdict {
	if n := len(verdicts); n > 0 && verdicts[n-1].Action == engine.ActionDone && !s.x.keepClient {
		verdicts[n-1] = engine.Verdict{Action: engine.ActionEnd, Reason: EndComplete}
	}
	return verdicts
}

// emit adds a head to those that the relay takes next.
func (s *answerStage) emit(head []byte) {
	s.emission = s.x.shard.loop.Append(s.emission, head)
}

// Emission implements engine.Emitter.
func (s *answerStage) Emission(n int) []byte {
	heads := s.emission.Bytes()[:n]
	s.emission.Advance(n)
	return heads
}

// Finish implements engine.Stage.
func (s *answerStage) Finish() engine.EndReason {
	if !s.headDone {
		return EndBackendClosed
	}
	if transportOf(s.x.backend).truncated() && s.untilEnd {
		return EndAnswerCut // RFC 9112 section 9.8: nothing but close_notify says that it is whole
	}
	return s.bodyStage.Finish()
}
