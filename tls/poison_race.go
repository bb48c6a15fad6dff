//go:build race

package tls

// poison overwrites a buffer that goes back to its pool, so that a slice kept too long shows in every test that
// runs with the race detector.
func poison(b []byte) {
	for i := range b {
		b[i] = 0xDB
	}
}
