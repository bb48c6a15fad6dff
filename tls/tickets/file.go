//go:build linux

package tickets

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"culvert/tls/internal/files"
)

// header is the first line of a key file.
const header = "culvert-ticket-keys 1"

// maxKeys bounds the keys of a file: each is tried on a ticket that no key has made.
const maxKeys = 16

// readFile reads a key file that nobody else may read.
func readFile(name string) ([]Key, error) {
	data, mode, err := files.Read(name)
	if err != nil {
		return nil, err
	}
	if mode&0o007 != 0 {
		return nil, fmt.Errorf("%s: every user of this machine may read or write the ticket keys (mode %04o), and with them read recorded connections: chmod o= on it", name, mode.Perm())
	}
	keys, err := ParseFile(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return keys, nil
}

// ParseFile reads the text of a key file:
//
//	culvert-ticket-keys 1
//	# time from which the key makes tickets   64 hexadecimal digits
//	2026-06-01T00:00:00Z 5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592
//	2026-06-01T08:00:00Z 7d793037a0760186574b0282f2f435e77d793037a0760186574b0282f2f435e7
//
// Times are those of RFC 3339 and ascend. Every machine that is to share sessions has the same file; one that knows the
// next key ahead of its time resumes the sessions of a machine whose clock is ahead. Errors never show a key.
func ParseFile(text string) ([]Key, error) {
	lines := strings.Split(text, "\n")
	if strings.TrimSpace(lines[0]) != header {
		return nil, fmt.Errorf("is no file of ticket keys: the first line of one is %q", header)
	}
	var keys []Key
	for i, line := range lines[1:] {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		k, err := parseLine(line)
		switch {
		case err != nil:
			return nil, fmt.Errorf("line %d: %w", i+2, err)
		case len(keys) == maxKeys:
			return nil, fmt.Errorf("line %d: more than %d keys: remove those that are over", i+2, maxKeys)
		case len(keys) > 0 && !k.from.After(keys[len(keys)-1].from):
			return nil, fmt.Errorf("line %d: the times of keys must ascend", i+2)
		case slices.ContainsFunc(keys, func(other Key) bool { return other.secret == k.secret }):
			return nil, fmt.Errorf("line %d: the key stands in the file twice", i+2)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("holds no key: a line is a time and 64 hexadecimal digits")
	}
	return keys, nil
}

func parseLine(line string) (Key, error) {
	when, digits, _ := strings.Cut(line, " ")
	from, err := time.Parse(time.RFC3339, when)
	if err != nil || from.Nanosecond() != 0 || from.Year() < 2000 || from.Year() > 9000 {
		return Key{}, errors.New("it begins with no time like 2026-06-01T00:00:00Z")
	}
	secret, err := hex.DecodeString(strings.TrimSpace(digits))
	if err != nil || len(secret) != 32 {
		return Key{}, errors.New("a key is 64 hexadecimal digits, as openssl rand -hex 32 makes them")
	}
	k := Key{from: from, secret: [32]byte(secret)}
	if k.secret == [32]byte{} {
		return Key{}, errors.New("a key of zeros is no secret")
	}
	return k, nil
}

// FormatFile writes keys as ParseFile reads them.
func FormatFile(keys []Key) string {
	var b strings.Builder
	b.WriteString(header + "\n")
	for _, k := range keys {
		fmt.Fprintf(&b, "%s %s\n", k.from.UTC().Format(time.RFC3339), hex.EncodeToString(k.secret[:]))
	}
	return b.String()
}

// NextFile returns the text of a key file for the next period: the last two keys of the text given (which may be empty),
// and a new one that is used from a moment on. Distribute it before that moment.
func NextFile(text string, from time.Time) (string, error) {
	var keys []Key
	if strings.TrimSpace(text) != "" {
		old, err := ParseFile(text)
		if err != nil {
			return "", err
		}
		keys = old[max(0, len(old)-2):]
	}
	next := newKey(from.UTC().Truncate(time.Second))
	if len(keys) > 0 && !next.from.After(keys[len(keys)-1].from) {
		return "", fmt.Errorf("the last key begins at %s: the next must begin later", keys[len(keys)-1].from.Format(time.RFC3339))
	}
	return FormatFile(append(slices.Clone(keys), next)), nil
}
