package load

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/bench/echo"
)

// patience is how long what must happen may take on a busy machine.
const patience = 10 * time.Second

// TestMain fails the package if a goroutine or a descriptor outlives the tests.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(max(4, runtime.GOMAXPROCS(0)))
	// netpoll's poller and the runtime's own are opened when they are first needed, and stay.
	first, err := echo.Start(echo.Options{Listen: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		panic(err)
	}
	target := Target{Addresses: []netip.AddrPort{first.Addr()}}
	if _, err := Connects(context.Background(), target, ConnectPlan{Size: 1, Count: 1}); err != nil {
		panic(err)
	}
	_ = first.Close()
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
		<-time.After(10 * time.Millisecond)
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
	buffer := make([]byte, 1<<20)
	stacks := strings.Split(string(buffer[:runtime.Stack(buffer, true)]), "\n\n")
	return slices.DeleteFunc(stacks[1:], func(stack string) bool {
		return strings.Contains(stack, "testing.(*") || strings.Contains(stack, "netpoll.(*manager).Run")
	})
}

// backend starts an echo server that ends with the test.
func backend(t *testing.T, o echo.Options) Target {
	t.Helper()
	o.Listen = netip.MustParseAddrPort("127.0.0.1:0")
	server, err := echo.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("the backend did not end: %v", err)
		}
	})
	return Target{Addresses: []netip.AddrPort{server.Addr()}}
}

// open opens a fleet that is closed with the test.
func open(t *testing.T, target Target, o FleetOptions) *Fleet {
	t.Helper()
	fleet, err := Open(t.Context(), target, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fleet.Close(context.Background()) }) // the test's own is done by then
	return fleet
}
