package main

import (
	"os"
	"strings"
	"testing"
)

func sample(failed, argued map[string]string) report {
	s := &suite{name: "s", title: "a suite", revision: "1", cases: []*testCase{{id: "s/a", group: "g"}, {id: "s/b", group: "g"}}}
	return report{suites: []*suite{s}, columns: []column{{program: programCulvert, failed: failed}}, argued: argued}
}

func TestFailuresMustBeThoseExpected(t *testing.T) {
	cases := []struct {
		failed, argued map[string]string
		complete       bool
		problem        string
	}{
		{nil, nil, false, ""},
		{map[string]string{"s/a": "wrong"}, map[string]string{"s/a": "right"}, false, ""},
		{map[string]string{"s/a": "wrong"}, nil, false, "a new failure, s/a: wrong"},
		{nil, map[string]string{"s/a": "right"}, false, "an unexpected pass, s/a"},
		{nil, map[string]string{"s/c": "right"}, false, ""},
		{nil, map[string]string{"s/c": "right"}, true, "no such case, s/c"},
		{nil, nil, true, "2 cases, fewer than"},
	}
	for _, c := range cases {
		err := sample(c.failed, c.argued).check(c.complete)
		if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("failed %v, argued %v: %v, want %q", c.failed, c.argued, err, c.problem)
		}
	}
}

func TestExpectedFailuresHaveArguments(t *testing.T) {
	argued, err := parseExpected("# comment\n\na  because\nb because of b\n")
	if err != nil || len(argued) != 2 || argued["a"] != "because" || argued["b"] != "because of b" {
		t.Errorf("read %v, %v", argued, err)
	}
	for _, text := range []string{"a\n", "a \n", "a x\na y\n"} {
		if _, err := parseExpected(text); err == nil {
			t.Errorf("no error from %q", text)
		}
	}
	if argued, err = loadExpected(); err != nil || len(argued) == 0 {
		t.Errorf("expected.txt: %d, %v", len(argued), err)
	}
}

// TestDocumentTellsOfTheExpectedFailures: the page is written by a run, the list by hand.
func TestDocumentTellsOfTheExpectedFailures(t *testing.T) {
	text, err := os.ReadFile("../../../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	argued, err := loadExpected()
	if err != nil {
		t.Fatal(err)
	}
	for id, argument := range argued {
		if !strings.Contains(string(text), "| "+argument+" |") {
			t.Errorf("docs/conformance.md does not have the argument of %s", id)
		}
	}
}

func TestDocumentIsCompared(t *testing.T) {
	r := sample(map[string]string{"s/a": "wrong"}, map[string]string{"s/a": "right"})
	text := r.document()
	if err := r.checkDocument(text); err != nil {
		t.Error(err)
	}
	r.columns[0].failed = nil
	if err := r.checkDocument(text); err == nil {
		t.Error("no error from a page with other numbers")
	}
	r.suites[0].revision = "2"
	if err := r.checkDocument(text); err != nil {
		t.Errorf("a page of another revision is compared: %v", err)
	}
}
