// Package keyfile reads the file with the secrets of session cookies.
package keyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"culvert/proxy/sticky"
)

// sizeLimit bounds, in bytes, what is read.
const sizeLimit = 64 << 10

// Read returns the secrets of a file as sticky.ParseSecrets reads them. A file that every user of the machine may read or
// write is refused: whoever knows a secret can send clients to whichever backend. Errors begin with the file's name and
// never show a secret.
func Read(name string) ([]sticky.Secret, error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name) // opening a pipe would wait for ever
	}
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // nor for one that has just come there
	if err != nil {
		return nil, explain(name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, explain(name, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	if mode := info.Mode(); mode&0o007 != 0 {
		return nil, fmt.Errorf("%s: every user of this machine may read or write the cookie keys (mode %04o), and with them make cookies: chmod o= on it", name, mode.Perm())
	}
	data, err := io.ReadAll(io.LimitReader(f, sizeLimit+1))
	if err != nil {
		return nil, explain(name, err)
	}
	if len(data) > sizeLimit {
		return nil, fmt.Errorf("%s is larger than %d KiB, which no such file is", name, sizeLimit>>10)
	}
	secrets, err := sticky.ParseSecrets(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return secrets, nil
}

// explain says what the system's error means for the file.
func explain(name string, err error) error {
	var at *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s does not exist", name)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s may not be read by user %d (group %d): permission denied", name, os.Geteuid(), os.Getegid())
	case errors.As(err, &at):
		return fmt.Errorf("%s: %w", name, at.Err)
	}
	return fmt.Errorf("%s: %w", name, err)
}
