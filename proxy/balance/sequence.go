package balance

// maxSequence bounds a sequence, in turns, unless there are more members than that: it takes 128 KiB, and 10 ms to make.
const maxSequence = 1 << 16

// sequenceOf returns one round of turns: the members in such an order that in the first k turns, for every k, each has
// had its share to within one turn. A round is as long as the weights, divided by what all of them are multiples of, add
// up to. Where that is more than maxSequence, they are rounded to fit: each member's part of all turns is then off by at
// most half a turn in maxSequence, and none is left out.
func sequenceOf(weights []int) []uint16 {
	shares, length := reduce(weights)
	if length == 0 {
		return nil
	}
	// Turn k of a member with the share s is due from floor(k*length/s) to ceil((k+1)*length/s). Earliest deadline
	// first keeps all these bounds, for together they ask for just the turns that there are.
	sequence := make([]uint16, length)
	taken := make([]uint64, len(shares))
	released := make([]int32, length)                  // the first member whose next turn is due from then on, or none
	waiting := make([]int32, len(shares))              // behind each member, the next of the same time
	const none = -1                                    // of either
	queue := deadlines(make([]uint64, 0, len(shares))) // of those whose turn is due
	for at := range released {
		released[at] = none
	}
	release := func(i int32, at uint64) {
		waiting[i], released[at] = released[at], i
	}
	for i := len(shares) - 1; i >= 0; i-- { // backwards: the first ends up in front
		if shares[i] > 0 {
			release(int32(i), 0)
		}
	}
	for at := range uint64(length) {
		for i := released[at]; i != none; i = waiting[i] {
			due := ((taken[i]+1)*uint64(length) + shares[i] - 1) / shares[i]
			queue.push(due<<32 | uint64(i))
		}
		i := int32(queue.pop())
		sequence[at] = uint16(i)
		taken[i]++
		if taken[i] < shares[i] {
			release(i, max(taken[i]*uint64(length)/shares[i], at+1))
		}
	}
	return sequence
}

// reduce returns small numbers that are to each other as the weights are, and their sum.
func reduce(weights []int) (shares []uint64, length int) {
	divisor, total := 0, 0
	for _, w := range weights {
		total += w
		for a := w; a != 0; {
			divisor, a = a, divisor%a
		}
	}
	shares = make([]uint64, len(weights))
	for i, w := range weights {
		switch {
		case w == 0:
			continue
		case total/divisor <= maxSequence:
			shares[i] = uint64(w / divisor)
		default:
			shares[i] = uint64(max((w*maxSequence+total/2)/total, 1))
		}
		length += int(shares[i])
	}
	return shares, length
}

// deadlines is a heap: the earliest is at the front.
type deadlines []uint64

func (d *deadlines) push(v uint64) {
	*d = append(*d, v)
	h := *d
	i := len(h) - 1
	for i > 0 && h[(i-1)/2] > v {
		h[i] = h[(i-1)/2]
		i = (i - 1) / 2
	}
	h[i] = v
}

func (d *deadlines) pop() uint64 {
	h := *d
	first, v := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	*d = h
	for i := 0; len(h) > 0; {
		child := 2*i + 1
		if child+1 < len(h) && h[child+1] < h[child] {
			child++
		}
		if child >= len(h) || h[child] >= v {
			h[i] = v
			break
		}
		h[i] = h[child]
		i = child
	}
	return first
}
