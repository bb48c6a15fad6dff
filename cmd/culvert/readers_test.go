//go:build linux

package main

import (
	"regexp"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadersThatGoAway: neither the end of what reads the access log, nor of what reads the log, ends the process.
func TestReadersThatGoAway(t *testing.T) {
	p := launch(t, nil, quick(startBackend(t))...)
	tunnel := openTunnel(t, p.listener())
	admin := p.admin()
	_ = p.stdout.Close()
	get(t, p.proxyURL())
	p.line("the access log cannot be written")
	waitFor(t, "the dropped line to be counted", func() bool {
		_, metrics := get(t, "http://"+admin+"/metrics")
		return regexp.MustCompile(`(?m)^culvert_access_log_dropped_total [1-9]`).MatchString(metrics)
	})
	_ = p.stderr.Close()
	p.signal(syscall.SIGHUP) // which writes a line
	p.signal(syscall.SIGHUP)
	tunnel.echo("alive")
	p.signal(syscall.SIGTERM)
	p.wantStatus(exitOK)
}

// TestReaderThatStandsStill: the pipe is full, and requests are answered as before.
func TestReaderThatStandsStill(t *testing.T) {
	p := launch(t, nil, quick(startBackend(t))...)
	tunnel := openTunnel(t, p.listener())
	for range 400 { // at 300 bytes or more, these lines fill the pipe
		get(t, p.proxyURL())
	}
	tunnel.echo("alive")
	p.signal(syscall.SIGTERM)
	p.line("lines that nobody took in time are lost")
	p.wantStatus(exitOK)
}

// TestLogReaderThatStandsStill: a full pipe behind standard error delays neither requests nor the end.
func TestLogReaderThatStandsStill(t *testing.T) {
	backend, address := startBackend(t), freeAddress(t).String()
	p := launchUnread(t, nil, quick(backend, "--access-log", "off", "--listen", address)...)
	setPipeSize(t, int(p.stderr.Fd()), 4096)
	waitFor(t, "the listener", func() bool { return !refused(address) })
	signals := 0
	waitFor(t, "more lines than the pipe holds", func() bool {
		p.signal(syscall.SIGHUP) // which writes a line of some 100 bytes
		signals++
		return signals == 300
	})
	openTunnel(t, address).echo("alive")
	p.signal(syscall.SIGTERM)
	p.wantStatus(exitOK)
}

func setPipeSize(t *testing.T, fd, size int) {
	t.Helper()
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, size); err != nil {
		t.Fatal(err)
	}
}
