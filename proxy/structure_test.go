//go:build !race

package proxy_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// What is promised of the structure, measured on a proxy process from outside. Not with the race detector, whose own
// memory and calls would be measured.

const (
	// idleTunnels is how many tunnels the memory of one is measured with; idleTunnelBytes the most that one may cost.
	idleTunnels     = 4500
	idleTunnelBytes = 1024
	// memoryRuns is how many fresh processes are measured; their median counts. When the collector first runs, and
	// how much of the binary the kernel maps at once, differs from one to the next.
	memoryRuns = 3
)

func TestAnIdleTunnelCostsAtMostAKilobyte(t *testing.T) {
	program := buildProgram(t)
	var fresh, used []int64
	for range memoryRuns {
		a, b := measureIdleTunnels(t, program)
		fresh, used = append(fresh, a), append(used, b)
	}
	slices.Sort(fresh)
	slices.Sort(used)
	t.Logf("figure: an idle tunnel costs %d bytes of PSS when it is fresh, %d after one echo of 16 KiB (medians of %d processes)",
		fresh[memoryRuns/2], used[memoryRuns/2], memoryRuns)
	if n := fresh[memoryRuns/2]; n > idleTunnelBytes {
		t.Errorf("a fresh idle tunnel costs %d bytes, allowed are %d (all runs: %v)", n, idleTunnelBytes, fresh)
	}
	if n := used[memoryRuns/2]; n > idleTunnelBytes {
		t.Errorf("after one 16 KiB echo an idle tunnel costs %d bytes, allowed are %d (all runs: %v)", n, idleTunnelBytes, used)
	}
}

// measureIdleTunnels returns the bytes per idle tunnel of a fresh process, before and after one echo of 16 KiB over
// each. Nothing forces a collection.
func measureIdleTunnels(t *testing.T, program string) (fresh, used int64) {
	t.Helper()
	l := newLockstep(t)
	defer l.close()
	address, pid, stop := startProgram(t, program, "--backend", l.backend.String())
	defer stop()
	question, answer := binaryFrames(16 << 10)
	none, noneAnonymous := proportionalSetOf(t, pid)
	begin := time.Now()
	l.open(address, idleTunnels)
	took := since(begin)
	opened, openedAnonymous := proportionalSetOf(t, pid)
	for _, tunnel := range l.tunnels {
		l.echo(tunnel, question, answer)
	}
	echoed, echoedAnonymous := proportionalSetOf(t, pid)
	fresh, used = (opened-none)/idleTunnels, (echoed-none)/idleTunnels
	t.Logf("%d tunnels opened in %v: %d bytes each (%d without what files back), %d after an echo (%d)", idleTunnels, took,
		fresh, (openedAnonymous-noneAnonymous)/idleTunnels, used, (echoedAnonymous-noneAnonymous)/idleTunnels)
	return fresh, used
}

// buildProgram builds the program that users run: what this test binary has in its memory for other tests would lend
// itself to tunnels.
func buildProgram(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "culvert")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, "culvert/cmd/culvert").CombinedOutput(); err != nil {
		t.Fatalf("the program cannot be built: %v\n%s", err, out)
	}
	return program
}

