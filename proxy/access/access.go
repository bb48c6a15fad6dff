// Package access decides by address who may connect: a white list and a black list of CIDRs, IPv4 and IPv6, compiled
// into one trie of decisions that is immutable and asked without a lock.
//
//	checker, err := access.New(access.Lists{Black: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
//	...
//	if !checker.Allows(client) {
//		// answer 403, or close
//	}
package access

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
)

// MaxEntries bounds each list, in prefixes. A list of that length is compiled in some 0.2 s and takes 5 MB.
const MaxEntries = 100_000

// Lists are what an operator writes down. Black wins over White. Host bits that are set behind a prefix's length do not
// count. A prefix of 4-in-6 addresses (::ffff:192.0.2.0/120) means the IPv4 addresses; all other IPv6 prefixes, ::/0
// too, mean IPv6 alone.
type Lists struct {
	White, Black []netip.Prefix
	// HasWhite says that there is a white list, though it be empty: then nobody is allowed (fail closed). A White
	// that is not empty counts as one in any case.
	HasWhite bool
}

// Checker tells who may connect. It is immutable: any number of goroutines may ask it. A nil Checker allows all.
type Checker struct {
	nodes        []node
	root4, root6 uint32
}

// stride is the number of address bits that one node decides on.
const stride = 6

// node is a step of the trie: it looks at the 6 bits of an address that begin at bit skip, if the bits before them are
// those of its prefix. For each of their 64 values there is a child, which decides further, or a decision.
type node struct {
	prefix    key
	children  uint64 // which values have a child; the children lie together, in the order of the values
	decisions uint64 // which values are allowed, where there is no child
	first     uint32 // index of the first child
	skip      uint8
	outside   bool // the decision on addresses that share with the prefix only what led to this node
}

// key is an address as bits from the left: an IPv4 address takes up the first 32.
type key struct{ hi, lo uint64 }

func keyOf(a netip.Addr) key {
	if a.Is4() {
		b := a.As4()
		return key{hi: uint64(binary.BigEndian.Uint32(b[:])) << 32}
	}
	b := a.As16()
	return key{hi: binary.BigEndian.Uint64(b[:8]), lo: binary.BigEndian.Uint64(b[8:])}
}

// window returns the stride bits that begin at bit skip; behind the end there are zeros.
func (k key) window(skip uint8) uint {
	if skip < 64 {
		return uint((k.hi<<skip | k.lo>>(64-skip)) >> (64 - stride))
	}
	return uint(k.lo << (skip - 64) >> (64 - stride))
}

// shares tells whether the first n bits of both are the same.
func (k key) shares(other key, n uint8) bool {
	if n <= 64 {
		return (k.hi^other.hi)>>(64-n) == 0
	}
	return k.hi == other.hi && (k.lo^other.lo)>>(128-n) == 0
}

// common returns how many of the first bits of both are the same, up to 128.
func (k key) common(other key) uint8 {
	if x := k.hi ^ other.hi; x != 0 {
		return uint8(bits.LeadingZeros64(x))
	}
	return uint8(64 + bits.LeadingZeros64(k.lo^other.lo))
}

// Allows tells whether an address may connect. A 4-in-6 address is judged as the IPv4 address in it; a zone does not
// count. What is no address (the zero Addr, the peer of a Unix socket) is on no list, and not allowed where there is
// one. It looks at a node for every 6 bits at most, only where prefixes differ, and does not allocate.
func (c *Checker) Allows(a netip.Addr) bool {
	if c == nil {
		return true
	}
	if !a.IsValid() {
		return false
	}
	a = a.Unmap()
	at := c.root6
	if a.Is4() {
		at = c.root4
	}
	k := keyOf(a)
	for {
		n := &c.nodes[at]
		if !k.shares(n.prefix, n.skip) {
			return n.outside
		}
		bit := uint64(1) << k.window(n.skip)
		if n.children&bit == 0 {
			return n.decisions&bit != 0
		}
		at = n.first + uint32(bits.OnesCount64(n.children&(bit-1)))
	}
}

