package engine

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestEveryTestThatThisPageNamesExists reads docs/netpoll.md: what it says is guarded is guarded.
func TestEveryTestThatThisPageNamesExists(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "netpoll.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var exist []string
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(source, -1) {
			exist = append(exist, string(m[1]))
		}
	}
	named := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(page), -1)
	if len(named) < 20 {
		t.Errorf("the page names %d tests only", len(named))
	}
	for _, name := range named {
		if !slices.Contains(exist, name) {
			t.Errorf("docs/netpoll.md names %s, which does not exist", name)
		}
	}
}
