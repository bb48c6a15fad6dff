package proxy_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"culvert/proxy/proxytest"
)

const (
	// smallPush and largePush are the payloads of the messages that a producer pushes: the first are copied, those of
	// the second moved through a pipe, which holds up to pipeMax bytes in the kernel.
	smallPush = 16 << 10
	largePush = 1 << 20
	pipeMax   = 512 << 10
	// turnsAtRest is the most turns that a loop may do while nothing can move, scrapes included. One that spins does
	// some hundred thousand.
	turnsAtRest = 100
	// resetNoticed is the most time that may pass from a producer's reset to the log line of its tunnel's end.
	resetNoticed = time.Second
)

// pressure is one tunnel through a proxy process of its own, with the means to stop and to push at both ends.
type pressure struct {
	t     *proxytest.T
	proxy *proxyProcess
	ends  [2]net.Conn // the client's, and the backend's
}

// pushed is how much a producer tries to push, in bytes.
func (x *pressure) pushed() int {
	if x.t.Way() != (proxytest.Way{}) {
		return securedPushed
	}
	return pushedBytes
}

func newPressure(t *proxytest.T) *pressure {
	t.Helper()
	listener, settings := listenOver(t.T, t.Way(), childSettings{Loops: 1, AccessLog: true})
	defer func() { _ = listener.Close() }()
	x := &pressure{t: t}
	x.proxy = startProxy(t, settings)
	var err error
	accepted := make(chan error, 1)
	go func() {
		var err error
		x.ends[1], _, err = acceptTunnel(listener)
		accepted <- err
	}()
	if x.ends[0], err = dialTunnel(t.Way(), x.proxy.address, "/pressure"); err != nil {
		t.Fatal(err)
	}
	if err := <-accepted; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.close)
	return x
}

func (x *pressure) close() {
	for _, end := range x.ends {
		_ = end.Close()
	}
}

// producer pushes messages into one end of a tunnel.
type producer struct {
	accepted atomic.Int64 // bytes that the kernel took
	done     chan error
	sent     digest // valid when done
}

// push begins to push messages of size bytes of payload, total bytes in all, and then half-closes.
func (x *pressure) push(from, size, total int) *producer {
	p := &producer{done: make(chan error, 1)}
	w := &frameWriter{
		connection: x.ends[from], masked: from == 0, rng: rand.New(rand.NewPCG(1, uint64(from))),
		progress: func(n int) { p.accepted.Add(int64(n)) },
	}
	go func() {
		var err error
		for left := total; left > 0 && err == nil; left -= size {
			err = w.message(size)
		}
		if err == nil {
			err = errors.Join(w.flush(), halfClose(w.connection))
		}
		p.sent = w.sent
		p.done <- err
	}()
	return p
}

// standstill waits until none of the producers gets rid of a byte any more, and returns what the proxy says then.
func (x *pressure) standstill(producers ...*producer) samples {
	x.t.Helper()
	const (
		quiet    = 5       // looks in a row
		hopeless = 4 << 20 // bytes, beyond which there will be no standstill
	)
	last, looks := int64(-1), 0
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	return x.proxy.until("a standstill", func(s samples) bool {
		<-ticker.C
		now := int64(0)
		for _, p := range producers {
			now += p.accepted.Load()
		}
		held := s.sum("culvert_relay_pending_bytes")
		if held > hopeless {
			x.t.Fatalf("%.0f bytes are held already: the source is not paused", held)
		}
		looks++
		if now != last || held == 0 {
			last, looks = now, 0
		}
		return looks >= quiet
	})
}

// drain reads an end until its half-close.
func (x *pressure) drain(at int) (received digest, err error) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := x.ends[at].Read(buffer)
		received.add(buffer[:n])
		if err == io.EOF {
			return received, nil
		}
		if err != nil {
			return received, err
		}
	}
}

// bounded checks what the proxy holds while directions of its tunnel cannot move, and that it does not spin meanwhile.
func (x *pressure) bounded(now samples, size, directions int) {
	x.t.Helper()
	most := float64(heldMax)
	if size >= largePush {
		most = pipeMax
	}
	held, peak := now.sum("culvert_relay_pending_bytes"), now.most("culvert_relay_pending_peak_bytes")
	if held > most*float64(directions) {
		x.t.Errorf("%.0f bytes are held in %d directions, allowed are %.0f in each", held, directions, most)
	}
	if peak > heldMax {
		x.t.Errorf("%.0f bytes of memory were held in one direction, allowed are %d", peak, heldMax)
	}
	later := x.proxy.scrape()
	if turns := later.sum("culvert_loop_turns_total") - now.sum("culvert_loop_turns_total"); turns > turnsAtRest {
		x.t.Errorf("the loop turned %.0f times while nothing could move", turns)
	}
	all, anonymous := x.proxy.proportionalSet()
	x.t.Logf("figure: at a standstill %.0f bytes are held (%.0f at most per direction in memory); PSS %d KiB, %d of them anonymous; %s",
		held, peak, all>>10, anonymous>>10, socketStatistics(x.t))
}

