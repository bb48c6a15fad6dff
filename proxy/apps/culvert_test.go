package apps

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"culvert/proxy/proxytest"
)

// patience bounds every wait. It decides nothing but when a failure is told.
const patience = 60 * time.Second

// culvert is the program, running before some backends.
type culvert struct {
	t       *testing.T
	command *exec.Cmd
	address string // of its plain listener
	secure  string // of its HTTPS listener, if it has one
	admin   string

	mu     sync.Mutex
	logged []logLine // the access log so far
}

// logLine is one line of a log.
type logLine map[string]any

// lookAtSources has the go command know what the program is made of: it keeps the result of a test until the test itself
// or a file that it has looked at changes, and does not see that one is built and run.
var lookAtSources = sync.OnceValue(func() error {
	for _, folder := range []string{"cmd", "engine", "proxy", "tls"} {
		err := filepath.WalkDir(filepath.Join("..", "..", folder), func(string, fs.DirEntry, error) error { return nil })
		if err != nil {
			return err
		}
	}
	return nil
})

// startCulvert runs the program until the test is over, before backends given by host and port, or with what a
// configuration file among the settings says. It has to end well.
func startCulvert(t *testing.T, backends []string, settings ...string) *culvert {
	t.Helper()
	if err := lookAtSources(); err != nil {
		t.Fatal(err)
	}
	arguments := []string{
		"--admin", "127.0.0.1:0", "--log-format", "json", "--shutdown-delay", "0", "--shutdown-grace", "0",
	}
	if !slices.Contains(settings, "--loops") {
		settings = append(settings, "--loops", "2")
	}
	if !slices.Contains(settings, "--config") {
		settings = append(settings, "--listen", "127.0.0.1:0")
	}
	for _, backend := range backends {
		arguments = append(arguments, "--backend", backend)
	}
	c := &culvert{t: t, command: exec.Command(program, append(arguments, settings...)...)}
	// Under the race detector a process sleeps for a second before it ends, unless it is told not to.
	c.command.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	out, err := c.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := c.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.command.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	ready, errorLog := make(chan logLine, 1), new(strings.Builder)
	reading.Go(func() { c.collect(out) })
	reading.Go(func() { readErrorLog(said, errorLog, ready) })
	t.Cleanup(func() { c.stop(&reading, errorLog) })
	line, ok := <-ready
	if !ok {
		t.Fatal("the program never said that it is ready")
	}
	listeners, _ := line["listeners"].([]any)
	c.address, c.secure, c.admin = fmt.Sprint(listeners[0]), fmt.Sprint(listeners[len(listeners)-1]), fmt.Sprint(line["admin"])
	return c
}

// readErrorLog reads the log on standard error to its end, and passes on the line that says that the program is ready.
func readErrorLog(said io.Reader, all *strings.Builder, ready chan<- logLine) {
	defer close(ready)
	for lines := bufio.NewScanner(said); lines.Scan(); {
		fmt.Fprintln(all, lines.Text())
		line := logLine{}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line["message"] == "ready" {
			ready <- line
		}
	}
}

// collect reads the access log to its end.
func (c *culvert) collect(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := logLine{}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			line["unreadable"] = lines.Text()
		}
		c.mu.Lock()
		c.logged = append(c.logged, line)
		c.mu.Unlock()
	}
}

// stop ends the program as a supervisor does.
func (c *culvert) stop(reading *sync.WaitGroup, errorLog *strings.Builder) {
	kill := time.AfterFunc(patience, func() { _ = c.command.Process.Kill() })
	defer kill.Stop()
	_ = c.command.Process.Signal(syscall.SIGTERM)
	reading.Wait()
	if err := c.command.Wait(); err != nil {
		c.t.Errorf("the proxy ended badly: %v", err)
	}
	if c.t.Failed() {
		c.t.Logf("the proxy wrote:\n%s", errorLog)
	}
}

func (c *culvert) url(path string) string { return "http://" + c.address + path }

// lines waits until the access log has n lines of which ask is true, and returns them.
func (c *culvert) lines(n int, ask func(logLine) bool) (found []logLine) {
	c.t.Helper()
	proxytest.Eventually(c.t, "the access log has its lines", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		found = found[:0]
		for _, line := range c.logged {
			if ask(line) {
				found = append(found, line)
			}
		}
		return len(found) >= n
	})
	return found
}

// metric returns the sum of a metric over all its labels that hold every one of the given texts.
func (c *culvert) metric(name string, labels ...string) (total float64) {
	c.t.Helper()
	request, err := http.NewRequest(http.MethodGet, "http://"+c.admin+"/metrics", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		sample, value, _ := strings.Cut(lines.Text(), " ")
		rest, ok := strings.CutPrefix(sample, name)
		if !ok || rest != "" && rest[0] != '{' || !containsAll(rest, labels) {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			c.t.Fatalf("%s: %v", lines.Text(), err)
		}
		total += number
	}
	return total
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

// wantMetric waits for a metric to have a value.
func (c *culvert) wantMetric(want float64, name string, labels ...string) {
	c.t.Helper()
	proxytest.Eventually(c.t, fmt.Sprintf("%s %v becomes %v", name, labels, want), func() bool { return c.metric(name, labels...) == want })
}

// proportionalSet returns the process's share of memory, PSS, in bytes; 0 when it cannot be told.
func (c *culvert) proportionalSet() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", c.command.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kilobytes int64
		if _, err := fmt.Sscanf(line, "Pss: %d kB", &kilobytes); err == nil {
			return kilobytes << 10
		}
	}
	return 0
}
