package ws

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Of gobwas/ws the package uses words and the masking cipher, never what reads a stream: its readers allocate what a
// peer declares.
func TestOnlyVocabularyOfGobwas(t *testing.T) {
	words := []string{"OpCode", "StatusCode", "Cipher", "MaxHeaderSize", "MaxControlFramePayloadSize"}
	names, err := filepath.Glob("*.go")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			selector, ok := node.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			word := selector.Sel.Name
			if from, ok := selector.X.(*ast.Ident); ok && from.Name == "gobwas" && !slices.Contains(words, word) &&
				!strings.HasPrefix(word, "Op") && !strings.HasPrefix(word, "Status") {
				t.Errorf("%s uses gobwas/ws for %s", name, word)
			}
			return true
		})
	}
}
