//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	gobwas "github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"golang.org/x/sys/unix"

	"culvert/bench/echo"
	"culvert/bench/load"
)

// outcome is what a run of the program said and returned.
type outcome struct {
	status         int
	stdout, stderr string
}

func run(args string) outcome {
	var stdout, stderr bytes.Buffer
	p := &program{stdout: &stdout, stderr: &stderr}
	status := p.run(strings.Fields(args))
	return outcome{status, stdout.String(), stderr.String()}
}

// backend starts an echo backend and returns the flag that names it.
func backend(t *testing.T) string {
	t.Helper()
	server, err := echo.Start(echo.Options{Listen: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return "--target " + server.Addr().String()
}

// TestAWrongCommandLine is one line on standard error that says what is wrong and what is allowed, and status 2.
func TestAWrongCommandLine(t *testing.T) {
	const to = "--target 127.0.0.1:1 "
	const commands = "echo, idle, connect, get, backend"
	for _, c := range []struct{ args, want string }{
		{"", "no command; allowed: " + commands},
		{"nonsense", "unknown command nonsense; allowed: " + commands},
		{"ecko", `unknown command ecko, did you mean "echo"?`},
		{"echo", "missing: --target=ADDRESS"},
		{"echo --target", "--target: a value is missing; allowed: an address"},
		{"echo --target localhost", "--target localhost: not an address with a port; allowed: an address"},
		{"echo --target 127.0.0.1", "--target 127.0.0.1: a port is missing; allowed: an address"},
		{"echo --target [::1]", "--target [::1]: a port is missing"},
		{"echo --target 127.0.0.1:0", "--target 127.0.0.1:0: nobody listens on port 0"},
		{"echo --target 127.0.0.1:99999", "not an address with a port"},
		{"echo " + to + "more", "unexpected argument more"},
		{"echo " + to + "--tunels 3", `unknown flag --tunels, did you mean "--tunnels"?`},
		{"echo " + to + "--tunnels 0", "--tunnels 0: below the minimum; allowed: 1 to 1000000"},
		{"echo " + to + "--tunnels 1000001", "--tunnels 1000001: above the maximum; allowed: 1 to 1000000"},
		{"echo " + to + "--tunnels -5", "--tunnels -5: below the minimum"},
		{"echo " + to + "--tunnels 1e3", "--tunnels 1e3: not a whole number"},
		{"echo " + to + "--loops 65", "--loops 65: above the maximum; allowed: 1 to 64"},
		{"echo " + to + "--pace 0", "--pace 0: below the minimum"},
		{"echo " + to + "--size 0", "--size 0: below the minimum; allowed: 1B to 64MiB"},
		{"echo " + to + "--size 65MiB", "--size 65MiB: above the maximum"},
		{"echo " + to + "--size 125b", "--size 125b: not a size such as 64KiB"},
		{"echo " + to + "--in-flight 4097", "--in-flight 4097: above the maximum"},
		{"echo " + to + "--rate 0.5", "--rate 0.5: not a whole number"},
		{"echo " + to + "--rate 10000001", "--rate 10000001: above the maximum"},
		{"echo " + to + "--duration 10", "--duration 10: a unit is missing, such as 10s; allowed: 10ms to 24h"},
		{"echo " + to + "--duration 0", "--duration 0: below the minimum"},
		{"echo " + to + "--duration 25h", "--duration 25h: above the maximum"},
		{"echo " + to + "--warm-up -1s", "--warm-up -1s: below the minimum; allowed: 0 (none), or 1ms to 1h"},
		{"echo " + to + "--messages many", "--messages many: not a whole number"},
		{"echo " + to + "--timeout 1ms", "--timeout 1ms: below the minimum"},
		{"echo " + to + "--path chat", "--path chat: not a path that begins with /"},
		{"echo " + to + "--source eth0", "--source eth0: not an address; allowed: addresses of this machine"},
		{"echo " + to + "--json=maybe", "--json maybe: neither true nor false"},
		{"idle " + to + "--hold forever", "--hold forever: not a duration such as 60s"},
		{"idle " + to + "--touch 100MiB", "--touch 100MiB: above the maximum"},
		{"connect " + to + "--concurrency 0", "--concurrency 0: below the minimum; allowed: 1 to 65536"},
		{"connect " + to + "--count -1", "--count -1: below the minimum"},
		{"get", "missing: --target=ADDRESS"},
		{"get " + to + "--connections 0", "--connections 0: below the minimum; allowed: 1 to 65536"},
		{"get " + to + "--size 65MiB", "--size 65MiB: above the maximum; allowed: 1B to 64MiB"},
		{"get " + to + "--rate fast", "--rate fast: not a whole number"},
		{"get " + to + "--path /", "unknown flag --path"},
		{"get " + to + "--timeout 1ms", "--timeout 1ms: below the minimum"},
		{"backend --listen 9001", "--listen 9001: not an address with a port"},
		{"backend --delay 2m", "--delay 2m: above the maximum; allowed: 0 (none), or 1ms to 1m"},
		{"backend --stall-for 10s", "--stall-for 10s: not shorter than --stall-every 10s"},
		{"backend --pollers 65", "--pollers 65: above the maximum"},
	} {
		t.Run(c.args, func(t *testing.T) {
			got := run(c.args)
			line, ended := strings.CutSuffix(got.stderr, "\n")
			if got.status != exitUsage || got.stdout != "" || !ended || strings.Contains(line, "\n") ||
				!strings.HasPrefix(line, "culvert-bench: ") || !strings.Contains(line, c.want) {
				t.Errorf("status %d, on standard output %q, and\n\t%s and should say\n\t%s", got.status, got.stdout, got.stderr, c.want)
			}
		})
	}
}

// TestHelp: it is there for all and for each, whatever else is on the line, and names every default and unit.
func TestHelp(t *testing.T) {
	for _, args := range []string{"help", "--help", "-h", "echo --help", "help echo", "echo --tunnels nonsense -h", "help connect", "help get", "help idle", "help backend", "version"} {
		if got := run(args); got.status != exitOK || got.stdout == "" || got.stderr != "" {
			t.Errorf("%s: status %d, %q", args, got.status, got.stderr)
		}
	}
	for _, want := range []string{"--size SIZE", "default 125B; allowed: 1B to 64MiB", "default 10s; allowed: 10ms to 24h", "--rate MESSAGES/S"} {
		if got := run("help echo"); !strings.Contains(got.stdout, want) {
			t.Errorf("the help of echo does not say %q", want)
		}
	}
}

// TestEchoPrintsOneObject: with --json standard output is one JSON object and nothing else.
func TestEchoPrintsOneObject(t *testing.T) {
	got := run("echo " + backend(t) + " --tunnels 4 --loops 2 --messages 500 --size 1KiB --warm-up 0 --in-flight 2 --json")
	var printed struct {
		Command   string         `json:"command"`
		Tunnels   int            `json:"tunnels"`
		SizeBytes int            `json:"size_bytes"`
		InFlight  int            `json:"in_flight"`
		Result    map[string]any `json:"result"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &printed); err != nil || got.status != exitOK || got.stderr != "" {
		t.Fatalf("status %d, %v, %q: %s", got.status, err, got.stderr, got.stdout)
	}
	if printed.Command != "echo" || printed.Tunnels != 4 || printed.SizeBytes != 1024 || printed.InFlight != 2 ||
		printed.Result["messages"] != 500.0 || printed.Result["mismatches"] != 0.0 {
		t.Errorf("%+v", printed)
	}
}

// TestGetPrintsOneObject: with --json standard output is one JSON object and nothing else.
func TestGetPrintsOneObject(t *testing.T) {
	got := run("get " + backend(t) + " --connections 4 --loops 2 --count 100 --size 64KiB --warm-up 0 --json")
	var printed struct {
		Command     string         `json:"command"`
		Connections int            `json:"connections"`
		SizeBytes   int            `json:"size_bytes"`
		Result      map[string]any `json:"result"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &printed); err != nil || got.status != exitOK || got.stderr != "" {
		t.Fatalf("status %d, %v, %q: %s", got.status, err, got.stderr, got.stdout)
	}
	if printed.Command != "get" || printed.Connections != 4 || printed.SizeBytes != 64<<10 ||
		printed.Result["messages"] != 100.0 || printed.Result["mismatches"] != 0.0 || printed.Result["connections"] != 4.0 {
		t.Errorf("%+v", printed)
	}
}

// TestTablesSayWhatWasDone runs each command that prints one.
func TestTablesSayWhatWasDone(t *testing.T) {
	to := backend(t)
	for _, c := range []struct {
		args  string
		wants []string
	}{
		{"echo --tunnels 3 --messages 1234 --warm-up 0", []string{"3 tunnels, 125 B", "1,234 in ", "latency p99.9", "0, and 0 wrong echoes", "us each, busiest loop"}},
		{"echo --tunnels 3 --messages 100 --rate 1000 --warm-up 10ms", []string{"1,000/s intended", "100 in "}},
		{"connect --concurrency 4 --count 40 --warm-up 0", []string{"4 at a time", "40 in ", "latency p50"}},
		{"get --connections 4 --count 400 --warm-up 0 --size 1KiB", []string{"4 connections, 1,024 B", "4 were made", "400 in ", "0 wrong answers", "of answers"}},
		{"idle --tunnels 20 --hold 20ms --touch 64KiB", []string{"20 tunnels in ", "20 are still open, 0 ended by themselves"}},
	} {
		command, flags, _ := strings.Cut(c.args, " ")
		got := run(command + " " + to + " " + flags)
		if got.status != exitOK || got.stderr != "" {
			t.Errorf("%s: status %d, %q", c.args, got.status, got.stderr)
		}
		for _, want := range c.wants {
			if !strings.Contains(got.stdout, want) {
				t.Errorf("%s: %q is missing in\n%s", c.args, want, got.stdout)
			}
		}
	}
}

// TestFailuresAreOneLine: status 1 where nothing could be measured, or not in order.
func TestFailuresAreOneLine(t *testing.T) {
	for args, want := range map[string]string{
		"echo --target 127.0.0.1:1":                                       "connect to 127.0.0.1:1: connection refused",
		"idle --target 127.0.0.1:1":                                       "connect to 127.0.0.1:1: connection refused",
		"connect --target 127.0.0.1:1 --warm-up 0 --duration 50ms --json": "connect to 127.0.0.1:1: connection refused",
		"get --target 127.0.0.1:1 --warm-up 0 --duration 50ms":            "connect to 127.0.0.1:1: connection refused",
		"echo --target 127.0.0.1:1 --source 203.0.113.9":                  "203.0.113.9",
	} {
		got := run(args)
		if got.status != exitFailed || !strings.Contains(got.stderr, want) || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%s: status %d, %q; want %q", args, got.status, got.stderr, want)
		}
	}
}

// TestASignalEndsAMeasurement, and what was measured is printed all the same.
func TestASignalEndsAMeasurement(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, err := gobwas.Upgrade(conn); err != nil {
			return
		}
		for n := 0; ; n++ {
			message, err := wsutil.ReadClientBinary(conn)
			if err != nil {
				return
			}
			if n == 100 {
				_ = unix.Kill(unix.Getpid(), unix.SIGINT)
			}
			_ = wsutil.WriteServerBinary(conn, message)
		}
	})
	got := run("echo --target " + listener.Addr().String() + " --tunnels 1 --duration 24h --warm-up 0")
	_ = listener.Close()
	serving.Wait()
	if got.status != exitInterrupted || !strings.Contains(got.stdout, "latency p50") || !strings.Contains(got.stderr, "by a signal") {
		t.Errorf("status %d, %q\n%s", got.status, got.stderr, got.stdout)
	}
	if strings.Contains(got.stdout, "messages       0 in") {
		t.Error("nothing was measured")
	}
}

