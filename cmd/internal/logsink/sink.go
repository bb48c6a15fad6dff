// Package logsink writes log lines that must not be waited for. A Sink's Write copies the line into a bounded queue
// and returns; one goroutine writes what is there to a file or to standard output. When the reader of that is too
// slow, or gone, lines are dropped and counted, and nobody waits.
//
//	sink, err := logsink.Open(logsink.Options{Path: "access.log"})
//	...
//	logger := zerolog.New(sink)
//	...
//	err = sink.Close(ctx) // writes what is queued
package logsink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// DefaultQueueBytes bounds the lines that wait to be written, in bytes: at 500 bytes a line, 2,000 lines.
	DefaultQueueBytes = 1 << 20
	// MinQueueBytes is the smallest queue: less would drop single lines.
	MinQueueBytes = 4 << 10
	// gatherTime is how long the writer waits for more lines after the first one, so that a busy log costs few
	// system calls, and waking the writer does too.
	gatherTime = 5 * time.Millisecond
	// Stdout is the path that means standard output.
	Stdout = "-"
)

// Options say where a Sink writes. Either Path or Descriptor must be given.
type Options struct {
	// Path is the file that is appended to; it is created (mode 0640) where it does not exist. Stdout means standard
	// output.
	Path string
	// Descriptor is written to in place of a path if it is not 0, and is not closed.
	Descriptor int
	// QueueBytes bounds the lines that wait; 0 means DefaultQueueBytes.
	QueueBytes int
	// OnError is told of the first write that fails after one that did not. It is called on the sink's goroutine and
	// must not write to the sink. nil: nobody is told, the lines are counted as dropped.
	OnError func(error)
}

// Sink is an io.Writer for whole lines. Its methods may be called from any goroutine.
type Sink struct {
	path    string
	onError func(error)
	wake    chan struct{} // something is queued, or a state below has changed
	done    chan struct{} // closed when the goroutine has ended

	mu       sync.Mutex
	queue    lines
	bound    int          // of bytes in queue and in flight
	inFlight int          // bytes that the goroutine has taken
	next     *destination // replaces the goroutine's at its next batch
	closing  bool         // Close was called: write what is there, then end
	hurry    bool         // drop what is there, then end
	written  uint64
	dropped  uint64
}

var newline = []byte{'\n'}

// lines are whole lines, and how many.
type lines struct {
	bytes []byte
	count uint64
}

// Open opens the destination and starts the sink's goroutine.
func Open(o Options) (*Sink, error) {
	if o.QueueBytes == 0 {
		o.QueueBytes = DefaultQueueBytes
	}
	if o.QueueBytes < MinQueueBytes {
		return nil, fmt.Errorf("a log queue of %d bytes: at least %d are needed", o.QueueBytes, MinQueueBytes)
	}
	s := &Sink{path: o.Path, onError: o.OnError, bound: o.QueueBytes, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if o.Descriptor != 0 || o.Path == Stdout {
		s.path = ""
	}
	var d *destination
	switch {
	case o.Descriptor != 0:
		d = borrowed(o.Descriptor)
	case o.Path == Stdout:
		d = borrowed(unix.Stdout)
	default:
		var err error
		if d, err = openFile(o.Path); err != nil {
			return nil, err
		}
	}
	go s.run(d)
	return s, nil
}

// Write queues one line that ends in a newline, or several, all or none. It never blocks and never fails: what finds no
// room is counted as dropped. p is copied.
func (s *Sink) Write(p []byte) (int, error) {
	count := uint64(bytes.Count(p, newline))
	s.mu.Lock()
	if s.closing || s.inFlight+len(s.queue.bytes)+len(p) > s.bound {
		s.dropped += count
		s.mu.Unlock()
		return len(p), nil
	}
	first := len(s.queue.bytes) == 0
	s.queue.bytes = append(s.queue.bytes, p...)
	s.queue.count += count
	s.mu.Unlock()
	if first {
		s.signal()
	}
	return len(p), nil
}

func (s *Sink) signal() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake already
	}
}

// Dropped returns how many lines were not written and never will be.
func (s *Sink) Dropped() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// Written returns how many lines were written.
func (s *Sink) Written() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written
}

// ErrNoFile says that a sink has no file that could be opened again.
var ErrNoFile = errors.New("the log is not written to a file")

// Reopen opens the file again by its path, after it was renamed to rotate it. Lines that are taken from then on go to
// the new file. On an error the sink goes on with the old one.
func (s *Sink) Reopen() error {
	if s.path == "" {
		return ErrNoFile
	}
	d, err := openFile(s.path)
	if err != nil {
		return err
	}
	s.mu.Lock()
	superseded := s.next
	s.next = d
	if s.closing {
		superseded, s.next = d, nil // the goroutine may have ended
	}
	s.mu.Unlock()
	if superseded != nil {
		superseded.close()
	}
	s.signal()
	return nil
}

// Close takes no further lines, writes those that are queued, and ends the goroutine. When ctx is done first, what is
// left is dropped and counted, and the context's error is returned. Calling it again does the same again.
func (s *Sink) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.signal()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.hurry = true
	s.mu.Unlock()
	s.signal()
	patience := time.NewTimer(3 * pollTick)
	defer patience.Stop()
	select {
	case <-s.done: // it looks at hurry at least once per tick
	case <-patience.C: // inside a write that nothing can interrupt, such as one to a file on a dead server
	}
	return ctx.Err()
}

// run is the sink's goroutine: it takes all that is queued, writes it, and begins again.
func (s *Sink) run(d *destination) {
	defer close(s.done)
	defer func() { d.close() }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var batch lines
	healthy := true
	for {
		closing, next := false, (*destination)(nil)
		batch, next, closing = s.take(batch)
		if next != nil {
			d.close()
			d = next
		}
		if len(batch.bytes) > 0 {
			written, err := d.write(batch, s.hurried)
			s.account(written, batch.count-written)
			if err != nil && healthy && s.onError != nil {
				s.onError(err)
			}
			healthy = err == nil
			continue
		}
		if closing {
			return
		}
		<-s.wake
		s.gather(timer)
	}
}

// gather waits a moment for more lines, but not while the sink is closing.
func (s *Sink) gather(timer *time.Timer) {
	timer.Reset(gatherTime)
	for {
		select {
		case <-timer.C:
			return
		case <-s.wake:
			s.mu.Lock()
			closing := s.closing
			s.mu.Unlock()
			if closing {
				return
			}
		}
	}
}

// take swaps the queue for the batch that was written, whose memory becomes the new queue.
func (s *Sink) take(done lines) (batch lines, next *destination, closing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch, s.queue = s.queue, lines{bytes: done.bytes[:0]}
	s.inFlight = len(batch.bytes)
	next, s.next = s.next, nil
	return batch, next, s.closing
}

func (s *Sink) account(written, dropped uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written += written
	s.dropped += dropped
	s.inFlight = 0
}

func (s *Sink) hurried() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hurry
}
