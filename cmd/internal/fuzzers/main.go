// Fuzzers finds every fuzz function of the module and runs each for the same
// time, one after the other, so that a new fuzzer needs no registration.
//
//	fuzzers [-seconds 5] [-run regexp] [packages]
//
// It exits with status 1 if a fuzzer finds something, if one does not start, or
// if there is none.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// startSeconds is what a fuzzer may take, beyond its fuzzing time, to be built,
// to replay its corpus and to stop.
const startSeconds = 240

// fuzzer is one fuzz function.
type fuzzer struct {
	Package string
	Name    string
}

func main() {
	seconds := flag.Int("seconds", 5, "how long each fuzzer runs, in seconds")
	only := flag.String("run", "", "run only fuzzers whose name matches this regular expression")
	flag.Parse()
	packages := flag.Args()
	if len(packages) == 0 {
		packages = []string{"./..."}
	}
	if err := run(packages, *only, *seconds); err != nil {
		fmt.Fprintln(os.Stderr, "fuzzers:", err)
		os.Exit(1)
	}
}

func run(packages []string, only string, seconds int) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	all, err := discover(packages)
	if err != nil {
		return err
	}
	ran, failed := 0, 0
	for _, f := range all {
		if !wanted.MatchString(f.Name) {
			continue
		}
		ran++
		if !fuzz(f, seconds) {
			failed++
		}
	}
	fmt.Printf("\n%d fuzzers ran for %d s each, %d failed\n", ran, seconds, failed)
	if ran == 0 {
		return errors.New("no fuzzer found: that proves nothing and counts as a failure")
	}
	if failed > 0 {
		return errors.New("a fuzzer failed; its input is in the testdata/fuzz folder named above")
	}
	return nil
}

// discover lists the fuzz functions in the test files that the go command
// would compile here.
func discover(packages []string) ([]fuzzer, error) {
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles"}, packages...)...)
	cmd.Stderr = os.Stderr
	listing, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing packages: %w", err)
	}
	var found []fuzzer
	for stream := json.NewDecoder(bytes.NewReader(listing)); ; {
		var p struct {
			ImportPath, Dir           string
			TestGoFiles, XTestGoFiles []string
		}
		if err := stream.Decode(&p); err == io.EOF {
			return found, nil
		} else if err != nil {
			return nil, fmt.Errorf("listing packages: %w", err)
		}
		for _, name := range append(p.TestGoFiles, p.XTestGoFiles...) {
			source, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				return nil, err
			}
			names, err := fuzzFunctions(name, source)
			if err != nil {
				return nil, err
			}
			for _, n := range names {
				found = append(found, fuzzer{p.ImportPath, n})
			}
		}
	}
}

// fuzzFunctions returns the names of the fuzz functions declared in source.
func fuzzFunctions(path string, source []byte) ([]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Fuzz") && len(fn.Type.Params.List) == 1 {
			if p, ok := fn.Type.Params.List[0].Type.(*ast.StarExpr); ok {
				if s, ok := p.X.(*ast.SelectorExpr); ok && s.Sel.Name == "F" {
					names = append(names, fn.Name.Name)
				}
			}
		}
	}
	return names, nil
}

// patience is how many times as long a fuzzer may take that did nothing in its time but look at what earlier runs have
// found, of which a machine may have much.
const patience = 12

// fuzz runs one fuzzer and reports on it; false means that it failed.
func fuzz(f fuzzer, seconds int) bool {
	start := time.Now()
	out, verdict, ok := attempt(f, seconds)
	if strings.Contains(out, "gathering baseline coverage") && !executions.MatchString(out) {
		out, verdict, ok = attempt(f, patience*seconds)
	}
	fmt.Printf("%-5s %s %s: %s (%.0f s)\n", map[bool]string{true: "ok", false: "FAIL"}[ok],
		f.Package, f.Name, verdict, time.Since(start).Seconds())
	if !ok {
		fmt.Print(out)
	}
	return ok
}

// attempt runs one fuzzer for some seconds and judges what it prints.
func attempt(f fuzzer, seconds int) (out, verdict string, ok bool) {
	cmd := exec.Command("go", "test", "-run", "^"+f.Name+"$", "-fuzz", "^"+f.Name+"$",
		"-fuzztime", fmt.Sprintf("%ds", seconds), "-fuzzminimizetime", "5s",
		"-timeout", fmt.Sprintf("%ds", seconds+startSeconds), f.Package)
	printed, err := cmd.CombinedOutput()
	verdict, ok = judge(string(printed), err == nil)
	return string(printed), verdict, ok
}

var executions = regexp.MustCompile(`execs: (\d+) `)

// judge says what a fuzzer's output means.
//
// The go command, up to 1.26, sometimes reports the end of the fuzzing time
// itself as the failure "context deadline exceeded" (golang/go#75804). Such a
// run found nothing: no input was written and no other message was printed.
func judge(out string, success bool) (verdict string, ok bool) {
	if strings.Contains(out, "no fuzz tests to fuzz") {
		return "did not start", false
	}
	counts := executions.FindAllStringSubmatch(out, -1)
	if len(counts) == 0 {
		return "did not start", false
	}
	verdict = counts[len(counts)-1][1] + " inputs"
	if success {
		return verdict, true
	}
	if onlyTheDeadline(out) {
		return verdict + ", ended by its deadline", true
	}
	return "failed after " + verdict, false
}

// onlyTheDeadline reports whether the failure consists of nothing but the
// deadline's own message.
func onlyTheDeadline(out string) bool {
	deadline := false
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		switch {
		case line == "context deadline exceeded":
			deadline = true
		case line == "", line == "FAIL", line == "exit status 1",
			strings.HasPrefix(line, "fuzz: elapsed:"), strings.HasPrefix(line, "--- FAIL: Fuzz"),
			strings.HasPrefix(line, "FAIL\t"), strings.HasPrefix(line, "warning: starting with empty corpus"):
		default:
			return false
		}
	}
	return deadline
}
