package proxy_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"culvert/engine"
	"culvert/proxy"

	"github.com/rs/zerolog"
)

// The volume tests measure a proxy in a process of its own: a copy of this test binary that runs nothing else, so that
// its memory, its goroutines and its system calls are the proxy's alone.

// childVariable holds the settings of such a process, in JSON.
const childVariable = "CULVERT_PROXY_TEST_CHILD"

// volumePatience bounds every wait of these tests. It decides nothing but when a failure is told.
const volumePatience = 30 * time.Second

// heldMax is the most that one direction of a tunnel may hold: one read, what was on hold before it, and what waits to
// be inserted.
const heldMax = engine.DefaultReadBuffer + engine.HoldMax + engine.InsertMax*engine.HoldMax

// childSettings are what a proxy process is started with.
type childSettings struct {
	Backends []netip.AddrPort
	Loops    int
	Timeouts proxy.Timeouts
	// KeepAliveRequests is how many requests one client connection may carry. 0: the default.
	KeepAliveRequests int
	// TLS makes the listener an HTTPS one.
	TLS *proxy.ListenerTLS
	// BackendTLS has the backends spoken to by HTTPS.
	BackendTLS *proxy.BackendTLS
	// AccessLog has the access log written to the parent; without it the lines are made and thrown away.
	AccessLog bool
}

