package sim

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"

	"culvert/engine"
)

var statusNames = [...]string{
	engine.StatusReady: "ready", engine.StatusBlocked: "blocked", engine.StatusEOF: "EOF", engine.StatusFailed: "failed",
}

// tracef writes one line of the trace.
func (w *world) tracef(format string, arguments ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%s %s\n", clock(w.now), fmt.Sprintf(format, arguments...))
	}
}

// clock shows a virtual time in seconds.
func clock(now int64) string {
	now -= epoch
	return fmt.Sprintf("%d.%09d", now/second, now%second)
}

func readinessName(r engine.Readiness) string {
	var names []string
	for i, name := range []string{"readable", "writable", "broken", "hangup"} {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "+")
}

// difference runs a plan with and without moves and returns the first calls in which the two differ.
func difference(p *plan) string {
	var traces [2]bytes.Buffer
	for i := range traces {
		newWorld(p, Options{Move: i == 1, Trace: &traces[i]}).run()
	}
	staying, moving := callLines(&traces[0]), callLines(&traces[1])
	for i := range min(len(staying), len(moving)) {
		if staying[i] != moving[i] {
			return fmt.Sprintf("%q became %q", staying[i], moving[i])
		}
	}
	return fmt.Sprintf("%d calls became %d", len(staying), len(moving))
}

// callLines returns the lines of a trace but those about moves.
func callLines(trace *bytes.Buffer) (lines []string) {
	for scanner := bufio.NewScanner(trace); scanner.Scan(); {
		if line := scanner.Text(); !strings.Contains(line, " leaves loop ") && !strings.Contains(line, " goes on, on loop ") {
			lines = append(lines, line)
		}
	}
	return lines
}
