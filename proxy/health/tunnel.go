package health

import (
	"bytes"
	"encoding/binary"

	"culvert/proxy/http1"
	"culvert/proxy/ws"

	gobwas "github.com/gobwas/ws"
)

// frameWalk is where a check stands in the frames that a backend sends.
type frameWalk struct {
	scanner ws.Scanner // judges them
	scanned int        // bytes that it has passed
	next    int        // where the next frame begins, maybe behind what has come
	ponged  bool
}

// request is the upgrade that a check sends.
func (p *Probe) request() ws.ClientRequest {
	return ws.ClientRequest{
		Host: p.authority, Target: p.settings.Path, Key: ws.NewKey([16]byte(p.entropy[:16])),
		Fields: []ws.Field{{Name: "User-Agent", Value: userAgent}},
	}
}

func (p *Probe) appendUpgrade(dst []byte) ([]byte, Verdict) {
	request := p.request()
	dst, err := ws.AppendClientRequest(dst, &request)
	if err != nil {
		panic("health: the settings of a check were not validated: " + err.Error())
	}
	return dst, Pending
}

// judgeHandshake looks whether a 101 opens a tunnel.
func (p *Probe) judgeHandshake() {
	request := p.request()
	offer := request.Offer()
	var check ws.ResponseCheck
	check.Begin(&offer, p.status)
	for i := range p.head.Len() {
		field := p.head.At(i)
		check.Observe(field.Name, field.Value)
	}
	if _, reason := check.Decide(); reason != ws.NoReason || p.head.Version() != http1.HTTP11 {
		p.end(Bad, ReasonHandshake)
		return
	}
	p.frames.scanner.Init(ws.Options{Sender: ws.Server, Strict: true})
	p.phase = awaitingPong
}

// mask returns one of three masking keys: of the ping, of the close frame, of a pong.
func (p *Probe) mask(n int) [4]byte { return [4]byte(p.entropy[24+4*n:]) }

// payload is what our ping carries and its pong must repeat.
func (p *Probe) payload() []byte { return p.entropy[16:24] }

// readFrames goes on through what the backend has sent since the 101, all of which is in p.received.
func (p *Probe) readFrames(dst []byte) []byte {
	result := p.frames.scanner.Scan(p.received[p.frames.scanned:])
	p.frames.scanned += result.Forward
	for p.phase != over {
		opcode, payload, ok := p.nextFrame()
		if !ok {
			break
		}
		dst = p.takeFrame(opcode, payload, dst)
	}
	switch {
	case p.phase == over:
	case result.Violation != ws.NoViolation:
		p.end(Bad, ReasonFrame)
	case len(p.received) > maxFrames:
		p.end(Bad, ReasonTalkative)
	}
	return dst
}

// nextFrame returns the next frame, of control frames with the payload. The scanner has judged it: it is not masked, and
// a control frame is short.
func (p *Probe) nextFrame() (opcode gobwas.OpCode, payload []byte, ok bool) {
	if p.frames.next >= p.frames.scanned {
		return 0, nil, false
	}
	rest := p.received[p.frames.next:p.frames.scanned] // never a part of a header
	length, header := uint64(rest[1]), 2
	switch length {
	case 126:
		length, header = uint64(binary.BigEndian.Uint16(rest[2:])), 4
	case 127:
		length, header = binary.BigEndian.Uint64(rest[2:]), 10
	}
	opcode = gobwas.OpCode(rest[0] & 0x0f)
	if opcode.IsControl() {
		if uint64(len(rest)) < uint64(header)+length {
			return 0, nil, false
		}
		payload = rest[header : header+int(length)]
	}
	p.frames.next += header + int(min(length, 2*maxFrames)) // beyond that there is no next
	return opcode, payload, true
}

// takeFrame reacts to a frame. Messages are for clients that care.
func (p *Probe) takeFrame(opcode gobwas.OpCode, payload, dst []byte) []byte {
	switch {
	case opcode == gobwas.OpPing && !p.frames.ponged:
		// One is answered, with a mask of its own, for who sees a mask again can choose what we say (RFC 6455 10.3).
		p.frames.ponged = true
		return ws.AppendPong(dst, ws.Client, p.mask(2), payload)
	case opcode == gobwas.OpPong && p.phase == awaitingPong && bytes.Equal(payload, p.payload()):
		p.phase = awaitingClose
		return ws.AppendClose(dst, ws.Client, p.mask(1), gobwas.StatusNormalClosure, "")
	case opcode == gobwas.OpClose && p.phase == awaitingPong:
		p.end(Bad, ReasonNoPong)
	case opcode == gobwas.OpClose:
		p.end(Good, "")
	}
	return dst
}
