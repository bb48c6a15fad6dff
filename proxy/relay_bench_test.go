package proxy_test

import (
	"testing"

	"culvert/engine"
	"culvert/proxy"
	"culvert/proxy/ws"
)

// memoryEnd is an end without a socket: it hands out the same bytes whenever it is told that there are some.
type memoryEnd struct {
	read    []byte
	waiting bool
}

func (*memoryEnd) Attach(engine.Owner, engine.Side) {}
func (e *memoryEnd) Read(p []byte) (int, engine.Status) {
	if !e.waiting {
		return 0, engine.StatusBlocked
	}
	e.waiting = false
	return copy(p, e.read), engine.StatusBlocked
}
func (*memoryEnd) Write(p []byte) (int, engine.Status)         { return len(p), engine.StatusReady }
func (*memoryEnd) Finish()                                     {}
func (*memoryEnd) Fault() engine.Fault                         { return engine.FaultReset }
func (*memoryEnd) Reset()                                      {}
func (*memoryEnd) Close()                                      {}
func (*memoryEnd) Linger(*engine.Pending, engine.LingerLimits) {}
func (*memoryEnd) RelayOver(*engine.Relay, engine.Outcome)     {}

// BenchmarkRelayEvent is what the relay and the stage of a tunnel do for one event that brings a message of 125 bytes,
// without any system call.
func BenchmarkRelayEvent(b *testing.B) {
	frame, _ := binaryFrames(125)
	client, backend := &memoryEnd{read: frame}, &memoryEnd{}
	w := engine.NewWorkspace(0, 1)
	r := new(engine.Relay)
	r.Init(w, [2]engine.End{client, backend}, [2]engine.Stage{
		proxy.NewFrameStage(ws.Options{Sender: ws.Client, Strict: true, SkipThreshold: 64 << 10}),
		proxy.NewFrameStage(ws.Options{Sender: ws.Server, Strict: true, SkipThreshold: 64 << 10}),
	}, &engine.RelayLimits{Idle: 1 << 40, Stalled: 1 << 40}, client)
	r.Start()
	b.ReportAllocs()
	for b.Loop() {
		client.waiting = true
		r.Ready(engine.SideClient, engine.Readable|engine.Writable)
	}
}
