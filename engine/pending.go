package engine

import "github.com/valyala/bytebufferpool"

// Pending is a pooled buffer of bytes that wait to be written or judged, with the position of the first of them.
// Workspace.Acquire makes one, Workspace.Release takes it back. All methods accept nil as "nothing".
type Pending struct {
	buffer  *bytebufferpool.ByteBuffer
	next    *Pending // in the workspace's free list
	offset  int32
	charged int32 // bytes charged to the workspace's memory
	class   uint8
}

// Bytes returns what is still to be written. Valid until the buffer is changed or released.
func (p *Pending) Bytes() []byte {
	if p == nil {
		return nil
	}
	return p.buffer.B[p.offset:]
}

// Len returns how many bytes are still to be written.
func (p *Pending) Len() int {
	if p == nil {
		return 0
	}
	return len(p.buffer.B) - int(p.offset)
}

// Advance marks the first n bytes as written.
func (p *Pending) Advance(n int) { p.offset += int32(n) }

// Buffer gives access to the buffer's slice, to append to it in place: the caller stores back what append returned.
func (p *Pending) Buffer() *[]byte { return &p.buffer.B }
