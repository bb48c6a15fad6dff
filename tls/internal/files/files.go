//go:build linux

// Package files reads the small files that a listener needs (certificates, keys, staples, ticket keys), with errors for
// people, and notices that they have changed.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// sizeLimit bounds, in bytes, what is read: a bundle of all public authorities has a fifth of it.
const sizeLimit = 1 << 20

// Read returns a file's bytes and its mode. Errors begin with the file's name and say what is wrong with it.
func Read(name string) ([]byte, fs.FileMode, error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is not a regular file", name) // opening a pipe would wait for ever
	}
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // nor for one that has just come there
	if err != nil {
		return nil, 0, explain(name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, 0, explain(name, err)
	case !info.Mode().IsRegular():
		return nil, 0, fmt.Errorf("%s is not a regular file", name)
	}
	data, err := io.ReadAll(io.LimitReader(f, sizeLimit+1))
	if err != nil {
		return nil, 0, explain(name, err)
	}
	if len(data) > sizeLimit {
		return nil, 0, fmt.Errorf("%s is larger than %d KiB, which no such file is", name, sizeLimit>>10)
	}
	return data, info.Mode(), nil
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

// List returns the names of a folder's entries in order, without hidden ones, folders among them.
func List(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, explain(folder, err)
	}
	var names []string
	for _, e := range entries {
		if e.Name()[0] != '.' {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
