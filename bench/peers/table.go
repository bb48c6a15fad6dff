package peers

import (
	"fmt"
	"math"
	"strings"
)

// The lines of a document between which the generated table stands.
const (
	beginMark = "<!-- bench:begin -->"
	endMark   = "<!-- bench:end -->"
)

// columns are the contenders of the table: of a program in two configurations, the better one.
var columns = []struct{ name, title string }{
	{ProgramFloor, "floor"}, {ProgramNginx, "nginx"}, {ProgramHAProxy, "HAProxy"}, {ProgramCulvert, "Culvert"},
}

// Markdown returns the results as a table, and below it what they were measured with.
func Markdown(r *Results) string {
	var text strings.Builder
	head, rule := "| work | unit |", "| --- | --- |"
	for _, c := range columns {
		head += " " + c.title + " |"
		rule += " ---: |"
	}
	fmt.Fprintln(&text, head+" ratio | must reach | reached |")
	fmt.Fprintln(&text, rule+" --- | --- | --- |")
	for i := range r.Rows {
		fmt.Fprintln(&text, r.Rows[i].markdown())
	}
	fmt.Fprintf(&text, "\nMedians of %d interleaved rounds, the least and the greatest in brackets. Of nginx and HAProxy the better of\n"+
		"two configurations counts, their defaults or tuned; \"t\" marks those that are tuned. A ratio is the median of the\n"+
		"rounds' ratios: Culvert's value to the other's.", r.Rounds)
	if r.limited() {
		text.WriteString(" \"g\" marks latencies of rounds most of which the load generator itself\nlimited.")
	}
	text.WriteString("\n")
	if notes := r.notes(); len(notes) > 0 {
		text.WriteString("\n- " + strings.Join(notes, "\n- ") + "\n")
	}
	fmt.Fprintf(&text, "\nMeasured on %s with %s, %s, %d CPUs (%s)", r.Date, r.Machine.Kernel, r.Machine.CPU, r.Machine.CPUs, r.Machine.Go)
	if r.Pinned {
		text.WriteString("; the proxy on one CPU,\ngenerator and backend on another")
	}
	text.WriteString(":\n\n")
	for _, p := range r.Programs {
		fmt.Fprintf(&text, "- %s\n", p.Version)
	}
	return text.String()
}

func (r *Row) markdown() string {
	cells := []string{r.Title, r.Unit}
	for _, c := range columns {
		s := r.Better(c.name)
		if c.name == ProgramCulvert {
			s = r.Series(r.Subject)
		}
		cells = append(cells, r.cell(s))
	}
	var ratios, goals, reached []string
	for _, t := range r.Targets {
		ratios = append(ratios, r.ratioCell(t))
		goals = append(goals, t.goal(r.Unit))
		switch ok, known := r.Reached(t); {
		case !known:
			reached = append(reached, "not measured")
		case ok:
			reached = append(reached, "yes")
		default:
			reached = append(reached, "**no**")
		}
	}
	cells = append(cells, strings.Join(ratios, "; "), strings.Join(goals, "; "), strings.Join(reached, "; "))
	return "| " + strings.Join(cells, " | ") + " |"
}

// cell shows a series: "15.2 [14.9, 15.8] t".
func (r *Row) cell(s *Series) string {
	if s == nil || len(s.Samples) == 0 {
		return "-"
	}
	sum := Summarize(s.Values())
	text := fmt.Sprintf("%s [%s, %s]", number(sum.Median), number(sum.Low), number(sum.High))
	if strings.HasSuffix(s.Name, "-tuned") {
		text += " t"
	}
	if r.Unit == microseconds && s.limited() {
		text += " g"
	}
	return text
}

// limited reports whether the generator was the limit in most rounds.
func (s *Series) limited() bool {
	n := 0
	for _, sample := range s.Samples {
		if sample.GeneratorLimited != "" {
			n++
		}
	}
	return 2*n > len(s.Samples)
}

func (r *Results) limited() bool {
	for _, row := range r.Rows {
		for i := range row.Contenders {
			if row.Unit == microseconds && row.Contenders[i].limited() {
				return true
			}
		}
	}
	return false
}

func (r *Row) ratioCell(t Target) string {
	if t.Against == "" {
		return "-"
	}
	ratio, ok := r.Ratio(t.Against)
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.3f to %s", ratio.Median, r.titleOf(t.Against))
}

func (r *Row) titleOf(against string) string {
	if against != AnyPeer {
		for _, c := range columns {
			if c.name == against {
				return c.title
			}
		}
		return against
	}
	if best := r.Better(against); best != nil {
		return best.Title
	}
	return "the best peer"
}

// goal says what must be reached.
func (t Target) goal(unit string) string {
	if t.Against == "" {
		return "≤ " + number(t.AtMost) + " " + strings.Fields(unit)[0]
	}
	name := t.Against
	for _, c := range columns {
		if c.name == t.Against {
			name = c.title
		}
	}
	if t.Against == AnyPeer {
		name = "the best peer"
	}
	return fmt.Sprintf("≤ %.2f × %s", t.Factor, name)
}

// number formats a value with three significant digits, thousands separated.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 999.5:
		digits := fmt.Sprintf("%.0f", v)
		for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
			digits = digits[:i] + "," + digits[i:]
		}
		return digits
	case a >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case a >= 9.995:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// Splice puts a table between a document's marks.
func Splice(document, table string) (string, error) {
	before, rest, found := strings.Cut(document, beginMark+"\n")
	_, after, closed := strings.Cut(rest, endMark)
	if !found || !closed {
		return "", fmt.Errorf("the document has no lines %s and %s", beginMark, endMark)
	}
	return before + beginMark + "\n\n" + table + "\n" + endMark + after, nil
}
