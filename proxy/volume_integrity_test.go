package proxy_test

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

const (
	integrityTunnels  = 1000
	integrityMessages = 20      // each way over each tunnel
	integrityLargest  = 8 << 20 // payload of a message, in bytes
	integrityShort    = 8 << 10 // the same of a tunnel that is not one of wideEvery
	// narrowEvery is how often a tunnel's far ends have receive buffers of narrowBuffer bytes, which the kernel does not
	// widen: the proxy has to wait for them. Below two segments of the loopback device TCP would crawl.
	narrowEvery  = 4
	narrowBuffer = 192 << 10
	// integrityBusy is how many tunnels carry messages at the same time. All at once would fill the kernel's memory for
	// TCP, and what is measured then is how it throws segments away.
	integrityBusy = 64
	// integrityBound ends a run that hangs. A good one takes a fraction of it.
	integrityBound = 4 * time.Minute
)

// seedVariable replays the plan of a run: its number stands in the log.
const seedVariable = "CULVERT_VOLUME_SEED"

// integrity is one run: who sends what, and what arrived.
type integrity struct {
	t       *proxytest.T
	seed    uint64
	proxy   *proxyProcess
	tunnels []*integrityTunnel
	carried atomic.Int64
	failed  atomic.Bool
}

// integrityTunnel is one tunnel with its two senders and receivers.
type integrityTunnel struct {
	index           int
	sizes           [2][]int // of the messages from the client, and from the backend
	client, backend net.Conn
	sent, received  [2]digest // by the side that the bytes come from
}

// Every byte arrives, once, in order, in both directions at once, whatever the sizes, the writes and the pauses.
func TestAThousandTunnelsLoseNothing(t *testing.T) { overWays(t, tunnelsLoseNothing) }

func tunnelsLoseNothing(t *proxytest.T) {
	run := &integrity{t: t, seed: rand.Uint64()}
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if run.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d has the same messages sent again", seedVariable, run.seed)
	messages, bytes := run.plan()
	begin := time.Now()
	run.open()
	t.Logf("%d tunnels are open after %v; to be sent: %d messages, %d MiB", len(run.tunnels), since(begin), messages, bytes>>20)
	stop := run.reportProgress()
	run.carry()
	stop()
	if run.failed.Load() {
		return
	}
	t.Logf("%d MiB were carried in %v", run.carried.Load()>>20, since(begin))
	run.compare(messages)
}

// measure returns how many tunnels there are, how often one carries messages of the full range, and the bytes of all.
func (run *integrity) measure() (tunnels, wide int, bytes int64) {
	if run.t.Way() != (proxytest.Way{}) {
		return securedTunnels, max(securedWide, wideEvery), securedBytes
	}
	return integrityTunnels, wideEvery, integrityBytes
}

// plan draws the sizes of all messages.
func (run *integrity) plan() (messages int, bytes int64) {
	tunnels, wide, _ := run.measure()
	for i := range tunnels {
		tunnel := &integrityTunnel{index: i}
		largest := integrityShort
		if i%wide == 0 {
			largest = integrityLargest
		}
		for side := range tunnel.sizes {
			rng := rand.New(rand.NewPCG(run.seed, uint64(2*i+side)))
			for range integrityMessages {
				size := logUniform(rng, largest)
				tunnel.sizes[side] = append(tunnel.sizes[side], size)
				bytes += int64(size)
			}
			messages += integrityMessages
		}
		run.tunnels = append(run.tunnels, tunnel)
	}
	return messages, bytes
}

// open opens all tunnels: the proxy is between the two connections of each.
func (run *integrity) open() {
	t := run.t
	timeouts := proxy.DefaultTimeouts()
	timeouts.Idle = 2 * integrityBound // most tunnels wait for their turn
	listener, settings := listenOver(t.T, t.Way(), childSettings{Loops: 2, Timeouts: timeouts})
	t.Cleanup(func() { _ = listener.Close() })
	run.proxy = startProxy(t, settings)
	var err error
	accepted := make(chan error, 1)
	go func() { accepted <- run.accept(listener) }()
	for _, tunnel := range run.tunnels {
		if tunnel.client, err = dialTunnel(t.Way(), run.proxy.address, "/"+strconv.Itoa(tunnel.index)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tunnel.client.Close() })
	}
	if err := <-accepted; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, tunnel := range run.tunnels {
			_ = tunnel.backend.Close()
		}
	})
}

// accept is the backend's side of open.
func (run *integrity) accept(listener net.Listener) error {
	for range run.tunnels {
		c, path, err := acceptTunnel(listener)
		if err != nil {
			return err
		}
		i, err := strconv.Atoi(strings.TrimPrefix(path, "/"))
		if err != nil || i >= len(run.tunnels) || run.tunnels[i].backend != nil {
			return fmt.Errorf("the backend was asked for %q", path)
		}
		run.tunnels[i].backend = c
	}
	return nil
}

// dialTunnel opens a WebSocket through the proxy and returns the connection behind the head of the answer.
func dialTunnel(way proxytest.Way, address netip.AddrPort, path string) (net.Conn, error) {
	c, err := dialOver(way, address)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(integrityBound))
	if _, err := io.WriteString(c, strings.Replace(lockstepRequest, "/volume", path, 1)); err != nil {
		return nil, err
	}
	head, err := readHeadOf(c)
	if err != nil || !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		return nil, fmt.Errorf("%s was answered %q: %w", path, head, err)
	}
	return c, nil
}

