//go:build race

package exhaustion

// stormTunnels is smaller under the race detector, which is for the logic.
const stormTunnels = 500
