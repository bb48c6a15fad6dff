package discovery

import (
	"context"
	"fmt"
)

// filePeriod is how often a file is looked at, in nanoseconds.
const filePeriod = second

// fileSource is a Source of kind File.
type fileSource struct {
	watch   fileWatch
	looked  bool
	next    int64
	set     Set
	known   bool
	problem error
}

// refresh looks at the file and reads it if it has changed, and was not being written just now. The first time, nobody
// has anything better to wait for.
func (s *fileSource) refresh(_ context.Context, w *work) {
	s.next = w.clock() + filePeriod
	if s.looked && !s.watch.changed() {
		return
	}
	if !s.looked {
		s.watch.take()
		s.looked = true
	}
	data, err := readBounded(s.watch.name)
	if err != nil {
		s.watch.untake()
		s.problem = fmt.Errorf("%s: %w", s.watch.name, err)
		return
	}
	set, err := ParseFile(data, s.watch.name)
	s.problem = err
	if err == nil {
		s.set, s.known = set, true
	}
}

func (s *fileSource) due() int64 { return s.next }

func (s *fileSource) state() (Set, bool, error) { return s.set, s.known, s.problem }

// literalSource is an address that stands for itself.
type literalSource struct{ set Set }

func (s *literalSource) refresh(context.Context, *work) {}
func (s *literalSource) due() int64                     { return never }
func (s *literalSource) state() (Set, bool, error)      { return s.set, true, nil }