func init() {
	// Before TestMain, which belongs to all tests of the package: this process is no test.
	text, child := os.LookupEnv(childVariable)
	if !child {
		return
	}
	if err := runChild(text); err != nil {
		fmt.Fprintln(os.Stderr, "proxy process:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runChild is the proxy process: it says where it listens, and ends when its standard input does.
func runChild(text string) error {
	var settings childSettings
	if err := json.Unmarshal([]byte(text), &settings); err != nil {
		return err
	}
	runtime.GOMAXPROCS(settings.Loops + 1) // loops and workers: the one more is for scrapes and the collector
	var backends []proxy.BackendConfig
	for i, address := range settings.Backends {
		backends = append(backends, settings.childBackend("b"+strconv.Itoa(i), address))
	}
	config := proxy.Config{
		Loops: settings.Loops, Policy: proxy.Policy{Timeouts: settings.Timeouts, KeepAliveRequests: settings.KeepAliveRequests},
	}
	config.Listeners, config.Groups = proxy.OneGroup([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, backends)
	config.Listeners[0].TLS = settings.TLS
	logs := proxy.Logs{Error: zerolog.New(os.Stderr), Access: io.Discard}
	if settings.AccessLog {
		logs.Access = os.Stdout
	}
	server, err := proxy.New(config, logs)
	if err != nil {
		return err
	}
	admin, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(admin, server.Admin()) }()
	if err := server.Start(); err != nil {
		return err
	}
	fmt.Printf("%s %s\n", server.Addresses()[0], admin.Addr())
	answerQuestions()
	return server.Close()
}

// answerQuestions answers each line of standard input by the number of objects ever allocated: a scrape tells it too,
// but allocates thousands itself. It returns at the end of the input.
func answerQuestions() {
	var statistics runtime.MemStats
	for questions := bufio.NewScanner(os.Stdin); questions.Scan(); {
		runtime.ReadMemStats(&statistics)
		fmt.Printf("{\"question\":%q,\"mallocs\":%d}\n", questions.Text(), statistics.Mallocs)
	}
}

// proxyProcess is a proxy in a process of its own, as its parent sees it.
type proxyProcess struct {
	t              testing.TB
	command        *exec.Cmd
	stdin          io.WriteCloser
	questions      int
	address, admin netip.AddrPort
	client         *http.Client

	mu     sync.Mutex
	logged []logLine
	more   chan struct{} // takes one value whenever a line came
	done   chan error    // the process's end
}

// logLine is one line of the access log.
type logLine map[string]any

// startProxy runs a proxy process until the test is over, and fails the test if it does not end well. wrap, if there
// is one, is a command that runs the process.
func startProxy(t testing.TB, settings childSettings, wrap ...string) *proxyProcess {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if settings.Timeouts == (proxy.Timeouts{}) {
		settings.Timeouts = proxy.DefaultTimeouts()
	}
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	words := append(wrap, self)
	p := &proxyProcess{
		t: t, command: exec.Command(words[0], words[1:]...), more: make(chan struct{}, 1), done: make(chan error, 1),
		client: &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: volumePatience},
	}
	// Under the race detector a process sleeps for a second before it ends, unless it is told not to.
	p.command.Env = append(os.Environ(), childVariable+"="+string(text), "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	p.command.Stderr = os.Stderr
	out, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.stdin, err = p.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	words = strings.Fields(first)
	if err != nil || len(words) != 2 {
		_ = p.command.Process.Kill()
		t.Fatalf("the proxy process said %q: %v", first, err)
	}
	p.address, p.admin = netip.MustParseAddrPort(words[0]), netip.MustParseAddrPort(words[1])
	go p.collect(lines)
	t.Cleanup(p.stop)
	return p
}

// collect reads the access log until the process ends.
func (p *proxyProcess) collect(lines *bufio.Reader) {
	for {
		text, err := lines.ReadString('\n')
		if err != nil {
			p.done <- p.command.Wait()
			return
		}
		line := logLine{}
		if json.Unmarshal([]byte(text), &line) != nil {
			line["unreadable"] = text
		}
		p.mu.Lock()
		p.logged = append(p.logged, line)
		p.mu.Unlock()
		select {
		case p.more <- struct{}{}:
		default:
		}
	}
}

// stop ends the process. It may be called again.
func (p *proxyProcess) stop() {
	if p.stdin == nil {
		return
	}
	p.client.CloseIdleConnections()
	_ = p.stdin.Close()
	p.stdin = nil
	kill := time.AfterFunc(volumePatience, func() { _ = p.command.Process.Kill() })
	defer kill.Stop()
	if err := <-p.done; err != nil {
		p.t.Errorf("the proxy process ended badly: %v", err)
	}
}

// waitLine waits for a line of the access log of which ask is true, and returns the first.
func (p *proxyProcess) waitLine(what string, ask func(logLine) bool) logLine {
	p.t.Helper()
	deadline := time.After(volumePatience)
	for seen := 0; ; {
		p.mu.Lock()
		lines := p.logged[seen:]
		seen = len(p.logged)
		p.mu.Unlock()
		for _, line := range lines {
			if ask(line) {
				return line
			}
		}
		select {
		case <-p.more:
		case <-deadline:
			p.t.Fatalf("the access log never showed %s; it has %v", what, p.logged)
		}
	}
}

// mallocs returns how many objects the process has allocated so far.
func (p *proxyProcess) mallocs() float64 {
	p.t.Helper()
	p.questions++
	question := strconv.Itoa(p.questions)
	if _, err := io.WriteString(p.stdin, question+"\n"); err != nil {
		p.t.Fatal(err)
	}
	line := p.waitLine("the answer to a question", func(line logLine) bool { return line["question"] == question })
	count, _ := line["mallocs"].(float64)
	return count
}

// samples are the values of one scrape: name with labels, as Prometheus spells them, to value.
type samples map[string]float64

// scrape reads the process's metrics.
func (p *proxyProcess) scrape() samples {
	p.t.Helper()
	answer, err := p.client.Get("http://" + p.admin.String() + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	list := samples{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if value, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
			list[line[:at]] = value
		}
	}
	return list
}

// sum adds up the values of a metric over all its labels that hold every one of the given texts.
func (s samples) sum(name string, labels ...string) (total float64) {
	for _, value := range s.values(name, labels) {
		total += value
	}
	return total
}

// most returns the largest value of a metric over all its labels, as of a peak of each loop.
func (s samples) most(name string) float64 { return slices.Max(append(s.values(name, nil), 0)) }

func (s samples) values(name string, labels []string) (list []float64) {
	for sample, value := range s {
		rest, ok := strings.CutPrefix(sample, name)
		if !ok || rest != "" && rest[0] != '{' {
			continue
		}
		if !slices.ContainsFunc(labels, func(label string) bool { return !strings.Contains(rest, label) }) {
			list = append(list, value)
		}
	}
	return list
}

// until scrapes until a condition holds, and returns that scrape.
func (p *proxyProcess) until(what string, condition func(samples) bool) samples {
	p.t.Helper()
	deadline := time.After(volumePatience)
	for {
		now := p.scrape()
		if condition(now) {
			return now
		}
		select {
		case <-time.After(5 * time.Millisecond): // a scrape costs the proxy a millisecond: leave it some room
		case <-deadline:
			p.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// proportionalSet returns the process's share of memory, PSS, in bytes; anonymous is the part that no file backs.
func (p *proxyProcess) proportionalSet() (all, anonymous int64) {
	p.t.Helper()
	return proportionalSetOf(p.t, p.command.Process.Pid)
}

func proportionalSetOf(t testing.TB, pid int) (all, anonymous int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kilobytes int64
		if _, err := fmt.Sscanf(line, "Pss: %d kB", &kilobytes); err == nil {
			all = kilobytes << 10
		}
		if _, err := fmt.Sscanf(line, "Pss_Anon: %d kB", &kilobytes); err == nil {
			anonymous = kilobytes << 10
		}
	}
	return all, anonymous
}

// socketStatistics returns the kernel's count of TCP sockets and their memory, in its own words.
func socketStatistics(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "TCP:") {
			return strings.TrimSpace(line) + " (mem in pages)"
		}
	}
	return "no TCP line"
}
