package peers

import (
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// used returns this process's CPU time as getrusage has it.
func used(t *testing.T) time.Duration {
	t.Helper()
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func TestProcessCPUIsWhatTheKernelAccounts(t *testing.T) {
	const work = 200 * time.Millisecond
	before, err := ProcessCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	begin := used(t)
	for used(t)-begin < work {
		runtime.Gosched()
	}
	after, err := ProcessCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if got := after - before; got < work*9/10 || got > work*2 {
		t.Errorf("%v of CPU time, want about %v", got, work)
	}
}

func TestProcessCPUOfAnotherProcessGrows(t *testing.T) {
	s := newSpawner()
	defer s.close()
	p, err := s.start("the shell", []string{"sh", "-c", "while :; do :; done"}, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	for used := time.Duration(0); used < 20*time.Millisecond; {
		if used, err = ProcessCPU(p.pid()); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
}

func TestProcessCPUOfNobodyFails(t *testing.T) {
	if _, err := ProcessCPU(1 << 28); err == nil {
		t.Error("no error")
	}
}

func TestProportionalSetSizeGrowsByWhatIsTouched(t *testing.T) {
	const size = 64 << 20
	before, err := ProportionalSetSize(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	block, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(block) }()
	for i := 0; i < size; i += 4096 {
		block[i] = 1
	}
	after, err := ProportionalSetSize(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if got := after - before; got < size*9/10 || got > size*3/2 {
		t.Errorf("grew by %d bytes, want about %d", got, size)
	}
}

func TestRollupsAreRead(t *testing.T) {
	text := "55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss:  2048 kB\nPss:  1024 kB\nPss_Anon:  12 kB\n"
	if got, err := parseRollup([]byte(text)); got != 1<<20 || err != nil {
		t.Errorf("%d bytes (%v), want %d", got, err, 1<<20)
	}
	if _, err := parseRollup([]byte("Rss: 2048 kB\n")); err == nil {
		t.Error("no error without the line")
	}
}

func TestStatsAreRead(t *testing.T) {
	for text, want := range map[string][2]int{
		"17 (nginx) S 4 17 1":        {17, 4},
		"17 (a) (b) c) R 5 17 1 2 3": {17, 5},
	} {
		if pid, parent, ok := parseStat(text); !ok || pid != want[0] || parent != want[1] {
			t.Errorf("%q: process %d of %d (%v), want %v", text, pid, parent, ok, want)
		}
	}
	for _, text := range []string{"", "17", "17 (x) S", "x (y) S 4", ") ("} {
		if _, _, ok := parseStat(text); ok {
			t.Errorf("%q was read", text)
		}
	}
}