// New compiles lists. It returns nil, which allows all, where there is none. The error names the list and the entry
// that is no prefix, or the bound that is passed.
func New(l Lists) (*Checker, error) {
	hasWhite := l.HasWhite || len(l.White) > 0
	if !hasWhite && len(l.Black) == 0 {
		return nil, nil
	}
	var v4, v6 []entry
	for _, list := range []struct {
		name     string
		prefixes []netip.Prefix
		black    bool
	}{{"white", l.White, false}, {"black", l.Black, true}} {
		if len(list.prefixes) > MaxEntries {
			return nil, fmt.Errorf("access: the %s list has %d entries, at most %d are allowed", list.name, len(list.prefixes), MaxEntries)
		}
		for i, p := range list.prefixes {
			p, err := normalise(p)
			if err != nil {
				return nil, fmt.Errorf("access: entry %d of the %s list: %w", i+1, list.name, err)
			}
			e := entry{key: keyOf(p.Addr()), bits: uint8(p.Bits()), black: list.black}
			if p.Addr().Is4() {
				v4 = append(v4, e)
			} else {
				v6 = append(v6, e)
			}
		}
	}
	b := builder{hasWhite: hasWhite}
	c := &Checker{root4: b.root(v4), root6: b.root(v6)}
	c.nodes = slices.Clip(b.nodes)
	return c, nil
}

// normalise returns the prefix without host bits, and unmapped.
func normalise(p netip.Prefix) (netip.Prefix, error) {
	if !p.IsValid() {
		return p, fmt.Errorf("%v is no prefix", p)
	}
	if !p.Addr().Is4In6() {
		return p.Masked(), nil
	}
	if p.Bits() < 96 {
		return p, fmt.Errorf("%v: a prefix of 4-in-6 addresses has at least 96 bits", p)
	}
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked(), nil
}

// entry is a prefix of a list: the bits behind its length are zero.
type entry struct {
	key   key
	bits  uint8
	black bool
}

// listed says which lists hold a prefix.
type listed struct{ white, black bool }

func (l *listed) add(e entry) {
	if e.black {
		l.black = true
	} else {
		l.white = true
	}
}

// builder grows the trie from sorted entries.
type builder struct {
	nodes    []node
	hasWhite bool
}

func (b *builder) decide(l listed) bool { return !l.black && (l.white || !b.hasWhite) }

// root adds the trie of one family and returns the index of its root.
func (b *builder) root(entries []entry) uint32 {
	slices.SortFunc(entries, func(x, y entry) int {
		return cmp.Or(cmp.Compare(x.key.hi, y.key.hi), cmp.Compare(x.key.lo, y.key.lo), cmp.Compare(x.bits, y.bits))
	})
	var all listed
	for len(entries) > 0 && entries[0].bits == 0 {
		all.add(entries[0])
		entries = entries[1:]
	}
	at := len(b.nodes)
	b.nodes = append(b.nodes, node{})
	b.fill(at, entries, all)
	return uint32(at)
}

// fill makes the node at an index decide for all addresses that lead to it: as around says, but for the entries, which
// are sorted, lie below the node and are all longer than what led to it.
func (b *builder) fill(at int, entries []entry, around listed) {
	n := node{outside: b.decide(around)}
	if len(entries) > 0 {
		n.prefix = entries[0].key
		n.skip = n.prefix.common(entries[len(entries)-1].key)
		for _, e := range entries {
			n.skip = min(n.skip, e.bits-1)
		}
	}
	var values [1 << stride]listed
	for v := range values {
		values[v] = around
	}
	for _, e := range entries {
		if beyond := int(e.bits) - int(n.skip); beyond <= stride {
			from := e.key.window(n.skip)
			for v := range uint(1) << (stride - beyond) {
				values[from+v].add(e)
			}
		}
	}
	var below [1 << stride][]entry
	for len(entries) > 0 {
		v, longer, rest := take(entries, n.skip)
		if len(longer) > 0 && !values[v].black {
			n.children |= 1 << v
			below[v] = longer
		}
		entries = rest
	}
	for v := range values {
		if b.decide(values[v]) {
			n.decisions |= 1 << v
		}
	}
	first := len(b.nodes)
	n.first = uint32(first)
	b.nodes = append(b.nodes, make([]node, bits.OnesCount64(n.children))...)
	b.nodes[at] = n
	for v := range values {
		if n.children&(1<<v) != 0 {
			b.fill(first, below[v], values[v])
			first++
		}
	}
}

// take splits off the entries whose bits in the window have the same value, and leaves out those that end within it:
// they are shorter, so they come first.
func take(entries []entry, skip uint8) (value uint, longer, rest []entry) {
	value = entries[0].key.window(skip)
	from, to := 0, 0
	for to < len(entries) && entries[to].key.window(skip) == value {
		if int(entries[to].bits)-int(skip) <= stride {
			from = to + 1
		}
		to++
	}
	return value, entries[from:to], entries[to:]
}
