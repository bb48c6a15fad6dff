// Package chaos holds the test that lets thousands of clients and a backend misbehave at random, all at once, and
// asks only two things: that the proxy lives on, and that nothing of it is left over afterwards.
package chaos
