package configfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"culvert/cmd/internal/settings"
)

// Check is the command check: it loads a file, says all that is wrong with it, and reports whether nothing is. For
// programs, it says so as one JSON object.
func Check(name string, asJSON bool, stdout, stderr io.Writer) bool {
	file, problems := Load(name)
	if file != nil {
		advice := file.Advice
		if asJSON {
			advice = file.AdviceApart
		}
		problems = slices.Concat(problems, file.together(), file.doubtsOfFiles(), advice()).sorted()
	}
	sound := len(problems.Errors()) == 0
	if asJSON {
		printReport(stdout, name, file, problems)
		return sound
	}
	for _, p := range problems {
		_, _ = fmt.Fprintln(stderr, p)
	}
	if sound {
		_, _ = fmt.Fprintf(stdout, "%s: %s: ok\n", Where(name, 0, 0), file.summary())
	}
	return sound
}

// together returns what is wrong, or to be doubted, with the file's settings together with the defaults of all others.
func (f *File) together() Problems {
	args := []string{"--config=" + f.Name}
	if !f.HasSite() {
		args = append(args, "--backend=unix:/none") // left to flags, then
	}
	invocation, err := settings.Parse(args, nil)
	if err == nil {
		invocation, err = invocation.With(f.Layer())
	}
	if err == nil {
		var doubts Problems
		for _, d := range invocation.Doubts() {
			doubts = append(doubts, f.doubt(f.placeOf(d.Flag), d.Message))
		}
		return doubts
	}
	problem := Problem{File: f.Name, Message: printable(err.Error())}
	if wrong := (*settings.Error)(nil); errors.As(err, &wrong) {
		at := f.placeOf(wrong.Flag)
		problem.Line, problem.Column = at.line, at.column
		bare := *wrong
		bare.Place, bare.Argument = "", true // a key of the file, and no flag
		problem.Message = printable(bare.Error())
	}
	return Problems{problem}
}

// doubtsOfFiles returns what is to be doubted of the files that HTTPS needs, such as certificates that are about to expire.
func (f *File) doubtsOfFiles() Problems {
	var doubts Problems
	for _, found := range f.inspect(time.Now()) {
		doubts = append(doubts, f.doubt(found.place, printable(found.message())))
	}
	return doubts
}

// placeOf returns where the file says a setting; zero: nowhere.
func (f *File) placeOf(flag string) place {
	for _, s := range f.Settings {
		if s.Flag == flag {
			return s.place
		}
	}
	return place{}
}

// summary counts what the file has.
func (f *File) summary() string {
	return fmt.Sprintf("%s, %s, %s", counted(len(f.Listeners), "listener", "listeners"), counted(len(f.Groups), "group", "groups"),
		counted(f.rules(), "rule", "rules"))
}

func (f *File) rules() int {
	rules := 0
	for i := range f.Listeners {
		rules += len(f.Listeners[i].Rules)
	}
	return rules
}

func counted(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// report is what check prints for programs.
type report struct {
	File      string         `json:"file"`
	OK        bool           `json:"ok"`
	Listeners int            `json:"listeners"`
	Groups    int            `json:"groups"`
	Rules     int            `json:"rules"`
	Problems  []reportedLine `json:"problems"`
}

// reportedLine is one problem; a line of 0 means the file as a whole.
type reportedLine struct {
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Severity string `json:"severity"`
	Message  string `json:"message"`
}

func printReport(w io.Writer, name string, file *File, problems Problems) {
	r := report{File: name, OK: len(problems.Errors()) == 0, Problems: []reportedLine{}}
	if file != nil {
		r.Listeners, r.Groups, r.Rules = len(file.Listeners), len(file.Groups), file.rules()
	}
	for _, p := range problems {
		severity := "error"
		if p.Warning {
			severity = "warning"
		}
		r.Problems = append(r.Problems, reportedLine{p.Line, p.Column, severity, p.Message})
	}
	_ = json.NewEncoder(w).Encode(r)
}
