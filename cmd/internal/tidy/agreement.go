package tidy

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

// machinePaths are folders that exist on one machine only. A path counts when
// it stands alone, not as a part of an address or of a longer path.
var machinePaths = regexp.MustCompile(`(^|[\s"'` + "`" + `=(:,<\[])/(wo` + `rk|ro` + `ot|ho` + `me|Us` + `ers|fa` + `rm|t` + `mp)/[A-Za-z0-9_.]`)

// registryHosts are the hosts that ordinary package clients know by themselves.
var registryHosts = regexp.MustCompile(`\b(proxy\.go` + `lang\.org|sum\.go` + `lang\.org|gop` + `roxy\.(io|cn)|registry\.n` + `pmjs\.org|(deb|security|ftp)\.deb` + `ian\.org|py` + `pi\.org|files\.python` + `hosted\.org|static\.cra` + `tes\.io|(docker|gh` + `cr|quay|gcr)\.io)\b`)

func checkPathsAndHosts(t *Tree) []Finding {
	found := searchText(t, machinePaths, "a path of one machine: make it relative, or use a temporary folder of the test")
	return append(found, searchText(t, registryHosts, "package clients know their hosts: do not name them")...)
}

// checkScripts: a script fails at its first error, can be run, and says by whom.
func checkScripts(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.Files {
		if !f.script() {
			continue
		}
		if !strings.HasPrefix(string(f.Source), "#!") {
			found = append(found, Finding{f.Path, 1, "a script begins with #! and its interpreter"})
		}
		if !f.Executable {
			found = append(found, Finding{f.Path, 1, "a script is executable: chmod +x"})
		}
		interpreter, _, _ := strings.Cut(string(f.Source), "\n")
		if strings.HasSuffix(interpreter, "sh") && !slices.Contains(f.Lines(), "set -euo pipefail") {
			found = append(found, Finding{f.Path, 1, "a shell script says: set -euo pipefail"})
		}
	}
	return found
}

// target matches the line that defines a target, with its help text if there is one.
var target = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9_./%-]*)\s*:([^=].*|)$`)

// targets returns the Makefile's targets and the lines that define them.
func targets(makefile *File) (names []string, lines map[string]int, helped map[string]bool) {
	lines, helped = map[string]int{}, map[string]bool{}
	for i, line := range makefile.Lines() {
		m := target.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if lines[m[1]] == 0 {
			names = append(names, m[1])
			lines[m[1]] = i + 1
		}
		if _, help, ok := strings.Cut(m[2], "## "); ok && strings.TrimSpace(help) != "" {
			helped[m[1]] = true
		}
	}
	return names, lines, helped
}

func checkTargetHelp(t *Tree) []Finding {
	makefile := t.Lookup("Makefile")
	if makefile == nil {
		return []Finding{{"Makefile", 0, "there is no Makefile"}}
	}
	var found []Finding
	names, lines, helped := targets(makefile)
	for _, name := range names {
		if !helped[name] {
			found = append(found, Finding{makefile.Path, lines[name], name + " has no help text: add ## and a few words to its line"})
		}
		if !strings.Contains(string(makefile.Source), "\n.PHONY: "+name+"\n") {
			found = append(found, Finding{makefile.Path, lines[name], name + " is not declared: put .PHONY: " + name + " above"})
		}
	}
	return found
}

// stamp matches the variable of a command that the linker is told to set.
var stamp = regexp.MustCompile(`-X main\.(\w+)=`)

// checkVersionStamp: the linker says nothing when the variable that it is to set does not exist.
func checkVersionStamp(t *Tree) []Finding {
	declared, commands := map[string]bool{}, false
	for _, f := range t.GoFiles() {
		if f.Dir() != "cmd/culvert" || f.Test() {
			continue
		}
		commands = true
		for name, object := range f.globals() {
			if object == token.VAR {
				declared[name] = true
			}
		}
	}
	var found []Finding
	for _, f := range t.Files {
		if !commands || f.Path != "Makefile" && path.Base(f.Path) != "Containerfile" {
			continue
		}
		for i, line := range f.Lines() {
			for _, m := range stamp.FindAllStringSubmatch(line, -1) {
				if !declared[m[1]] {
					found = append(found, Finding{f.Path, i + 1, "cmd/culvert declares no variable " + m[1] + " for the linker to set"})
				}
			}
		}
	}
	return found
}

// globals returns the names of the file's variables and constants, and which they are.
func (f *File) globals() map[string]token.Token {
	names := map[string]token.Token{}
	for _, d := range f.Go.Decls {
		if group, ok := d.(*ast.GenDecl); ok {
			for _, spec := range group.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok {
					for _, name := range v.Names {
						names[name.Name] = group.Tok
					}
				}
			}
		}
	}
	return names
}

// namedTarget matches a call of make at the start of a command, or in a code span.
var namedTarget = regexp.MustCompile("(?:^\\s*(?:\\$ )?|`)make ([a-z][a-z0-9-]*)")

