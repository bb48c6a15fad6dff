//go:build linux && !race

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culvert/bench/peers"
)

const (
	// mostTunnels are as many as a process with 20,000 descriptors can relay, nearly.
	mostTunnels = 9000
	// manyPatience bounds each wait; it decides nothing but when a failure is told.
	manyPatience = 30 * time.Second
)

// child is a process of the test.
type child struct {
	t       *testing.T
	command *exec.Cmd
	stdout  *bufio.Reader
	said    bytes.Buffer
}

// startChild runs a program until the test is over.
func startChild(t *testing.T, words ...string) *child {
	t.Helper()
	c := &child{t: t, command: exec.Command(words[0], words[1:]...)}
	c.command.Stderr = &c.said
	c.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := c.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.stdout = bufio.NewReader(out)
	if err := c.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	return c
}

// line returns the next line that the process says.
func (c *child) line() string {
	c.t.Helper()
	line, err := c.stdout.ReadString('\n')
	if err != nil {
		c.t.Fatalf("%v\n%s", err, c.said.String())
	}
	return line
}

func (c *child) pid() int { return c.command.Process.Pid }

// kill ends the process at once: the kernel closes all that it had.
func (c *child) kill() {
	_ = c.command.Process.Kill()
	_ = c.command.Wait()
}

// descriptors returns how many the process has open.
func (c *child) descriptors() int {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.pid()))
	if err != nil {
		c.t.Fatalf("%v\n%s", err, c.said.String())
	}
	return len(list)
}

// fetch gets a document by a connection of its own; nil: nobody answers yet.
func fetch(t *testing.T, url string) []byte {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: manyPatience}
	answer, err := client.Get(url)
	if err != nil {
		return nil
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// ofLoop is the label of what each loop counts for itself.
var ofLoop = regexp.MustCompile(`loop="\d+"`)

// metrics reads a proxy's metrics, those with labels by their whole name, and those of all loops as one.
func metrics(t *testing.T, admin string) map[string]float64 {
	t.Helper()
	text := fetch(t, "http://"+admin+"/metrics")
	if text == nil {
		return nil
	}
	values := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if number, err := strconv.ParseFloat(value, 64); err == nil {
			values[ofLoop.ReplaceAllString(name, "")] += number
		}
	}
	return values
}

// until waits for a condition and returns how long that took.
func until(t *testing.T, what string, condition func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !condition() {
		if time.Since(began) > manyPatience {
			t.Fatalf("%s: not within %s", what, manyPatience)
		}
		<-time.After(20 * time.Millisecond)
	}
	return time.Since(began)
}

// freeAddress returns an address of this machine on whose port nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// howMany returns how many tunnels are to be made beside so many others: fewer where a process may not have the
// descriptors.
func howMany(t *testing.T, others int) int {
	t.Helper()
	const spare = 400
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return min(mostTunnels, (int(min(limit.Max, 1<<20))-spare)/2-others)
}

// wantNothingHeld fails if the proxy holds more than it did before.
func wantNothingHeld(t *testing.T, before, after map[string]float64) {
	t.Helper()
	for _, text := range held(before, after) {
		t.Error(text)
	}
}

// held returns what the proxy holds more of than before.
func held(before, after map[string]float64) (texts []string) {
	for _, name := range []string{
		"culvert_buffer_bytes{}", "culvert_relay_pending_bytes{}", "culvert_lingering_closes_active{}", "culvert_exchanges_active{}",
		"culvert_timers{}", "culvert_client_connections_active", "culvert_relays_shed_total{}",
	} {
		if value, known := after[name]; !known || value > before[name] {
			texts = append(texts, fmt.Sprintf("%s is %v, known %v; it was %v", name, value, known, before[name]))
		}
	}
	return texts
}

// TestThousandsOfTunnelsOfOneProcessLeaveNothingBehind: client, proxy and backend are processes of their own. All tunnels
// are opened, used, held, and end together, by the death of the client.
func TestThousandsOfTunnelsOfOneProcessLeaveNothingBehind(t *testing.T) {
	manyTunnels := howMany(t, 0)
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", bin+"/", "culvert/cmd/culvert", "culvert/cmd/culvert-bench").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	bench := filepath.Join(bin, "culvert-bench")
	backend := startChild(t, bench, "backend", "--listen", "127.0.0.1:0")
	words := strings.Fields(backend.line())
	listen, admin := freeAddress(t), freeAddress(t)
	proxy := startChild(t, filepath.Join(bin, "culvert"), "run", "--listen", listen, "--backend", words[len(words)-1],
		"--admin", admin, "--loops", "1", "--access-log", "off", "--log-level", "warn")
	until(t, "the proxy", func() bool { return metrics(t, admin) != nil })
	before := metrics(t, admin)
	proxyDescriptors, backendDescriptors := proxy.descriptors(), backend.descriptors()

	began := time.Now()
	client := startChild(t, bench, "idle", "--target", listen, "--tunnels", strconv.Itoa(manyTunnels), "--touch", "16KiB", "--hold", "1h")
	until(t, "all tunnels to be open", func() bool {
		return metrics(t, admin)["culvert_tunnels_active{}"] == float64(manyTunnels)
	})
	opened := time.Since(began)
	used := until(t, "a message on each and its echo", func() bool {
		return metrics(t, admin)[`culvert_tunnel_messages_total{from="backend",}`] == float64(manyTunnels)
	})
	if held := proxy.descriptors(); held < 2*manyTunnels {
		t.Errorf("the proxy has %d descriptors for %d tunnels", held, manyTunnels)
	}
	memory, err := peers.ProportionalSetSize(proxy.pid())
	if err != nil {
		t.Error(err)
	}
	began = time.Now()
	client.kill()
	until(t, "the end of all tunnels", func() bool { return metrics(t, admin)["culvert_tunnels_active{}"] == 0 })
	ended := time.Since(began)

	until(t, "all descriptors to be closed", func() bool {
		return proxy.descriptors() <= proxyDescriptors && backend.descriptors() <= backendDescriptors
	})
	until(t, "as many goroutines as before", func() bool { return metrics(t, admin)["go_goroutines"] <= before["go_goroutines"] })
	after := metrics(t, admin)
	wantNothingHeld(t, before, after)
	slow := func(bound string) float64 {
		return after["culvert_loop_turn_seconds_count{}"] - after[`culvert_loop_turn_seconds_bucket{,le="`+bound+`"}`]
	}
	if turns := after["culvert_loop_turn_seconds_count{}"]; turns == 0 || slow("1") > 0 {
		t.Errorf("%v of %v turns took longer than 1 s", slow("1"), turns)
	}
	t.Logf("figure: %d tunnels of one process: opened in %.1f s, one echo of 16 KiB each %.1f s later, ended together in %.2f s",
		manyTunnels, opened.Seconds(), used.Seconds(), ended.Seconds())
	t.Logf("figure: the proxy had %.1f MB meanwhile; of %.0f turns %.0f took over 10 ms, %.0f over 100 ms, none over 1 s",
		float64(memory)/1e6, after["culvert_loop_turn_seconds_count{}"], slow("0.01"), slow("0.1"))
}
