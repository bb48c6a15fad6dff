package proxytest

import (
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// testProcessors is the least GOMAXPROCS of a test: a loop keeps its processor while it waits on its own set, and the
// tests at the far ends need some too. With fewer than two for each test that runs they wait for one another most of the
// time.
const testProcessors = 20

// testsAtOnce is how many parallel tests run at a time, unless -parallel says otherwise: they wait more than they compute.
const testsAtOnce = 10

// Main runs the tests of a package and returns the exit status: 1 also if a goroutine or a descriptor outlives them.
//
//	func TestMain(m *testing.M) { os.Exit(proxytest.Main(m)) }
func Main(m *testing.M) int {
	runtime.GOMAXPROCS(max(testProcessors, runtime.GOMAXPROCS(0)))
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		_ = flag.Set("test.parallel", strconv.Itoa(testsAtOnce))
	}
	useNetworkOnce()
	before := openDescriptors()
	status := m.Run()
	removeIdentity()
	if status != 0 {
		return status
	}
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	tick := time.NewTicker(pollPeriod)
	defer tick.Stop()
	for {
		leak := leaked(before)
		if leak == "" {
			return 0
		}
		select {
		case <-tick.C:
		case <-timer.C:
			fmt.Fprintln(os.Stderr, leak)
			return 1
		}
	}
}

// useNetworkOnce makes the runtime open the descriptors that it keeps for ever.
func useNetworkOnce() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	_ = listener.Close()
}

func leaked(before map[string]string) string {
	var leak strings.Builder
	for fd, kind := range openDescriptors() {
		if before[fd] != kind {
			fmt.Fprintf(&leak, "leaked descriptor %s: %s\n", fd, kind)
		}
	}
	for _, stack := range otherGoroutines() {
		fmt.Fprintf(&leak, "leaked goroutine:\n%s\n", stack)
	}
	return leak.String()
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
