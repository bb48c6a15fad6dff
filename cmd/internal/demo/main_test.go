package demo

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// leakPatience is how long goroutines that have been told to end may take.
const leakPatience = 5 * time.Second

// TestMain fails the run when a goroutine or a descriptor outlives the tests.
func TestMain(m *testing.M) {
	before := descriptors()
	status := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if leak := waitForNoLeak(before); leak != "" && status == 0 {
		fmt.Fprintln(os.Stderr, leak)
		status = 1
	}
	os.Exit(status)
}

// waitForNoLeak returns what is still there when the patience is over, or "".
func waitForNoLeak(before map[string]int) string {
	patience := time.NewTimer(leakPatience)
	defer patience.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		leak := leaked(before)
		if leak == "" {
			return ""
		}
		select {
		case <-again.C:
		case <-patience.C:
			return leak
		}
	}
}

func leaked(before map[string]int) string {
	if runtime.NumGoroutine() > 1 {
		stacks := make([]byte, 1<<20)
		return "goroutines leaked:\n" + string(stacks[:runtime.Stack(stacks, true)])
	}
	for kind, n := range descriptors() {
		if n > before[kind] {
			return fmt.Sprintf("descriptors leaked: %d of kind %s, %d before", n, kind, before[kind])
		}
	}
	return ""
}

// descriptors counts this process's open descriptors by kind ("socket",
// "pipe", a path). The runtime's own poller is left out: it is opened when it
// is first needed and stays.
func descriptors() map[string]int {
	kinds := make(map[string]int)
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic("read the open descriptors: " + err.Error())
	}
	for _, entry := range entries {
		target, err := os.Readlink("/proc/self/fd/" + entry.Name())
		if err != nil || strings.HasPrefix(target, "anon_inode:[event") {
			continue // closed since: the directory's own descriptor
		}
		kind, _, _ := strings.Cut(target, ":[")
		kinds[kind]++
	}
	return kinds
}

// startDemo starts a demo that ends with the test.
func startDemo(t *testing.T, options Options) *Demo {
	t.Helper()
	d, err := Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func pageURL(d *Demo, backend int) string {
	return "http://" + d.Addresses()[backend].String() + "/"
}