// TestBackendServesUntilASignal: its first line says where, and on SIGUSR1 it says for how many.
func TestBackendServesUntilASignal(t *testing.T) {
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		p := &program{stdout: writer, stderr: io.Discard}
		ended <- p.run([]string{"backend", "--listen", "127.0.0.1:0"})
	}()
	lines := bufio.NewReader(reader)
	line, err := lines.ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "echo backend on ")
	if err != nil || !ok {
		t.Fatalf("its first line is %q, %v", line, err)
	}
	conn, _, _, err := gobwas.Dial(t.Context(), "ws://"+address+"/")
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Kill(unix.Getpid(), unix.SIGUSR1)
	if line, err := lines.ReadString('\n'); err != nil || line != "connections 1\n" {
		t.Errorf("with one client it says %q, %v", line, err)
	}
	_ = conn.Close()
	if got := run("connect --count 3 --warm-up 0 --target " + address); got.status != exitOK {
		t.Errorf("%+v", got)
	}
	_ = unix.Kill(unix.Getpid(), unix.SIGTERM)
	if status := <-ended; status != exitOK {
		t.Errorf("status %d", status)
	}
}

// TestNumbersAreReadable checks the figures of the table.
func TestNumbersAreReadable(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is written %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0.0 us", 1500: "1.5 us", 2_500_000: "2.50 ms", 61_000_000_000: "61.000 s"} {
		if got := nanoseconds(n); got != want {
			t.Errorf("%d ns is written %s, want %s", n, got, want)
		}
	}
}

// TestTheLiveLine overwrites itself on a terminal, and is silent elsewhere.
func TestTheLiveLine(t *testing.T) {
	for _, live := range []bool{true, false} {
		var stderr bytes.Buffer
		line := (&program{stderr: &stderr, live: live}).startLine()
		line.measuring(load.Snapshot{Elapsed: 2_100_000_000, Measuring: true, Open: 1000, Messages: 5, MessagesPerSecond: 12345, Mismatches: 1})
		line.measuring(load.Snapshot{})
		line.clear()
		want := ""
		if live {
			want = "\r\x1b[K2s   12,345/s   1,000 open   0 errors   1 WRONG\r\x1b[K0s   warming up   0 open   0 errors\r\x1b[K"
		}
		if got := stderr.String(); got != want {
			t.Errorf("live %v: %q, want %q", live, got, want)
		}
	}
}
