package ws

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// The package does no I/O, reads no clock and starts no goroutine: it imports nothing that could, and has no go
// statement.
func TestPure(t *testing.T) {
	pure := []string{
		"crypto/sha1", "encoding/base64", "encoding/binary", "errors", "fmt", "unicode/utf8",
		"github.com/gobwas/ws", // opcodes, status codes and the masking cipher
	}
	// From the vocabulary only these, for its readers allocate what a peer declares.
	vocabulary := []string{"OpCode", "StatusCode", "Cipher", "MaxHeaderSize", "MaxControlFramePayloadSize"}
	packages, err := parser.ParseDir(token.NewFileSet(), ".", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range packages["ws"].Files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, imported := range file.Imports {
			if path := strings.Trim(imported.Path.Value, `"`); !slices.Contains(pure, path) {
				t.Errorf("%s imports %s", name, path)
			}
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine", name)
			case *ast.SelectorExpr:
				from, ok := node.X.(*ast.Ident)
				if ok && from.Name == "gobwas" && !strings.HasPrefix(node.Sel.Name, "Op") && !strings.HasPrefix(node.Sel.Name, "Status") &&
					!slices.Contains(vocabulary, node.Sel.Name) {
					t.Errorf("%s uses gobwas/ws for %s", name, node.Sel.Name)
				}
			}
			return true
		})
	}
}
