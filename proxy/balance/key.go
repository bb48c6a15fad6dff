package balance

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/cespare/xxhash/v2"
)

// golden is 2^64 divided by the golden ratio.
const golden = 0x9E3779B97F4A7C15

// KeyOf returns the key of some bytes: a header's value, a cookie's, a query parameter's, a path. It is XXH64 with the
// seed 0, today and on every machine: several balancers choose alike. Whoever knows that can find values with which to
// meet others at one backend; the load factor is what holds against it.
func KeyOf(value []byte) uint64 { return xxhash.Sum64(value) }

// KeyOfAddress returns the key of a client's address. An IPv6 address counts by its first prefix6 bits (0 to 128; 64 is
// what one home has), a 4-in-6 address as the IPv4 address in it, and a zone not at all.
func KeyOfAddress(address netip.Addr, prefix6 int) uint64 {
	b := address.As16()
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	if !address.Is4() && !address.Is4In6() {
		hi &= ^uint64(0) << min(max(64-prefix6, 0), 64)
		lo &= ^uint64(0) << min(max(128-prefix6, 0), 64)
	}
	return mix(mix(hi+golden) ^ bits.RotateLeft64(lo, 32) + golden)
}

// Identity returns the ID of a backend: the same wherever a group of this name has a backend at this address, spelled
// the same.
func Identity(group, address string) uint64 {
	return mix(mix(xxhash.Sum64String(group)+golden) ^ xxhash.Sum64String(address))
}

// mix makes every bit of the result depend on every bit of x, and different results of different x (the last steps of
// splitmix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
