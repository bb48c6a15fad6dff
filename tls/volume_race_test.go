//go:build race

package tls

// abandonedClients is how many clients stop in mid-handshake. The race detector makes everything an order of
// magnitude slower.
const abandonedClients = 1000
