package main

import (
	"fmt"
	"strings"
	"testing"
)

const (
	passing = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}
`
	passed  = `{"Action":"pass","Package":"p","Elapsed":0.2}` + "\n"
	failing = `{"Action":"run","Package":"p","Test":"TestBad"}
{"Action":"output","Package":"p","Test":"TestBad","Output":"want 1, got 2\n"}
{"Action":"fail","Package":"p","Test":"TestBad","Elapsed":0.1}
`
	failed  = `{"Action":"fail","Package":"p","Elapsed":0.2}` + "\n"
	skipped = `{"Action":"run","Package":"p","Test":"TestMaybe"}
{"Action":"output","Package":"p","Test":"TestMaybe","Output":"no browser here\n"}
{"Action":"skip","Package":"p","Test":"TestMaybe"}
`
	telling = `{"Action":"run","Package":"p","Test":"TestTells"}
{"Action":"output","Package":"p","Test":"TestTells","Output":"    a_test.go:7: figure: 12 bytes for each\n"}
{"Action":"pass","Package":"p","Test":"TestTells"}
`
	leak   = `{"Action":"output","Package":"p","Output":"leaked goroutine 7\n"}` + "\n"
	broken = `{"ImportPath":"p","Action":"build-output","Output":"a.go:1:1: syntax error\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"fail","Package":"p","FailedBuild":"p"}
`
)

func TestVerdictAndTotals(t *testing.T) {
	cases := []struct {
		name, stream string
		forbidSkips  bool
		ok           bool
		says         []string
	}{
		{"all pass", passing + passed, false, true, []string{"ok    p: 1 tests, 0.2 s", "Slowest 1:", "   0.10 s  p TestA"}},
		{"one fails", passing + failing + failed, false, false, []string{"FAIL  p: 1 of 2 tests", "want 1, got 2", "Failed:\n  p TestBad"}},
		{"leak after the tests", passing + leak + failed, false, false, []string{"leaked goroutine 7"}},
		{"does not build", broken, false, false, []string{"FAIL  p: does not build\na.go:1:1: syntax error"}},
		{"nothing ran", `{"Action":"skip","Package":"p"}` + "\n", false, false, []string{"No test ran"}},
		{"empty stream", "", false, false, []string{"No test ran"}},
		{"only the go command spoke", "go: no such package\n", false, false, []string{"go: no such package"}},
		{"skip allowed", passing + skipped + passed, false, true, []string{"Skipped:\n  p TestMaybe", "no browser here"}},
		{"skip forbidden", passing + skipped + passed, true, false, []string{"skipping is forbidden"}},
		{"figures", passing + telling + passed, false, true, []string{"Figures:\n  p TestTells\n      12 bytes for each\n"}},
		{"died half-way", passing, false, false, []string{"the stream ended"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			if ok := run(strings.NewReader(c.stream), &out, c.forbidSkips); ok != c.ok {
				t.Errorf("success = %v, want %v", ok, c.ok)
			}
			for _, want := range c.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("missing %q in:\n%s", want, out.String())
				}
			}
		})
	}
}

func TestLastLineIsTheTotals(t *testing.T) {
	var out strings.Builder
	run(strings.NewReader(passing+failing+skipped+failed), &out, false)
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if last := lines[len(lines)-1]; last != "1 passed, 1 failed, 1 skipped" {
		t.Fatalf("last line: %q", last)
	}
}

func TestSlowestTenAreOrdered(t *testing.T) {
	var stream, out strings.Builder
	for i := range 12 {
		fmt.Fprintf(&stream, `{"Action":"pass","Package":"p","Test":"Test%d","Elapsed":%d}`+"\n", i, i)
	}
	stream.WriteString(`{"Action":"pass","Package":"p","Test":"Test11/sub","Elapsed":11}` + "\n" + passed)
	run(strings.NewReader(stream.String()), &out, false)
	text := out.String()
	first, last := strings.Index(text, "p Test11\n"), strings.Index(text, "p Test2\n")
	if first < 0 || last < first || strings.Contains(text, "p Test1\n") || strings.Contains(text, "Test11/sub") {
		t.Fatalf("table:\n%s", text)
	}
}
