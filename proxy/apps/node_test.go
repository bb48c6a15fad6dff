package apps

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// requireNode is set where it is a failure that Node, npm or what npm installs cannot be had.
const requireNode = "CULVERT_REQUIRE_NODE"

// scripts is where the scripts are, and the list of packages that they need.
const scripts = "testdata/node"

// installation is Node with the packages in place, made when it is first asked for.
var installation = sync.OnceValues(func() (modules string, err error) {
	for _, name := range []string{"node", "npm"} {
		if _, err := exec.LookPath(name); err != nil {
			return "", fmt.Errorf("%w: install Debian's packages nodejs and npm", err)
		}
	}
	return installPackages(filepath.Join("..", "..", ".cache", "apps"))
})

// installPackages has npm install what the lock names, below cache, and returns the folder of the modules. What is there
// already is used again; of two processes that install at the same time one is first.
func installPackages(cache string) (string, error) {
	lock, err := os.ReadFile(filepath.Join(scripts, "package-lock.json"))
	if err != nil {
		return "", err
	}
	home, err := filepath.Abs(filepath.Join(cache, fmt.Sprintf("node-%x", sha256.Sum256(lock))[:21]))
	if err != nil {
		return "", err
	}
	modules := filepath.Join(home, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	fresh, err := os.MkdirTemp(cache, "installing-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(fresh) }()
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join(scripts, name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(fresh, name), text, 0o644); err != nil {
			return "", err
		}
	}
	install := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error")
	install.Dir = fresh
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	if err := os.Rename(fresh, home); err != nil {
		if _, gone := os.Stat(modules); gone != nil {
			return "", err
		}
	}
	return modules, nil
}

// needNode skips the test, or fails it as requireNode says, where there is no Node with the packages.
func needNode(t *testing.T) (modules string) {
	t.Helper()
	modules, err := installation()
	if err == nil {
		return modules
	}
	if os.Getenv(requireNode) != "" {
		t.Fatalf("there is no Node to test with, and %s is set: %v", requireNode, err)
	}
	t.Skipf("skipped: there is no Node to test with: %v", err)
	return ""
}

// script is a running script. It reads its standard input to the end and then ends itself, at the latest; what it writes
// is one JSON value per line.
type script struct {
	t       *testing.T
	name    string
	command *exec.Cmd
	stdin   io.WriteCloser
	lines   *bufio.Reader
	errors  bytes.Buffer
	stop    func() error
}

// runScript starts one of the scripts, until the test is over.
func runScript(t *testing.T, name string, arguments ...string) *script {
	t.Helper()
	modules := needNode(t)
	s := &script{t: t, name: name, command: exec.Command("node", append([]string{filepath.Join(scripts, name)}, arguments...)...)}
	s.command.Env = append(os.Environ(), "NODE_PATH="+modules)
	s.command.Stderr = &s.errors
	out, err := s.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if s.stdin, err = s.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	s.lines = bufio.NewReader(out)
	kill := time.AfterFunc(patience, func() { _ = s.command.Process.Kill() })
	s.stop = sync.OnceValue(func() error {
		defer kill.Stop()
		_ = s.stdin.Close()
		_, err := io.Copy(io.Discard, s.lines)
		return errors.Join(err, s.command.Wait())
	})
	t.Cleanup(s.end)
	return s
}

// end waits until the script has ended, which must be well.
func (s *script) end() {
	s.t.Helper()
	if err := s.stop(); err != nil {
		s.t.Errorf("%s: %v\n%s", s.name, err, &s.errors)
	}
}

// read waits for the script's next line and decodes it.
func (s *script) read(into any) {
	s.t.Helper()
	line, err := s.lines.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, into)
	}
	if err != nil {
		s.t.Fatalf("%s said %q: %v (%v)\n%s", s.name, line, err, s.stop(), &s.errors)
	}
}

// runServer starts a script that serves, and returns its host and port.
func runServer(t *testing.T, name string, arguments ...string) (*script, string) {
	t.Helper()
	s := runScript(t, name, arguments...)
	var said struct{ Port int }
	s.read(&said)
	return s, fmt.Sprintf("127.0.0.1:%d", said.Port)
}
