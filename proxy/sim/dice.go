package sim

import (
	"math/bits"
	"math/rand/v2"
)

// dice is one stream of random decisions. Each actor has its own, so that what one does never shifts what another
// draws.
type dice struct{ *rand.Rand }

// newDice returns the stream of the given name of a seed.
func newDice(seed, name uint64) dice { return dice{rand.New(rand.NewPCG(seed, name))} }

// percent is true in n of 100 cases.
func (d dice) percent(n int) bool { return n > 0 && d.IntN(100) < n }

// between returns a number from low to high, both included.
func (d dice) between(low, high int) int { return low + d.IntN(high-low+1) }

// time returns a number of nanoseconds from low to high.
func (d dice) time(low, high int64) int64 { return low + d.Int64N(high-low+1) }

// logUniform returns a number from 0 to high, each order of magnitude as likely as the next.
func (d dice) logUniform(high int) int {
	width := d.IntN(bits.Len(uint(high)) + 1)
	return min(d.IntN(1<<width), high)
}

// logTime returns a number of nanoseconds from 0 to high, each order of magnitude as likely as the next.
func (d dice) logTime(high int64) int64 { return int64(d.logUniform(int(high))) }

// oneOf returns one of the choices.
func oneOf[T any](d dice, choices ...T) T { return choices[d.IntN(len(choices))] }
