package tidy

import (
	"slices"
	"strings"
)

// Rules are all house rules, in the order in which they are reported.
var Rules = []Rule{
	{"top level", checkTopLevel},
	{"file length", checkFileLength},
	{"function length", checkFunctionLength},
	{"format", checkFormat},
	{"import arrows", checkArrows},
	{"restricted imports", checkRestricted},
	{"pure parsers", checkPure},
	{"clock", checkClock},
	{"goroutines", goroutinesIn(goroutineFiles)},
	{"recover", checkRecover},
	{"any", checkEmptyInterface},
	{"context", checkContext},
	{"race detector", checkNoRace},
	{"sleep", checkSleep},
	{"skips", checkSkips},
	{"documentation", checkDocumentation},
	{"markers", checkMarkers},
	{"paths and hosts", checkPathsAndHosts},
	{"scripts", checkScripts},
	{"target help", checkTargetHelp},
	{"version stamp", checkVersionStamp},
	{"named targets", checkNamedTargets},
	{"links", checkLinks},
}

// topLevel are the only entries of the root.
var topLevel = []string{
	".ci", ".gitignore", "LICENSE", "Makefile", "README.md", "bench", "cmd", "docs",
	"engine", "go.mod", "go.sum", "proxy", "scripts", "tls",
}

func checkTopLevel(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Files {
		entry, _, _ := strings.Cut(f.Path, "/")
		if !slices.Contains(topLevel, entry) {
			found = append(found, Finding{f.Path, 0, "the root holds only " + strings.Join(topLevel, ", ") + ": move or remove it"})
		}
	}
	return found
}
