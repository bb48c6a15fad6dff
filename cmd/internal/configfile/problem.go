package configfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"culvert/cmd/internal/settings"
)

// A Problem is one thing that is wrong in a file, or to be doubted.
type Problem struct {
	// File is its name as given. Line and Column count from 1, in characters; 0: the file as a whole.
	File         string
	Line, Column int
	// Message says what is wrong and what is allowed, in one printable line.
	Message string
	// Warning is true where the file can be used all the same.
	Warning bool
}

// String returns "file:line:column: message".
func (p Problem) String() string {
	text := Where(p.File, p.Line, p.Column) + ": "
	if p.Warning {
		text += "warning: "
	}
	return text + p.Message
}

// Plain returns the same without saying that it is a warning, for those who say it in another way.
func (p Problem) Plain() string {
	p.Warning = false
	return p.String()
}

// Where names a place.
func Where(file string, line, column int) string {
	if strings.ContainsFunc(file, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
		file = fmt.Sprintf("%+q", file)
	}
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d:%d", file, line, column)
}

// Problems are all that was found, in the order of the file. As an error, each is a line.
type Problems []Problem

// Error implements error.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Errors returns those for which the file cannot be used.
func (p Problems) Errors() Problems { return p.only(false) }

// Warnings returns the others.
func (p Problems) Warnings() Problems { return p.only(true) }

func (p Problems) only(warnings bool) Problems {
	return slices.DeleteFunc(slices.Clone(p), func(one Problem) bool { return one.Warning != warnings })
}

// maxProblems bounds what is told of one file.
const maxProblems = 100

// sorted returns the problems in the order of the file, no more than can be read.
func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	p = slices.Compact(p)
	if len(p) <= maxProblems {
		return p
	}
	// Errors first: no warning may hide one.
	kept := p.Errors()
	if len(kept) < maxProblems {
		kept = append(kept, p.Warnings()...)
	}
	more := len(p) - maxProblems
	last := kept[maxProblems-1]
	return append(kept[:maxProblems], Problem{File: last.File, Line: last.Line, Column: last.Column, Warning: last.Warning,
		Message: fmt.Sprintf("and %d more", more)})
}

// place is where something stands in a file, from 1.
type place struct{ line, column int }

// fail notes an error.
func (r *reader) fail(at place, format string, values ...any) { r.note(at, false, format, values...) }

// warn notes a doubt.
func (r *reader) warn(at place, format string, values ...any) { r.note(at, true, format, values...) }

func (r *reader) note(at place, warning bool, format string, values ...any) {
	r.problems = append(r.problems, Problem{File: r.name, Line: at.line, Column: at.column, Warning: warning,
		Message: printable(fmt.Sprintf(format, values...))})
}

// printable makes one line of a message that repeats what others wrote.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, text)
}

// wrong notes that a value is not what it may be.
func (r *reader) wrong(n *node, text, reason, allowed string) {
	line := n.key
	if text != "" {
		line += " " + settings.Shown(text)
	} else if reason == "" {
		reason = "an empty value"
	}
	line += ": " + reason
	if allowed != "" {
		line += "; allowed: " + allowed
	}
	r.fail(n.place, "%s", line)
}

// wrongValue notes what the decoder of a flag found.
func (r *reader) wrongValue(n *node, text string, err error) {
	reason, allowed := settings.Reasons(err)
	r.wrong(n, text, reason, allowed)
}
