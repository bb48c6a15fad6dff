//go:build linux

package tickets

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/tls/internal/tlstest"
)

func line(at time.Time, digit string) string {
	return at.Format(time.RFC3339) + " " + strings.Repeat(digit, 64) + "\n"
}

func put(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

func TestWhichKeysOfAFileAreUsed(t *testing.T) {
	start := tlstest.Now
	text := header + "\n# a comment\n\n" + line(start, "1") + line(start.Add(time.Hour), "2") + line(start.Add(2*time.Hour), "3")
	name := filepath.Join(t.TempDir(), "keys")
	put(t, name, text, 0o600)
	ring, c := newRing(t, Options{File: name})
	for _, step := range []struct {
		at   time.Duration
		want string // the first digit of each key: in use, then accepted
	}{
		{-time.Hour, "1 2 3"}, {0, "1 2 3"}, {time.Hour - 1, "1 2 3"}, {time.Hour, "2 3 1"},
		{time.Hour + DefaultLifetime + clockSkew, "2 3 1"}, {time.Hour + DefaultLifetime + clockSkew + 1, "2 3"},
		{2 * time.Hour, "3 2"}, {1000 * time.Hour, "3"}, {0, "1 2 3"},
	} {
		c.now = start.Add(step.at)
		if err := ring.Advance(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, k := range ring.present.Load().keys {
			got = append(got, fmt.Sprintf("%x", k.secret[0]>>4))
		}
		if strings.Join(got, " ") != step.want {
			t.Errorf("after %v: %v, want %s", step.at, got, step.want)
		}
	}
}

// TestMachinesShareSessions: two rings of one file, one of them a minute ahead and already at the next key.
func TestMachinesShareSessions(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys")
	put(t, name, header+"\n"+line(tlstest.Now.Add(-time.Hour), "1")+line(tlstest.Now, "2"), 0o640)
	for _, version := range versions {
		behind, behindClock := newRing(t, Options{File: name})
		ahead, aheadClock := newRing(t, Options{File: name})
		behindClock.now = behindClock.now.Add(-30 * time.Second)
		if err := behind.Advance(); err != nil {
			t.Fatal(err)
		}
		one, two, s := listener(behindClock), listener(aheadClock), &session{}
		behind.Bind(one, Context{})
		ahead.Bind(two, Context{})
		if visit(t, one, behindClock, s, "a.example", version) || !visit(t, two, aheadClock, s, "a.example", version) || !visit(t, one, behindClock, s, "a.example", version) {
			t.Errorf("TLS %x: the session is not shared", version)
		}
	}
}

func TestAFileIsReadAgainWhenItHasChanged(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys")
	put(t, name, header+"\n"+line(tlstest.Now, "1"), 0o600)
	ring, c := newRing(t, Options{File: name})
	binding := ring.Bind(listener(c), Context{})
	before := ring.Keys(Context{})
	advance := func(problem string) {
		t.Helper()
		err := ring.Advance()
		binding.Refresh()
		if (err != nil) != (problem != "") || err != nil && !strings.Contains(err.Error(), problem) {
			t.Fatalf("%v, want %q", err, problem)
		}
	}
	put(t, name, "x", 0o600)
	advance("")
	advance("stay as they are")
	advance("")
	if !slices.Equal(ring.Keys(Context{}), before) {
		t.Fatal("a broken file has changed the keys")
	}
	put(t, name, header+"\n"+line(tlstest.Now, "1")+line(tlstest.Now.Add(time.Hour), "2"), 0o600)
	advance("")
	advance("")
	if got := ring.Keys(Context{}); len(got) != 2 || got[0] != before[0] || binding.taken.Load() != ring.present.Load() {
		t.Fatal("the new file is not taken")
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	now, good := tlstest.Now, line(tlstest.Now, "a")
	for what, c := range map[string]struct{ text, want string }{
		"empty":             {"", "first line"},
		"another format":    {"1\n", "first line"},
		"no key":            {header + "\n# none\n", "holds no key"},
		"no time":           {header + "\n" + strings.Repeat("a", 64), "line 2: it begins with no time"},
		"half a second":     {header + "\n2026-06-01T00:00:00.5Z " + strings.Repeat("a", 64), "no time"},
		"a short key":       {header + "\n\n2026-06-01T00:00:00Z abcd", "line 3: a key is 64"},
		"a long key":        {header + "\n" + strings.TrimSpace(good) + "aa", "line 2: a key is 64"},
		"a key of zeros":    {header + "\n" + line(now, "0"), "zeros"},
		"times that fall":   {header + "\n" + good + line(now.Add(-1e9), "b"), "line 3: the times of keys must ascend"},
		"the same time":     {header + "\n" + good + line(now, "b"), "ascend"},
		"the same key":      {header + "\n" + good + line(now.Add(1e9), "a"), "twice"},
		"a key and a word":  {header + "\n" + strings.TrimSpace(good) + " x", "line 2"},
		"too many":          {header + "\n" + many(maxKeys+1), "more than 16"},
		"binary":            {header + "\n\x00\xff", "line 2"},
		"a key in an error": {header + "\n2026 " + strings.Repeat("e", 64), "begins with no time"},
	} {
		_, err := ParseFile(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		} else if strings.Contains(err.Error(), "eeee") || strings.Contains(err.Error(), "aaaa") {
			t.Errorf("%s: the error shows a key: %v", what, err)
		}
	}
	name := filepath.Join(t.TempDir(), "keys")
	for mode, allowed := range map[os.FileMode]bool{0o600: true, 0o640: true, 0o644: false, 0o602: false} {
		put(t, name, header+"\n"+good, mode)
		if _, err := New(Options{Clock: tlstest.Clock, File: name}); (err == nil) != allowed {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

// many is the text of so many keys.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s %064x\n", tlstest.Now.Add(time.Duration(i)*time.Hour).Format(time.RFC3339), i+1)
	}
	return b.String()
}

func TestNextFileKeepsTheLastTwo(t *testing.T) {
	text := ""
	for i := range 4 {
		next, err := NextFile(text, tlstest.Now.Add(time.Duration(i)*DefaultRotation))
		if err != nil {
			t.Fatal(err)
		}
		keys, err := ParseFile(next)
		if err != nil || len(keys) != min(i+1, 3) || FormatFile(keys) != next {
			t.Fatal(len(keys), err)
		}
		if old := strings.Split(strings.TrimSpace(text), "\n"); i > 0 && !strings.Contains(next, old[len(old)-1]) {
			t.Error("the key in use is gone")
		}
		text = next
	}
	if _, err := NextFile(text, tlstest.Now); err == nil {
		t.Error("a key before the last")
	}
	if _, err := NextFile("x", tlstest.Now); err == nil {
		t.Error("a broken file is continued")
	}
}

func TestAKeyIsNotPrinted(t *testing.T) {
	keys, err := ParseFile(header + "\n" + line(tlstest.Now, "a"))
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, keys); strings.Contains(got, "170") || strings.Contains(got, "aa") {
			t.Errorf("%s: %s", format, got)
		}
	}
}

// FuzzKeyFile: what is read can be written and read again.
func FuzzKeyFile(f *testing.F) {
	f.Add(header + "\n" + many(2))
	f.Add(header + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := ParseFile(text)
		if err != nil {
			return
		}
		again, err := ParseFile(FormatFile(keys))
		if err != nil || len(again) != len(keys) {
			t.Fatal(len(again), len(keys), err)
		}
	})
}

// TestTheDocumentsFileIsRead takes the example of docs/tls.md.
func TestTheDocumentsFileIsRead(t *testing.T) {
	text, err := os.ReadFile("../../docs/tls.md")
	if err != nil {
		t.Fatal(err)
	}
	var example strings.Builder
	for l := range strings.Lines(string(text)) {
		if code, ok := strings.CutPrefix(l, "    "); ok {
			example.WriteString(code)
		}
	}
	if keys, err := ParseFile(example.String()); err != nil || len(keys) != 2 {
		t.Fatal(len(keys), err)
	}
}
