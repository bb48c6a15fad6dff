package configfile

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"culvert/cmd/internal/configfile/configtest"
)

var update = flag.Bool("update", false, "write anew what is made from the model: the documents, and the answers in testdata")

// wrongFile is the table of wrong files, as package configtest reads it.
const wrongFile = "testdata/wrong.txt"

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
	cases := configtest.Wrong(t, wrongFile)
	table, err := filepath.Abs(wrongFile)
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 180 {
		t.Errorf("only %d wrong files", len(cases))
	}
	var anew strings.Builder
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			said, summary, ok := check(t, c.Text())
			if ok || summary != "" {
				t.Errorf("accepted: %s", summary)
			}
			if said != c.Want && !*update {
				t.Errorf("of\n%s\nit says\n%s\nand should say\n%s", c.Source, said, c.Want)
			}
			if strings.ContainsFunc(strings.ReplaceAll(said, "\n", ""), func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("not printable lines: %q", said)
			}
			fmt.Fprintf(&anew, "## %s\n%s\n--\n%s\n", c.Name, strings.TrimSuffix(c.Source, "\n"), said)
		})
	}
	if *update {
		if err := os.WriteFile(table, []byte(anew.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
