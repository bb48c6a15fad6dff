// Package configtest has the table of wrong configuration files, for all tests that have to do with them, and makes
// certificates for right ones.
package configtest

import (
	"os"
	"strings"
	"testing"
)

// A Case is a file that is wrong, and all that is said of it, a line each.
type Case struct {
	Name   string
	Source string // as the table has it
	Want   string // lines of "line:column: message"
}

// longName is one byte more than a name may have.
const longName = 65

// unusual are the bytes that the table has names for: what a text file cannot hold.
var unusual = strings.NewReplacer("<TAB>", "\t", "<NUL>", "\x00", "<ESC>", "\x1b", "<FF>", "\xff", "<FE>", "\xfe", "<CR>", "\r",
	"<BOM>", "\ufeff", "<LONG>", strings.Repeat("a", longName), "<LONG2>", strings.Repeat("a", 1000))

// Text returns the file itself.
func (c *Case) Text() []byte { return []byte(unusual.Replace(c.Source)) }

// Wrong reads a table: files that are wrong, each between its name behind "## " and, behind a line "--", all that is said
// of it.
func Wrong(t testing.TB, table string) []Case {
	t.Helper()
	data, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	var cases []Case
	for part := range strings.SplitSeq(strings.TrimPrefix(string(data), "## "), "\n## ") {
		name, rest, _ := strings.Cut(part, "\n")
		source, want, _ := strings.Cut("\n"+rest, "\n--\n")
		cases = append(cases, Case{name, strings.TrimPrefix(source, "\n"), strings.TrimSuffix(want, "\n")})
	}
	return cases
}
