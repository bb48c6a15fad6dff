package logsink

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pollTick is how often a write that waits for its reader looks whether it is still wanted.
	pollTick = 100 * time.Millisecond
	// pipeChunk is how much a pipe or a socket that is writable takes without blocking: PIPE_BUF. The descriptor may
	// be shared with other processes, so it is not made non-blocking.
	pipeChunk = 4096
	// fileMode is that of a file that is created: its lines name clients.
	fileMode = 0o640
)

// errAbandoned says that a write was given up because the sink ends.
var errAbandoned = errors.New("the log was closed before its reader took all")

// destination is an open file, pipe, terminal or socket. Owned by the sink's goroutine once it is handed over.
type destination struct {
	fd      int
	owned   bool // closed with the sink
	regular bool // a file on a disk: writing does not wait for a reader
	torn    bool // a write ended in the middle of a line
}

func openFile(path string) (*destination, error) {
	// Without O_NONBLOCK, opening a named pipe that nobody reads would block for ever.
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, fileMode)
	if err == unix.ENXIO {
		return nil, fmt.Errorf("open %s: no such device, or a pipe that nobody reads", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	d := borrowed(fd)
	d.owned = true
	return d, nil
}

func borrowed(fd int) *destination {
	var stat unix.Stat_t
	err := unix.Fstat(fd, &stat)
	return &destination{fd: fd, regular: err == nil && stat.Mode&unix.S_IFMT == unix.S_IFREG}
}

func (d *destination) close() {
	if d.owned {
		_ = unix.Close(d.fd)
	}
}

// write writes the batch and returns how many of its lines are out whole. It gives up when hurried says so.
func (d *destination) write(batch lines, hurried func() bool) (written uint64, err error) {
	rest := batch.bytes
	if d.torn {
		rest = append([]byte{'\n'}, rest...)
	}
	for len(rest) > 0 {
		chunk := rest
		if !d.regular {
			if err := d.wait(hurried); err != nil {
				return d.lost(batch, rest), err
			}
			chunk = wholeLines(rest)
		}
		n, err := unix.Write(d.fd, chunk)
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
			continue
		case err != nil:
			return d.lost(batch, rest), fmt.Errorf("write: %w", err)
		}
		d.torn = n > 0 && chunk[n-1] != '\n'
		rest = rest[n:]
	}
	return batch.count, nil
}

// wholeLines cuts off what may be written at once, at the end of a line where there is one: then lines that others
// write to the same pipe do not end up inside ours.
func wholeLines(rest []byte) []byte {
	if len(rest) <= pipeChunk {
		return rest
	}
	rest = rest[:pipeChunk]
	if end := bytes.LastIndexByte(rest, '\n'); end >= 0 {
		return rest[:end+1]
	}
	return rest
}

// lost returns how many lines of the batch went out before the rest did not.
func (d *destination) lost(batch lines, rest []byte) uint64 {
	missing := uint64(bytes.Count(rest, newline))
	return batch.count - min(missing, batch.count)
}

// wait waits until the descriptor takes bytes.
func (d *destination) wait(hurried func() bool) error {
	for {
		if hurried() {
			return errAbandoned
		}
		fds := []unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, int(pollTick/time.Millisecond))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("poll: %w", err)
		case n > 0:
			return nil // errors and hang-ups too: the write will tell
		}
	}
}
