package discovery

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParseFile(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"JSON":                 {`[{"address": "10.0.0.1:80", "weight": 3, "secondary": false}, "10.0.0.2:80"]`, []string{"10.0.0.1:80 3/0", "10.0.0.2:80 1/0"}},
		"JSON on lines":        {"[\n\t{\n\t\t\"address\": \"[2001:db8::1]:80\",\n\t\t\"secondary\": true\n\t},\r\n\t\"10.0.0.2:80\"\n]\n", []string{"10.0.0.2:80 1/0", "[2001:db8::1]:80 1/1"}},
		"JSON with escapes":    {`["10.0.0.1\u003a80"]`, []string{"10.0.0.1:80 1/0"}},
		"YAML":                 {"# a comment\n- 10.0.0.2:80\n- address: \"[::1]:80\"\n  weight: 0\n- {address: 10.0.0.1:80, secondary: true, weight: 100} # so\n", []string{"10.0.0.1:80 100/1", "10.0.0.2:80 1/0", "[::1]:80 0/0"}},
		"YAML in brackets":     {"[10.0.0.2:80, {address: 10.0.0.1:80}]", []string{"10.0.0.1:80 1/0", "10.0.0.2:80 1/0"}},
		"a mark and a marker":  {"\ufeff---\n- 10.0.0.1:80\n", []string{"10.0.0.1:80 1/0"}},
		"an address in two":    {"- '::ffff:10.0.0.1:80'\n", nil},
		"4-in-6":               {"- '[::ffff:10.0.0.1]:80'\n", []string{"10.0.0.1:80 1/0"}},
		"an empty list":        {"[]", []string{}},
		"an empty list, lines": {"# nobody\n[\n]\n", []string{}},
	} {
		set, err := ParseFile([]byte(c.text), "f")
		if (err == nil) != (c.want != nil) || !slices.Equal(spell(set), c.want) {
			t.Errorf("%s: %v, %v; want %v", name, spell(set), err, c.want)
		}
	}
}

func TestWhatIsWrongWithAFile(t *testing.T) {
	for text, want := range map[string]string{
		"":                                              "f: the file is empty; a list without backends is written []",
		"# only this\n":                                 "f: the file is empty",
		"10.0.0.1:80":                                   `f:1:1: the file is no list; each line of one begins with "- "`,
		"address: 10.0.0.1:80\n":                        "f:1:8: the file is no list",
		"- 10.0.0.1\n":                                  `f:1:3: "10.0.0.1" is no address with a port, such as 10.0.0.1:80 or "[::1]:80"`,
		"- 10.0.0.1:0\n":                                `f:1:3: "10.0.0.1:0" is no address`,
		"- app.example:80\n":                            `f:1:3: "app.example:80" is no address`,
		"- 10.0.0.1:80\n-\n":                            "f:2:3: an address with its port belongs here",
		"- 10.0.0.1:80\n- [a]\n":                        "f:2:3: an address with its port belongs here",
		"- weight: 3\n":                                 "a backend without address",
		"- address: 10.0.0.1:80\n  x: 1":                "f:2:3: x: unknown; a backend has address, weight and secondary",
		"- {address: 10.0.0.1:80, weight: 101}":         `f:1:34: weight "101": allowed are 0 to 100`,
		"- {address: 10.0.0.1:80, weight: -1}":          `weight "-1"`,
		"- {address: 10.0.0.1:80, weight: 1.5}":         `weight "1.5"`,
		"- {address: 10.0.0.1:80, weight: 0x10}":        `weight "0x10"`,
		"- {address: 10.0.0.1:80, weight: [1]}":         `weight ""`,
		"- {address: 10.0.0.1:80, secondary: yes}":      `secondary "yes": allowed are true and false`,
		"- {address: 10.0.0.1:80, address: 10.0.0.2:1}": "f:1:26: address: given twice",
		"- 10.0.0.1:80\n- 10.0.0.2:80\n- address: 10.0.0.1:80\n": "f:3:12: 10.0.0.1:80: given twice, first in line 1",
		"- 10.0.0.1:80\n---\n- 10.0.0.2:80\n":                    "f:3:1: a second document begins here",
		"- [10.0.0.1:80\n- 10.0.0.2:80":                          "not YAML: ",
		"[\n  \"10.0.0.1:80\",\n  {\"address\": ":                "not YAML: ",
		"- &a 10.0.0.1:80\n- *a\n":                               "f:1:3: &: anchors, aliases, tags and the like are not supported",
		"- !!str 10.0.0.1:80\n":                                  "f:1:3: !!str: anchors",
		"- " + strings.Repeat(">", 1000):                         "> ...",
		"- " + strings.Repeat("a", 1000) + ": 1":                 "a ...",
		"- \xff\n":                                               "f:1:3: not UTF-8",
		"- a\x00\n":                                              "f:1:4: the control character U+0000",
		"- a\n- " + strings.Repeat("<", 200):                     "f:2:3: 100 times < in a row",
		strings.Repeat("[", 1000):                                "f:1:9: nested more than 8 deep",
		strings.Repeat("- ", 1000):                               "f:1:17: nested more than 8 deep",
		"- {" + strings.Repeat("a: 1, ", 100) + "}":              "more than 16 keys in one backend",
		"- " + strings.Repeat("a: 1\n  ", 100):                   "f:17:4: more than 16 keys in one backend",
		"[" + strings.Repeat("1,", maxTokens) + "]":              "f: the file has 800002 parts, at most 400000 are allowed",
		strings.Repeat("#", MaxFileBytes+1):                      "f: the file has more than 4194304 bytes, which is the most allowed",
		"- " + strings.Repeat("x", 1000):                         `xxx" is no address`,
		"- \"a\u2028b\"":                                         `f:1:3: "a\u2028b" is no address`,
	} {
		set, err := ParseFile([]byte(text), "f")
		if err == nil || set != nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("%.60q: %v; want %s", text, err, want)
		}
		if err != nil && (len(err.Error()) > 400 || printable(err.Error()) != err.Error()) {
			t.Errorf("%.60q: not one short printable line: %q", text, err)
		}
	}
}

