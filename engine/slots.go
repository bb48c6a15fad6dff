package engine

// handler is what a slot of the loop's table points to.
type handler interface {
	// handle is given the epoll events of its descriptor.
	handle(events uint32)
}

// slotTable maps the slot numbers that epoll carries to handlers. A slot number comes with the generation that it was
// registered under, so an event that was collected before its slot was given away is recognised as stale.
// It grows by chunks: what exists never moves and leaves no garbage. Owned by the loop.
type slotTable struct {
	chunks []*[slotChunk]slot
	free   uint32 // first free slot + 1; 0: none
	used   int
}

const slotChunk = 256

type slot struct {
	handler    handler
	generation uint32
	nextFree   uint32
}

func (t *slotTable) at(i uint32) *slot { return &t.chunks[i/slotChunk][i%slotChunk] }

// take gives h a slot.
func (t *slotTable) take(h handler) (index, generation uint32) {
	if t.free == 0 {
		t.grow()
	}
	index = t.free - 1
	s := t.at(index)
	t.free, s.nextFree = s.nextFree, 0
	s.handler = h
	t.used++
	return index, s.generation
}

func (t *slotTable) grow() {
	base := uint32(len(t.chunks) * slotChunk)
	chunk := new([slotChunk]slot)
	t.chunks = append(t.chunks, chunk)
	for i := slotChunk - 1; i >= 0; i-- {
		chunk[i].nextFree = t.free
		t.free = base + uint32(i) + 1
	}
}

// release gives a slot back; events still under way for it are stale from now on.
func (t *slotTable) release(index uint32) {
	s := t.at(index)
	s.handler = nil
	s.generation++
	s.nextFree, t.free = t.free, index+1
	t.used--
}

// lookup returns the handler of a slot, or nil when the event is stale.
func (t *slotTable) lookup(index, generation uint32) handler {
	if int(index/slotChunk) >= len(t.chunks) {
		return nil
	}
	s := t.at(index)
	if s.generation != generation {
		return nil
	}
	return s.handler
}

// each calls f for every handler; f may release slots.
func (t *slotTable) each(f func(handler)) {
	for _, chunk := range t.chunks {
		for i := range chunk {
			if h := chunk[i].handler; h != nil {
				f(h)
			}
		}
	}
}
