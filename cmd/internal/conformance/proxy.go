package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The proxies.
const (
	programCulvert = "culvert"
	programNginx   = "nginx"
	programHAProxy = "haproxy"
)

// lanes is how many proxies of a kind run at a time, each with a backend of its own. Most of a lane's time is waiting.
const lanes = 6

// startTime bounds how long a proxy may take until it listens.
const startTime = 10 * time.Second

// A column is how one proxy did.
type column struct {
	program, version string
	failed           map[string]string // by the case's id, what was wrong
}

// nginxConfiguration is that of a plain reverse proxy; beside what any needs, everything is as nginx comes.
const nginxConfiguration = `daemon off;
worker_processes 1;
pid %[3]s/nginx.pid;
error_log /dev/null;
events {}
http {
    access_log off;
    client_body_temp_path %[3]s/body;
    proxy_temp_path %[3]s/proxy;
    fastcgi_temp_path %[3]s/fastcgi;
    uwsgi_temp_path %[3]s/uwsgi;
    scgi_temp_path %[3]s/scgi;
    server {
        listen %[1]s;
        location / {
            proxy_pass http://%[2]s;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Connection "";
        }
    }
}
`

const haproxyConfiguration = `global
    nbthread 1
    maxconn 200
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend clients
    bind %[1]s
    default_backend servers
backend servers
    server recorder %[2]s
`

// findPeer returns the path of a peer. Servers live in sbin, which is not on everyone's path.
func findPeer(program string) (string, error) {
	for _, name := range []string{program, "/usr/sbin/" + program, "/usr/local/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no %s: run scripts/bench-peers.sh", program)
}

// command returns the words that start a proxy.
func command(program, path, listen, backend, folder string) ([]string, error) {
	switch program {
	case programNginx, programHAProxy:
		text, file := nginxConfiguration, filepath.Join(folder, "proxy.conf")
		words := []string{path, "-p", folder, "-c", file, "-e", "stderr"}
		if program == programHAProxy {
			text, words = haproxyConfiguration, []string{path, "-db", "-f", file}
		}
		return words, os.WriteFile(file, fmt.Appendf(nil, text+"%.0[3]s", listen, backend, folder), 0o600)
	}
	return []string{path, "run", "--listen", listen, "--backend", backend, "--admin", "off", "--loops", "1", "--access-log", "off",
		"--log-level", "error", "--shutdown-delay", "0", "--shutdown-grace", "0", "--linger-timeout", "1s"}, nil
}

// runProxy sends the cases of all suites through a proxy.
func runProxy(ctx context.Context, program, path string, suites []*suite) (column, error) {
	c := column{program: program, failed: map[string]string{}}
	var err error
	if c.version, err = versionOf(ctx, program, path); err != nil {
		return c, err
	}
	work := make(chan *testCase)
	var mu sync.Mutex
	var group sync.WaitGroup
	errs := make([]error, lanes)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i := range lanes {
		group.Go(func() {
			errs[i] = runLane(ctx, i, program, path, work, func(id, wrong string) {
				mu.Lock()
				c.failed[id] = wrong
				mu.Unlock()
			})
			if errs[i] != nil {
				cancel()
			}
		})
	}
feed:
	for _, s := range suites {
		for _, t := range s.cases {
			select {
			case work <- t:
			case <-ctx.Done():
				break feed
			}
		}
	}
	close(work)
	group.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return c, errs[i]
	}
	return c, ctx.Err()
}

// runLane runs a proxy and a backend until there is no more work.
func runLane(ctx context.Context, lane int, program, path string, work <-chan *testCase, failed func(id, wrong string)) error {
	b, err := startBackend()
	if err != nil {
		return err
	}
	defer b.listener.Close()
	folder, err := os.MkdirTemp("", "culvert-conformance-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	address, err := freeAddress(lane)
	if err != nil {
		return err
	}
	stop, err := startProxy(ctx, program, path, address, b.listener.Addr().String(), folder)
	if err != nil {
		return err
	}
	defer stop()
	for c := range work {
		arrived := b.begin(c)
		seen, err := ask(address, c)
		if err == nil {
			err = b.finish(arrived)
		}
		if err != nil {
			return fmt.Errorf("%s, at %s: %w", program, c.id, err)
		}
		if wrong := judge(c, seen, arrived); wrong != "" {
			failed(c.id, wrong)
		}
	}
	return nil
}

// startProxy runs a proxy, and returns once it listens.
func startProxy(ctx context.Context, program, path, address, backend, folder string) (stop func(), err error) {
	words, err := command(program, path, address, backend, folder)
	if err != nil {
		return nil, err
	}
	var said bytes.Buffer
	child := exec.Command(words[0], words[1:]...)
	child.Stdout, child.Stderr = &said, &said
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := child.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = child.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(startTime, func() { _ = syscall.Kill(-child.Process.Pid, syscall.SIGKILL) })
		_ = child.Wait()
		timer.Stop()
	}
	deadline := time.Now().Add(startTime)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return stop, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	return nil, fmt.Errorf("%s does not listen: %s", program, strings.TrimSpace(said.String()))
}

// Ports for proxies are below those that the kernel gives to outgoing connections, and each lane has its own.
const firstPort, portsPerLane = 20000, 1500

// freeAddress returns one of a lane's that nobody listens on.
func freeAddress(lane int) (string, error) {
	first := firstPort + lane*portsPerLane
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(portsPerLane))
		if listener, err := net.Listen("tcp", address); err == nil {
			return address, listener.Close()
		}
	}
	return "", fmt.Errorf("no port from %d on is free", first)
}

// versionOf returns what a proxy says of its version, in one line.
func versionOf(ctx context.Context, program, path string) (string, error) {
	word := "-v"
	if program == programCulvert {
		word = "version"
	}
	out, err := exec.CommandContext(ctx, path, word).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s does not tell its version: %w", path, err)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line, nil
}
