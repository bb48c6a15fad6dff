package engine

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// childVariable names what a copy of the test binary does instead of testing: see children.
const childVariable = "CULVERT_ENGINE_TEST_CHILD"

// children run in a process of their own: they change the limits of the process, or end it.
var children = map[string]func(){
	"collections": collectBesideALoop,
	"descriptors": runOutOfDescriptors,
	"panic":       panicOnALoop,
}

// TestMain fails the package if a goroutine or a descriptor outlives the tests.
func TestMain(m *testing.M) {
	// One P per loop of the largest test and some for those at the other ends, as docs/netpoll.md asks for.
	runtime.GOMAXPROCS(max(4, runtime.GOMAXPROCS(0)))
	if child := os.Getenv(childVariable); child != "" {
		children[child]()
		return
	}
	useNetworkOnce()
	descriptors := openDescriptors()
	code := m.Run()
	if code == 0 {
		code = leaks(descriptors)
	}
	os.Exit(code)
}

// useNetworkOnce makes the runtime open the descriptors that it keeps for ever.
func useNetworkOnce() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	_ = listener.Close()
}

func leaks(before map[string]string) int {
	deadline := time.Now().Add(patience)
	for {
		extra := maps.Clone(openDescriptors())
		for fd := range before {
			delete(extra, fd)
		}
		stacks := otherGoroutines()
		if len(extra) == 0 && len(stacks) == 0 {
			return 0
		}
		if time.Now().After(deadline) {
			fmt.Fprintf(os.Stderr, "leaked descriptors: %v\nleaked goroutines: %d\n%s\n", extra, len(stacks), strings.Join(stacks, "\n\n"))
			return 1
		}
		<-time.After(time.Millisecond)
	}
}

// openDescriptors returns what the process has open: number to kind, that of the question left out.
func openDescriptors() map[string]string {
	const folder = "/proc/self/fd"
	entries, err := os.ReadDir(folder)
	if err != nil {
		panic(err)
	}
	open := map[string]string{}
	for _, entry := range entries {
		if kind, err := os.Readlink(filepath.Join(folder, entry.Name())); err == nil && !strings.HasPrefix(kind, "/proc/") {
			open[entry.Name()] = kind
		}
	}
	return open
}

// otherGoroutines returns the stacks of all goroutines but the one that asks and those of the testing package.
func otherGoroutines() []string {
	buffer := make([]byte, 1<<20)
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
