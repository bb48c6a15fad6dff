//go:build race

package apps

// buildFlags are further flags that the program is built with.
var buildFlags = []string{"-race"}

// The race detector makes everything an order of magnitude slower, and has memory of its own: volumes are reduced.
const (
	// transferBytes is how much curl sends or receives at once.
	transferBytes = 64 << 20
	// memoryGrowth is the most, in bytes, by which the proxy's memory may grow meanwhile.
	memoryGrowth = 64 << 20
	// keepAliveRequests is how many requests go over a few connections.
	keepAliveRequests = 1000
	// crowdSessions is how many sessions of Socket.IO there are, half of them before another server joins.
	crowdSessions = 400
)
