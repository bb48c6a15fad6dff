package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../../.."

// leastMutants is how many there must be: a folder that was moved or emptied proves nothing.
const leastMutants = 20

// TestPatchesStillApply keeps the mutants alive while the code around them changes.
func TestPatchesStillApply(t *testing.T) {
	all, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < leastMutants {
		t.Fatalf("there are %d mutants, want at least %d", len(all), leastMutants)
	}
	for _, m := range all {
		t.Run(m.name, func(t *testing.T) {
			for _, f := range m.files {
				source, err := os.ReadFile(filepath.Join(root, f.path))
				if err != nil {
					t.Fatal(err)
				}
				changed, err := f.apply(string(source))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := parser.ParseFile(token.NewFileSet(), f.path, changed, 0); err != nil {
					t.Fatalf("the mutant does not parse: %v", err)
				}
			}
			if !testExists(t, m) {
				t.Fatalf("no test in %s matches %s", m.pkg, m.tests)
			}
		})
	}
}

// testExists reports whether the test that is to kill the mutant is there.
func testExists(t *testing.T, m *mutant) bool {
	t.Helper()
	first, _, _ := strings.Cut(m.tests, "/")
	wanted := regexp.MustCompile(first)
	paths, err := filepath.Glob(filepath.Join(root, m.pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && wanted.MatchString(fn.Name.Name) &&
				(strings.HasPrefix(fn.Name.Name, "Test") || strings.HasPrefix(fn.Name.Name, "Fuzz") || strings.HasPrefix(fn.Name.Name, "Example")) {
				return true
			}
		}
	}
	return false
}

const (
	header = "What: it is broken\nKill: ./p ^TestX$\n"
	names  = "--- a/p/a.go\n+++ b/p/a.go\n"
	change = "@@ -2,3 +2,3 @@ func\n b\n-c\n+C\n d\n"
)

func TestParse(t *testing.T) {
	m, err := parse("x.patch", header+names+change)
	if err != nil {
		t.Fatal(err)
	}
	if m.name != "x" || m.what != "it is broken" || m.pkg != "./p" || m.tests != "^TestX$" || len(m.files) != 1 {
		t.Fatalf("parsed: %+v", m)
	}
}

func TestParseRefuses(t *testing.T) {
	cases := map[string]string{
		"no header":         names + change,
		"no test named":     "What: x\nKill: ./p\n" + names + change,
		"bad expression":    "What: x\nKill: ./p (\n" + names + change,
		"no diff":           header,
		"no hunk":           header + names,
		"hunk without file": header + change,
		"cut off":           header + names + "@@ -2,3 +2,3 @@\n b\n",
		"wrong count":       header + names + "@@ -2,2 +2,1 @@\n b\n+c\n-d\n e\n",
		"no change":         header + names + "@@ -2,1 +2,1 @@\n b\n",
		"strange line":      header + names + "@@ -2,3 +2,3 @@\n b\n?c\n",
		"not a hunk":        header + names + "@@ nonsense\n",
		"new file":          header + "--- /dev/null\n+++ b/p/a.go\n" + change,
		"renamed":           header + "--- a/p/b.go\n+++ b/p/a.go\n" + change,
		"a test":            header + "--- a/p/a_test.go\n+++ b/p/a_test.go\n" + change,
		"half a file name":  header + "--- a/p/a.go\n" + change,
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			if m, err := parse("x.patch", text); err == nil {
				t.Errorf("accepted as %+v", m)
			}
		})
	}
}

func TestApply(t *testing.T) {
	cases := []struct{ name, source, want string }{
		{"in place", "a\nb\nc\nd\n", "a\nb\nC\nd\n"},
		{"moved down", "0\n0\na\nb\nc\nd\n", "0\n0\na\nb\nC\nd\n"},
		{"in place, though it occurs twice", "a\nb\nc\nd\nb\nc\nd\n", "a\nb\nC\nd\nb\nc\nd\n"},
		{"gone", "a\nb\nd\n", ""},
		{"moved and ambiguous", "b\nc\nd\nb\nc\nd\n", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m, err := parse("x.patch", header+names+change)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.files[0].apply(c.source)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestApplyShiftsLaterHunks(t *testing.T) {
	m, err := parse("x.patch", header+names+"@@ -1,1 +1,3 @@\n a\n+x\n+y\n@@ -2,2 +4,1 @@\n-b\n c\n")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.files[0].apply("a\nb\nc\nb\nc\n"); err != nil || got != "a\nx\ny\nc\nb\nc\n" {
		t.Fatalf("got %q, %v", got, err)
	}
}
