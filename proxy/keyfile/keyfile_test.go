//go:build linux

package keyfile

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"culvert/proxy/sticky"
)

func put(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestSecretsAreRead(t *testing.T) {
	text := strings.Repeat("1", 64) + "\n" + strings.Repeat("2", 64) + "\n"
	want, _ := sticky.ParseSecrets(text)
	for _, mode := range []os.FileMode{0o400, 0o600, 0o640, 0o660} {
		got, err := Read(put(t, text, mode))
		if err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("mode %o: %v, %v", mode, got, err)
		}
	}
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	good := strings.Repeat("1", 64) + "\n"
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		filepath.Join(t.TempDir(), "none"): "does not exist",
		t.TempDir():                        "is not a regular file",
		pipe:                               "is not a regular file",
		put(t, good, 0o604):                "(mode 0604), and with them make cookies: chmod o= on it",
		put(t, good, 0o602):                "every user of this machine",
		put(t, strings.Repeat("#\n", sizeLimit/2)+"#", 0o600): "larger than 64 KiB",
		put(t, good+"23456", 0o600):                           "line 2: a key is 64 hexadecimal digits",
		put(t, "", 0o600):                                     "holds no key",
	} {
		_, err := Read(name)
		if err == nil || !strings.HasPrefix(err.Error(), name) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "23456") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
