package proxy

import "testing"

// TestWhoMayNotWaitHoldsNobodyUp: where nobody may wait, nobody is counted as waiting, or a request that has a place would
// be turned away for the sake of one that is being refused.
func TestWhoMayNotWaitHoldsNobodyUp(t *testing.T) {
	q, done := new(waitQueue), make(chan struct{})
	go func() {
		defer close(done)
		for range 200_000 {
			q.join(nil, 0)
		}
	}()
	for {
		select {
		case <-done:
			return
		default:
		}
		if n := q.waiting.Load(); n != 0 {
			<-done
			t.Fatalf("%d wait", n)
		}
	}
}
