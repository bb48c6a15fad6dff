//go:build linux

package main

import (
	"os"
	"slices"
	"syscall"
)

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

// fileWatch notices that a file has changed.
type fileWatch struct {
	name         string
	seen, before fileState // as it was taken last, and at the last look
}

// changed looks at the file and reports whether it is another than was taken last, and is not being changed just now: it
// is as it was at the look before. Then it counts as taken.
func (w *fileWatch) changed() bool {
	now := stateOf(w.name)
	settled := now != w.seen && now == w.before && now.exists
	if settled {
		w.seen = now
	}
	w.before = now
	return settled
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}
