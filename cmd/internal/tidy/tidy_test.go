package tidy

import (
	"slices"
	"strings"
	"testing"
)

// root is the module's root as seen from this package.
const root = "../../.."

// TestHouse applies every rule to the project itself.
func TestHouse(t *testing.T) {
	tree, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if tree.Lookup("go.mod") == nil || tree.Lookup("cmd/internal/tidy/tidy_test.go") == nil {
		t.Fatalf("%s is not the module's root: the rules would look at nothing", root)
	}
	for _, rule := range Rules {
		t.Run(strings.ReplaceAll(rule.Name, " ", "_"), func(t *testing.T) {
			for _, f := range rule.Check(tree) {
				t.Errorf("%s (rule %q)", f, rule.Name)
			}
		})
	}
}

// check applies one rule to a tree of the given files. A path that ends in "*"
// stands for an executable file. Goroutines are allowed in engine/listed.go.
func check(t *testing.T, rule string, files map[string]string) []Finding {
	t.Helper()
	tree := &Tree{}
	for name, source := range files {
		name, executable := strings.CutSuffix(name, "*")
		tree.add(name, []byte(source), executable)
	}
	slices.SortFunc(tree.Files, func(a, b *File) int { return strings.Compare(a.Path, b.Path) })
	i := slices.IndexFunc(Rules, func(r Rule) bool { return r.Name == rule })
	if i < 0 {
		t.Fatalf("there is no rule %q", rule)
	}
	if rule == "goroutines" {
		return goroutinesIn([]string{"engine/listed.go"})(tree)
	}
	return Rules[i].Check(tree)
}

// TestRulesReport feeds each rule trees that break it in one place.
func TestRulesReport(t *testing.T) {
	for _, c := range breaches() {
		t.Run(c.rule+"/"+c.name, func(t *testing.T) {
			found := check(t, c.rule, c.files)
			if len(found) != 1 {
				t.Fatalf("%d findings, want one: %v", len(found), found)
			}
			if got := found[0]; got.Path != c.path || got.Line != c.line {
				t.Errorf("reported %s:%d, want %s:%d", got.Path, got.Line, c.path, c.line)
			}
			if len(found[0].Text) < 10 {
				t.Errorf("the message %q helps nobody", found[0].Text)
			}
		})
	}
}

// TestRulesAccept feeds each rule trees that look like a breach and are none.
func TestRulesAccept(t *testing.T) {
	for _, c := range permitted() {
		t.Run(c.rule+"/"+c.name, func(t *testing.T) {
			if found := check(t, c.rule, c.files); len(found) != 0 {
				t.Errorf("reported: %v", found)
			}
		})
	}
}

// TestEveryRuleIsTested: a rule without a tree that breaks it proves nothing.
func TestEveryRuleIsTested(t *testing.T) {
	for _, rule := range Rules {
		if !slices.ContainsFunc(breaches(), func(c sample) bool { return c.rule == rule.Name }) {
			t.Errorf("no sample breaks the rule %q", rule.Name)
		}
	}
}

func TestFindingReadsLikeACompilersMessage(t *testing.T) {
	if got := (Finding{"a/b.go", 0, "wrong"}).String(); got != "a/b.go:1: wrong" {
		t.Fatal(got)
	}
}

func TestLoadFailsOnAMissingRoot(t *testing.T) {
	if _, err := Load(t.TempDir() + "/missing"); err == nil {
		t.Fatal("no error")
	}
}
