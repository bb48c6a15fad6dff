//go:build linux && race

package main

// The binary under test is built like the test itself, so that the detector sees signals and shutdown at work.
func init() { buildFlags = append(buildFlags, "-race") }
