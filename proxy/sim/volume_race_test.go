//go:build race

package sim

// defaultSeeds are fewer under the race detector, which makes them ten times as slow.
const defaultSeeds = 1000
