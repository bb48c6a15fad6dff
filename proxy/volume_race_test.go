//go:build race

package proxy_test

// The race detector makes everything an order of magnitude slower: volumes are reduced.
const (
	// integrityBytes is how much the integrity test carries, in bytes, at least.
	integrityBytes = 512 << 20
	// wideEvery is how often a tunnel carries messages of the full range of sizes; the others' are shorter.
	wideEvery = 30
	// pushedBytes is how much a producer tries to push at a consumer that stands still.
	pushedBytes = 128 << 20
	// residentGrowth is the most, in bytes, by which the proxy's memory may grow while it carries much more.
	residentGrowth = 64 << 20
	// securedGrowth is that over TLS. The detector has pools forget a part of what they are given, and takes several times
	// the memory for itself: what is left to be seen is that it is not many times what was carried.
	securedGrowth = 512 << 20
	// securedBytes is how much the integrity test carries over TLS, in bytes, at least.
	securedBytes = 16 << 20
	// largestMessage is the largest message, in bytes, that real libraries send.
	largestMessage = 256 << 10
	// stopsPerByte is how often a handshake stops at each of its bytes, in each way.
	stopsPerByte = 1
	// stopsAtOnce is how many of these handshakes are on their way at the same time.
	stopsAtOnce = 50
	// tinyRecords is how many records of one byte a message comes in.
	tinyRecords = 32 << 10
)
