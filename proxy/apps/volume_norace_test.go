//go:build !race

package apps

// buildFlags are further flags that the program is built with.
var buildFlags []string

const (
	// transferBytes is how much curl sends or receives at once.
	transferBytes = 1 << 30
	// memoryGrowth is the most, in bytes, by which the proxy's memory may grow meanwhile.
	memoryGrowth = 8 << 20
	// keepAliveRequests is how many requests go over a few connections.
	keepAliveRequests = 10_000
	// crowdSessions is how many sessions of Socket.IO there are, half of them before another server joins.
	crowdSessions = 1000
)
