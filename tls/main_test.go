package tls

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience is how long what must happen may take on a busy machine.
const patience = 20 * time.Second

// TestMain fails the package if a goroutine or a descriptor outlives the tests.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(max(4, runtime.GOMAXPROCS(0)))
	// The runtime's poller is opened when it is first needed, and stays.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	_ = listener.Close()
	before := descriptors()
	code := m.Run()
	if code == 0 {
		code = leaks(before)
	}
	os.Exit(code)
}

func leaks(before []string) int {
	deadline := time.Now().Add(patience)
	for {
		stacks, open := strangers(), descriptors()
		if len(stacks) == 0 && len(open) <= len(before) {
			return 0
		}
		if time.Now().After(deadline) {
			fmt.Fprintf(os.Stderr, "open: %v\nbefore: %v\n%s\n", open, before, strings.Join(stacks, "\n\n"))
			return 1
		}
		<-time.After(time.Millisecond)
	}
}

// descriptors returns what the process has open.
func descriptors() []string {
	const folder = "/proc/self/fd/"
	entries, err := os.ReadDir(folder)
	if err != nil {
		panic(err)
	}
	var open []string
	for _, entry := range entries {
		if kind, err := os.Readlink(folder + entry.Name()); err == nil {
			open = append(open, entry.Name()+": "+kind)
		}
	}
	return open
}

// strangers returns the stacks of goroutines that should have ended.
func strangers() []string {
	buffer := make([]byte, 4<<20)
	stacks := strings.Split(string(buffer[:runtime.Stack(buffer, true)]), "\n\n")
	return slices.DeleteFunc(stacks[1:], func(stack string) bool {
		for _, harmless := range []string{"testing.(*", "runtime/pprof.", "os/signal.", "internal/fuzz."} {
			if strings.Contains(stack, harmless) {
				return true
			}
		}
		return strings.TrimSpace(stack) == ""
	})
}
