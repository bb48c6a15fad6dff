package main

import (
	"fmt"
	"slices"
	"strings"
)

// opening stands before the tables.
const opening = `# Conformance

` + "`make conformance`" + ` runs suites that nobody here wrote against Culvert; ` + "`make check`" + ` includes it. This page is written by
` + "`make conformance CONFORMANCE_FLAGS=-peers`" + `, which runs nginx and HAProxy too, each as it comes but for what a plain reverse
proxy needs (cmd/internal/conformance/proxy.go).

## Sources

`

const method = `
Nothing of them is part of this tree. They are obtained when the run begins, Go's by the distribution that builds
Culvert, http-parser's by scripts/conformance-sources.sh as Debian's source package, and run as they are with a few
lines put into a copy, which tell each input and the verdict that the suite demands. So the demand is always one that the
suite's own subject meets on this machine. Where a source cannot be had its cases are skipped by name;
with CULVERT_REQUIRE_CONFORMANCE set, as in CI, that is a failure.

## Cases

A case is bytes that a client sends through the proxy to a recording backend, or bytes with which a backend answers.

| the suite says | of a request | of a response |
| --- | --- | --- |
| accepted | it reaches the backend as often as it was sent, with the same method, target and body, and the client gets the answers | the client gets the same status and, where the suite tells it, the same body, whole |
| refused | the proxy answers 4xx or 5xx (or cuts a body whose head has passed); no request reaches the backend whole, and of a broken head nothing | the proxy answers 5xx, or cuts what it has begun to relay |
| incomplete | no request reaches the backend whole | as refused |

- A target in absolute form may become one in origin form (RFC 9112, section 3.2.1).
- The suites test parsers, which leave Host to their caller: a request of HTTP/1.1 without one is given one that
  agrees with its target, except where the suite's subject is a server.
- Sizes, lengths and codings, which the suites test on their own, are put into a request and into a response.
- *pipelined* is each request that the suite has three times in a row, all sent at once.

## Results

`

const failuresOpening = `
## What Culvert fails, and why that stands

The list is cmd/internal/conformance/expected.txt, one line a case. A failure that is not in it fails the run, and so does
a case of it that passes. Some suites demand what others forbid; none of these is the only way to read the RFCs. The last
columns tell for how many of the cases the peers do what the suite demands.

| cases | argument | nginx | HAProxy |
| --- | --- | --- | --- |
`

// document is docs/conformance.md.
func (r report) document() string {
	var out strings.Builder
	out.WriteString(opening)
	out.WriteString("| source | revision | cases |\n| --- | --- | --- |\n")
	for _, s := range r.suites {
		fmt.Fprintf(&out, "%s %d |\n", s.revisionRow(), len(s.cases))
	}
	out.WriteString(method)
	r.results(&out)
	out.WriteString(failuresOpening)
	r.arguments(&out)
	return out.String()
}

// revisionRow is the beginning of the suite's row among the sources.
func (s *suite) revisionRow() string { return fmt.Sprintf("| %s | %s |", s.title, s.revision) }

// checkDocument reports whether the document's numbers of Culvert are those of this run. One that tells of other
// revisions is not compared: it says so itself.
func (r report) checkDocument(text string) error {
	for _, s := range r.suites {
		if !strings.Contains(text, s.revisionRow()) {
			fmt.Printf("docs/conformance.md is not of %s %s, and has not been compared\n", s.name, s.revision)
			return nil
		}
	}
	own := report{suites: r.suites, columns: r.columns[:1], argued: r.argued}
	var rows strings.Builder
	own.results(&rows)
	own.arguments(&rows)
	for row := range strings.Lines(rows.String()) {
		row = strings.TrimSpace(row)
		if !strings.Contains(text, "\n"+row) {
			return fmt.Errorf("docs/conformance.md does not say %q: write it anew with make conformance CONFORMANCE_FLAGS=-peers", row)
		}
	}
	return nil
}

// results writes a table with a row per test of the suites: how many cases each proxy passes.
func (r report) results(out *strings.Builder) {
	out.WriteString("| source | test | cases |")
	for _, c := range r.columns {
		fmt.Fprintf(out, " %s |", titles[c.program])
	}
	out.WriteString("\n| --- | --- | --- |" + strings.Repeat(" --- |", len(r.columns)) + "\n")
	row := func(source, test string, cases []*testCase) {
		fmt.Fprintf(out, "| %s | %s | %d |", source, test, len(cases))
		for _, c := range r.columns {
			fmt.Fprintf(out, " %d |", c.tally(cases))
		}
		out.WriteString("\n")
	}
	for _, s := range r.suites {
		names, cases := s.groups()
		for _, name := range names {
			row(s.name, name, cases[name])
		}
	}
	row("**together**", "", r.all())
	for _, want := range []string{wantAccept, wantRefuse, wantIncomplete} {
		cases := slices.DeleteFunc(r.all(), func(c *testCase) bool { return c.want != want })
		row("of these", "demand: "+want, cases)
	}
	out.WriteString("\n")
	for _, c := range r.columns[1:] {
		fmt.Fprintf(out, "- %s: %s\n", titles[c.program], c.version)
	}
}

// arguments writes a row per argument.
func (r report) arguments(out *strings.Builder) {
	var order []string
	cases := map[string][]*testCase{}
	for _, t := range r.all() {
		argument := r.argued[t.id]
		if argument == "" {
			continue
		}
		if !slices.Contains(order, argument) {
			order = append(order, argument)
		}
		cases[argument] = append(cases[argument], t)
	}
	for _, argument := range order {
		fmt.Fprintf(out, "| %d | %s |", len(cases[argument]), argument)
		for _, c := range r.columns[1:] {
			fmt.Fprintf(out, " %d |", c.tally(cases[argument]))
		}
		out.WriteString("\n")
	}
}
