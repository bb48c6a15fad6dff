//go:build !race

package tls

// abandonedClients is how many clients stop in mid-handshake.
const abandonedClients = 10_000
