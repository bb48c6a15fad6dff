package engine

import (
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// DefaultSplicePipes is how many pipes one loop may have open.
	DefaultSplicePipes = 64
	// pipeBytes is the size asked of the kernel for each. A user without privileges gets only so many of that size.
	pipeBytes = 512 << 10
	// DefaultSpliceThreshold is the size in bytes from which the rest of a payload is spliced.
	DefaultSpliceThreshold = 64 << 10
)

// Pipe carries payload from one socket to another inside the kernel. It belongs to its loop's pool, and to one
// direction of a relay while it holds bytes.
type Pipe struct {
	read, write int32
	held        int // bytes in it
	next        *Pipe
}

// Held returns how many bytes are in the pipe.
func (p *Pipe) Held() int {
	if p == nil {
		return 0
	}
	return p.held
}

// Room returns how many bytes the pipe takes at most.
func (p *Pipe) Room() int { return pipeBytes - p.held }

// Ends returns the pipe's descriptors, for an End that moves the bytes itself.
func (p *Pipe) Ends() (read, write int) { return int(p.read), int(p.write) }

// Moved is told by an End after it moved n bytes into (positive) or out of (negative) the pipe.
func (p *Pipe) Moved(n int) { p.held += n }

// Splicer is an End whose bytes can pass through a pipe without entering user space (splice(2)).
type Splicer interface {
	// SpliceIn moves up to max bytes from the end into the pipe, at most its room. Status is as for Read, but
	// StatusBlocked with an empty pipe is the only sign that nothing more is there, and StatusReady without a byte
	// says that only Read can tell.
	SpliceIn(p *Pipe, max int) (int, Status)
	// SpliceOut moves bytes from the pipe to the end; Status is as for Write.
	SpliceOut(p *Pipe) (int, Status)
}

// pipePool holds a loop's pipes. Owned by the loop.
type pipePool struct {
	free  *Pipe
	open  []*Pipe // those in use too, so that none outlives the loop
	limit int
}

// take returns an empty pipe, or nil when the limit is reached or the kernel grants none of full size: copying takes
// its place then.
func (pool *pipePool) take(c *Counters) *Pipe {
	if p := pool.free; p != nil {
		pool.free, p.next = p.next, nil
		return p
	}
	if len(pool.open) >= pool.limit {
		c.PipesRefused++
		return nil
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		c.PipesRefused++
		return nil
	}
	if size, err := unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeBytes); err != nil || size < pipeBytes {
		_ = unix.Close(fds[0])
		_ = unix.Close(fds[1])
		c.PipesRefused++
		return nil
	}
	p := &Pipe{read: int32(fds[0]), write: int32(fds[1])}
	pool.open = append(pool.open, p)
	c.PipesOpen++
	return p
}

// put gives an empty pipe back. One that still holds bytes is closed: nobody must find them.
func (pool *pipePool) put(p *Pipe, c *Counters) {
	if p == nil {
		return
	}
	if p.held == 0 {
		p.next, pool.free = pool.free, p
		return
	}
	if at := slices.Index(pool.open, p); at >= 0 { // else all were closed already
		pool.open = slices.Delete(pool.open, at, at+1)
		c.PipesOpen--
		p.close()
	}
}

func (p *Pipe) close() {
	_ = unix.Close(int(p.read))
	_ = unix.Close(int(p.write))
}

// close closes all pipes.
func (pool *pipePool) close() {
	for _, p := range pool.open {
		p.close()
	}
	pool.free, pool.open = nil, nil
}

// drain moves what the pipe holds into memory, behind what pending holds.
func (w *Workspace) drain(p *Pipe) *Pending {
	pending := w.Acquire(p.held)
	buffer := pending.Buffer()
	for p.held > 0 {
		free := (*buffer)[len(*buffer):cap(*buffer)]
		n, err := unix.Read(int(p.read), free[:min(len(free), p.held)])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			panic("engine: a pipe holds fewer bytes than were moved into it")
		}
		*buffer = (*buffer)[:len(*buffer)+n]
		p.held -= n
	}
	return pending
}

// splice moves bytes between a non-blocking pipe and a non-blocking socket.
func splice(from, to int32, max int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SPLICE, uintptr(from), uintptr(unsafe.Pointer(nil)), uintptr(to), uintptr(unsafe.Pointer(nil)), uintptr(max), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// SpliceIn implements Splicer.
func (c *Conn) SpliceIn(p *Pipe, max int) (int, Status) {
	if c.flags&connUrgent != 0 {
		return 0, StatusReady // splice(2) never gets past an urgent byte
	}
	n, errno := splice(c.fd, p.write, min(max, p.Room()))
	switch {
	case errno == unix.EAGAIN:
		return 0, StatusBlocked
	case errno == unix.EINTR:
		return 0, StatusReady
	case errno != 0:
		c.record(errno)
		return 0, StatusFailed
	case n == 0:
		return 0, StatusReady // the end, or an urgent byte with a FIN somewhere behind it
	}
	p.Moved(n)
	return n, StatusReady
}

// SpliceOut implements Splicer.
func (c *Conn) SpliceOut(p *Pipe) (int, Status) {
	n, errno := splice(p.read, c.fd, p.held)
	switch {
	case errno == unix.EAGAIN:
		return 0, StatusBlocked
	case errno == unix.EINTR:
		return 0, StatusReady
	case errno != 0:
		c.record(errno)
		c.flags |= connHangup
		return 0, StatusFailed
	}
	p.Moved(-n)
	return n, StatusReady
}
