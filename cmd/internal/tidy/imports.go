package tidy

import (
	"go/ast"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A layer is a folder whose packages may import their own kind and the layers listed.
type layer struct {
	folder string
	below  []string
}

// layers is the picture of the house: imports point downwards only. The first
// layer whose folder holds a package is its layer.
var layers = []layer{
	{"cmd", []string{"proxy", "tls", "bench"}},
	{"proxy/http1", nil},
	{"proxy/ws", nil},
	{"proxy", []string{"engine", "tls", "proxy/http1", "proxy/ws"}},
	{"bench", []string{"engine", "tls", "proxy/http1", "proxy/ws"}},
	{"engine", nil},
	{"tls", nil},
	{"scripts", nil},
}

// layerOf returns the layer of a folder below the root.
func layerOf(folder string) (layer, bool) {
	for _, l := range layers {
		if folder == l.folder || strings.HasPrefix(folder, l.folder+"/") {
			return l, true
		}
	}
	return layer{}, false
}

// importPath returns the path that an import names.
func importPath(spec *ast.ImportSpec) string {
	name, _ := strconv.Unquote(spec.Path.Value)
	return name
}

// checkArrows keeps the layers apart, tests included. Only the tests of
// commands, which look at the whole from outside, may reach for any layer.
func checkArrows(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.GoFiles() {
		from, ok := layerOf(f.Dir())
		if !ok {
			found = append(found, f.finding(f.Go.Package, "the package belongs to no layer: move it below one of the known folders"))
			continue
		}
		if f.Test() && from.folder == "cmd" {
			continue
		}
		for _, spec := range f.Go.Imports {
			folder, own := strings.CutPrefix(importPath(spec), modulePath+"/")
			if !own {
				continue
			}
			to, ok := layerOf(folder)
			if !ok || to.folder != from.folder && !slices.Contains(from.below, to.folder) {
				found = append(found, f.finding(spec.Pos(), "%s may not import %s: imports point downwards only (see the layers in cmd/internal/tidy/imports.go)",
					from.folder, folder))
			}
		}
	}
	return found
}

// restricted imports have their homes in code that is not a test: files, folders, or, where the name
// ends in a slash, folders with everything below them.
var restricted = []struct {
	path  string
	homes []string
	why   string
}{
	{"github.com/cloudwego/netpoll", []string{"engine/poll.go", "bench/echo"}, "the proxy asks the reactor for nothing but what is in that file, and only a backend is a server of its own bytes"},
	{"crypto/tls", []string{"tls/", "proxy/proxytest"}, "the record layer must stay replaceable, and only the far ends of tests have one of their own"},
}

func checkRestricted(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.GoFiles() {
		if f.Test() {
			continue
		}
		for _, spec := range f.Go.Imports {
			for _, r := range restricted {
				if importPath(spec) == r.path && !slices.ContainsFunc(r.homes, f.livesIn) {
					found = append(found, f.finding(spec.Pos(), "only %s imports %s: %s", strings.Join(r.homes, " or "), r.path, r.why))
				}
			}
		}
	}
	return found
}

// livesIn reports whether a home of a restricted import is that of the file.
func (f *File) livesIn(home string) bool {
	if folder, ok := strings.CutSuffix(home, "/"); ok {
		return f.Within(folder)
	}
	return home == f.Path || home == f.Dir()
}

// pure are the packages made of bytes alone: no I/O, no clock, no goroutine, no lock.
var pure = []string{"proxy/http1", "proxy/ws", "proxy/route", "proxy/access", "proxy/proxyproto", "proxy/origin", "proxy/health", "proxy/balance", "proxy/sticky"}

// impure are the imports through which a package would reach beyond its bytes.
var impure = []string{"net", "net/http", "os", "syscall", "time", "sync", "context", "log", "log/slog", "golang.org/x/sys/unix"}

func checkPure(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.GoFiles() {
		if f.Test() || !slices.ContainsFunc(pure, f.Within) {
			continue
		}
		for _, spec := range f.Go.Imports {
			if slices.Contains(impure, importPath(spec)) {
				found = append(found, f.finding(spec.Pos(), "a parser does no I/O and reads no clock, so it does not import %s: let the caller pass the value", importPath(spec)))
			}
		}
		ast.Inspect(f.Go, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				found = append(found, f.finding(g.Pos(), "a parser starts no goroutine"))
			}
			return true
		})
	}
	return found
}

// nameOf returns the name under which the file knows an import, or "".
func (f *File) nameOf(imported string) string {
	for _, spec := range f.Go.Imports {
		if importPath(spec) != imported {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(imported)
	}
	return ""
}

// uses calls visit for every mention of one of the names of an imported package.
func (f *File) uses(imported string, names []string, visit func(*ast.SelectorExpr)) {
	local := f.nameOf(imported)
	if local == "" {
		return
	}
	ast.Inspect(f.Go, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok || !slices.Contains(names, s.Sel.Name) {
			return true
		}
		if x, ok := s.X.(*ast.Ident); ok && x.Name == local {
			visit(s)
		}
		return true
	})
}
