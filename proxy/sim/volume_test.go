//go:build !race

package sim

// defaultSeeds take about 20 s on one core.
const defaultSeeds = 3000
