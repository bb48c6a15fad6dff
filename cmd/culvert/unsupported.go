//go:build !linux

package main

// Culvert is built on epoll, timerfd, eventfd and SO_REUSEPORT, which only Linux has together.
var _ = culvert_runs_on_linux_only
