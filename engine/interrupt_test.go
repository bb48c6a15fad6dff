package engine

import (
	"fmt"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestACollectionInterruptsALoopAFewTimesOnly: the collector wants to scan the stack of a goroutine that is in a raw
// wait, and both share a CPU. The loop must give way when it is interrupted, or it is interrupted without end.
func TestACollectionInterruptsALoopAFewTimesOnly(t *testing.T) {
	t.Parallel() // a process of its own does the work
	command := child(t, "collections")
	stdin, err := command.StdinPipe() // at whose end it ends
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close() }()
	out, err := onOneCPU(t, command)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var collections, interrupts, waits int
	if _, err := fmt.Sscanf(string(out), "%d collections, %d interrupts, %d waits", &collections, &interrupts, &waits); err != nil {
		t.Fatalf("the child says %q: %v", out, err)
	}
	t.Logf("figure: %s", out)
	// Each stops the world twice and scans the stack once; what the machine adds is a few, a storm is thousands.
	if interrupts > 50*collections {
		t.Errorf("%d interrupts during %d collections", interrupts, collections)
	}
	if waits == 0 {
		t.Error("the loop never waited")
	}
}

// onOneCPU runs a command on the CPU that this thread runs on.
func onOneCPU(t testing.TB, command *exec.Cmd) ([]byte, error) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	for cpu := range len(before) * 64 {
		if before.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &before) }()
	return command.CombinedOutput()
}

// collectBesideALoop runs in a child process: a loop that waits for most of the time, and collections.
func collectBesideALoop() {
	endWithParent()
	runtime.GOMAXPROCS(2) // a loop and a worker, on one CPU
	loop, err := NewLoop(LoopOptions{})
	must(err)
	loop.Start()
	stop := make(chan struct{})
	go func() { // keeps the loop from parking
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				loop.Post(func() {})
			case <-stop:
				return
			}
		}
	}()
	const collections = 50
	for range collections {
		runtime.GC()
	}
	close(stop)
	answer := make(chan Counters)
	loop.Post(func() { answer <- loop.Counters })
	c := <-answer
	fmt.Printf("%d collections, %d interrupts, %d waits\n", collections, c.Interrupts, c.Waits)
}
