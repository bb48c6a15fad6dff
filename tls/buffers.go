package tls

// Buffers lends memory to connections of one owner, and is used by the owner alone. A Conn holds a buffer only while
// it holds bytes: a partial record, plaintext that nobody took, ciphertext to be sent.
type Buffers interface {
	// Acquire returns an empty slice with room for at least size bytes.
	Acquire(size int) []byte
	// Release takes back what Acquire returned; its length does not matter. It must not be used any more.
	Release(b []byte)
}

// classSizes are the capacities that a Pool keeps. The third holds a record of the largest size, the last what one read
// of 64 KiB becomes when it is sealed.
var classSizes = [...]int{512, 4 << 10, 17 << 10, 72 << 10}

// poolKeeps is how many buffers of each class a Pool keeps.
const poolKeeps = 16

// Pool is a simple Buffers: free lists of a few sizes. The zero value is ready. It belongs to one goroutine.
type Pool struct {
	free [len(classSizes)][][]byte
	held int
}

// Acquire implements Buffers.
func (p *Pool) Acquire(size int) []byte {
	b := p.acquire(size)
	p.held += cap(b)
	return b
}

func (p *Pool) acquire(size int) []byte {
	for i, class := range classSizes {
		if size > class {
			continue
		}
		if n := len(p.free[i]); n > 0 {
			b := p.free[i][n-1]
			p.free[i] = p.free[i][:n-1]
			return b
		}
		return make([]byte, 0, class)
	}
	return make([]byte, 0, size)
}

// Release implements Buffers.
func (p *Pool) Release(b []byte) {
	p.held -= cap(b)
	poison(b[:cap(b)])
	for i, class := range classSizes {
		if cap(b) == class && len(p.free[i]) < poolKeeps {
			p.free[i] = append(p.free[i], b[:0])
		}
	}
}

// Held returns how many bytes are lent, by the capacity of the buffers.
func (p *Pool) Held() int { return p.held }

// heap is the Buffers of a handshake, which runs on another thread than its owner.
type heap struct{}

func (heap) Acquire(size int) []byte { return make([]byte, 0, size) }

func (heap) Release([]byte) {}

// queue is a stream of bytes in one buffer. It holds none while it is empty.
type queue struct {
	buffer []byte
	at     int // the first byte that was not taken yet
}

// bytes returns what is in the queue; valid until it changes.
func (q *queue) bytes() []byte { return q.buffer[q.at:] }

// len returns how many bytes are in the queue.
func (q *queue) len() int { return len(q.buffer) - q.at }

// reserve makes room for n more bytes.
func (q *queue) reserve(from Buffers, n int) {
	if len(q.buffer)+n <= cap(q.buffer) {
		return
	}
	q.move(from, q.len()+max(n, q.len()/2))
}

// move copies what is there to a buffer with room for size bytes.
func (q *queue) move(from Buffers, size int) {
	larger := append(from.Acquire(size), q.bytes()...)
	q.release(from)
	q.buffer = larger
}

// append copies p behind what is there.
func (q *queue) append(from Buffers, p []byte) {
	if len(p) > 0 {
		q.reserve(from, len(p))
		q.buffer = append(q.buffer, p...)
	}
}

// advance takes n bytes away. A small remainder does not keep a large buffer.
func (q *queue) advance(from Buffers, n int) {
	q.at += n
	switch rest := q.len(); {
	case rest == 0:
		q.release(from)
	case cap(q.buffer) > 4*rest && cap(q.buffer) > classSizes[1]:
		q.move(from, rest)
	}
}

// release empties the queue.
func (q *queue) release(from Buffers) {
	if q.buffer != nil {
		from.Release(q.buffer)
	}
	*q = queue{}
}
