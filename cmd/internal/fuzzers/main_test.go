package main

import (
	"slices"
	"testing"
)

func TestFuzzFunctionsAreFound(t *testing.T) {
	source := `package p
import "testing"
func FuzzHead(f *testing.F) {}
func TestHead(t *testing.T) {}
func FuzzyHelper(s string) {}
func (x T) FuzzMethod(f *testing.F) {}
func Fuzz(t *testing.T) {}
`
	names, err := fuzzFunctions("p_test.go", []byte(source))
	if err != nil || !slices.Equal(names, []string{"FuzzHead"}) {
		t.Fatalf("found %v, %v", names, err)
	}
	if _, err := fuzzFunctions("p_test.go", []byte("package")); err == nil {
		t.Fatal("no error from a file that does not parse")
	}
}

func TestJudge(t *testing.T) {
	const progress = "fuzz: elapsed: 3s, execs: 4711 (1570/sec), new interesting: 1 (total: 9)\n"
	cases := []struct {
		name, out string
		success   bool
		ok        bool
	}{
		{"clean run", progress + "PASS\nok  \tp\t3.1s\n", true, true},
		{"nothing matched", "testing: warning: no fuzz tests to fuzz\nPASS\n", true, false},
		{"no input was tried", "PASS\nok  \tp\t0.1s\n", true, false},
		{"does not build", "p/a.go:1:1: syntax error\nFAIL\tp [build failed]\n", false, false},
		{"only the deadline", progress + "--- FAIL: FuzzHead (3.20s)\n    context deadline exceeded\nFAIL\nexit status 1\nFAIL\tp\t3.2s\n", false, true},
		{"finding", progress + "--- FAIL: FuzzHead (1.20s)\n    --- FAIL: FuzzHead (0.00s)\n        h_test.go:9: differs\n    Failing input written to testdata/fuzz/FuzzHead/1\nFAIL\n", false, false},
		{"finding and deadline", progress + "    context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzHead/1\nFAIL\n", false, false},
		{"silent death", progress + "FAIL\nexit status 1\n", false, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if verdict, ok := judge(c.out, c.success); ok != c.ok {
				t.Errorf("ok = %v (%s), want %v", ok, verdict, c.ok)
			}
		})
	}
}
