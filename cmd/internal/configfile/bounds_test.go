package configfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"culvert/cmd/internal/configfile/configtest"
	"culvert/proxy"
)

// TestBounds: a file that is too much of something says of what, within a few seconds, whatever it is.
func TestBounds(t *testing.T) {
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for name, c := range map[string]struct{ text, want string }{
		"bytes":           {strings.Repeat("#", MaxFileBytes+1), "c: the file has 4194305 bytes, at most 4194304 are allowed"},
		"brackets":        {"a: " + strings.Repeat("[", 1<<17), "c:1:67: nested more than 64 deep"},
		"braces":          {strings.Repeat("{a: ", 1<<16), "c:1:257: nested more than 64 deep"},
		"dashes":          {strings.Repeat("- ", 1<<16), "c:1:129: nested more than 64 deep"},
		"keys":            {many(maxKeys+1, "k%d: 1\n"), "c:10001:7: more than 10000 keys in one mapping"},
		"keys in a block": {"timeouts:\n" + many(20_000, "  k%d: 1\n"), "c:10002:9: more than 10000 keys in one mapping"},
		"commas":          {"a: [" + strings.Repeat("1,", 1<<19), "c: the file has 1048579 parts, at most 1000000 are allowed"},
		"documents":       {strings.Repeat("---\n", 1<<17), "c:1:1: the file is empty: it has sections such as listeners, groups and timeouts"},
		"comments":        {strings.Repeat("# x\n", 1<<19), "c:1:1: the file is empty: it has sections such as listeners, groups and timeouts"},
		"listeners":       {"listeners:\n" + many(MaxListeners+1, "- address: \":%d\"\n") + "groups: {a: {servers: [a:1]}}\n", "c:2:1: listeners: 1001 listeners, at most 1000 are allowed"},
		"entries":         {"trust: {trusted-proxies: [" + strings.Repeat("::1,", MaxListEntries+1) + "]}", "c:1:26: trusted-proxies: 100001 entries, at most 100000 are allowed"},
		"servers":         {"listeners: [{address: \":80\", group: a}]\ngroups:\n  a:\n    servers:\n" + many(MaxServers+1, "    - a:%d\n"), "c:5:5: servers: 10001 servers in this file so far, at most 10000 are allowed"},
		"too many rules":  {"groups: {a: {servers: [a:1]}}\nlisteners:\n- address: :80\n  rules:\n" + many(MaxRules+1, "  - {group: a, path: /%d}\n"), "c:5:3: rules: 10001 rules in this file so far, at most 10000 are allowed"},
		"conditions":      {"groups: {a: {servers: [a:1]}}\nlisteners:\n- address: :80\n  rules:\n  - group: a\n    headers:\n" + many(MaxConditions+1, "      X-%d: 1\n"), "c:7:7: headers: 65 conditions, at most 64 are allowed"},
		"edits":           {"groups: {a: {servers: [a:1]}}\nlisteners:\n- address: :80\n  rules:\n  - group: a\n    request-headers:\n      set:\n" + many(MaxEdits+1, "        X-%d: 1\n"), "c:7:7: request-headers: 65 edits, at most 64 are allowed"},
		"a body":          {"groups: {a: {servers: [a:1]}}\nlisteners: [{address: \":80\", rules: [{path: /x, group: a}, {answer: {body: " + strings.Repeat("x", 1<<18+1) + "}}]}]", "c:2:76: body: 262145 bytes, at most 262144 are allowed"},
		"less-than signs": {"a: " + strings.Repeat("<", 1<<20), "c:1:4: more than 100 times < in a row"},
		"unknown groups": {
			"listeners:\n- address: :80\n  rules:\n" + many(MaxRules, "  - {group: x"+strings.Repeat("y", 50)+"%[1]d, path: /%[1]d}\n") + "groups:\n" + many(maxKeys, "  "+strings.Repeat("z", 50)+"%d: {servers: [a:1]}\n"),
			"c:4:13: group xyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy0: there is no such group",
		},
		"problems": {"limits:\n" + many(500, "  k%d: 1\n"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			f, problems := Parse([]byte(c.text), "c")
			if f != nil || len(problems) == 0 || !strings.HasPrefix(problems[0].String(), c.want) {
				t.Fatalf("%v, want %s", problems, c.want)
			}
			if len(problems) > maxProblems+1 {
				t.Errorf("%d problems are told", len(problems))
			}
			if name == "problems" && problems[maxProblems].Message != "and 400 more" {
				t.Errorf("the last line is %s", problems[maxProblems])
			}
		})
	}
}

