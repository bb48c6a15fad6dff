package configfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"sync"

	"culvert/cmd/internal/settings"
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
		err = wrongList(data)
	}
	if err != nil {
		return []finding{{one, err.Error(), false}}
	}
	return nil
}

// listed is a server in such a list, which has addresses only: there is nobody to look a name up.
type listed struct{}

var listedFields = sync.OnceValue(func() []field[listed] {
	return []field[listed]{
		{key: "address", read: func(r *reader, n *node, _ *listed) { r.listedAddress(n) }},
		countField("weight", settings.Range{Min: "0", Max: fmt.Sprint(settings.MaxWeight)}, "", func(*listed, int) {}),
		booleanField("secondary", "", func(*listed, bool) {}),
	}
})

func (r *reader) listedAddress(n *node) {
	if text, ok := r.text(n); ok {
		if address, err := netip.ParseAddrPort(text); err != nil || address.Port() == 0 {
			r.wrong(n, text, "no address with a port", "such as 10.0.0.1:80 or \"[2001:db8::1]:80\"")
		}
	}
}

// wrongList says what is first wrong with the text of such a list; nil: nothing.
func wrongList(data []byte) error {
	r := &reader{known: allKeys()}
	body := r.document(data)
	switch {
	case len(r.problems) > 0:
	case body == nil || body.kind != list:
		return errors.New("not a list of servers; one without any is written []")
	case len(body.items) > MaxServers:
		return fmt.Errorf("%d servers, at most %d are allowed", len(body.items), MaxServers)
	default:
		body.key = "server"
		for _, item := range body.items {
			if item.key = "server"; item.kind != mapping {
				r.listedAddress(item)
			} else if values, _ := readMapping(r, item, listedFields(), &listed{}); values["address"] == nil {
				r.fail(item.place, "a server without address")
			}
		}
	}
	if problems := r.problems.sorted(); len(problems) > 0 {
		first := problems[0]
		return fmt.Errorf("%d:%d: %s", first.Line, first.Column, first.Message)
	}
	return nil
}
