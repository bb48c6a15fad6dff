package ws

// Offer is what an opening request asked for, as far as its answer is judged by it: a value without pointers that
// outlives the buffer of the request. Some 300 bytes; needed until the answer is judged, not in the tunnel. The zero
// value is a request that asked for nothing: it refuses every 101.
type Offer struct {
	key          [KeyLen]byte
	asked        bool
	subprotocols nameSet
	extensions   nameSet
}

// Key returns the request's Sec-WebSocket-Key; all zero if the request was no valid upgrade.
func (o *Offer) Key() [KeyLen]byte { return o.key }

// addSubprotocols takes in one Sec-WebSocket-Protocol of the request.
func (o *Offer) addSubprotocols(list []byte) {
	for more := true; more; {
		var name []byte
		if name, list, more = cut(list, ','); len(name) > 0 {
			o.subprotocols.add(fingerprint(name))
		}
	}
}

// addExtensions takes in one Sec-WebSocket-Extensions of the request: names only, for parameters are between the
// endpoints.
func (o *Offer) addExtensions(list []byte) {
	for more := true; more; {
		var name []byte
		if name, list, more = cutExtension(list); len(name) > 0 {
			o.extensions.add(fingerprintFold(name))
		}
	}
}

// cutExtension returns the name of the first extension of a list, and the list behind that extension's parameters.
func cutExtension(list []byte) (name, rest []byte, more bool) {
	element, rest, more := cut(list, ',')
	name, _, _ = cut(element, ';')
	return name, rest, more
}

// nameSet remembers names by fingerprint, so that any number of characters fits. A set that is full takes every
// further name for a member: an offer of more than 16 subprotocols is not refused, only judged less sharply, and the
// client judges the answer again itself (RFC 6455 section 4.1).
type nameSet struct {
	prints   [16]uint64
	count    uint8
	overflow bool
}

func (n *nameSet) add(mark uint64) {
	switch {
	case n.has(mark):
	case int(n.count) == len(n.prints):
		n.overflow = true
	default:
		n.prints[n.count] = mark
		n.count++
	}
}

func (n *nameSet) has(mark uint64) bool {
	for _, known := range n.prints[:n.count] {
		if known == mark {
			return true
		}
	}
	return n.overflow
}

// FNV-1a with 64 bits. No key is needed: a backend that finds a colliding name gains a subprotocol that the client
// refuses.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// fingerprint tells names apart by their bytes: subprotocols are compared with case.
func fingerprint(name []byte) uint64 {
	hash := uint64(fnvOffset)
	for _, c := range name {
		hash = (hash ^ uint64(c)) * fnvPrime
	}
	return hash
}

// fingerprintFold tells names apart regardless of case.
func fingerprintFold(name []byte) uint64 {
	hash := uint64(fnvOffset)
	for _, c := range name {
		hash = (hash ^ uint64(lowerCase(c))) * fnvPrime
	}
	return hash
}