// TestMostOfEverything: what is within the bounds is read.
func TestMostOfEverything(t *testing.T) {
	var b strings.Builder
	b.WriteString("trust: {trusted-proxies: [")
	for i := range MaxListEntries {
		fmt.Fprintf(&b, "10.%d.%d.%d, ", i>>16, i>>8&255, i&255)
	}
	b.WriteString("]}\nlisteners:\n- address: :80\n  rules:\n")
	for i := range MaxRules {
		fmt.Fprintf(&b, "  - {group: a, path: /%d, allowed-origins: same-host, idle-timeout: 5s}\n", i)
	}
	b.WriteString("groups:\n  a:\n    servers:\n")
	for i := range MaxServers {
		fmt.Fprintf(&b, "    - a:%d\n", i+1)
	}
	f, problems := Parse([]byte(b.String()), "c")
	if f == nil || len(problems) > 0 || len(f.Listeners[0].Rules) != MaxRules || len(f.Groups[0].Servers) != MaxServers {
		t.Fatalf("%v", problems)
	}
	s := defaultSettings(t).Settings
	if configs := f.ListenerConfigs(&s); len(configs[0].Rules) != MaxRules || configs[0].Rules[0].Policy == nil {
		t.Error("rules are missing")
	}
}

// TestWhatIsNoFile: folders, pipes, nothing. None is waited for.
func TestWhatIsNoFile(t *testing.T) {
	folder := t.TempDir()
	pipe := filepath.Join(folder, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(folder, "large")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, MaxFileBytes+1); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(folder, "missing\n.yaml")
	for name, want := range map[string]string{
		folder: folder + ": a folder, not a file", pipe: pipe + ": not a regular file",
		missing: fmt.Sprintf("%+q", missing) + ": the file cannot be read: no such file or directory",
		large:   large + ": the file has more than 4194304 bytes, which is the most allowed",
	} {
		if f, problems := Load(name); f != nil || problems.Error() != want {
			t.Errorf("%v, want %s", problems, want)
		}
	}
}

// FuzzParse: whatever the file is, what is said is single printable lines; what is accepted is taken by the proxy, and
// printed as the same.
func FuzzParse(f *testing.F) {
	for _, c := range configtest.Wrong(f, wrongFile) {
		f.Add(c.Text())
	}
	f.Add([]byte(everything))
	f.Add([]byte(balanced))
	for _, text := range exampleTexts(f) {
		f.Add([]byte(text))
	}
	body := func(string) ([]byte, error) { return []byte("body"), nil }
	f.Fuzz(func(t *testing.T, text []byte) {
		file, problems := parseWith(text, "c", body)
		for _, p := range problems {
			if strings.ContainsFunc(p.String(), func(r rune) bool { return r < ' ' || r == 0x7f }) || p.Message == "" {
				t.Errorf("not one printable line: %q", p)
			}
		}
		if (file == nil) != (len(problems.Errors()) > 0) {
			t.Fatalf("a file %v, and the problems %v", file != nil, problems)
		}
		if file == nil {
			return
		}
		file.Advice()
		if _, err := proxy.New(asProxyConfig(t, file), proxy.Logs{}); err != nil && file.HasSite() {
			t.Errorf("accepted, and the proxy does not take it: %v\n%s", err, text)
		}
		again, problems := parseWith([]byte(file.Text()), "c", body)
		if again == nil {
			t.Fatalf("printed, it is refused: %v\n%s", problems, file.Text())
		}
		if one, two := file.Text(), again.Text(); one != two {
			t.Errorf("printed, it says something else:\n%s\n%s", one, two)
		}
	})
}
