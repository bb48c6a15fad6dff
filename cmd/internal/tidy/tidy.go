// Package tidy enforces the house rules that a program can check: how large a
// file and a function may be, which package may import which, where the clock
// is read, which goroutines exist, what must be documented, and that README,
// Makefile and tree agree with one another.
//
// A rule is a function from a tree to findings. Its test feeds it small trees
// that break it, so that a rule which cannot fail does not exist; TestHouse then
// applies all of them to the project itself.
//
// Three comments excuse a line, each on that line or on the one above, and each
// with a reason behind it: "tidy:sleep" for waiting on the wall clock in a test,
// "tidy:recover" for surviving a panic, "goroutine: name, ends when ..." for
// starting one (its file must be listed too, in goroutines.go).
package tidy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// modulePath is the module's own import path.
const modulePath = "culvert"

// A Finding is one place that breaks a rule. Line counts from 1; 0 means the
// file as a whole. Text says what is wrong and what to do about it.
type Finding struct {
	Path string
	Line int
	Text string
}

// String formats the finding as compilers do, so that editors can jump to it.
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d: %s", f.Path, max(f.Line, 1), f.Text)
}

// A Rule is one house rule: a name for its subtest, and its check.
type Rule struct {
	Name  string
	Check func(*Tree) []Finding
}

// A File is one file of the tree. Path is relative to the module's root, with
// slashes. Go is its syntax if it is a Go file that parses, else nil.
type File struct {
	Path       string
	Source     []byte
	Executable bool
	Go         *ast.File
	positions  *token.FileSet
}

// Test reports whether it is a Go test file.
func (f *File) Test() bool { return strings.HasSuffix(f.Path, "_test.go") }

// Dir is the folder that holds the file, "." for the root.
func (f *File) Dir() string { return path.Dir(f.Path) }

// Within reports whether the file lies in the folder or below it.
func (f *File) Within(folder string) bool { return strings.HasPrefix(f.Path, folder+"/") }

// Generated reports whether the file says, as Go files do, that a program wrote it.
func (f *File) Generated() bool { return f.Go != nil && ast.IsGenerated(f.Go) }

// Line returns the line of a position in the file's syntax.
func (f *File) Line(p token.Pos) int { return f.positions.Position(p).Line }

// Lines returns the file's lines without their ends; a last line without an end counts too.
func (f *File) Lines() []string {
	if len(f.Source) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(f.Source), "\n"), "\n")
}

// finding reports something about a place in the file's syntax.
func (f *File) finding(p token.Pos, format string, args ...any) Finding {
	return Finding{f.Path, f.Line(p), fmt.Sprintf(format, args...)}
}

// A Tree is the set of files that the rules look at, ordered by path.
type Tree struct {
	Files []*File
}

// GoFiles returns the files with Go syntax.
func (t *Tree) GoFiles() []*File {
	return slices.DeleteFunc(slices.Clone(t.Files), func(f *File) bool { return f.Go == nil })
}

// Lookup returns the file at a path, or nil.
func (t *Tree) Lookup(name string) *File {
	for _, f := range t.Files {
		if f.Path == name {
			return f
		}
	}
	return nil
}

// Holds reports whether a path names a file or a folder of the tree.
func (t *Tree) Holds(name string) bool {
	return slices.ContainsFunc(t.Files, func(f *File) bool { return f.Path == name || f.Within(name) })
}

// add appends a file; Go source is parsed. A Go file that does not parse is
// kept without syntax: the rule "format" reports it.
func (t *Tree) add(name string, source []byte, executable bool) {
	f := &File{Path: name, Source: source, Executable: executable, positions: token.NewFileSet()}
	if strings.HasSuffix(name, ".go") {
		if syntax, err := parser.ParseFile(f.positions, name, source, parser.ParseComments); err == nil {
			f.Go = syntax
		}
	}
	t.Files = append(t.Files, f)
}

// ignored are the folders, by path from the root, that hold no source.
var ignored = []string{".git", ".cache", "bin"}

// Load reads the tree below root. What the version control ignores is left
// out, so that build results do not count; .gitignore is expected to name only
// what this function knows.
func Load(root string) (*Tree, error) {
	t := &Tree{}
	err := filepath.WalkDir(root, func(full string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, full)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if slices.Contains(ignored, name) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.IsDir() || strings.HasSuffix(name, ".test") || strings.HasSuffix(name, ".prof") {
			return nil
		}
		return t.load(full, name, entry)
	})
	return t, err
}

func (t *Tree) load(full, name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file; the tree holds no links and no devices", name)
	}
	source, err := os.ReadFile(full)
	if err != nil {
		return err
	}
	t.add(name, source, info.Mode()&0o111 != 0)
	return nil
}

// script reports whether the file is a program for a shell or the like.
func (f *File) script() bool {
	return strings.HasSuffix(f.Path, ".sh") || bytes.HasPrefix(f.Source, []byte("#!"))
}

// text reports whether people read and write the file: everything but fuzzing
// inputs, checksums, the licence and what holds a zero byte.
func (f *File) text() bool {
	return f.Path != "LICENSE" && f.Path != "go.sum" && !strings.Contains(f.Path, "testdata/fuzz/") &&
		!bytes.ContainsRune(f.Source, 0)
}
