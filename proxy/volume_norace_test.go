//go:build !race

package proxy_test

const (
	// integrityBytes is how much the integrity test carries, in bytes, at least.
	integrityBytes = 4 << 30
	// wideEvery is how often a tunnel carries messages of the full range of sizes: all do.
	wideEvery = 1
	// pushedBytes is how much a producer tries to push at a consumer that stands still.
	pushedBytes = 1 << 30
	// residentGrowth is the most, in bytes, by which the proxy's memory may grow while it carries much more.
	residentGrowth = 8 << 20
	// securedGrowth is that over TLS.
	securedGrowth = residentGrowth
	// securedBytes is how much the integrity test carries over TLS, in bytes, at least.
	securedBytes = 64 << 20
	// largestMessage is the largest message, in bytes, that real libraries send.
	largestMessage = 4 << 20
	// stopsPerByte is how often a handshake stops at each of its bytes, in each way.
	stopsPerByte = 6
	// stopsAtOnce is how many of these handshakes are on their way at the same time.
	stopsAtOnce = 300
	// tinyRecords is how many records of one byte a message comes in.
	tinyRecords = 1 << 20
)
