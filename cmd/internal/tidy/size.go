package tidy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"path"
)

const (
	maxFileLines     = 500
	maxFunctionLines = 70
)

// checkFileLength covers what people write by hand: Go, Markdown, the Makefile, scripts.
func checkFileLength(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Files {
		ext := path.Ext(f.Path)
		if ext != ".go" && ext != ".md" && path.Base(f.Path) != "Makefile" && !f.script() || f.Generated() {
			continue
		}
		if n := len(f.Lines()); n > maxFileLines {
			found = append(found, Finding{f.Path, maxFileLines + 1,
				fmt.Sprintf("%d lines, at most %d are allowed: split the file by concern", n, maxFileLines)})
		}
	}
	return found
}

// checkFunctionLength counts from the line of the word func to that of the last brace. Function
// literals count with the function around them, or alone where there is none.
func checkFunctionLength(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.GoFiles() {
		if f.Generated() {
			continue
		}
		ast.Inspect(f.Go, func(n ast.Node) bool {
			name := "function literal"
			switch fn := n.(type) {
			case *ast.FuncDecl:
				name = fn.Name.Name
			case *ast.FuncLit:
			default:
				return true
			}
			if lines := f.Line(n.End()) - f.Line(n.Pos()) + 1; lines > maxFunctionLines {
				found = append(found, f.finding(n.Pos(), "%s has %d lines, at most %d are allowed: name its parts", name, lines, maxFunctionLines))
			}
			return false
		})
	}
	return found
}

func checkFormat(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Files {
		if path.Ext(f.Path) != ".go" {
			continue
		}
		want, err := format.Source(f.Source)
		switch {
		case err != nil:
			found = append(found, Finding{f.Path, 0, "does not parse: " + err.Error()})
		case !bytes.Equal(want, f.Source):
			found = append(found, Finding{f.Path, firstDifference(want, f.Source), "not formatted: run make fmt"})
		}
	}
	return found
}

// firstDifference returns the first line at which two texts differ.
func firstDifference(a, b []byte) int {
	line := 1
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			break
		}
		if a[i] == '\n' {
			line++
		}
	}
	return line
}
