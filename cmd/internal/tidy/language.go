package tidy

import (
	"go/ast"
	"regexp"
	"slices"
	"strings"
)

// checkEmptyInterface asks for the word any.
func checkEmptyInterface(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.GoFiles() {
		ast.Inspect(f.Go, func(n ast.Node) bool {
			if i, ok := n.(*ast.InterfaceType); ok && len(i.Methods.List) == 0 {
				found = append(found, f.finding(i.Pos(), "write any, the empty interface's name"))
			}
			return true
		})
	}
	return found
}

// checkContext: a context that nobody can cancel hides who should.
func checkContext(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.GoFiles() {
		f.uses("context", []string{"TO" + "DO"}, func(s *ast.SelectorExpr) {
			found = append(found, f.finding(s.Pos(), "pass the caller's context, or context.Background where there is none"))
		})
	}
	return found
}

// checkNoRace: code that hides from the race detector is not proven by it.
func checkNoRace(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.GoFiles() {
		for _, group := range f.Go.Comments {
			for _, c := range group.List {
				if strings.HasPrefix(c.Text, "//go:no"+"race") {
					found = append(found, f.finding(c.Pos(), "no function hides from the race detector: make the access safe"))
				}
			}
		}
	}
	return found
}

// requirement is the prefix of the environment variables that turn a missing
// tool from a skip into a failure.
const requirement = "CULVERT_" + "REQUIRE"

var skipCalls = []string{"Skip", "Skipf", "SkipNow"}

// checkSkips accepts a skip only in a function that also knows when skipping is
// a failure: it names such a variable, or a constant that does.
func checkSkips(t *Tree) []Finding {
	var found []Finding
	knows := regexp.MustCompile(requirement + `|\b(` + strings.Join(append(requirementConstants(t), requirement), "|") + `)\b`)
	for _, f := range t.GoFiles() {
		if f.nameOf("testing") == "" {
			continue
		}
		for _, d := range f.Go.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || knows.MatchString(f.sourceOf(fn)) {
				continue
			}
			testers := f.testers(fn)
			ast.Inspect(fn, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok || !slices.Contains(skipCalls, s.Sel.Name) {
					return true
				}
				if x, ok := s.X.(*ast.Ident); ok && testers[x.Name] {
					found = append(found, f.finding(s.Pos(), "a skip must be a failure where a variable %s_... is set: look at it in the same function", requirement))
				}
				return true
			})
		}
	}
	return found
}

// requirementConstants returns the names of the constants that hold the name of
// such a variable.
func requirementConstants(t *Tree) []string {
	var names []string
	for _, f := range t.GoFiles() {
		ast.Inspect(f.Go, func(n ast.Node) bool {
			if s, ok := n.(*ast.ValueSpec); ok && len(s.Values) == 1 {
				if v, ok := s.Values[0].(*ast.BasicLit); ok && strings.HasPrefix(v.Value, `"`+requirement) {
					names = append(names, s.Names[0].Name)
				}
			}
			return true
		})
	}
	return names
}

// testers returns the names of the parameters, also of function literals
// inside, through which fn could skip a test.
func (f *File) testers(fn *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(fn, func(n ast.Node) bool {
		field, ok := n.(*ast.Field)
		if !ok {
			return true
		}
		typ := field.Type
		if star, ok := typ.(*ast.StarExpr); ok {
			typ = star.X
		}
		if s, ok := typ.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == f.nameOf("testing") {
				for _, name := range field.Names {
					names[name.Name] = true
				}
			}
		}
		return true
	})
	return names
}

// sourceOf returns the text of a node.
func (f *File) sourceOf(n ast.Node) string {
	start, end := f.positions.Position(n.Pos()).Offset, f.positions.Position(n.End()).Offset
	return string(f.Source[start:end])
}

// checkDocumentation asks for a package comment in every package, and for a
// comment on every exported declaration of those that others can import.
func checkDocumentation(t *Tree) []Finding {
	var found []Finding
	commented, first := map[string]bool{}, map[string]*File{}
	for _, f := range t.GoFiles() {
		if f.Test() || f.Generated() {
			continue
		}
		if first[f.Dir()] == nil {
			first[f.Dir()] = f
		}
		if f.Go.Doc != nil {
			commented[f.Dir()] = true
		}
		if f.Go.Name.Name == "main" {
			continue
		}
		for _, d := range f.Go.Decls {
			found = append(found, f.undocumented(d)...)
		}
	}
	for dir, f := range first {
		if !commented[dir] {
			found = append(found, f.finding(f.Go.Package, "the package has no comment: say what it is for"))
		}
	}
	return found
}

func (f *File) undocumented(d ast.Decl) []Finding {
	const advice = "exported %s has no comment: say what it means (units, range, owner, errors)"
	var found []Finding
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) {
			found = append(found, f.finding(d.Pos(), advice, d.Name.Name))
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
					found = append(found, f.finding(s.Pos(), advice, s.Name.Name))
				}
			case *ast.ValueSpec:
				exported := slices.IndexFunc(s.Names, (*ast.Ident).IsExported)
				if exported >= 0 && d.Doc == nil && s.Doc == nil && s.Comment == nil {
					found = append(found, f.finding(s.Pos(), advice, s.Names[exported].Name))
				}
			}
		}
	}
	return found
}

// exportedReceiver reports whether the function is one, or a method of an exported type.
func exportedReceiver(fn *ast.FuncDecl) bool {
	if fn.Recv == nil {
		return true
	}
	typ := fn.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

// markers are assembled so that this file does not contain them.
var markers = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)

// checkMarkers: what is left to do belongs into an issue.
func checkMarkers(t *Tree) []Finding {
	return searchText(t, markers, "finish it, or say in docs what is missing and why")
}

// searchText reports every line of a text file that matches.
func searchText(t *Tree, pattern *regexp.Regexp, advice string) []Finding {
	var found []Finding
	for _, f := range t.Files {
		if !f.text() {
			continue
		}
		for i, line := range f.Lines() {
			if hit := pattern.FindString(line); hit != "" {
				found = append(found, Finding{f.Path, i + 1, strings.TrimSpace(hit) + ": " + advice})
			}
		}
	}
	return found
}
