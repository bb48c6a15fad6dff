// Package gotest reads the event stream of `go test -json` and folds it into
// results: which tests passed, failed or were skipped, how long they took, what
// the failed ones printed, and the figures that the passed ones report.
//
// A test for which no outcome was reported (its process died, or was killed at
// its time limit) counts as failed: silence is never success.
package gotest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// Status is the outcome of a test or of a whole package.
type Status string

// The outcomes, spelled as the event stream spells them.
const (
	Passed  Status = "pass"
	Failed  Status = "fail"
	Skipped Status = "skip"
)

// Result is the outcome of one test. Test is its full name, subtests joined by
// slashes. Output is kept for tests that did not pass; of one that passed, only
// the Figures are: the lines that it logged with [FigureMark] in front.
type Result struct {
	Package string
	Test    string
	Status  Status
	Seconds float64
	Output  string
	Figures []string
}

// FigureMark begins a line that a test logs for people to see though it passes:
//
//	t.Logf("figure: %d bytes for each", n)
const FigureMark = "figure: "

// TopLevel reports whether the result belongs to a test function rather than
// to one of its subtests.
func (r Result) TopLevel() bool { return !strings.Contains(r.Test, "/") }

// Package is the outcome of one package. A package without tests is Skipped. A
// package that did not compile has BuildFailed set and carries the compiler's
// output. Output is what was printed outside of any test.
type Package struct {
	Name        string
	Status      Status
	Seconds     float64
	Cached      bool
	BuildFailed bool
	Output      string
	Tests       []Result
}

// Count returns how many tests of the package, subtests included, ended so.
func (p *Package) Count(s Status) int {
	n := 0
	for _, r := range p.Tests {
		if r.Status == s {
			n++
		}
	}
	return n
}

// Report is everything one run of `go test` said. Foreign holds the lines that
// were not events, such as the messages of the go command itself.
type Report struct {
	Packages []*Package
	Foreign  []string
}

// Tests returns the results of all packages.
func (r *Report) Tests() []Result {
	var all []Result
	for _, p := range r.Packages {
		all = append(all, p.Tests...)
	}
	return all
}

// Count returns how many tests of all packages, subtests included, ended so.
func (r *Report) Count(s Status) int {
	n := 0
	for _, p := range r.Packages {
		n += p.Count(s)
	}
	return n
}

// Failed reports whether anything went wrong: a test, a package outside of its
// tests, or a build.
func (r *Report) Failed() bool {
	return slices.ContainsFunc(r.Packages, func(p *Package) bool { return p.Status == Failed })
}

// event is one line of the stream, as documented by `go doc test2json` and `go help buildjson`.
type event struct {
	Action      string
	Package     string
	ImportPath  string
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string
}

// Read consumes the stream until its end. Each package is handed to done as
// soon as it is complete; done may be nil. The error is the reader's.
func Read(stream io.Reader, done func(*Package)) (*Report, error) {
	if done == nil {
		done = func(*Package) {}
	}
	f := folder{open: map[string]*running{}, builds: map[string]*strings.Builder{}, done: done}
	lines := bufio.NewReader(stream)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			f.line(strings.TrimSuffix(line, "\n"))
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return &f.report, fmt.Errorf("reading test events: %w", err)
		}
	}
	f.abandon()
	return &f.report, nil
}

// running is a package that has not ended yet.
type running struct {
	outside strings.Builder
	started []string
	output  map[string]*strings.Builder
	result  Package
}

// folder turns events into the report; it belongs to one Read.
type folder struct {
	report Report
	open   map[string]*running
	builds map[string]*strings.Builder
	done   func(*Package)
}

func (f *folder) line(text string) {
	var e event
	if !strings.HasPrefix(text, "{") || json.Unmarshal([]byte(text), &e) != nil || e.Action == "" {
		if text != "" {
			f.report.Foreign = append(f.report.Foreign, text)
		}
		return
	}
	if e.Package == "" {
		f.build(e)
		return
	}
	p := f.open[e.Package]
	if p == nil {
		p = &running{output: map[string]*strings.Builder{}, result: Package{Name: e.Package}}
		f.open[e.Package] = p
	}
	if e.Test != "" {
		p.test(e)
		return
	}
	switch e.Action {
	case "output":
		p.outside.WriteString(e.Output)
	case "pass", "fail", "skip":
		f.end(p, e)
	}
}

func (f *folder) build(e event) {
	if e.ImportPath == "" {
		return
	}
	b := f.builds[e.ImportPath]
	if b == nil {
		b = &strings.Builder{}
		f.builds[e.ImportPath] = b
	}
	b.WriteString(e.Output)
}

func (p *running) test(e event) {
	out := p.output[e.Test]
	if out == nil {
		out = &strings.Builder{}
		p.output[e.Test] = out
		p.started = append(p.started, e.Test)
	}
	switch e.Action {
	case "output":
		if !chatter(e.Output) {
			out.WriteString(e.Output)
		}
	case "pass", "fail", "skip":
		r := Result{Package: e.Package, Test: e.Test, Status: Status(e.Action), Seconds: e.Elapsed}
		if r.Status == Passed {
			r.Figures = figures(out.String())
		} else {
			r.Output = out.String()
		}
		p.result.Tests = append(p.result.Tests, r)
		p.started = slices.DeleteFunc(p.started, func(name string) bool { return name == e.Test })
		out.Reset()
	}
}

// logged is how the testing package writes a line that begins with a figure: behind the place that logs it.
var logged = regexp.MustCompile(`(?m)^ +\S+\.go:\d+: ` + FigureMark + `(.*)$`)

func figures(output string) []string {
	var found []string
	for _, match := range logged.FindAllStringSubmatch(output, -1) {
		found = append(found, match[1])
	}
	return found
}

// chatter recognises the lines in which the test binary only announces what
// it does next.
func chatter(line string) bool {
	for _, word := range []string{"=== RUN ", "=== PAUSE ", "=== CONT ", "=== NAME "} {
		if strings.HasPrefix(line, word) {
			return true
		}
	}
	return false
}

func (f *folder) end(p *running, e event) {
	p.result.Status, p.result.Seconds = Status(e.Action), e.Elapsed
	p.unfinished()
	p.result.Output = p.outside.String()
	p.result.Cached = strings.Contains(p.result.Output, "\t(cached)")
	if e.FailedBuild != "" {
		p.result.BuildFailed = true
		if b := f.builds[e.FailedBuild]; b != nil {
			p.result.Output = b.String() + p.result.Output
		}
	}
	f.close(p)
}

// unfinished records every test that started and never ended as failed.
func (p *running) unfinished() {
	for _, name := range p.started {
		p.result.Status = Failed
		p.result.Tests = append(p.result.Tests, Result{
			Package: p.result.Name, Test: name, Status: Failed,
			Output: p.output[name].String() + "(the test did not finish)\n",
		})
	}
	p.started = nil
}

func (f *folder) close(p *running) {
	delete(f.open, p.result.Name)
	f.report.Packages = append(f.report.Packages, &p.result)
	f.done(&p.result)
}

// abandon closes, as failed, the packages whose end the stream never told.
func (f *folder) abandon() {
	var names []string
	for name := range f.open {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p := f.open[name]
		p.result.Status = Failed
		p.unfinished()
		p.result.Output = p.outside.String() + "(the stream ended before the package did)\n"
		f.close(p)
	}
}
