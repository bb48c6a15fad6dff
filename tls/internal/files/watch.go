//go:build linux

package files

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// A state tells one state of a file from another without reading it.
type state struct {
	name           string
	exists         bool
	size, modified int64
	device, inode  uint64
}

func stateOf(name string) state {
	info, err := os.Stat(name)
	if err != nil {
		return state{name: name}
	}
	s := state{name: name, exists: true, modified: info.ModTime().UnixNano()}
	if info.IsDir() {
		return s // its entries count, one by one
	}
	s.size = info.Size()
	if raw, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device, s.inode = raw.Dev, raw.Ino
	}
	return s
}

// A Watch notices that a set of files has changed. It is owned by whoever calls Changed.
type Watch struct {
	files, optional, folders []string
	seen, before             []state // as they were taken last, and at the last look
}

// NewWatch watches files that must exist, others that need not, and all entries of folders; they count as taken as they are.
func NewWatch(files, optional, folders []string) *Watch {
	w := &Watch{files: files, optional: optional, folders: folders}
	w.Take()
	return w
}

// Take makes the present state the one that was taken last. Call it before reading, so that a change in the meantime is
// noticed later.
func (w *Watch) Take() { w.seen = w.look(); w.before = w.seen }

// Changed looks at the files and reports whether they are others than were taken last, and are not being changed just
// now: they are as they were at the look before, and all are there. Then they count as taken.
func (w *Watch) Changed() bool {
	now := w.look()
	settled := !slices.Equal(now, w.seen) && slices.Equal(now, w.before) && w.complete(now)
	if settled {
		w.seen = now
	}
	w.before = now
	return settled
}

// complete reports whether every file that must exist does.
func (w *Watch) complete(states []state) bool {
	for _, s := range states[:len(w.files)] {
		if !s.exists {
			return false
		}
	}
	return true
}

// look returns the states: of the files that must exist first.
func (w *Watch) look() []state {
	var states []state
	for _, name := range slices.Concat(w.files, w.optional) {
		states = append(states, stateOf(name))
	}
	for _, folder := range w.folders {
		states = append(states, stateOf(folder))
		names, _ := List(folder) // one that cannot be read has no entries
		for _, name := range names {
			states = append(states, stateOf(filepath.Join(folder, name)))
		}
	}
	return states
}
