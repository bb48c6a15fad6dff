package logsink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, o Options) *Sink {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeSink(s) })
	return s
}

// closeSink closes a sink that has its time, and returns the error.
func closeSink(s *Sink) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.Close(ctx)
}

func write(t *testing.T, s *Sink, line string) {
	t.Helper()
	if n, err := s.Write([]byte(line)); n != len(line) || err != nil {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(line), err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// pipe returns the two ends of a pipe. The write end is open until the test ends, the read end until somebody closes it.
func pipe(t *testing.T) (reader *os.File, descriptor int) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	reader = os.NewFile(uintptr(fds[0]), "pipe")
	t.Cleanup(func() {
		_ = reader.Close()
		_ = unix.Close(fds[1])
	})
	return reader, fds[1]
}

func TestLinesArriveInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	s := open(t, Options{Path: path})
	var want strings.Builder
	for i := range 1000 {
		line := fmt.Sprintf("line %d\n", i)
		write(t, s, line)
		want.WriteString(line)
	}
	if err := closeSink(s); err != nil {
		t.Fatal(err)
	}
	if got := content(t, path); got != want.String() {
		t.Errorf("%d bytes arrived, %d were written", len(got), want.Len())
	}
	if s.Written() != 1000 || s.Dropped() != 0 {
		t.Errorf("%d written, %d dropped, want 1000 and 0", s.Written(), s.Dropped())
	}
}

func TestFileIsAppendedToAndNotForOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	for _, line := range []string{"before\n", "after\n"} {
		s := open(t, Options{Path: path})
		write(t, s, line)
		if err := closeSink(s); err != nil {
			t.Fatal(err)
		}
	}
	if got := content(t, path); got != "before\nafter\n" {
		t.Errorf("the file holds %q", got)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm() & 0o007; mode != 0 {
		t.Errorf("others may use the file: mode %v", info.Mode())
	}
}

// TestLineAppearsWithoutAnother: a quiet log is not kept back until the next line comes.
func TestLineAppearsWithoutAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	s := open(t, Options{Path: path})
	for i := range 3 {
		write(t, s, "x\n")
		waitFor(t, "the line", func() bool { return len(content(t, path)) == 2*(i+1) })
	}
}

// TestBlockedPipeBlocksNobody: the reader has stopped, the pipe is full, the queue is full.
func TestBlockedPipeBlocksNobody(t *testing.T) {
	const queue, line, writes = 64 << 10, 100, 100_000
	_, descriptor := pipe(t)
	s := open(t, Options{Descriptor: descriptor, QueueBytes: queue})
	text := strings.Repeat("x", line-1) + "\n"
	for range writes {
		write(t, s, text) // a Write that blocks ends the test by its timeout
	}
	taken := writes - s.Dropped()
	if limit := uint64(queue+64<<10) / line * 2; taken == 0 || taken > limit {
		t.Errorf("%d lines were taken, want some, and at most what pipe and queue hold: %d", taken, limit)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v, want the context's error", err)
	}
	if err := closeSink(s); err != nil {
		t.Errorf("the sink did not end: %v", err)
	}
	if got := s.Written() + s.Dropped(); got != writes {
		t.Errorf("%d lines are accounted for, want %d", got, writes)
	}
}

