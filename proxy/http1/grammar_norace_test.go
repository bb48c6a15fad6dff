//go:build !race

package http1

// grammarMessages is how many messages of each seed are read in both ways.
const grammarMessages = 100_000
