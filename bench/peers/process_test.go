package peers

import (
	"bufio"
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// endsWithin bounds how long processes may outlive the one that started them.
const endsWithin = 10 * time.Second

func wantAllEnded(t *testing.T, pids []int) {
	t.Helper()
	deadline := time.NewTimer(endsWithin)
	defer deadline.Stop()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for _, pid := range pids {
		for alive(pid) {
			select {
			case <-ticker.C:
			case <-deadline.C:
				t.Fatalf("process %d still runs", pid)
			}
		}
	}
}

func TestClosingABenchLeavesNoProcessAndNoFile(t *testing.T) {
	needPeers(t)
	b, pids, err := startPeers(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	// Four contenders, of which nginx's two have a worker, and a backend for each.
	if len(pids) != 10 {
		t.Errorf("%d processes, want 10", len(pids))
	}
	for _, pid := range pids {
		if !alive(pid) {
			t.Errorf("process %d does not run", pid)
		}
	}
	folder := b.folder
	b.Close()
	wantAllEnded(t, pids)
	if left := childrenOf(os.Getpid()); len(left) != 0 {
		t.Errorf("children are left: %v", left)
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder is left: %v", err)
	}
}

// A process that is killed cannot end its children: the kernel does.
func TestNoProcessOutlivesABenchThatIsKilled(t *testing.T) {
	needPeers(t)
	helper := runHelper("bench")
	helper.Env = append(helper.Env, "TMPDIR="+t.TempDir()) // its folder stays
	in, err := helper.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "end"; {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	if len(pids) != 10 {
		t.Errorf("%d processes, want 10", len(pids))
	}
	_ = helper.Process.Kill()
	_ = helper.Wait()
	wantAllEnded(t, pids)
}

func TestAStartThatFailsSaysWhy(t *testing.T) {
	s := newSpawner()
	defer s.close()
	if _, err := s.start("nobody", []string{"./missing"}, nil, false); err == nil || !strings.Contains(err.Error(), "nobody cannot be started") {
		t.Errorf("error %v", err)
	}
	p, err := s.start("the shell", []string{"sh", "-c", "echo what is wrong >&2; exit 3"}, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	err = p.await(context.Background(), func() bool { return false })
	if err == nil || !strings.Contains(err.Error(), "the shell ended before it was ready (exit status 3): what is wrong") {
		t.Errorf("error %v", err)
	}
	p.stop()
}

func TestWhatIgnoresTheRequestToEndIsKilled(t *testing.T) {
	s := newSpawner()
	defer s.close()
	p, err := s.start("stubborn", []string{"sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"}, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(p.stdout).ReadString('\n'); line != "ready\n" {
		t.Fatal(line, err)
	}
	pids := append(childrenOf(p.pid()), p.pid())
	p.stop()
	wantAllEnded(t, pids)
}

func TestAChildRunsOnItsCPUs(t *testing.T) {
	cpus, err := allowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	s := newSpawner()
	defer s.close()
	last := cpus[len(cpus)-1]
	p, err := s.start("the shell", []string{"sh", "-c", "grep Cpus_allowed_list /proc/self/status"}, []int{last}, true)
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(p.stdout).ReadString('\n')
	if words := strings.Fields(line); err != nil || len(words) != 2 || words[1] != strconv.Itoa(last) {
		t.Errorf("it runs on %q, want %d (%v)", line, last, err)
	}
	p.stop()
	var now []int
	s.do(func() { now, err = allowedCPUs() })
	if err != nil || len(now) != len(cpus) {
		t.Errorf("the spawner may run on %v, want %v as before (%v)", now, cpus, err)
	}
}

func TestPortsAreFree(t *testing.T) {
	var p ports
	first, err := p.take()
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.take()
	if err != nil || first == second {
		t.Fatalf("%v and %v (%v)", first, second, err)
	}
	if accepts(first) {
		t.Errorf("somebody listens on %v", first)
	}
	p.next = lastPort
	if _, err := p.take(); err == nil {
		t.Error("no error without a port")
	}
}
