//go:build !linux

package main

// The generator runs on Culvert's own event loops, which are made of what only Linux has.
var _ = culvert_runs_on_linux_only
