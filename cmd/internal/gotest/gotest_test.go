package gotest

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func read(t *testing.T, lines ...string) *Report {
	t.Helper()
	report, err := Read(strings.NewReader(strings.Join(lines, "\n")+"\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestOutcomesAreCounted(t *testing.T) {
	r := read(t,
		`{"Action":"start","Package":"p"}`,
		`{"Action":"run","Package":"p","Test":"TestA"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: wrong\n"}`,
		`{"Action":"fail","Package":"p","Test":"TestA","Elapsed":0.5}`,
		`{"Action":"run","Package":"p","Test":"TestB/x"}`,
		`{"Action":"pass","Package":"p","Test":"TestB/x","Elapsed":0.25}`,
		`{"Action":"run","Package":"p","Test":"TestC"}`,
		`{"Action":"skip","Package":"p","Test":"TestC"}`,
		`{"Action":"fail","Package":"p","Elapsed":1}`,
	)
	if r.Count(Passed) != 1 || r.Count(Failed) != 1 || r.Count(Skipped) != 1 || !r.Failed() {
		t.Fatalf("counts: %d passed, %d failed, %d skipped", r.Count(Passed), r.Count(Failed), r.Count(Skipped))
	}
	a := r.Tests()[0]
	if a.Output != "    a_test.go:7: wrong\n" || a.Seconds != 0.5 || !a.TopLevel() || r.Tests()[1].TopLevel() {
		t.Fatalf("result: %+v", a)
	}
}

func TestFiguresOfWhatPassedAreKept(t *testing.T) {
	r := read(t,
		`{"Action":"run","Package":"p","Test":"TestA"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: figure: 12 bytes\n"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:8: no figure: at all\n"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:9: figure: 3 calls\n"}`,
		`{"Action":"pass","Package":"p","Test":"TestA"}`,
		`{"Action":"pass","Package":"p"}`,
	)
	if a := r.Tests()[0]; a.Output != "" || !slices.Equal(a.Figures, []string{"12 bytes", "3 calls"}) {
		t.Fatalf("result: %+v", a)
	}
}

func TestUnfinishedTestIsAFailure(t *testing.T) {
	r := read(t,
		`{"Action":"run","Package":"p","Test":"TestHangs"}`,
		`{"Action":"output","Package":"p","Test":"TestHangs","Output":"panic: test timed out\n"}`,
		`{"Action":"fail","Package":"p","Elapsed":1}`,
	)
	if r.Count(Failed) != 1 || !strings.Contains(r.Tests()[0].Output, "timed out") {
		t.Fatalf("results: %+v", r.Tests())
	}
}

func TestTruncatedStreamIsAFailure(t *testing.T) {
	r := read(t,
		`{"Action":"run","Package":"p","Test":"TestA"}`,
		`{"Action":"pass","Package":"p","Test":"TestA"}`,
	)
	if !r.Failed() {
		t.Fatal("a stream that ends before its package counts as a success")
	}
}

func TestBuildFailureCarriesTheCompilersOutput(t *testing.T) {
	r := read(t,
		`{"ImportPath":"p [p.test]","Action":"build-output","Output":"p/a.go:3:1: undefined: x\n"}`,
		`{"ImportPath":"p [p.test]","Action":"build-fail"}`,
		`{"Action":"start","Package":"p"}`,
		`{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}`,
		`{"Action":"fail","Package":"p","Elapsed":0,"FailedBuild":"p [p.test]"}`,
	)
	p := r.Packages[0]
	if !p.BuildFailed || !strings.HasPrefix(p.Output, "p/a.go:3:1: undefined: x\n") || !r.Failed() {
		t.Fatalf("package: %+v", p)
	}
}

func TestForeignLinesAreKept(t *testing.T) {
	r := read(t, "go: cannot find main module", `{"not":"an event"}`)
	if len(r.Foreign) != 2 || len(r.Packages) != 0 {
		t.Fatalf("report: %+v", r)
	}
}

func TestPackageWithoutTestsIsSkippedNotCounted(t *testing.T) {
	r := read(t,
		`{"Action":"output","Package":"p","Output":"?   \tp\t[no test files]\n"}`,
		`{"Action":"skip","Package":"p"}`,
	)
	if r.Count(Skipped) != 0 || r.Packages[0].Status != Skipped || r.Failed() {
		t.Fatalf("report: %+v", r.Packages[0])
	}
}

func TestReaderErrorIsReturned(t *testing.T) {
	closed, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	if _, err := Read(closed, nil); err == nil {
		t.Fatal("no error from a closed reader")
	}
}
