package peers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// startPatience bounds how long a child may take until it can be used.
	startPatience = 20 * time.Second
	// endPatience is how long a child may take to end before it is killed.
	endPatience = 3 * time.Second
	// pollInterval is the time between two looks at a child that is starting.
	pollInterval = 5 * time.Millisecond
	// messageLimit bounds, in bytes, what is kept of a child's error messages.
	messageLimit = 8 << 10
)

// spawner is a thread of its own that starts all children. The kernel sends a child its parent-death signal when the
// thread that started it ends, and any other thread of the runtime may end at any time.
type spawner struct {
	work chan func()
	done chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{work: make(chan func()), done: make(chan struct{})}
	// goroutine: spawner, ends when it is closed; its thread ends with it
	go func() {
		defer close(s.done)
		runtime.LockOSThread()
		for do := range s.work {
			do()
		}
	}()
	return s
}

// do runs something on the spawner's thread and waits for it.
func (s *spawner) do(what func()) {
	finished := make(chan struct{})
	s.work <- func() { defer close(finished); what() }
	<-finished
}

func (s *spawner) close() {
	close(s.work)
	<-s.done
}

// A process is a child in a process group of its own. It ends with this process, however that ends.
type process struct {
	name    string
	command *exec.Cmd
	stdin   io.WriteCloser
	stdout  io.Reader // only if its output was asked for
	output  opening
	exited  chan struct{}
	err     error // how it ended, valid once exited is closed
}

// start runs a command on the given CPUs; none: on all. With `piped` its standard output can be read.
func (s *spawner) start(name string, words []string, cpus []int, piped bool) (*process, error) {
	p := &process{name: name, command: exec.Command(words[0], words[1:]...), exited: make(chan struct{})}
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	p.command.Stderr = &p.output
	p.command.WaitDelay = endPatience
	var err error
	if p.stdin, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	if piped {
		if p.stdout, err = p.command.StdoutPipe(); err != nil {
			return nil, err
		}
	} else {
		p.command.Stdout = &p.output
	}
	s.do(func() {
		if len(cpus) > 0 {
			var before, during unix.CPUSet
			for _, cpu := range cpus {
				during.Set(cpu)
			}
			if err = unix.SchedGetaffinity(0, &before); err != nil {
				return
			}
			if err = unix.SchedSetaffinity(0, &during); err != nil {
				return
			}
			defer func() { _ = unix.SchedSetaffinity(0, &before) }()
		}
		err = p.command.Start()
	})
	if err != nil {
		return nil, fmt.Errorf("%s cannot be started: %w", name, err)
	}
	// goroutine: waiter of a child, ends when the child does
	go func() {
		p.err = p.command.Wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) pid() int { return p.command.Process.Pid }

// await asks again and again until the child is ready or has ended.
func (p *process) await(ctx context.Context, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for !ready() {
		select {
		case <-ticker.C:
		case <-p.exited:
			return fmt.Errorf("%s ended before it was ready (%v): %s", p.name, p.err, p.output.String())
		case <-ctx.Done():
			return fmt.Errorf("%s was not ready: %w %s", p.name, ctx.Err(), p.output.String())
		}
	}
	return nil
}

// running reports an error if the child has ended.
func (p *process) running() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s has ended (%v): %s", p.name, p.err, p.output.String())
	default:
		return nil
	}
}

// stop ends the child and what it has started: it is asked by SIGTERM and, after a while, its group is killed.
func (p *process) stop() {
	_ = p.stdin.Close()
	_ = unix.Kill(p.pid(), unix.SIGTERM)
	timer := time.NewTimer(endPatience)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
	}
	_ = unix.Kill(-p.pid(), unix.SIGKILL) // ESRCH: nothing of the group is left
	<-p.exited
}

// opening keeps the beginning of what a child says, for the error message.
type opening struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (t *opening) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.Write(p[:min(len(p), messageLimit-t.text.Len())])
	return len(p), nil
}

// String returns it in one line.
func (t *opening) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.Fields(t.text.String()), " ")
}
