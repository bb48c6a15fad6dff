// Testreport turns the event stream of `go test -json`, read from standard
// input, into what a person wants to see: one line per package, failures in
// full, skipped tests by name, the figures that tests report, the slowest ten,
// and a last line of totals.
//
//	go test -json ./... | testreport [-forbid-skips]
//
// It exits with status 1 if anything failed, if no test ran at all, or, with
// -forbid-skips, if a test was skipped.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"culvert/cmd/internal/gotest"
)

// slowestShown is how many of the slowest test functions are listed.
const slowestShown = 10

func main() {
	forbidSkips := flag.Bool("forbid-skips", false, "treat a skipped test as a failure")
	flag.Parse()
	if !run(os.Stdin, os.Stdout, *forbidSkips) {
		os.Exit(1)
	}
}

// run reports on the stream and says whether the run counts as a success.
func run(stream io.Reader, out io.Writer, forbidSkips bool) bool {
	report, err := gotest.Read(stream, func(p *gotest.Package) { printPackage(out, p) })
	for _, line := range report.Foreign {
		fmt.Fprintln(out, line)
	}
	if err != nil {
		fmt.Fprintln(out, err)
	}
	tests := report.Tests()
	passed, failed, skipped := report.Count(gotest.Passed), report.Count(gotest.Failed), report.Count(gotest.Skipped)
	printNames(out, "Skipped", tests, gotest.Skipped)
	printFigures(out, tests)
	printSlowest(out, tests)
	printNames(out, "Failed", tests, gotest.Failed)
	ok := err == nil && !report.Failed() && failed == 0
	if passed+failed == 0 {
		fmt.Fprintln(out, "\nNo test ran: that proves nothing and counts as a failure.")
		ok = false
	}
	if forbidSkips && skipped > 0 {
		fmt.Fprintln(out, "\nA test was skipped where skipping is forbidden: provide what it needs.")
		ok = false
	}
	fmt.Fprintf(out, "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	return ok
}

// printPackage prints the package's line, and what its failures printed.
func printPackage(out io.Writer, p *gotest.Package) {
	switch {
	case p.BuildFailed:
		fmt.Fprintf(out, "FAIL  %s: does not build\n%s", p.Name, p.Output)
	case p.Status == gotest.Skipped:
		fmt.Fprintf(out, "-     %s: no tests\n", p.Name)
	case p.Status == gotest.Passed:
		note := ""
		if p.Cached {
			note = ", cached"
		}
		fmt.Fprintf(out, "ok    %s: %d tests, %.1f s%s\n", p.Name, len(p.Tests), p.Seconds, note)
	default:
		fmt.Fprintf(out, "FAIL  %s: %d of %d tests, %.1f s\n", p.Name, p.Count(gotest.Failed), len(p.Tests), p.Seconds)
		for _, r := range p.Tests {
			if r.Status == gotest.Failed {
				fmt.Fprint(out, indent(r.Output))
			}
		}
		fmt.Fprint(out, indent(p.Output))
	}
}

func indent(text string) string {
	if text == "" {
		return ""
	}
	return "      " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n      ") + "\n"
}

func printNames(out io.Writer, title string, tests []gotest.Result, status gotest.Status) {
	first := true
	for _, r := range tests {
		if r.Status != status {
			continue
		}
		if first {
			fmt.Fprintf(out, "\n%s:\n", title)
			first = false
		}
		fmt.Fprintf(out, "  %s %s\n", r.Package, r.Test)
		if status == gotest.Skipped {
			fmt.Fprint(out, indent(r.Output))
		}
	}
}

// printFigures lists what tests that passed logged for people to see.
func printFigures(out io.Writer, tests []gotest.Result) {
	title := "\nFigures:\n"
	for _, r := range tests {
		for i, figure := range r.Figures {
			if i == 0 {
				fmt.Fprintf(out, "%s  %s %s\n", title, r.Package, r.Test)
				title = ""
			}
			fmt.Fprint(out, indent(figure))
		}
	}
}

// printSlowest lists test functions only: a subtest's time is part of its
// parent's, and listing both would fill the table with one test.
func printSlowest(out io.Writer, tests []gotest.Result) {
	var top []gotest.Result
	for _, r := range tests {
		if r.TopLevel() {
			top = append(top, r)
		}
	}
	slices.SortStableFunc(top, func(a, b gotest.Result) int { return cmp.Compare(b.Seconds, a.Seconds) })
	if len(top) == 0 {
		return
	}
	fmt.Fprintf(out, "\nSlowest %d:\n", min(slowestShown, len(top)))
	for _, r := range top[:min(slowestShown, len(top))] {
		fmt.Fprintf(out, "  %7.2f s  %s %s\n", r.Seconds, r.Package, r.Test)
	}
}
