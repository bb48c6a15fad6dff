//go:build race

package engine

// poison overwrites a buffer that goes back to its pool, so that a slice kept too long shows in every test that
// runs with the race detector.
func poison(b []byte) {
	for i := range b {
		b[i] = 0xDB
	}
}
