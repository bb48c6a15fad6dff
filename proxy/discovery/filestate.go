package discovery

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// MaxFileBytes bounds every file that is read.
const MaxFileBytes = 4 << 20

// fileState tells one state of a file from another without reading it.
type fileState struct {
	exists         bool
	size, modified int64
	device, inode  uint64
}

// stateOf returns the state of the file that name leads to; the zero value where there is none.
func stateOf(name string) fileState {
	info, err := os.Stat(name)
	if err != nil {
		return fileState{}
	}
	s := fileState{exists: true, size: info.Size(), modified: info.ModTime().UnixNano()}
	if raw, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device, s.inode = raw.Dev, raw.Ino
	}
	return s
}

// mostUnrest is how often in a row a file may have changed again when it is looked at before it is taken as it is. Whoever
// replaces it all the time would not be heard otherwise.
const mostUnrest = 10

// fileWatch notices that a file has changed. Its zero value has seen no file.
type fileWatch struct {
	name         string
	seen, before fileState // as it was taken last, and at the last look
	untaken      bool      // whatever is there is to be taken
	unrest       int       // looks in a row that found it changed since the one before
}

// take makes the present state the one that was taken last; it comes before reading, so that a change in the meantime is
// noticed later.
func (w *fileWatch) take() {
	w.seen, w.untaken = stateOf(w.name), false
	w.before = w.seen
}

// untake has what is there be a change: it could not be read, which may be for want of descriptors, or of a right that is
// given later, and no state of a file tells of that.
func (w *fileWatch) untake() { w.untaken = true }

// changed looks at the file and reports whether it is another than was taken last, or gone, and is not being changed just
// now: it is as it was at the look before, or has been changing for long. Then it counts as taken.
func (w *fileWatch) changed() bool {
	now := stateOf(w.name)
	if w.unrest++; now == w.before {
		w.unrest = 0
	}
	settled := (w.untaken || now != w.seen) && (w.unrest == 0 || w.unrest >= mostUnrest)
	if settled {
		w.seen, w.untaken, w.unrest = now, false, 0
	}
	w.before = now
	return settled
}

var (
	errTooLong    = fmt.Errorf("more than %d bytes, which is the most allowed", MaxFileBytes)
	errNotRegular = errors.New("not a regular file")
)

// readBounded reads a file of at most MaxFileBytes. What is no file is not opened: that could wait for ever. Errors do not
// repeat the name.
func readBounded(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, reasonOf(err)
	case !info.Mode().IsRegular():
		return nil, errNotRegular
	case info.Size() > MaxFileBytes:
		return nil, errTooLong
	}
	return openAndRead(name)
}

// openAndRead does not trust in that nobody has put something else there since it was looked at: it does not wait for a
// pipe's other end.
func openAndRead(name string) ([]byte, error) {
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, reasonOf(err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, reasonOf(err)
	case !info.Mode().IsRegular():
		return nil, errNotRegular
	}
	data, err := io.ReadAll(io.LimitReader(file, MaxFileBytes+1))
	switch {
	case err != nil:
		return nil, reasonOf(err)
	case len(data) > MaxFileBytes:
		return nil, errTooLong
	}
	return data, nil
}

// reasonOf leaves out the name.
func reasonOf(err error) error {
	if failure := (*fs.PathError)(nil); errors.As(err, &failure) {
		return failure.Err
	}
	return err
}
