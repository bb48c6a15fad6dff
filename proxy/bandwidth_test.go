package proxy

import (
	"testing"

	"culvert/engine"
)

// TestABoundOnBandwidthBeginsFromNow: what was relayed while there was no bound is not taken for traffic.
func TestABoundOnBandwidthBeginsFromNow(t *testing.T) {
	loop, err := engine.NewLoop(engine.LoopOptions{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	loop.Start()
	defer func() { _ = loop.Stop() }()
	h := &shard{loop: loop}
	onLoop := func(task func()) {
		done := make(chan struct{})
		loop.Post(func() { task(); close(done) })
		<-done
	}
	var b bandwidth
	look := func(relayed uint64, wantOver bool) {
		t.Helper()
		b.look([]*shard{h})
		onLoop(func() { loop.Counters.Relayed[engine.SideClient] += relayed })
		if b.exceeded() != wantOver {
			t.Errorf("exceeded: %v, at %d bytes per second", b.exceeded(), b.rate.Load())
		}
	}
	for range 2 { // the bound comes, goes and comes again
		look(1<<40, false)
		onLoop(h.publishRelayed) // as a reload does
		b.limit.Store(1 << 20)
		look(0, false)
		look(2<<20, false)
		look(0, false) // the loop is asked, and answers behind this look
		look(0, true)
		b.limit.Store(0)
		look(0, false)
	}
}
