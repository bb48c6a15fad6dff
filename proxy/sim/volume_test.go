//go:build !race

package sim

// defaultSeeds take 10 to 20 s on one core.
const defaultSeeds = 6000