func TestAConsumerThatStandsStillStopsItsProducer(t *testing.T) { overWays(t, consumerThatStandsStill) }

func consumerThatStandsStill(t *proxytest.T) {
	for from, name := range sideNames {
		for _, size := range []int{smallPush, largePush} {
			t.Run(fmt.Sprintf("from the %s in messages of %d KiB", name, size>>10), func(t *proxytest.T) {
				x := newPressure(t)
				before, _ := x.proxy.proportionalSet()
				p := x.push(from, size, x.pushed())
				x.bounded(x.standstill(p), size, 1)
				if n := p.accepted.Load(); n >= int64(x.pushed()/2) {
					t.Errorf("%d bytes went somewhere while the consumer stood still", n)
				}
				x.finish(p, from, size)
				after, _ := x.proxy.proportionalSet()
				growth := int64(residentGrowth)
				if t.Way() != (proxytest.Way{}) {
					growth = securedGrowth
				}
				if after > before+growth {
					t.Errorf("the proxy's memory grew from %d to %d bytes", before, after)
				}
			})
		}
	}
}

// finish has the consumer of what comes from one side resume, and compares.
func (x *pressure) finish(p *producer, from, size int) {
	x.t.Helper()
	begin := time.Now()
	received, err := x.drain(1 - from)
	if err := errors.Join(err, <-p.done); err != nil {
		x.t.Fatalf("what comes from the %s did not arrive: %v", sideNames[from], err)
	}
	if received != p.sent || received.bytes < int64(x.pushed()/2) {
		x.t.Errorf("the %s sent %+v, what arrived is %+v", sideNames[from], p.sent, received)
	}
	x.t.Logf("%d MiB from the %s arrived, %v after the consumer went on", received.bytes>>20, sideNames[from], since(begin))
	if peak := x.proxy.scrape().most("culvert_relay_pending_peak_bytes"); peak > heldMax {
		x.t.Errorf("%.0f bytes of memory were held in one direction, allowed are %d", peak, heldMax)
	}
}

func TestBothConsumersMayStandStillAtOnce(t *testing.T) { overWays(t, bothConsumersStandStill) }

func bothConsumersStandStill(t *proxytest.T) {
	for _, size := range []int{smallPush, largePush} {
		t.Run(fmt.Sprintf("messages of %d KiB", size>>10), func(t *proxytest.T) {
			x := newPressure(t)
			producers := []*producer{x.push(0, size, x.pushed()/2), x.push(1, size, x.pushed()/2)}
			x.bounded(x.standstill(producers...), size, 2)
			// One goes on, and later the other: neither needs the other for it.
			x.finish(producers[0], 0, size)
			x.finish(producers[1], 1, size)
			x.proxy.waitLine("a tunnel that ended well", func(l logLine) bool { return l["reason"] == "closed" })
		})
	}
}

// A producer whose source is paused is not read any more, so that nothing but its reset can tell that it is gone.
func TestAResetEndsATunnelWhoseSourceIsPaused(t *testing.T) { overWays(t, resetOfAPausedSource) }

func resetOfAPausedSource(t *proxytest.T) {
	for from, name := range sideNames {
		for _, size := range []int{smallPush, largePush} {
			t.Run(fmt.Sprintf("of the %s in messages of %d KiB", name, size>>10), func(t *proxytest.T) {
				x := newPressure(t)
				x.standstill(x.push(from, size, x.pushed()))
				begin := time.Now()
				_ = socketOf(x.ends[from]).SetLinger(0)
				_ = socketOf(x.ends[from]).Close()
				line := x.proxy.waitLine("the end of the tunnel", func(l logLine) bool { return l["event"] == "tunnel-end" })
				if took := since(begin); took > resetNoticed {
					t.Errorf("the end was logged %v after the reset, allowed are %v", took, resetNoticed)
				}
				if line["reason"] != name+"-reset" || line["by"] != name {
					t.Errorf("the tunnel ended for %v by %v", line["reason"], line["by"])
				}
				// What was delivered before may be read; then it is a reset, and never a clean end.
				if _, err := x.drain(1 - from); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the other side saw %v", err)
				}
				x.proxy.until("nothing held", func(s samples) bool {
					return s.sum("culvert_relay_pending_bytes") == 0 && s.sum("culvert_client_connections_active") == 0
				})
			})
		}
	}
}
