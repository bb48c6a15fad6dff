package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// A report is all that a run has found.
type report struct {
	suites  []*suite
	columns []column // Culvert's first
	argued  map[string]string
}

// titles are the names of the proxies in tables.
var titles = map[string]string{programCulvert: "Culvert", programNginx: "nginx", programHAProxy: "HAProxy"}

// tally counts the cases for which a proxy passed.
func (c column) tally(cases []*testCase) (passed int) {
	for _, t := range cases {
		if _, failed := c.failed[t.id]; !failed {
			passed++
		}
	}
	return passed
}

func (r report) all() []*testCase {
	var all []*testCase
	for _, s := range r.suites {
		all = append(all, s.cases...)
	}
	return all
}

// groups returns the suite's cases by the test they come from, in order.
func (s *suite) groups() (names []string, cases map[string][]*testCase) {
	cases = map[string][]*testCase{}
	for _, c := range s.cases {
		if cases[c.group] == nil {
			names = append(names, c.group)
		}
		cases[c.group] = append(cases[c.group], c)
	}
	return names, cases
}

// summary is the table for the terminal.
func (r report) summary() string {
	var out strings.Builder
	table := tabwriter.NewWriter(&out, 0, 8, 2, ' ', 0)
	fmt.Fprint(table, "source\tcases")
	for _, c := range r.columns {
		fmt.Fprintf(table, "\t%s passed", titles[c.program])
	}
	fmt.Fprintln(table, "\texpected failures of Culvert")
	row := func(name string, cases []*testCase) {
		fmt.Fprintf(table, "%s\t%d", name, len(cases))
		for _, c := range r.columns {
			fmt.Fprintf(table, "\t%d", c.tally(cases))
		}
		argued := 0
		for _, t := range cases {
			if r.argued[t.id] != "" {
				argued++
			}
		}
		fmt.Fprintf(table, "\t%d\n", argued)
	}
	for _, s := range r.suites {
		row(s.name+" "+s.revision, s.cases)
	}
	row("together", r.all())
	table.Flush()
	return out.String()
}

// failures lists what went wrong where.
func (r report) failures() string {
	var out strings.Builder
	for _, t := range r.all() {
		for _, c := range r.columns {
			if wrong, failed := c.failed[t.id]; failed {
				fmt.Fprintf(&out, "%s %s: %s\n    %.300q\n", c.program, t.id, wrong, t.raw)
			}
		}
	}
	return out.String()
}

// check compares Culvert's failures with those that are argued.
func (r report) check(complete bool) error {
	var problems []string
	failed, run := r.columns[0].failed, map[string]bool{}
	for _, t := range r.all() {
		run[t.id] = true
		wrong, isFailure := failed[t.id]
		switch {
		case isFailure && r.argued[t.id] == "":
			problems = append(problems, fmt.Sprintf("a new failure, %s: %s\n    %.300q", t.id, wrong, t.raw))
		case !isFailure && r.argued[t.id] != "":
			problems = append(problems, fmt.Sprintf("an unexpected pass, %s: take it out of expected.txt", t.id))
		}
	}
	if complete {
		for id := range r.argued {
			if !run[id] {
				problems = append(problems, fmt.Sprintf("no such case, %s: take it out of expected.txt", id))
			}
		}
		if len(run) < leastCases {
			problems = append(problems, fmt.Sprintf("%d cases, fewer than %d: a source gives less than it did", len(run), leastCases))
		}
	}
	if len(problems) > 0 {
		slices.Sort(problems)
		return errors.New(strings.Join(problems, "\n") + "\n(the list is that of the revisions in docs/conformance.md)")
	}
	return nil
}
