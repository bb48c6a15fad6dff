//go:build !race

package exhaustion

// stormTunnels is how many tunnels end at once: with client, proxy and backend in one process, 16,000 descriptors.
const stormTunnels = 4000
