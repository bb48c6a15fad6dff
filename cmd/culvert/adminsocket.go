//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socketPatience is how long it may take to find out whether somebody listens at a Unix socket.
const socketPatience = time.Second

// listenUnix listens at a Unix socket that only this user can connect to. The file goes when the listener is closed.
func listenUnix(path string) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The socket has its mode from the first moment on: a chmod would come after it. The mask is the whole process's, of
	// which nothing else runs yet that makes files.
	before := unix.Umask(0o177)
	defer unix.Umask(before)
	return net.Listen("unix", path)
}

// removeStale removes a socket that a process has left at which nobody listens. Anything else stays.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("%s is there and no socket: it stays as it is", path)
	}
	c, err := net.DialTimeout("unix", path, socketPatience)
	switch {
	case err == nil:
		_ = c.Close()
		return fmt.Errorf("%s: somebody listens there: %w", path, syscall.EADDRINUSE)
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return err
}
