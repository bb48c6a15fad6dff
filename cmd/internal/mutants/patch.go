package main

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// A mutant is one deliberate defect: a patch with a header.
type mutant struct {
	name  string // the patch's file name without its suffix
	what  string // what is broken, in a sentence
	pkg   string // the package whose test is expected to notice, as ./folder
	tests string // the regular expression that selects that test
	files []filePatch
}

// A filePatch is what a mutant does to one file, named by its path from the root.
type filePatch struct {
	path  string
	hunks []hunk
}

// A hunk replaces the lines before by the lines after. Line is where the patch
// expects them, from 1.
type hunk struct {
	line          int
	before, after []string
}

var hunkHeader = regexp.MustCompile(`^@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@`)

// parse reads a patch: free text with the lines "What: ..." and "Kill: package
// regexp", then a unified diff.
func parse(name, text string) (*mutant, error) {
	m := &mutant{name: strings.TrimSuffix(name, ".patch")}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	i := 0
	for ; i < len(lines) && !strings.HasPrefix(lines[i], "--- "); i++ {
		if what, ok := strings.CutPrefix(lines[i], "What: "); ok {
			m.what = strings.TrimSpace(what)
		}
		if kill, ok := strings.CutPrefix(lines[i], "Kill: "); ok {
			pkg, tests, _ := strings.Cut(strings.TrimSpace(kill), " ")
			m.pkg, m.tests = "./"+path.Clean(pkg), strings.TrimSpace(tests)
		}
	}
	if m.what == "" || m.pkg == "" || m.tests == "" {
		return nil, errors.New(`the header lacks "What: a sentence" or "Kill: package regexp"`)
	}
	if _, err := regexp.Compile(m.tests); err != nil {
		return nil, err
	}
	if err := m.parseFiles(lines[i:]); err != nil {
		return nil, err
	}
	if len(m.files) == 0 {
		return nil, errors.New("there is no diff")
	}
	return m, nil
}

func (m *mutant) parseFiles(lines []string) error {
	for i := 0; i < len(lines); {
		switch {
		case strings.HasPrefix(lines[i], "--- "):
			f, err := fileHeader(lines[i:])
			if err != nil {
				return err
			}
			m.files = append(m.files, f)
			i += 2
		case strings.HasPrefix(lines[i], "@@ "):
			if len(m.files) == 0 {
				return errors.New("a hunk comes before its file")
			}
			h, used, err := parseHunk(lines[i:])
			if err != nil {
				return err
			}
			f := &m.files[len(m.files)-1]
			f.hunks = append(f.hunks, h)
			i += used
		default:
			i++ // "diff --git" and "index" lines between files
		}
	}
	for _, f := range m.files {
		if len(f.hunks) == 0 {
			return fmt.Errorf("nothing is changed in %s", f.path)
		}
	}
	return nil
}

// fileHeader reads the two lines that name a file. A mutant changes code, so
// it neither adds nor removes files, and it leaves tests alone.
func fileHeader(lines []string) (filePatch, error) {
	if len(lines) < 2 || !strings.HasPrefix(lines[1], "+++ ") {
		return filePatch{}, errors.New("a line --- is not followed by +++")
	}
	before, okBefore := strings.CutPrefix(strings.Fields(lines[0])[1], "a/")
	after, okAfter := strings.CutPrefix(strings.Fields(lines[1])[1], "b/")
	switch {
	case !okBefore || !okAfter || before != after:
		return filePatch{}, fmt.Errorf("%q and %q do not name one file as a/path and b/path", lines[0], lines[1])
	case path.Ext(after) != ".go" || strings.HasSuffix(after, "_test.go"):
		return filePatch{}, fmt.Errorf("%s: only Go files that are no tests are mutated", after)
	}
	return filePatch{path: after}, nil
}

// parseHunk reads one hunk and says how many lines it takes.
func parseHunk(lines []string) (h hunk, used int, err error) {
	m := hunkHeader.FindStringSubmatch(lines[0])
	if m == nil {
		return h, 0, fmt.Errorf("not a hunk: %q", lines[0])
	}
	h.line, _ = strconv.Atoi(m[1])
	before, after := count(m[2]), count(m[3])
	changed := false
	for used = 1; len(h.before) < before || len(h.after) < after; used++ {
		if used == len(lines) {
			return h, 0, fmt.Errorf("the hunk %q is cut off", lines[0])
		}
		kind, text := " ", ""
		if lines[used] != "" {
			kind, text = lines[used][:1], lines[used][1:]
		}
		switch kind {
		case " ":
			h.before, h.after = append(h.before, text), append(h.after, text)
		case "-":
			h.before, changed = append(h.before, text), true
		case "+":
			h.after, changed = append(h.after, text), true
		default:
			return h, 0, fmt.Errorf("a line of a hunk begins with %q", kind)
		}
	}
	if len(h.before) != before || len(h.after) != after || !changed || before == 0 {
		return h, 0, fmt.Errorf("the hunk %q does not hold what it announces", lines[0])
	}
	return h, used, nil
}

// count reads a number of lines, which a diff leaves out when it is 1.
func count(digits string) int {
	if digits == "" {
		return 1
	}
	n, _ := strconv.Atoi(digits)
	return n
}

// apply returns the source with all hunks applied. A hunk whose lines have
// moved is found if they occur exactly once; anything else is an error, for a
// mutant in the wrong place proves nothing.
func (f filePatch) apply(source string) (string, error) {
	lines := strings.Split(source, "\n")
	shift := 0
	for _, h := range f.hunks {
		at := h.line - 1 + shift
		if !matches(lines, at, h.before) {
			places := occurrences(lines, h.before)
			if len(places) != 1 {
				return "", fmt.Errorf("%s: the lines of the hunk at line %d occur %d times", f.path, h.line, len(places))
			}
			at = places[0]
		}
		rest := append([]string(nil), lines[at+len(h.before):]...)
		lines = append(append(lines[:at:at], h.after...), rest...)
		shift = at - (h.line - 1) + len(h.after) - len(h.before)
	}
	return strings.Join(lines, "\n"), nil
}

func matches(lines []string, at int, want []string) bool {
	if at < 0 || at+len(want) > len(lines) {
		return false
	}
	for i, line := range want {
		if lines[at+i] != line {
			return false
		}
	}
	return true
}

func occurrences(lines, want []string) []int {
	var places []int
	for at := range lines {
		if matches(lines, at, want) {
			places = append(places, at)
		}
	}
	return places
}
