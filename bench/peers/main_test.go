package peers

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// requirePeers is the environment variable that, set to 1, makes a missing peer a failure; without it a test that
// needs one is skipped.
const requirePeers = "CULVERT_REQUIRE_PEERS"

// helperVariable makes this program one of the helpers below.
const helperVariable = "CULVERT_PEERS_HELPER"

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "backend" {
		acceptForever(os.Args[3])
	}
	if os.Getenv(helperVariable) == "bench" {
		benchUntilKilled()
	}
	os.Exit(m.Run())
}

// acceptForever stands in for the echo backend: it can be connected to.
func acceptForever(address string) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		if c, err := l.Accept(); err == nil {
			_ = c.Close()
		}
	}
}

// benchUntilKilled starts peers and prints all their processes, one a line; then it waits to be killed.
func benchUntilKilled() {
	b, pids, err := startPeers(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, pid := range pids {
		fmt.Println(pid)
	}
	fmt.Println("end")
	_, _ = os.Stdin.Read(make([]byte, 1))
	b.Close()
	os.Exit(0)
}

// needPeers skips or fails the test, as [requirePeers] says, where a peer is not installed.
func needPeers(t *testing.T) {
	t.Helper()
	for _, program := range []string{ProgramNginx, ProgramHAProxy} {
		if _, err := findProgram(program, ""); err != nil {
			if os.Getenv(requirePeers) == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// startPeers runs nginx and HAProxy, each before a backend; it returns all processes.
func startPeers(ctx context.Context) (*Bench, []int, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	b, err := Open(Options{Self: self, Rounds: 1, Contenders: regexp.MustCompile("nginx|haproxy"), Rows: regexp.MustCompile("echo")})
	if err != nil {
		return nil, nil, err
	}
	for _, c := range b.contenders {
		p, err := b.proxy(ctx, c, noKey)
		if err != nil {
			b.Close()
			return nil, nil, err
		}
		if err := p.running(); err != nil {
			b.Close()
			return nil, nil, err
		}
	}
	var pids []int
	for _, child := range b.children {
		pids = append(append(pids, child.pid()), childrenOf(child.pid())...)
	}
	return b, pids, nil
}

// alive reports whether a process runs; one that has ended and was not waited for does not.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !regexp.MustCompile(`\) [ZX] `).Match(text)
}

func runHelper(name string) *exec.Cmd {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), helperVariable+"="+name)
	c.Stderr = os.Stderr
	return c
}
