package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"culvert/cmd/internal/gotest"
	"culvert/cmd/internal/tidy"
)

// How long tests may take: the time limit that they are given, which ends a
// mutant that makes them hang, and the grace after which they are killed.
const (
	namedTestLimit = time.Minute
	suiteLimit     = 5 * time.Minute
	killGrace      = 30 * time.Second
)

// killersShown bounds the tests listed for one mutant.
const killersShown = 3

// A verdict says what became of a mutant.
type verdict string

const (
	killed    verdict = "killed"    // by the test that its header names
	elsewhere verdict = "elsewhere" // killed, but by other tests
	survived  verdict = "SURVIVED"  // no test noticed
	invalid   verdict = "INVALID"   // the attempt proves nothing
)

// A result is a row of the table.
type result struct {
	name    string
	verdict verdict
	detail  string
	seconds float64
}

// A laboratory is a temporary copy of the tree in which mutants are tried one
// after the other. It stays at one path, so that the go command's cache serves
// every package that a mutant does not touch.
type laboratory struct {
	ctx   context.Context // ends everything that runs
	dir   string
	suite []string
}

// newLaboratory copies the tree at root.
func newLaboratory(ctx context.Context, root string) (*laboratory, error) {
	tree, err := tidy.Load(root)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "culvert-mutants-")
	if err != nil {
		return nil, err
	}
	lab := &laboratory{ctx: ctx, dir: dir}
	for _, f := range tree.Files {
		mode := os.FileMode(0o644)
		if f.Executable {
			mode = 0o755
		}
		full := lab.path(f.Path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return nil, errors.Join(err, lab.close())
		}
		if err := os.WriteFile(full, f.Source, mode); err != nil {
			return nil, errors.Join(err, lab.close())
		}
	}
	if out, err := lab.command(ctx, "build", "./...").CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("the tree does not compile as it is: %s", firstLine(out)), lab.close())
	}
	if lab.suite, err = lab.packages(); err != nil {
		return nil, errors.Join(err, lab.close())
	}
	return lab, nil
}

func (l *laboratory) close() error { return os.RemoveAll(l.dir) }

func (l *laboratory) path(name string) string { return filepath.Join(l.dir, filepath.FromSlash(name)) }

// packages lists what the whole suite consists of. Left out are the tests that
// look at the text of the code: they would notice any change, whatever it does.
func (l *laboratory) packages() ([]string, error) {
	cmd := exec.Command("go", "list", "./...")
	cmd.Dir = l.dir
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing packages: %w", err)
	}
	return slices.DeleteFunc(strings.Fields(string(out)), func(name string) bool {
		return strings.HasSuffix(name, "/cmd/internal/tidy") || strings.HasSuffix(name, "/cmd/internal/mutants")
	}), nil
}

// try puts a mutant into the copy, tests, and takes it out again.
func (l *laboratory) try(m *mutant) result {
	named := []string{"-run", m.tests, m.pkg}
	sound, err := l.test(namedTestLimit, named...)
	switch {
	case err != nil:
		return result{verdict: invalid, detail: err.Error()}
	case sound.Failed():
		return result{verdict: invalid, detail: "the named test fails without the mutant: " + failures(sound)}
	case sound.Count(gotest.Passed) == 0:
		return result{verdict: invalid, detail: fmt.Sprintf("no test in %s matches %s", m.pkg, m.tests)}
	}
	restore, err := l.put(m)
	if err != nil {
		return result{verdict: invalid, detail: err.Error()}
	}
	defer restore()
	if out, err := l.command(l.ctx, "build", "./...").CombinedOutput(); err != nil {
		return result{verdict: invalid, detail: "does not compile: " + firstLine(out)}
	}
	if r, done := l.judge(killed, namedTestLimit, append([]string{"-count=1"}, named...)...); done {
		return r
	}
	if r, done := l.judge(elsewhere, suiteLimit, l.suite...); done {
		return r
	}
	return result{verdict: survived, detail: "nothing: " + m.what}
}

// judge runs tests on the mutant; done means that the matter is decided.
func (l *laboratory) judge(success verdict, limit time.Duration, args ...string) (r result, done bool) {
	report, err := l.test(limit, args...)
	switch {
	case err != nil:
		return result{verdict: invalid, detail: err.Error()}, true
	case slices.ContainsFunc(report.Packages, func(p *gotest.Package) bool { return p.BuildFailed }):
		return result{verdict: invalid, detail: "the tests do not compile: " + failures(report)}, true
	case report.Failed():
		return result{verdict: success, detail: failures(report)}, true
	}
	return result{}, false
}

// put applies the mutant and returns what undoes it.
func (l *laboratory) put(m *mutant) (restore func(), err error) {
	saved := map[string][]byte{}
	restore = func() {
		for name, source := range saved {
			if err := os.WriteFile(name, source, 0o644); err != nil {
				panic(err) // every later result would be about two mutants at once
			}
		}
	}
	for _, f := range m.files {
		full := l.path(f.path)
		source, err := os.ReadFile(full)
		if err != nil {
			restore()
			return nil, err
		}
		changed, err := f.apply(string(source))
		if err != nil {
			restore()
			return nil, err
		}
		if _, ok := saved[full]; !ok {
			saved[full] = source
		}
		if err := os.WriteFile(full, []byte(changed), 0o644); err != nil {
			restore()
			return nil, err
		}
	}
	return restore, nil
}

// test runs go test and reads its events. That tests fail is no error. Vet is
// off: what it would find, no test has noticed.
func (l *laboratory) test(limit time.Duration, args ...string) (*gotest.Report, error) {
	ctx, cancel := context.WithTimeout(l.ctx, limit+killGrace)
	defer cancel()
	cmd := l.command(ctx, append([]string{"test", "-json", "-vet=off", "-timeout", limit.String()}, args...)...)
	stream, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	report, err := gotest.Read(stream, nil)
	if waitErr := cmd.Wait(); err == nil && waitErr != nil && !report.Failed() {
		err = fmt.Errorf("go test: %w: %s", waitErr, strings.Join(report.Foreign, "; "))
	}
	return report, err
}

// command prepares a go command in the copy, in a process group of its own, so
// that what its tests started ends with it.
func (l *laboratory) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = l.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// failures names the first few tests that failed, or the packages that failed
// outside of their tests.
func failures(report *gotest.Report) string {
	var names []string
	for _, p := range report.Packages {
		if p.Status == gotest.Failed && p.Count(gotest.Failed) == 0 {
			names = append(names, p.Name+" (outside of its tests)")
		}
		for _, r := range p.Tests {
			if r.Status == gotest.Failed && r.TopLevel() {
				names = append(names, r.Test)
			}
		}
	}
	if more := len(names) - killersShown; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:killersShown], ", "), more)
	}
	return strings.Join(names, ", ")
}

// firstLine returns the compiler's first message.
func firstLine(out []byte) string {
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
