package health

import (
	"culvert/proxy/http1"
	"culvert/proxy/ws"
)

// Bounds of what a check reads, in bytes.
const (
	// MaxAnswerHead bounds each head of an answer.
	MaxAnswerHead = 16 << 10
	// maxFrames bounds what a backend may say in a tunnel before it has answered ping and close.
	maxFrames = 64 << 10
	// maxInterim bounds the 1xx answers before the one that counts.
	maxInterim = 16
)

// The stable tokens of what is wrong with a backend, as a Probe finds it. Why no connection stands is told by the tokens
// of those who connect. Each may be the reason of Checker.End.
const (
	// ReasonTimeout: the check had not ended by its deadline.
	ReasonTimeout = "timeout"
	// ReasonClosed: the connection ended before the answer, or the pong, was whole.
	ReasonClosed = "closed"
	// ReasonMalformed: what came is no answer of HTTP, or exceeds a limit.
	ReasonMalformed = "malformed-answer"
	// ReasonStatus: the status is not among the good ones, or not 101 to an upgrade. Probe.Status tells it.
	ReasonStatus = "status"
	// ReasonHandshake: the 101 is not a valid one (RFC 6455 4.1), such as one with a wrong accept.
	ReasonHandshake = "bad-handshake"
	// ReasonFrame: a frame breaks RFC 6455.
	ReasonFrame = "bad-frame"
	// ReasonNoPong: the tunnel was closed, by a frame or without one, before the pong came.
	ReasonNoPong = "no-pong"
	// ReasonNoClose: the connection ended without the close frame that answers ours.
	ReasonNoClose = "no-close"
	// ReasonTalkative: more came in a tunnel than a check reads.
	ReasonTalkative = "too-much-data"
)

// Verdict is what a check has come to.
type Verdict uint8

const (
	// Pending: send what there is to send, and go on receiving.
	Pending Verdict = iota
	// Good: the backend does what it should. Close the connection.
	Good
	// Bad: it does not; Probe.Reason tells why. Close the connection.
	Bad
)

// String returns the verdict's word.
func (v Verdict) String() string { return [...]string{"pending", "good", "bad"}[min(v, Bad)] }

// phase is where a check stands.
//
//	connecting -> awaitingAnswer -> over                                   HTTP
//	connecting -> awaitingAnswer -> awaitingPong -> awaitingClose -> over  WebSocket
//	connecting -> over                                                     TCP
type phase uint8

const (
	connecting     phase = iota // nothing was sent
	awaitingAnswer              // the request was
	awaitingPong                // after the 101 and our ping
	awaitingClose               // after the pong and our close frame
	over                        // there is a verdict
)

// Entropy makes a WebSocket check's key, masks and payload unpredictable (RFC 6455 4.1, 10.3). It comes from a strong
// source, fresh for each check.
type Entropy [16 + 8 + 3*4]byte

// Probe is one check, from the bytes that came to those to be sent: it neither connects nor waits. It is used again and
// keeps its memory, at most 64 KiB and what one call of Receive brings. Owned by whoever owns the check. Init before use.
type Probe struct {
	settings  *Settings
	authority string
	entropy   Entropy
	head      http1.ResponseHead
	received  []byte // of the head until it is whole; then the tunnel's, from its beginning
	interim   int    // 1xx answers
	frames    frameWalk
	phase     phase
	verdict   Verdict
	status    int
	reason    string
}

// Init makes the probe ready for a check of what has this authority, "host:port", which the Host header names unless the
// settings name another. Settings are borrowed, and valid (Settings.Validate).
func (p *Probe) Init(s *Settings, authority string, entropy Entropy) {
	p.head.Reset()
	*p = Probe{settings: s, authority: authority, entropy: entropy, head: p.head, received: p.received[:0]}
	if s.Host != "" {
		p.authority = s.Host
	}
}

// Status returns the status of the answer, 0 if there is none.
func (p *Probe) Status() int { return p.status }

// Reason returns the token of a Bad verdict, else "".
func (p *Probe) Reason() string { return p.reason }

// Connected notes that the connection stands. It appends what is to be sent to dst.
func (p *Probe) Connected(dst []byte) ([]byte, Verdict) {
	p.phase = awaitingAnswer
	switch p.settings.Kind {
	case TCP:
		return dst, p.end(Good, "")
	case WebSocket:
		return p.appendUpgrade(dst)
	}
	dst = http1.AppendRequestLine(dst, p.settings.Method, p.settings.Path)
	dst = http1.AppendHeader(dst, "Host", p.authority)
	dst = http1.AppendHeader(dst, "User-Agent", userAgent)
	dst = http1.AppendHeader(dst, "Accept", "*/*")
	dst = http1.AppendHeader(dst, "Connection", "close")
	return http1.AppendEnd(dst), Pending
}

// userAgent is how checks introduce themselves, for those who read a backend's log.
const userAgent = "culvert-health-check"

// Receive takes in bytes as they came, which are the caller's again when it returns, and appends what is to be sent to
// dst. Once there is a verdict it says the same for ever.
func (p *Probe) Receive(received, dst []byte) ([]byte, Verdict) {
	if p.phase == over {
		return dst, p.verdict
	}
	p.received = append(p.received, received...)
	if p.phase == awaitingAnswer {
		p.readAnswer()
		if p.phase == awaitingPong {
			dst = ws.AppendPing(dst, ws.Client, p.mask(0), p.payload())
		}
	}
	if p.phase == awaitingPong || p.phase == awaitingClose {
		dst = p.readFrames(dst)
	}
	return dst, p.verdict
}

// Ended notes that the peer has ended the connection, by a FIN or a reset, before there was a verdict.
func (p *Probe) Ended() Verdict {
	switch p.phase {
	case over:
		return p.verdict
	case awaitingPong:
		return p.end(Bad, ReasonNoPong)
	case awaitingClose:
		return p.end(Bad, ReasonNoClose)
	}
	return p.end(Bad, ReasonClosed)
}

// readAnswer reads heads up to the one that counts. What follows it is left in p.received.
func (p *Probe) readAnswer() {
	for {
		n, failure := p.head.Parse(p.received, &answerLimits)
		if failure != nil {
			p.end(Bad, ReasonMalformed)
			return
		}
		if n == 0 {
			return
		}
		p.status = p.head.Status()
		interim := p.head.Interim()
		if !interim {
			p.judge()
		}
		p.head.Reset()
		p.received = p.received[:copy(p.received, p.received[n:])]
		if !interim {
			return
		}
		if p.interim++; p.interim > maxInterim {
			p.end(Bad, ReasonMalformed)
			return
		}
	}
}

// judge decides by the head that counts, which is whole. An HTTP check's body is nobody's concern.
func (p *Probe) judge() {
	switch {
	case p.settings.Kind == WebSocket && p.status == 101:
		p.judgeHandshake()
	case p.settings.Kind == HTTP && p.settings.Good.Has(p.status):
		p.end(Good, "")
	default:
		p.end(Bad, ReasonStatus)
	}
}

// end gives the verdict.
func (p *Probe) end(v Verdict, reason string) Verdict {
	p.phase, p.verdict, p.reason = over, v, reason
	return v
}
