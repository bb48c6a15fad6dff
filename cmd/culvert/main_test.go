//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	// binary is the program under test, built once.
	binary     string
	buildFlags = []string{"-ldflags", "-X main.version=v0.0.0-test"}
)

const (
	// patience is how long anything may take on a loaded machine.
	patience = 30 * time.Second
	// longDelay and longGrace are so long that what happens within them does not happen because they are over.
	longDelay = "5m"
	longGrace = "10m"
)

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	folder, err := os.MkdirTemp("", "culvert-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	binary = filepath.Join(folder, "culvert")
	build := exec.Command("go", append(append([]string{"build"}, buildFlags...), "-o", binary, ".")...)
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, output)
		return 1
	}
	status := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if !poll(func() bool { return runtime.NumGoroutine() == 1 }) && status == 0 {
		stacks := make([]byte, 1<<20)
		fmt.Fprintf(os.Stderr, "goroutines leaked:\n%s\n", stacks[:runtime.Stack(stacks, true)])
		return 1
	}
	return status
}

// poll waits until the condition holds, and reports whether it did in time.
func poll(condition func() bool) bool {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			return false
		case <-again.C:
		}
	}
	return true
}

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	if !poll(condition) {
		t.Fatalf("waited %s for %s", patience, what)
	}
}

// environment is that of a process under test: nobody's settings but those given.
func environment(variables ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "NO_COLOR=1"}, variables...)
}

// result is what became of a process that ended by itself.
type result struct {
	status         int
	stdout, stderr string
}

// runToEnd runs the binary until it ends.
func runToEnd(t *testing.T, variables []string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, binary, args...)
	command.Env, command.Dir = environment(variables...), t.TempDir()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("run culvert %q: %v\n%s", args, err, stderr.String())
	}
	return result{command.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// process is a running culvert.
type process struct {
	t       *testing.T
	command *exec.Cmd
	stderr  *os.File // the reading end
	stdout  *os.File // the reading end, unless somebody has taken it
	reading sync.WaitGroup
	ended   chan struct{}

	mu    sync.Mutex
	lines []map[string]any // the log on standard error
	plain bytes.Buffer     // what of it is not JSON
	out   bytes.Buffer     // standard output
}

// start starts the binary with a JSON log. It is killed at the end of the test if it still runs.
func start(t *testing.T, variables []string, args ...string) *process {
	t.Helper()
	p := launch(t, variables, args...)
	p.readStdout()
	return p
}

// launch is start without a reader of standard output.
func launch(t *testing.T, variables []string, args ...string) *process {
	t.Helper()
	p := launchUnread(t, variables, args...)
	p.reading.Go(p.readStderr)
	return p
}

// launchUnread is launch without a reader of standard error.
func launchUnread(t *testing.T, variables []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, ended: make(chan struct{})}
	stdout, stdoutWriter := newPipe(t)
	stderr, stderrWriter := newPipe(t)
	p.stdout, p.stderr = stdout, stderr
	p.command = exec.Command(binary, args...)
	p.command.Env = environment(append([]string{"CULVERT_LOG_FORMAT=json"}, variables...)...)
	p.command.Stdout, p.command.Stderr = stdoutWriter, stderrWriter
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = stdoutWriter.Close(), stderrWriter.Close()
	go func() {
		_ = p.command.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		<-p.ended
		_, _ = stdout.Close(), stderr.Close()
		p.reading.Wait()
		if t.Failed() {
			t.Logf("culvert %q wrote:\n%s\n%v", args, p.plain.String(), p.lines)
		}
	})
	return p
}

func newPipe(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return reader, writer
}

func (p *process) readStdout() {
	p.reading.Go(func() {
		chunk := make([]byte, 1<<16)
		for {
			n, err := p.stdout.Read(chunk)
			p.mu.Lock()
			p.out.Write(chunk[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
}

func (p *process) readStderr() {
	data, chunk := []byte(nil), make([]byte, 1<<16)
	for {
		n, err := p.stderr.Read(chunk)
		data = append(data, chunk[:n]...)
		for {
			line, rest, whole := bytes.Cut(data, []byte("\n"))
			if !whole {
				break
			}
			data = rest
			p.addLine(line)
		}
		if err != nil {
			return
		}
	}
}

func (p *process) addLine(line []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var fields map[string]any
	if json.Unmarshal(line, &fields) != nil {
		p.plain.Write(append(line, '\n'))
		return
	}
	p.lines = append(p.lines, fields)
}

// line waits for a line of the log whose message begins so, and returns it.
func (p *process) line(message string) map[string]any {
	p.t.Helper()
	var found map[string]any
	waitFor(p.t, fmt.Sprintf("the line %q", message), func() bool {
		found = p.find(message)
		return found != nil || p.hasEnded()
	})
	if found == nil {
		p.reading.Wait() // its last lines may still be on their way
		found = p.find(message)
	}
	if found == nil {
		p.t.Fatalf("culvert ended without the line %q", message)
	}
	return found
}

func (p *process) find(message string) map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fields := range p.lines {
		if text, _ := fields["message"].(string); strings.HasPrefix(text, message) {
			return fields
		}
	}
	return nil
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// output returns what was written to standard output so far.
func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// listener returns the address of the first listener, once clients are accepted.
func (p *process) listener() string {
	p.t.Helper()
	list, _ := p.line("ready")["listeners"].([]any)
	if len(list) == 0 {
		p.t.Fatal("no listener")
	}
	return fmt.Sprint(list[0])
}

// admin returns the address of the admin port.
func (p *process) admin() string {
	p.t.Helper()
	return fmt.Sprint(p.line("ready")["admin"])
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.command.Process.Signal(s); err != nil {
		p.t.Fatalf("signal %v: %v", s, err)
	}
}

// wantStatus waits for the end and checks the exit status.
func (p *process) wantStatus(want int) {
	p.t.Helper()
	waitFor(p.t, "the process to end", p.hasEnded)
	if got := p.command.ProcessState.ExitCode(); got != want {
		p.t.Errorf("exit status %d (%v), want %d", got, p.command.ProcessState, want)
	}
}

// get asks the admin port, and returns status and body.
func (p *process) get(path string) (int, string) {
	p.t.Helper()
	return get(p.t, "http://"+p.admin()+path)
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}
