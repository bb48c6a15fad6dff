package engine

import "github.com/valyala/bytebufferpool"

// ByteBuffers lends pooled memory as plain slices, charged to the workspace's budget, to what lives on a loop and does
// not know Pending. Owned by the loop.
type ByteBuffers struct {
	workspace *Workspace
	shells    []*bytebufferpool.ByteBuffer // of what is lent
}

// Buffers returns what lends slices.
func (w *Workspace) Buffers() *ByteBuffers {
	w.bytes.workspace = w
	return &w.bytes
}

// Acquire returns an empty slice with room for at least size bytes. Release gives it back.
func (b *ByteBuffers) Acquire(size int) []byte {
	p := b.workspace.Acquire(size)
	bytes := p.buffer.B[:0]
	b.shells = append(b.shells, p.buffer)
	b.workspace.recycle(p)
	return bytes
}

// Release takes back what Acquire returned, or its extension in place; its length does not matter.
func (b *ByteBuffers) Release(bytes []byte) {
	last := len(b.shells) - 1
	shell := b.shells[last]
	b.shells = b.shells[:last]
	shell.B = bytes
	w := b.workspace
	p := w.shell()
	p.buffer, p.class, p.charged = shell, uint8(classOf(cap(bytes))), int32(cap(bytes))
	w.Release(p)
}
