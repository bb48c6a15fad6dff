//go:build !linux

package main

// All other files of this package are for Linux alone, so that elsewhere this is the one error that a build reports:
// Culvert is built on epoll, timerfd, eventfd and SO_REUSEPORT, which only Linux has together.
var _ = culvert_runs_on_linux_only