// startProgram runs the program with one loop and no other settings than these, and returns where it listens.
func startProgram(t *testing.T, program string, settings ...string) (address netip.AddrPort, pid int, stop func()) {
	t.Helper()
	command := exec.Command(program, append([]string{
		"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--loops", "1", "--access-log", os.DevNull, "--log-format", "json",
	}, settings...)...)
	said, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(volumePatience, func() { _ = command.Process.Kill() })
	stop = sync.OnceFunc(func() {
		kill.Stop()
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	t.Cleanup(stop)
	for lines := bufio.NewScanner(said); lines.Scan(); {
		var ready struct{ Listeners []netip.AddrPort }
		if json.Unmarshal(lines.Bytes(), &ready) == nil && len(ready.Listeners) == 1 {
			return ready.Listeners[0], command.Process.Pid, stop
		}
	}
	t.Fatal("the program never said that it is ready")
	return address, 0, stop
}

func TestFourThousandTunnelsStartNoGoroutine(t *testing.T) {
	const tunnels = 4000
	l := newLockstep(t)
	p := startProxy(t, childSettings{Backends: []netip.AddrPort{l.backend}, Loops: 2})
	p.scrape() // the connection that scrapes come over has goroutines of its own, from now on
	none := p.scrape().sum("go_goroutines")
	l.open(p.address, tunnels)
	with := p.until("all tunnels", func(s samples) bool { return s.sum("culvert_tunnels_active") == tunnels })
	if n := with.sum("go_goroutines"); n > none+2 {
		t.Errorf("%v goroutines with %d tunnels, %v with none", n, tunnels, none)
	}
	t.Logf("figure: %v goroutines without tunnels, %v with %d", none, with.sum("go_goroutines"), tunnels)
}

func TestAMillionMessagesAllocateNothing(t *testing.T) {
	const (
		messages = 1_000_000
		tunnels  = 16
		allowed  = 100
	)
	l := newLockstep(t)
	p := startProxy(t, childSettings{Backends: []netip.AddrPort{l.backend}, Loops: 1})
	l.open(p.address, tunnels)
	l.rounds(messages/100, 1)
	relayed := p.scrape().sum("culvert_tunnel_messages_total")
	asking := p.mallocs()
	before := p.mallocs()
	asking = before - asking
	begin := time.Now()
	l.rounds(messages/5, 1) // each message has a turn of its own
	l.rounds(messages*4/5, 50)
	took := since(begin)
	grown := p.mallocs() - before
	relayed = p.scrape().sum("culvert_tunnel_messages_total") - relayed
	t.Logf("figure: %.0f messages in %v: %.0f objects allocated, of which %.0f for the question", relayed, took, grown, asking)
	if relayed != messages {
		t.Errorf("%v messages were relayed, want %d", relayed, messages)
	}
	if grown > allowed {
		t.Errorf("%v objects were allocated over %d messages, allowed are %d", grown, messages, allowed)
	}
}

// rounds relays small messages over all tunnels, half of them each way, in rounds of a batch each way per tunnel.
func (l *lockstep) rounds(messages, batch int) {
	l.t.Helper()
	question, answer := binaryFrames(125)
	question, answer = bytes.Repeat(question, batch), bytes.Repeat(answer, batch)
	for range messages / 2 / batch / len(l.tunnels) {
		for _, tunnel := range l.tunnels {
			l.write(tunnel.client, question)
		}
		for _, tunnel := range l.tunnels {
			l.expect(tunnel.backend, question)
			l.write(tunnel.backend, answer)
		}
		for _, tunnel := range l.tunnels {
			l.expect(tunnel.client, answer)
		}
	}
}

// requireStrace is set where a missing strace is a failure.
const requireStrace = "CULVERT_REQUIRE_STRACE"

func TestASmallMessageIsOneReceiveAndOneSend(t *testing.T) {
	const messages = 5000
	strace, err := exec.LookPath("strace")
	if err == nil {
		err = exec.Command(strace, "-f", "-o", os.DevNull, "true").Run()
	}
	if err != nil {
		if os.Getenv(requireStrace) != "" {
			t.Fatalf("strace cannot be used, and %s is set: %v", requireStrace, err)
		}
		t.Skipf("skipped: strace cannot be used here: %v", err)
	}
	report := filepath.Join(t.TempDir(), "calls")
	l := newLockstep(t)
	p := startProxy(t, childSettings{Backends: []netip.AddrPort{l.backend}, Loops: 1}, strace, "-f", "-c", "-o", report)
	l.open(p.address, 1)
	question, answer := binaryFrames(125)
	for range messages / 2 {
		l.echo(l.tunnels[0], question, answer)
	}
	l.closeTunnels()
	p.stop()
	calls := readCalls(t, report)
	t.Logf("figure: system calls for %d messages: %v", messages, calls)
	// The handshake's heads, the first look at each side and its end are a few calls more, once for all.
	const once = 20
	for _, name := range []string{"recvfrom", "sendto"} {
		if n := calls[name]; n < messages || n > messages+once {
			t.Errorf("%d calls of %s for %d messages", n, name, messages)
		}
	}
	for _, name := range []string{"epoll_ctl", "timerfd_settime"} {
		if n := calls[name]; n > messages/50 {
			t.Errorf("%d calls of %s for %d messages: it is on the happy path", n, name, messages)
		}
	}
}

// readCalls reads the table that strace -c writes: system call to number of calls.
func readCalls(t *testing.T, name string) map[string]int {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	calls := map[string]int{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		// % time, seconds, usecs/call, calls, errors (if any), name
		words := strings.Fields(lines.Text())
		if len(words) < 5 {
			continue
		}
		if n, err := strconv.Atoi(words[3]); err == nil {
			calls[words[len(words)-1]] = n
		}
	}
	if len(calls) == 0 {
		t.Fatal("strace wrote no table")
	}
	return calls
}
