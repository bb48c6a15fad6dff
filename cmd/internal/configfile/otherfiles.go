package configfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"culvert/proxy/discovery"
	"culvert/proxy/keyfile"
)

const (
	// maxSecretBytes bounds the files of keys and tokens.
	maxSecretBytes = 64 << 10
	// The token of the admin port is one line of so many characters.
	minToken, maxToken = 16, 512
)

// readSecret reads a file that nobody else may read.
func readSecret(name string) ([]byte, error) {
	data, err := readBounded(name, maxSecretBytes)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, errors.New("the file cannot be read: " + reasonOf(err))
	case info.Mode()&0o007 != 0:
		return nil, fmt.Errorf("every user of this machine may read or write it (mode %04o): chmod o= on it", info.Mode().Perm())
	case len(bytes.TrimSpace(data)) == 0:
		return nil, errors.New("the file is empty")
	}
	return data, nil
}

// ReadToken reads the token of the admin port. Errors do not show it.
func ReadToken(name string) (string, error) {
	data, err := readSecret(name)
	if err != nil {
		return "", err
	}
	token := string(bytes.TrimSpace(data))
	if len(token) < minToken || len(token) > maxToken {
		return "", fmt.Errorf("a token has %d to %d characters, and this one %d", minToken, maxToken, len(token))
	}
	for i := range len(token) {
		if token[i] <= ' ' || token[i] >= 0x7f {
			return "", errors.New("a token is one line of letters, digits and signs, without blanks")
		}
	}
	return token, nil
}

func inspectToken(one namedFile) []finding {
	if _, err := ReadToken(one.path); err != nil {
		return []finding{{one, err.Error(), false}}
	}
	return nil
}

func (f *File) inspectCookieKeys(s *Sticky) []finding {
	if s == nil || s.KeyFile == "" {
		return nil
	}
	one := namedFile{s.keyPlace, "key-file", s.KeyFile, f.path(s.KeyFile)}
	if _, err := readSecret(one.path); err != nil {
		return []finding{{one, err.Error(), false}}
	}
	if _, err := keyfile.Read(one.path); err != nil {
		return findingsOf([]namedFile{one}, err, false)
	}
	return nil
}

// inspectList reads a list of servers, which somebody may have yet to write: that it is not there is only to be doubted.
func (f *File) inspectList(d *Discovery) []finding {
	if d == nil || d.File == "" {
		return nil
	}
	one := namedFile{d.filePlace, "file", d.File, f.path(d.File)}
	if _, err := os.Stat(one.path); errors.Is(err, fs.ErrNotExist) {
		return []finding{{one, "there is no such file yet", true}}
	}
	data, err := readBounded(one.path, MaxFileBytes)
	if err == nil {
		_, err = discovery.ParseFile(data, "")
	}
	if err != nil {
		return []finding{{one, strings.TrimLeft(err.Error(), ": "), false}}
	}
	return nil
}
