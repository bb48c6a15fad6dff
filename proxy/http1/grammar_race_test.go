//go:build race

package http1

// grammarMessages is how many messages of each seed are read in both ways: fewer, for the race detector is slow.
const grammarMessages = 10_000
