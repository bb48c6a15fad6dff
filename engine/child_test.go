package engine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// child returns a command that runs one of the children in a copy of the test binary.
func child(t testing.TB, name string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self)
	command.Env = append(os.Environ(), childVariable+"="+name)
	return command
}

// runChild returns what a child wrote and its exit code.
func runChild(t testing.TB, name string) ([]byte, int) {
	t.Helper()
	out, err := child(t, name).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return out, exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out, 0
}

// A listener that the process has no descriptor for is level-triggered: left in the set it would spin.
func TestAListenerWithoutDescriptorsPausesDoesNotSpinAndRecovers(t *testing.T) {
	t.Parallel() // a process of its own does the work
	command := child(t, "descriptors")
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	abort := time.AfterFunc(patience, func() { _ = command.Process.Kill() })
	defer abort.Stop()
	lines := bufio.NewScanner(out)
	say := func(format string, into ...any) {
		t.Helper()
		if !lines.Scan() {
			t.Fatal("the child ended early")
		}
		if _, err := fmt.Sscanf(lines.Text(), format, into...); err != nil {
			t.Fatalf("the child says %q, want %q", lines.Text(), format)
		}
	}
	var address string
	say("listening on %s", &address)
	clients := make([]*peer, 20)
	for i := range clients {
		clients[i] = dialPeer(t, netip.MustParseAddrPort(address), socketSizes{})
	}
	var accepted, pauses, waits int
	say("paused with %d accepted", &accepted)
	if accepted == 0 || accepted >= len(clients) {
		t.Fatalf("%d of %d accepted before the descriptors ran out", accepted, len(clients))
	}
	say("in a second %d pauses and %d waits", &pauses, &waits)
	// One attempt per acceptPause. Each costs the timer's turn, the attempt, and a wait before the loop parks.
	if pauses < 2 || pauses > 15 || waits > 100 {
		t.Errorf("%d pauses and %d waits in a second without descriptors", pauses, waits)
	}
	for served := 0; served < len(clients); served++ {
		clients[served].receive([]byte("x"))
		_ = clients[served].Close()
	}
	_ = stdin.Close()
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}

// runOutOfDescriptors runs in a child process: it serves one byte to every client with a handful of descriptors.
func runOutOfDescriptors() {
	endWithParent()
	useNetworkOnce() // a Go process that cannot open its own epoll set when it first needs it dies
	loop, err := NewLoop(LoopOptions{})
	must(err)
	loop.Start()
	ask := func(question func()) {
		done := make(chan struct{})
		loop.Post(func() { question(); close(done) })
		<-done
	}
	const spare = 8 // free numbers below the limit; more may be open above it
	open, limit := openDescriptors(), uint64(0)
	for free := 0; free < spare; limit++ {
		if open[fmt.Sprint(limit)] == "" {
			free++
		}
	}
	must(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}))
	ask(func() {
		listener, err := loop.Listen(loopback, ListenOptions{}, acceptorFunc(serveOneByte))
		must(err)
		fmt.Println("listening on", listener.Address())
	})
	var c Counters
	for c.AcceptPauses == 0 {
		<-time.After(time.Millisecond)
		ask(func() { c = loop.Counters })
	}
	fmt.Println("paused with", c.Accepted, "accepted")
	<-time.After(time.Second)
	before := c
	ask(func() { c = loop.Counters })
	fmt.Println("in a second", c.AcceptPauses-before.AcceptPauses, "pauses and", c.Waits-before.Waits, "waits")
	select {}
}

// endWithParent ends the child when the other end of its standard input is closed, by whatever.
func endWithParent() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
}

// serveOneByte greets a client and keeps the connection until the client ends it.
func serveOneByte(c *Conn, _ netip.AddrPort, _ *Listener) {
	c.Attach(ownerFunc(func(_ Side, r Readiness) {
		if r&Readable != 0 {
			c.Close()
		}
	}), SideClient)
	c.Write([]byte("x"))
}

func must(err error) {
	if err != nil {
		fmt.Println(strings.TrimSpace(err.Error()))
		os.Exit(1)
	}
}

// acceptorFunc is an Acceptor made of a function.
type acceptorFunc func(c *Conn, peer netip.AddrPort, listener *Listener)

func (f acceptorFunc) Accepted(c *Conn, peer netip.AddrPort, listener *Listener) {
	f(c, peer, listener)
}