// checkNamedTargets: what the documents tell the reader to run exists.
func checkNamedTargets(t *Tree) []Finding {
	known := map[string]bool{}
	if makefile := t.Lookup("Makefile"); makefile != nil {
		names, _, _ := targets(makefile)
		for _, name := range names {
			known[name] = true
		}
	}
	var found []Finding
	for _, f := range markdown(t) {
		fenced := f.fenced()
		for i, line := range f.Lines() {
			for _, m := range namedTarget.FindAllStringSubmatch(line, -1) {
				inCode := fenced[i] || strings.HasPrefix(line, "    ") || strings.Contains(m[0], "`")
				if inCode && !known[m[1]] {
					found = append(found, Finding{f.Path, i + 1, fmt.Sprintf("the Makefile has no target %s", m[1])})
				}
			}
		}
	}
	return found
}

// markdown returns the documents.
func markdown(t *Tree) []*File {
	return slices.DeleteFunc(slices.Clone(t.Files), func(f *File) bool { return path.Ext(f.Path) != ".md" })
}

// fenced tells for each line of a document whether it lies in a fenced block of code.
func (f *File) fenced() []bool {
	lines := f.Lines()
	in, open := make([]bool, len(lines)), false
	for i, line := range lines {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		in[i] = open || fence
		if fence {
			open = !open
		}
	}
	return in
}

var (
	inlineLink    = regexp.MustCompile(`\]\(<?([^)\s>]+)>?[^)]*\)`)
	referenceLink = regexp.MustCompile(`^\[[^\]]+\]:\s+(\S+)`)
	codeSpan      = regexp.MustCompile("`[^`]*`")
	otherScheme   = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:`)
)

// checkLinks: links to files of the tree, and to headings in them, resolve.
func checkLinks(t *Tree) []Finding {
	var found []Finding
	for _, f := range markdown(t) {
		fenced := f.fenced()
		for i, line := range f.Lines() {
			if fenced[i] {
				continue
			}
			line = codeSpan.ReplaceAllString(line, "")
			for _, m := range append(inlineLink.FindAllStringSubmatch(line, -1), referenceLink.FindAllStringSubmatch(line, -1)...) {
				if problem := brokenLink(t, f, m[1]); problem != "" {
					found = append(found, Finding{f.Path, i + 1, problem})
				}
			}
		}
	}
	return found
}

// brokenLink says what is wrong with a link, or "".
func brokenLink(t *Tree, from *File, link string) string {
	if otherScheme.MatchString(link) {
		return ""
	}
	name, heading, _ := strings.Cut(link, "#")
	to := from
	if name != "" {
		full := path.Join(from.Dir(), name)
		if strings.HasPrefix(name, "/") || !t.Holds(full) {
			return fmt.Sprintf("the link %s leads nowhere", link)
		}
		to = t.Lookup(full)
	}
	if heading == "" || to == nil || path.Ext(to.Path) != ".md" {
		return ""
	}
	fenced := to.fenced()
	for i, line := range to.Lines() {
		if !fenced[i] && strings.HasPrefix(line, "#") && anchor(line) == heading {
			return ""
		}
	}
	return fmt.Sprintf("the link %s names a heading that does not exist", link)
}

// anchor returns the name under which a heading can be linked to.
func anchor(line string) string {
	text := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
	var name strings.Builder
	for _, r := range text {
		switch {
		case r == ' ':
			name.WriteByte('-')
		case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 127:
			name.WriteRune(r)
		}
	}
	return name.String()
}
