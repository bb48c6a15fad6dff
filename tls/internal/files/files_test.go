//go:build linux

package files

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReadSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	large, pipe := filepath.Join(dir, "large"), filepath.Join(dir, "pipe")
	write(t, large, strings.Repeat("x", sizeLimit+1))
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		filepath.Join(dir, "none"): "does not exist",
		dir:                        "is not a regular file",
		pipe:                       "is not a regular file",
		large:                      "larger than 1024 KiB",
	} {
		if _, _, err := Read(name); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	write(t, filepath.Join(dir, "good"), "abc")
	if data, mode, err := Read(filepath.Join(dir, "good")); err != nil || string(data) != "abc" || mode.Perm() != 0o600 {
		t.Fatal(data, mode, err)
	}
	if _, err := List(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Fatal(err)
	}
}

// TestAChangeIsTakenWhenItHasSettled covers what editors and deployment tools do to files.
func TestAChangeIsTakenWhenItHasSettled(t *testing.T) {
	dir := t.TempDir()
	file, optional, folder := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")
	write(t, file, "1")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	w := NewWatch([]string{file}, []string{optional}, []string{folder})
	never := func(when string) {
		t.Helper()
		if w.Changed() {
			t.Fatalf("%s: reported", when)
		}
	}
	once := func(when string) {
		t.Helper()
		never(when + ", just now")
		if !w.Changed() {
			t.Fatalf("%s: not reported", when)
		}
		never(when + ", again")
	}
	never("nothing has happened")
	write(t, file, "22")
	once("another size")
	if err := os.Chtimes(file, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	once("another time")
	write(t, file, "333")
	never("half written")
	write(t, file, "4444")
	once("written in two steps")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	never("gone")
	never("still gone")
	write(t, file, "4444")
	once("back")
	write(t, optional, "1")
	once("an optional file appears")
	if err := os.Remove(optional); err != nil {
		t.Fatal(err)
	}
	once("an optional file disappears")
	write(t, filepath.Join(folder, "x"), "1")
	once("a new file in the folder")
	write(t, filepath.Join(folder, "x"), "22")
	once("a changed file in the folder")
	write(t, file, "55555")
	w.Take()
	never("taken before it was noticed")
}
