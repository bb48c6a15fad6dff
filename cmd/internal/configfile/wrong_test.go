package configfile

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write anew what is made from the model: the documents, and the answers in testdata")

// wrongFile holds files that are wrong, each between its name behind "## " and, behind a line "--", all that is said of
// it. What a text file cannot hold is written in angle brackets.
const wrongFile = "testdata/wrong.txt"

// unusual are the bytes that the table of wrong files has names for.
var unusual = strings.NewReplacer("<TAB>", "\t", "<NUL>", "\x00", "<ESC>", "\x1b", "<FF>", "\xff", "<FE>", "\xfe", "<CR>", "\r",
	"<BOM>", "\ufeff", "<LONG>", strings.Repeat("a", maxName+1), "<LONG2>", strings.Repeat("a", 1000))

// wrongCase is a file and what is said of it, a line each.
type wrongCase struct {
	name, source, want string
}

func (c *wrongCase) text() []byte { return []byte(unusual.Replace(c.source)) }

func wrongCases(t testing.TB) []wrongCase {
	t.Helper()
	data, err := os.ReadFile(wrongFile)
	if err != nil {
		t.Fatal(err)
	}
	var cases []wrongCase
	for part := range strings.SplitSeq(strings.TrimPrefix(string(data), "## "), "\n## ") {
		name, rest, _ := strings.Cut(part, "\n")
		source, want, _ := strings.Cut("\n"+rest, "\n--\n")
		cases = append(cases, wrongCase{name, strings.TrimPrefix(source, "\n"), strings.TrimSuffix(want, "\n")})
	}
	return cases
}

// check runs the command on a text, and returns what it says without the file's name, and whether it found nothing.
func check(t testing.TB, text []byte) (said, summary string, ok bool) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("c", text, 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	ok = Check("c", false, &stdout, &stderr)
	var lines []string
	for line := range strings.Lines(stderr.String()) {
		lines = append(lines, strings.TrimPrefix(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "c:"), " "))
	}
	return strings.Join(lines, "\n"), stdout.String(), ok
}

// TestWrongFiles: every mistake at once, where it is, in words that are exactly these, and none of the file is used.
func TestWrongFiles(t *testing.T) {
	cases := wrongCases(t)
	table, err := filepath.Abs(wrongFile)
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 80 {
		t.Errorf("only %d wrong files", len(cases))
	}
	var anew strings.Builder
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			said, summary, ok := check(t, c.text())
			if ok || summary != "" {
				t.Errorf("accepted: %s", summary)
			}
			if said != c.want && !*update {
				t.Errorf("of\n%s\nit says\n%s\nand should say\n%s", c.source, said, c.want)
			}
			if strings.ContainsFunc(strings.ReplaceAll(said, "\n", ""), func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("not printable lines: %q", said)
			}
			fmt.Fprintf(&anew, "## %s\n%s\n--\n%s\n", c.name, strings.TrimSuffix(c.source, "\n"), said)
		})
	}
	if *update {
		if err := os.WriteFile(table, []byte(anew.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