// acceptTunnel takes a WebSocket from the proxy and returns the connection behind the head of the answer.
func acceptTunnel(listener net.Listener) (net.Conn, string, error) {
	c, err := listener.Accept()
	if err != nil {
		return nil, "", err
	}
	_ = c.SetDeadline(time.Now().Add(integrityBound))
	head, err := readHeadOf(c)
	if err != nil {
		return nil, "", err
	}
	request, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
	if err != nil {
		return nil, "", err
	}
	sum := sha1.Sum([]byte(request.Header.Get("Sec-WebSocket-Key") + acceptGUID))
	_, err = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: "+base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
	return c, request.URL.Path, err
}

// readHeadOf reads a head and nothing behind it.
func readHeadOf(c net.Conn) (string, error) {
	var head []byte
	for one := make([]byte, 1); !strings.HasSuffix(string(head), "\r\n\r\n"); {
		if _, err := io.ReadFull(c, one); err != nil {
			return string(head), err
		}
		head = append(head, one[0])
	}
	return string(head), nil
}

// reportProgress logs now and then how far the run is, until the function returned is called.
func (run *integrity) reportProgress() (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(3 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-end:
				return
			case <-ticker.C:
				run.t.Logf("%d MiB carried so far", run.carried.Load()>>20)
			}
		}
	}()
	return func() { close(end); <-ended }
}

// carry has everything sent and received: all tunnels are open, some of them busy, each in both directions at once.
func (run *integrity) carry() {
	var busy sync.WaitGroup
	next := make(chan *integrityTunnel)
	for range integrityBusy {
		busy.Go(func() {
			for tunnel := range next {
				run.exchange(tunnel)
			}
		})
	}
	for _, tunnel := range run.tunnels {
		next <- tunnel
	}
	close(next)
	busy.Wait()
}

// exchange has both sides of a tunnel send and receive at once.
func (run *integrity) exchange(tunnel *integrityTunnel) {
	var four sync.WaitGroup
	ends := [2]net.Conn{tunnel.client, tunnel.backend}
	for from := range ends {
		if tunnel.index%narrowEvery == 0 {
			_ = socketOf(ends[from]).SetReadBuffer(narrowBuffer)
		}
		four.Go(func() { run.report(tunnel, "sender", from, run.send(tunnel, ends[from], from)) })
		four.Go(func() { run.report(tunnel, "receiver", from, run.receive(tunnel, ends[1-from], from)) })
	}
	four.Wait()
}

// report tells the first failure, and ends everything.
func (run *integrity) report(tunnel *integrityTunnel, who string, from int, err error) {
	if err == nil || !run.failed.CompareAndSwap(false, true) {
		return
	}
	run.t.Errorf("seed %d, tunnel %d, %s of what comes from the %s: %v", run.seed, tunnel.index, who, sideNames[from], err)
	for _, other := range run.tunnels {
		_ = other.client.Close()
		_ = other.backend.Close()
	}
}

var sideNames = [2]string{"client", "backend"}

// send sends the messages of one side and then its half-close.
func (run *integrity) send(tunnel *integrityTunnel, c net.Conn, from int) error {
	w := &frameWriter{
		connection: c, masked: from == 0, progress: func(int) {},
		rng: rand.New(rand.NewPCG(run.seed^0x5eed, uint64(2*tunnel.index+from))),
	}
	for _, size := range tunnel.sizes[from] {
		if err := w.message(size); err != nil {
			return err
		}
	}
	err := w.flush()
	tunnel.sent[from] = w.sent
	return errors.Join(err, halfClose(c))
}

// receive reads what comes from one side until its half-close.
func (run *integrity) receive(tunnel *integrityTunnel, c net.Conn, from int) error {
	rng := rand.New(rand.NewPCG(run.seed^0xfeed, uint64(2*tunnel.index+from)))
	buffer := make([]byte, 64<<10)
	for {
		pause(rng)
		n, err := c.Read(buffer)
		tunnel.received[from].add(buffer[:n])
		run.carried.Add(int64(n))
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// compare checks what arrived, by digests and by the proxy's own account.
func (run *integrity) compare(messages int) {
	t := run.t
	var bytes [2]int64
	for _, tunnel := range run.tunnels {
		for side, name := range sideNames {
			bytes[side] += tunnel.sent[side].bytes
			if sent, received := tunnel.sent[side], tunnel.received[side]; sent != received {
				t.Errorf("seed %d, tunnel %d: the %s sent %+v, what arrived is %+v", run.seed, tunnel.index, name, sent, received)
			}
		}
	}
	tunnels, _, least := run.measure()
	if total := bytes[0] + bytes[1]; total < least {
		t.Errorf("only %d bytes were sent, want %d", total, least)
	}
	account := run.proxy.until("the end of all tunnels", func(s samples) bool { return s.sum("culvert_tunnels_active") == 0 })
	for side, name := range sideNames {
		if n := account.sum("culvert_relayed_bytes_total", `from="`+name+`"`); n != float64(bytes[side]) {
			t.Errorf("the proxy counted %.0f bytes from the %s, sent were %d", n, name, bytes[side])
		}
	}
	if n := account.sum("culvert_tunnel_messages_total"); n != float64(messages) {
		t.Errorf("the proxy counted %.0f messages, sent were %d", n, messages)
	}
	if n := account.sum("culvert_tunnels_ended_total", `reason="closed"`); n != float64(tunnels) {
		t.Errorf("%.0f of %d tunnels ended well", n, tunnels)
	}
	held := account.most("culvert_relay_pending_peak_bytes")
	t.Logf("the most held in one direction: %.0f bytes; sources were paused %.0f times", held, account.sum("culvert_relay_pauses_total"))
	if held > heldMax {
		t.Errorf("%.0f bytes were held in one direction, allowed are %d", held, heldMax)
	}
}