func TestTheMostThatAFileMayHave(t *testing.T) {
	list := func(n int, format, separator string) string {
		lines := make([]string, n)
		for i := range lines {
			lines[i] = fmt.Sprintf(format, i>>8, i&255)
		}
		return strings.Join(lines, separator)
	}
	for name, text := range map[string]string{
		"YAML": list(MaxEndpoints, "- 10.0.%d.%d:80", "\n"),
		"maps": list(MaxEndpoints, "- address: 10.0.%d.%d:80\n  weight: 3\n  secondary: true", "\n"),
		"JSON": "[\n" + list(MaxEndpoints, `  {"address": "10.0.%d.%d:80", "weight": 3, "secondary": false}`, ",\n") + "\n]",
	} {
		begin := time.Now()
		set, err := ParseFile([]byte(text), "f")
		if err != nil || len(set) != MaxEndpoints {
			t.Errorf("%s: %d endpoints, %v", name, len(set), err)
		}
		t.Logf("figure: %s, %d bytes: %v", name, len(text), time.Since(begin))
	}
	if _, err := ParseFile([]byte(list(MaxEndpoints+1, "- 10.0.%d.%d:80", "\n")), "f"); err == nil || !strings.Contains(err.Error(), "f:10001:3: 10001 backends, at most 10000 are allowed") {
		t.Errorf("one more: %v", err)
	}
}

// playFile plays a scene with a file of this text, or none if that is empty.
func playFile(t *testing.T, text string, script func(s *scene, file string)) {
	file := filepath.Join(t.TempDir(), "backends.yaml")
	if text != "" {
		write(t, file, text)
	}
	play(t, []Source{{Kind: File, Name: file}}, nil, func(s *scene) { script(s, file) })
}

func TestAFileIsReadAgainWhenItHasChanged(t *testing.T) {
	playFile(t, "- 10.0.0.1:80\n", func(s *scene, file string) {
		s.after(0.5).want("", "10.0.0.1:80 1/0")
		write(t, file, "- 10.0.0.1:80\n- 10.0.0.2:80\n")
		s.after(1).want("", "10.0.0.1:80 1/0") // it is seen, and may be being written
		write(t, file, "- 10.0.0.1:80\n- 10.0.0.2:80\n- 10.0.0.3:80\n")
		s.after(1).want("", "10.0.0.1:80 1/0") // it was
		s.after(1).want("", "10.0.0.1:80 1/0", "10.0.0.2:80 1/0", "10.0.0.3:80 1/0")
		write(t, file, "[]")
		s.after(2).want("").wantKnown(true)
		if n := s.told(); n != 3 {
			t.Errorf("told %d times", n)
		}
	})
}

func TestABrokenFileKeepsTheLastSet(t *testing.T) {
	playFile(t, "- 10.0.0.1:80\n", func(s *scene, file string) {
		s.after(0.5)
		for text, warning := range map[string]string{
			"":                                  "the file is empty",
			"- 10.0.0.1:80\n- 10.0.0.2\n":       ":2:3: \"10.0.0.2\" is no address",
			strings.Repeat("#", MaxFileBytes+1): "more than 4194304 bytes",
		} {
			write(t, file, text)
			s.after(3).want(warning, "10.0.0.1:80 1/0").want(file, "10.0.0.1:80 1/0").want("; what was known stays", "10.0.0.1:80 1/0")
		}
		must(t, os.Remove(file))
		s.after(3).want("no such file or directory", "10.0.0.1:80 1/0")
		must(t, syscall.Mkfifo(file, 0o600))
		s.after(3).want("not a regular file", "10.0.0.1:80 1/0")
		must(t, os.Remove(file))
		write(t, file, "- 10.0.0.9:80\n")
		s.after(3).want("", "10.0.0.9:80 1/0")
	})
}

