package sim

import "bytes"

// delivery is what has to arrive at one side: the head that the proxy puts in front, then the other side's stream with
// our insertions between its frames.
type delivery struct {
	head      []byte // still to come
	stream    *stream
	position  int      // bytes of the stream that have arrived
	inserts   [][]byte // accepted by Relay.Insert, still to come in this order
	within    []byte   // the rest of the insertion that is arriving
	undecided bool     // one byte has arrived that may begin the next frame of the stream or an insertion
}

// arrive compares bytes with what has to come and returns what is wrong, or "".
func (d *delivery) arrive(p []byte) string {
	if d.undecided && len(p) > 0 {
		p = append([]byte{d.inserts[0][0]}, p...)
		d.undecided = false
	}
	for len(p) > 0 {
		n, problem := 0, ""
		switch {
		case len(d.head) > 0:
			n, problem = match(p, d.head, "the head")
			d.head = d.head[n:]
		case len(d.within) > 0:
			n, problem = match(p, d.within, "an insertion")
			d.within = d.within[n:]
		case len(d.inserts) > 0 && d.stream.boundary(d.position) && p[0] == d.inserts[0][0]:
			if len(p) == 1 {
				d.undecided = true
				return ""
			}
			if p[1] == d.inserts[0][1] {
				d.within, d.inserts = d.inserts[0], d.inserts[1:]
				continue
			}
			n, problem = d.matchStream(p)
		default:
			n, problem = d.matchStream(p)
		}
		if problem != "" {
			return problem
		}
		p = p[n:]
	}
	return ""
}

// matchStream compares with the stream, up to the next place where an insertion may stand.
func (d *delivery) matchStream(p []byte) (int, string) {
	end := d.stream.limit
	if len(d.inserts) > 0 {
		end = min(end, d.stream.nextBoundary(d.position))
	}
	if d.position >= end {
		return 0, "more than may be delivered"
	}
	n, problem := match(p, d.stream.bytes[d.position:end], "the stream")
	d.position += n
	return n, problem
}

// match compares the longest possible beginning.
func match(p, want []byte, what string) (int, string) {
	n := min(len(p), len(want))
	if !bytes.Equal(p[:n], want[:n]) {
		return n, "not the bytes of " + what
	}
	return n, ""
}

// clean tells whether what has arrived ends where a FIN may follow.
func (d *delivery) clean() bool {
	return len(d.head) == 0 && len(d.within) == 0 && !d.undecided
}