// TestReaderThatComesBack: what was queued while the reader stood still arrives, the rest is counted.
func TestReaderThatComesBack(t *testing.T) {
	reader, descriptor := pipe(t)
	s := open(t, Options{Descriptor: descriptor, QueueBytes: 256 << 10})
	const writes = 20_000
	for i := range writes {
		write(t, s, fmt.Sprintf("%06d %s\n", i, strings.Repeat("x", 90)))
	}
	var arrived []string
	var reading sync.WaitGroup
	reading.Go(func() {
		var data bytes.Buffer
		chunk := make([]byte, 1<<16)
		for !strings.HasSuffix(data.String(), "end\n") {
			n, err := reader.Read(chunk)
			if err != nil {
				return
			}
			data.Write(chunk[:n])
		}
		arrived = strings.Split(strings.TrimSuffix(data.String(), "\n"), "\n")
	})
	waitFor(t, "room in the queue", func() bool { return s.Written() > 0 })
	waitFor(t, "the queue to drain", func() bool { return s.Written()+s.Dropped() == writes })
	write(t, s, "end\n")
	reading.Wait()
	if uint64(len(arrived)) != s.Written() && uint64(len(arrived)) != writes+1-s.Dropped() {
		t.Errorf("%d lines arrived, %d were counted as written, %d as dropped", len(arrived), s.Written(), s.Dropped())
	}
	if !slices.IsSorted(arrived[:len(arrived)-1]) {
		t.Error("lines arrived out of order")
	}
	for _, line := range arrived[:len(arrived)-1] {
		if len(line) != 97 {
			t.Fatalf("a line arrived damaged: %q", line)
		}
	}
}

// TestEveryByteArrives sends lines of all lengths through a slow pipe.
func TestEveryByteArrives(t *testing.T) {
	reader, descriptor := pipe(t)
	s := open(t, Options{Descriptor: descriptor})
	random := rand.New(rand.NewPCG(1, 2))
	var want bytes.Buffer
	for want.Len() < DefaultQueueBytes/2 {
		line := bytes.Repeat([]byte{byte('a' + random.IntN(26))}, random.IntN(3*pipeChunk))
		line = append(line, '\n')
		write(t, s, string(line))
		want.Write(line)
	}
	got := make([]byte, want.Len())
	if _, err := io.ReadFull(reader, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("what arrived is not what was written")
	}
	if s.Dropped() != 0 {
		t.Errorf("%d lines were dropped", s.Dropped())
	}
}

// TestReaderThatIsGone: lines are counted as dropped, the owner is told once, and nothing ends the process.
func TestReaderThatIsGone(t *testing.T) {
	reader, descriptor := pipe(t)
	_ = reader.Close()
	var told atomic.Int32
	s := open(t, Options{Descriptor: descriptor, OnError: func(err error) {
		if !errors.Is(err, unix.EPIPE) {
			t.Errorf("told of %v, want a broken pipe", err)
		}
		told.Add(1)
	}})
	for i := range 3 {
		write(t, s, "x\n")
		waitFor(t, "the line to be counted", func() bool { return s.Dropped() == uint64(i+1) })
	}
	if n := told.Load(); n != 1 {
		t.Errorf("told %d times, want once", n)
	}
	if err := closeSink(s); err != nil {
		t.Error(err)
	}
}

// TestFullDisk writes to the device that is always full.
func TestFullDisk(t *testing.T) {
	failed := make(chan error, 10)
	s := open(t, Options{Path: "/dev/full", OnError: func(err error) { failed <- err }})
	write(t, s, "x\n")
	if err := <-failed; !errors.Is(err, unix.ENOSPC) {
		t.Errorf("told of %v, want a full device", err)
	}
	waitFor(t, "the line to be counted", func() bool { return s.Dropped() == 1 })
}

func TestRotation(t *testing.T) {
	folder := t.TempDir()
	path, rotated := filepath.Join(folder, "access.log"), filepath.Join(folder, "access.log.1")
	s := open(t, Options{Path: path})
	write(t, s, "old\n")
	waitFor(t, "the first line", func() bool { return s.Written() == 1 })
	if err := os.Rename(path, rotated); err != nil {
		t.Fatal(err)
	}
	write(t, s, "still old\n")
	waitFor(t, "the second line", func() bool { return s.Written() == 2 })
	for range 3 { // more often than the goroutine may notice
		if err := s.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	write(t, s, "new\n")
	waitFor(t, "the third line", func() bool { return s.Written() == 3 })
	if old, current := content(t, rotated), content(t, path); old != "old\nstill old\n" || current != "new\n" {
		t.Errorf("the old file holds %q, the new one %q", old, current)
	}
}

func TestRotationThatFails(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{Path: filepath.Join(folder, "access.log")})
	moved := folder + ".moved"
	if err := os.Rename(folder, moved); err != nil {
		t.Fatal(err)
	}
	if err := s.Reopen(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Reopen: %v, want that there is no such folder", err)
	}
	write(t, s, "x\n")
	waitFor(t, "the line", func() bool { return s.Written() == 1 })
	if got := content(t, filepath.Join(moved, "access.log")); got != "x\n" {
		t.Errorf("the old file holds %q", got)
	}
}

