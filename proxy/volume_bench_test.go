package proxy_test

import (
	"bytes"
	"net/netip"
	"runtime"
	"testing"

	"culvert/engine"
	"culvert/proxy"
	"culvert/proxy/ws"
)

// BenchmarkRelaySmallMessage is one echo of 125 bytes over one tunnel, through a proxy in this process: two messages,
// with all that both far ends do for them. The far ends allocate nothing, so what is allocated is the proxy's.
func BenchmarkRelaySmallMessage(b *testing.B) {
	// The loop keeps its processor while it waits on its own set.
	processors := runtime.GOMAXPROCS(3)
	b.Cleanup(func() { runtime.GOMAXPROCS(processors) })
	l := newLockstep(b)
	listeners, groups := proxy.OneGroup([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		[]proxy.BackendConfig{{Name: "b", Address: l.backend, Weight: 1}})
	server, err := proxy.New(proxy.Config{
		Listeners: listeners, Groups: groups, Loops: 1, Policy: proxy.Policy{Timeouts: proxy.DefaultTimeouts()},
	}, proxy.Logs{})
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Close() })
	l.open(server.Addresses()[0], 1)
	question, answer := binaryFrames(125)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		l.echo(l.tunnels[0], question, answer)
	}
}

// framesPerRead is how many small messages a busy tunnel's read may hold.
const framesPerRead = 100

// stagedReads are what a stage is given: one message of 125 bytes in a read, and many.
func stagedReads() map[string][]byte {
	frame, _ := binaryFrames(125)
	return map[string][]byte{"one per read": frame, "100 per read": bytes.Repeat(frame, framesPerRead)}
}

// BenchmarkFrameStage is what a tunnel's stage costs per small message: headers are read, judged and turned into
// verdicts. Time is told per frame.
func BenchmarkFrameStage(b *testing.B) {
	for name, read := range stagedReads() {
		b.Run(name, func(b *testing.B) {
			stage := proxy.NewFrameStage(ws.Options{Sender: ws.Client, Strict: true})
			verdicts := make([]engine.Verdict, 0, 8)
			frames := len(read) / len(stagedReads()["one per read"])
			b.ReportAllocs()
			for b.Loop() {
				verdicts = stage.Judge(read, verdicts[:0])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*frames), "ns/frame")
		})
	}
}

func TestAFrameStageAllocatesNothing(t *testing.T) {
	for name, read := range stagedReads() {
		stage := proxy.NewFrameStage(ws.Options{Sender: ws.Client, Strict: true})
		verdicts := make([]engine.Verdict, 0, 8)
		if n := testing.AllocsPerRun(1000, func() { verdicts = stage.Judge(read, verdicts[:0]) }); n != 0 {
			t.Errorf("%s: %v objects allocated per read", name, n)
		}
		if len(verdicts) != 1 || verdicts[0].N != int64(len(read)) || !verdicts[0].Boundary {
			t.Errorf("%s: the verdicts are %+v, want all bytes forwarded", name, verdicts)
		}
	}
}