func TestAFileThatThereIsNotYet(t *testing.T) {
	playFile(t, "", func(s *scene, file string) {
		s.after(5).want("no such file or directory").wantKnown(false)
		write(t, file+".new", "- 10.0.0.1:80\n")
		must(t, os.Rename(file+".new", file))
		s.after(2).want("", "10.0.0.1:80 1/0")
		if n := s.told(); n != 2 {
			t.Errorf("told %d times", n)
		}
	})
}

// TestAFileThatCannotBeReadIsTriedAgain though it has not changed: what was in the way may be gone.
func TestAFileThatCannotBeReadIsTriedAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(file, []byte("- 10.0.0.1:80\n"), 0o600))
	s, w := &fileSource{watch: fileWatch{name: file}}, &work{clock: func() int64 { return 0 }}
	var most syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &most))
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Max: most.Max})) // no descriptor is left
	for range 3 {
		s.refresh(t.Context(), w)
	}
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &most))
	if _, known, problem := s.state(); known || problem == nil {
		t.Fatalf("without descriptors the file is known (%v), or there is no problem (%v)", known, problem)
	}
	for range 2 {
		s.refresh(t.Context(), w)
	}
	if set, known, problem := s.state(); !known || problem != nil || !slices.Equal(spell(set), []string{"10.0.0.1:80 1/0"}) {
		t.Errorf("with descriptors it is %v (known %v), and the problem %v", spell(set), known, problem)
	}
}

func TestDiff(t *testing.T) {
	parse := func(text string) Set {
		set, err := ParseFile([]byte(text), "f")
		must(t, err)
		return set
	}
	before := parse("[10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80, 10.0.0.4:80, 10.0.0.5:80]")
	after := parse("[10.0.0.0:80, 10.0.0.2:81, {address: 10.0.0.3:80, weight: 2}, {address: 10.0.0.4:80, secondary: true}, 10.0.0.5:80]")
	d := after.Since(before)
	for _, c := range []struct {
		what string
		got  []Endpoint
		want []string
	}{
		{"added", d.Added, []string{"10.0.0.0:80 1/0", "10.0.0.2:81 1/0"}},
		{"removed", d.Removed, []string{"10.0.0.1:80 1/0", "10.0.0.2:80 1/0"}},
		{"changed", d.Changed, []string{"10.0.0.3:80 2/0", "10.0.0.4:80 1/1"}},
	} {
		if !slices.Equal(spell(c.got), c.want) {
			t.Errorf("%s %v, want %v", c.what, spell(c.got), c.want)
		}
	}
	if d := before.Since(before); d.Added != nil || d.Removed != nil || d.Changed != nil {
		t.Errorf("a set differs from itself by %v", d)
	}
	if d := before.Since(nil); len(d.Added) != 5 || len(Set(nil).Since(before).Removed) != 5 {
		t.Errorf("%v", d)
	}
}

// FuzzParseFile: whatever the file is, it is read, or it is said in one printable line why not; what is read is in order
// and within bounds, and comes out the same when it is written down.
func FuzzParseFile(f *testing.F) {
	f.Add([]byte(`[{"address": "10.0.0.1:80", "weight": 3, "secondary": false}, "10.0.0.2:80"]`))
	f.Add([]byte("- 10.0.0.2:80\n- address: \"[::1]:80\"\n  weight: 0\n# x\n- {address: 10.0.0.1:80, secondary: true}\n"))
	f.Add([]byte("[]"))
	f.Add([]byte("- &a [{x: !y z}]\n---\n? a\n: b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := ParseFile(data, "f")
		if err != nil {
			if set != nil || err.Error() != printable(err.Error()) {
				t.Fatalf("%v, %q", set, err)
			}
			return
		}
		var text strings.Builder
		text.WriteString("[\n")
		for i, e := range set {
			if e.Weight < 0 || e.Weight > MaxWeight || e.Priority > 1 || !e.Address.IsValid() || e.Address.Port() == 0 {
				t.Fatalf("%+v", e)
			}
			if i > 0 && set[i-1].Address.Compare(e.Address) >= 0 {
				t.Fatal("not in order")
			}
			fmt.Fprintf(&text, "{\"address\": %q, \"weight\": %d, \"secondary\": %v},\n", e.Address, e.Weight, e.Priority == 1)
		}
		text.WriteString("]")
		again, err := ParseFile([]byte(text.String()), "f")
		if err != nil || !again.Equal(set) {
			t.Fatalf("%v becomes %v, %v", set, again, err)
		}
	})
}
