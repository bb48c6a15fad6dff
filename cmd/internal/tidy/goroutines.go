package tidy

import (
	"go/ast"
	"regexp"
	"slices"
	"strings"
)

// goroutineFiles are the files of the proxy that start goroutines. Each entry is
// a decision: connections do not have goroutines, so a new one is either one
// per loop or takes work off a loop that would stall it.
var goroutineFiles = []string{
	"engine/loop.go",
	"proxy/proxytest/secure.go",          // what a test has written before there was room
	"proxy/proxytest/serve.go",           // the scripts of a test's backend
	"proxy/tlskeeper.go",                 // certificates are read from files
	"proxy/discovering.go",               // servers are discovered beside the loops
	"proxy/discovery/exchange.go",        // the end of a context ends a read
	"proxy/discovery/watcher.go",         // names and files are asked beside the loops
	"proxy/discovery/nsdtest/nsdtest.go", // the parent of a test's process must not end before it
	"proxy/steward.go",                   // schedulers are made, and tunnels of a backend ended, off the loops
	"proxy/watchdog.go",
	"tls/workers.go",
	"tls/internal/tlstest/handshake.go", // the client of a test's handshake
}

// goroutineNote is what stands above the start of a goroutine.
var goroutineNote = regexp.MustCompile(`^// goroutine: [^,]+, ends when \S`)

// concurrent are the folders in which goroutines, clock and panics are accounted for.
var concurrent = []string{"engine", "proxy", "tls"}

// goroutinesIn allows goroutines in the files listed, where each has its note.
func goroutinesIn(listed []string) func(*Tree) []Finding {
	return func(t *Tree) []Finding {
		var found []Finding
		used := map[string]bool{}
		for _, f := range t.GoFiles() {
			if f.Test() || !slices.ContainsFunc(concurrent, f.Within) {
				continue
			}
			notes := f.notes(goroutineNote)
			ast.Inspect(f.Go, func(n ast.Node) bool {
				if n == nil || !f.startsGoroutine(n) {
					return true
				}
				used[f.Path] = true
				if !notes[f.Line(n.Pos())] {
					found = append(found, f.finding(n.Pos(), `a goroutine starts without its note: write "// goroutine: name, ends when ..." above`))
				}
				if !slices.Contains(listed, f.Path) {
					found = append(found, f.finding(n.Pos(), "this file is not among those that start goroutines: justify it and add it to goroutineFiles in cmd/internal/tidy/goroutines.go"))
				}
				return true
			})
		}
		for _, name := range listed {
			if !used[name] {
				found = append(found, Finding{name, 0, "starts no goroutine: remove it from goroutineFiles in cmd/internal/tidy/goroutines.go"})
			}
		}
		return found
	}
}

// startsGoroutine recognises go statements and the calls that hide one:
// time.AfterFunc, context.AfterFunc and the method Go of wait groups.
func (f *File) startsGoroutine(n ast.Node) bool {
	if _, ok := n.(*ast.GoStmt); ok {
		return true
	}
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	if s.Sel.Name == "Go" && len(call.Args) == 1 {
		return true
	}
	x, ok := s.X.(*ast.Ident)
	return ok && s.Sel.Name == "AfterFunc" && (x.Name == f.nameOf("time") || x.Name == f.nameOf("context"))
}

// notes returns the lines that a comment which starts with the pattern excuses:
// the lines of the comment and the one below it.
func (f *File) notes(pattern *regexp.Regexp) map[int]bool {
	lines := map[int]bool{}
	for _, group := range f.Go.Comments {
		for _, c := range group.List {
			if pattern.MatchString(c.Text) {
				for line := f.Line(c.Pos()); line <= f.Line(group.End())+1; line++ {
					lines[line] = true
				}
			}
		}
	}
	return lines
}

// clockFile is the one file that reads the clock.
const clockFile = "engine/clock.go"

// checkClock keeps "now" a parameter: code that reads the clock itself cannot
// run under virtual time.
func checkClock(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.GoFiles() {
		if f.Test() || f.Path == clockFile || !slices.ContainsFunc(concurrent, f.Within) {
			continue
		}
		f.uses("time", []string{"Now", "Since", "Until"}, func(s *ast.SelectorExpr) {
			found = append(found, f.finding(s.Pos(), "time.%s is for %s only: take now as a parameter", s.Sel.Name, clockFile))
		})
	}
	return found
}

var recoverNote = regexp.MustCompile(`^// tidy:recover \S`)

// checkRecover keeps panics loud: one on a loop ends the process.
func checkRecover(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.GoFiles() {
		if f.Test() || !slices.ContainsFunc(concurrent, f.Within) {
			continue
		}
		notes := f.notes(recoverNote)
		ast.Inspect(f.Go, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "recover" && !notes[f.Line(call.Pos())] {
					found = append(found, f.finding(call.Pos(), `a panic ends the process with its trace: do not recover, or write "// tidy:recover why" above`))
				}
			}
			return true
		})
	}
	return found
}

var sleepNote = regexp.MustCompile(`^// tidy:sleep \S`)

// checkSleep covers tests everywhere and, where virtual time must hold, all code.
func checkSleep(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.GoFiles() {
		if !f.Test() && !slices.ContainsFunc(concurrent, f.Within) && !strings.HasSuffix(f.Dir(), "test") {
			continue
		}
		notes := f.notes(sleepNote)
		f.uses("time", []string{"Sleep"}, func(s *ast.SelectorExpr) {
			if !notes[f.Line(s.Pos())] {
				found = append(found, f.finding(s.Pos(), `no sleeping on the wall clock: wait for a condition, use virtual time, or write "// tidy:sleep why" above`))
			}
		})
	}
	return found
}