func TestReopenWithoutAFile(t *testing.T) {
	_, descriptor := pipe(t)
	s := open(t, Options{Descriptor: descriptor})
	if err := s.Reopen(); !errors.Is(err, ErrNoFile) {
		t.Errorf("Reopen: %v, want %v", err, ErrNoFile)
	}
}

func TestReopenAfterCloseLeaksNothing(t *testing.T) {
	s := open(t, Options{Path: filepath.Join(t.TempDir(), "access.log")})
	if err := closeSink(s); err != nil {
		t.Fatal(err)
	}
	if err := s.Reopen(); err != nil {
		t.Fatal(err)
	}
	write(t, s, "late\n")
	if s.Dropped() != 1 {
		t.Errorf("%d lines dropped, want the one after the end", s.Dropped())
	}
}

func TestWritersDoNotMixTheirLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	s := open(t, Options{Path: path})
	const writers, each = 8, 500
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for range each {
				_, _ = s.Write([]byte(strings.Repeat(string(rune('a'+w)), 50+w) + "\n"))
			}
		})
	}
	group.Wait()
	if err := closeSink(s); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(content(t, path), "\n"), "\n")
	if len(lines) != writers*each {
		t.Errorf("%d lines, want %d", len(lines), writers*each)
	}
	for _, line := range lines {
		if w := int(line[0] - 'a'); line != strings.Repeat(line[:1], 50+w) {
			t.Fatalf("a line is mixed with another: %q", line)
		}
	}
}

func TestTornLineIsEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	d, err := openFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	d.torn = true
	if n, err := d.write(lines{[]byte("x\n"), 1}, func() bool { return false }); n != 1 || err != nil {
		t.Fatalf("%d lines, %v", n, err)
	}
	if got := content(t, path); got != "\nx\n" || d.torn {
		t.Errorf("the file holds %q, torn %v", got, d.torn)
	}
}

func TestOptionsThatAreRefused(t *testing.T) {
	folder := t.TempDir()
	fifo := filepath.Join(folder, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"no folder":        {Path: filepath.Join(folder, "missing", "access.log")},
		"a folder":         {Path: folder},
		"a pipe unread":    {Path: fifo},
		"a tiny queue":     {Path: filepath.Join(folder, "a"), QueueBytes: MinQueueBytes - 1},
		"a negative queue": {Path: filepath.Join(folder, "a"), QueueBytes: -1},
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := Open(o); err == nil {
				_ = closeSink(s)
				t.Error("no error")
			}
		})
	}
}

func TestWriteAllocatesNothing(t *testing.T) {
	s := open(t, Options{Path: "/dev/null"})
	line := []byte(strings.Repeat("x", 500) + "\n")
	for range 5000 { // both buffers reach their size
		_, _ = s.Write(line)
	}
	waitFor(t, "the queue to drain", func() bool { return s.Written()+s.Dropped() == 5000 })
	if n := testing.AllocsPerRun(1000, func() { _, _ = s.Write(line) }); n >= 1 {
		t.Errorf("%v allocations per line", n)
	}
}

func BenchmarkWrite(b *testing.B) {
	s, err := Open(Options{Path: "/dev/null"})
	if err != nil {
		b.Fatal(err)
	}
	line := []byte(strings.Repeat("x", 500) + "\n")
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.Write(line)
	}
	b.StopTimer()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.Close(ctx)
}
