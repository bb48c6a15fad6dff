//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culvert/bench/peers"
)

// requirePeers is the environment variable that, set to 1, makes a missing nginx, HAProxy or gcc a failure; without it
// a test that needs them is skipped.
const requirePeers = "CULVERT_REQUIRE_PEERS"

// sideBySide builds all that a comparison needs into a folder of the test, and returns the command line of quick.
func sideBySide(t *testing.T) (folder string, words []string) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin")
	for _, program := range []string{"nginx", "haproxy", "gcc"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv(requirePeers) == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	folder = t.TempDir()
	// nginx's worker gives up root's rights and must still get through to its files.
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", folder)
	bin := filepath.Join(folder, "bin")
	for _, command := range [][]string{
		{"go", "build", "-buildvcs=false", "-o", bin + "/", "culvert/cmd/culvert", "culvert/cmd/culvert-bench"},
		{"gcc", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o", filepath.Join(bin, "floor"), filepath.Join("..", "..", "bench", "floor", "floor.c")},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	return folder, []string{
		filepath.Join(bin, "culvert-bench"), "quick", "--culvert", filepath.Join(bin, "culvert"), "--floor", filepath.Join(bin, "floor"),
	}
}

// wantNothingLeft fails if a process still runs whose command line names the folder.
func wantNothingLeft(t *testing.T, folder string) {
	t.Helper()
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range names {
		if line, err := os.ReadFile(name); err == nil && bytes.Contains(line, []byte(folder)) {
			t.Errorf("still running: %s", bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
	if left, _ := filepath.Glob(filepath.Join(folder, "culvert-bench-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// compare runs quick once, on rows and contenders whose names match, and looks for samples of all.
func compare(t *testing.T, folder string, words []string, rows, contenders string) *peers.Results {
	t.Helper()
	file := filepath.Join(folder, "quick.json")
	command := exec.Command(words[0], append(words[1:len(words):len(words)], "--rounds", "1", "--measured", "150ms", "--rows", rows, "--contenders", contenders,
		"--date", "2026-01-31", "--out", file)...)
	var out, said bytes.Buffer
	command.Stdout, command.Stderr = &out, &said
	if err := command.Run(); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	wantNothingLeft(t, folder)
	results, err := peers.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range results.Rows {
		for _, s := range row.Contenders {
			if s.Lacks != "" && s.Name != peers.ProgramCulvert {
				continue // its library knows no such key exchange
			}
			if len(s.Samples) != 1 {
				t.Errorf("%s: %s has %d samples, want 1", row.Name, s.Name, len(s.Samples))
			}
			for _, sample := range s.Samples {
				if sample.Value <= 0 || sample.Messages == 0 {
					t.Errorf("%s: %s has %+v", row.Name, s.Name, sample)
				}
			}
		}
	}
	if out.String() != peers.Markdown(results) {
		t.Error("what was printed is not the table of what was stored")
	}
	return results
}

func TestQuickComparesSideBySide(t *testing.T) {
	folder, words := sideBySide(t)
	results := compare(t, folder, words, "^(echo-125B|connect|get-1MiB|mixed-p99|two-loops)$", ".")
	if len(results.Rows) != 5 || len(results.Programs) != 3 || results.Date != "2026-01-31" {
		t.Errorf("%d rows, programs %v, date %s", len(results.Rows), results.Programs, results.Date)
	}
	for _, row := range results.Rows {
		if len(row.Targets) == 0 {
			t.Errorf("%s has nothing to reach", row.Name)
		}
		for _, target := range row.Targets {
			if _, known := row.Reached(target); !known {
				t.Errorf("%s: nothing is known about %+v", row.Name, target)
			}
		}
	}
	// By TLS, against one peer.
	results = compare(t, folder, words, "^(tls-echo-125B|tls-resume|tls-connect-mlkem|tls-storm-plain-p99)$", "^(culvert|floor|haproxy)$")
	if len(results.Rows) != 5 {
		t.Errorf("%d rows by TLS", len(results.Rows))
	}
	for _, row := range results.Rows {
		if row.Series(peers.ProgramFloor) != nil || len(row.Contenders) != 2 {
			t.Errorf("%s has %d contenders", row.Name, len(row.Contenders))
		}
		culvert := row.Series(peers.ProgramCulvert).Samples[0]
		if plain := row.Name == "tls-storm-plain-p99"; (culvert.TLS == "") != plain || (culvert.Resumed > 0) != (row.Name == "tls-resume") {
			t.Errorf("%s: %q, %d sessions resumed", row.Name, culvert.TLS, culvert.Resumed)
		}
		if storm := strings.HasPrefix(row.Name, "tls-storm"); storm && (row.Rate == 0 || culvert.Storm.Completed == 0 || culvert.Storm.TurnP99 == 0) {
			t.Errorf("%s: at %g handshakes/s, %+v", row.Name, row.Rate, culvert.Storm)
		}
	}
}

func TestASignalEndsQuickAndAllThatItStarted(t *testing.T) {
	folder, words := sideBySide(t)
	command := exec.Command(words[0], append(words[1:], "--rows", "^echo-125B$", "--rounds", "1000")...)
	said, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 0, 4096)
	for !bytes.Contains(text, []byte("round ")) {
		n, err := said.Read(text[len(text):cap(text)])
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		text = text[:len(text)+n]
	}
	_ = command.Process.Signal(unix.SIGINT)
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	select {
	case err = <-ended:
	case <-time.After(30 * time.Second):
		_ = command.Process.Kill()
		t.Fatal("it goes on")
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("%v, want exit status %d", err, exitInterrupted)
	}
	wantNothingLeft(t, folder)
}

func TestWrongInputOfTheComparisonIsOneLine(t *testing.T) {
	for line, want := range map[string]string{
		"quick --rows (":          "rows",
		"quick --contenders (":    "contenders",
		"quick --rounds 0":        "rounds",
		"quick --date yesterday":  "date",
		"profile --duration 1":    "duration",
		"curves --rounds 2000":    "rounds",
		"hold --tunnels 1":        "target",
		"storm --rate 1":          "target",
		"table one.json two.json": "two.json",
	} {
		var out, said bytes.Buffer
		p := &program{ctx: t.Context(), stdout: &out, stderr: &said}
		if status := p.run(strings.Fields(line)); status != exitUsage {
			t.Errorf("%s: status %d, want %d", line, status, exitUsage)
		}
		if text := said.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, want) || out.Len() > 0 {
			t.Errorf("%s: %q, want one line about %s", line, text, want)
		}
	}
	for line, want := range map[string]string{
		"quick --contenders nginx --rows nothing":    "no row",
		"quick --contenders nothing":                 "no contender",
		"quick --contenders nginx --nginx ./missing": "--nginx",
		"profile --culvert ./missing":                "--culvert",
		"table ./missing.json":                       "missing.json",
	} {
		var said bytes.Buffer
		p := &program{ctx: t.Context(), stdout: &bytes.Buffer{}, stderr: &said}
		if status := p.run(strings.Fields(line)); status != exitFailed || !strings.Contains(said.String(), want) {
			t.Errorf("%s: status %d and %q, want %d and %s", line, status, said.String(), exitFailed, want)
		}
	}
}
