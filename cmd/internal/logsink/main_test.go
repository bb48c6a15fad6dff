package logsink

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// patience is how long a condition may take on a loaded machine.
const patience = 10 * time.Second

// TestMain fails the run when a goroutine or a descriptor outlives the tests.
func TestMain(m *testing.M) {
	before := descriptors()
	status := m.Run()
	ended := poll(func() bool { return runtime.NumGoroutine() == 1 && descriptors() <= before })
	if !ended && status == 0 {
		stacks := make([]byte, 1<<20)
		fmt.Fprintf(os.Stderr, "%d descriptors, %d before; goroutines:\n%s\n", descriptors(), before, stacks[:runtime.Stack(stacks, true)])
		status = 1
	}
	os.Exit(status)
}

// descriptors counts the open descriptors of this process, without the runtime's poller, which stays once it is needed.
func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	n := 0
	for _, entry := range entries {
		target, err := os.Readlink("/proc/self/fd/" + entry.Name())
		if err == nil && target != "anon_inode:[eventpoll]" && target != "anon_inode:[eventfd]" {
			n++
		}
	}
	return n
}

// poll waits until the condition holds, and reports whether it did in time.
func poll(condition func() bool) bool {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(time.Millisecond)
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
