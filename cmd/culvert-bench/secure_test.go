//go:build linux

package main

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// secureBackend starts an echo backend behind a server that takes TLS off, and returns the flag that names it.
func secureBackend(t *testing.T, scheme string) string {
	t.Helper()
	behind := strings.TrimPrefix(backend(t), "--target ")
	borrowed := httptest.NewUnstartedServer(nil)
	borrowed.StartTLS()
	certificates := borrowed.TLS.Certificates
	borrowed.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certificates})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				raw, err := net.Dial("tcp", behind)
				if err != nil {
					return
				}
				serving.Go(func() {
					defer conn.Close()
					_, _ = io.Copy(conn, raw)
				})
				_, _ = io.Copy(raw, conn)
				_ = raw.(*net.TCPConn).CloseWrite()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	return "--target " + scheme + listener.Addr().String()
}

// TestTargetsByTLS: each command takes them, and says what was agreed upon.
func TestTargetsByTLS(t *testing.T) {
	to, documents := secureBackend(t, "wss://"), secureBackend(t, "https://")
	for _, c := range []struct{ args, want string }{
		{"echo " + to + " --tunnels 3 --messages 100 --warm-up 0", "TLS            TLS 1.3, TLS_AES_128_GCM_SHA256, X25519MLKEM768\n"},
		{"connect " + to + " --concurrency 2 --count 10 --warm-up 0 --key-exchange x25519 --server-name example.com", "10 handshakes, 0 resumed; TLS 1.3, TLS_AES_128_GCM_SHA256, X25519\n"},
		{"connect " + to + " --concurrency 1 --count 10 --warm-up 0 --tls-version 1.2 --resume", "10 handshakes, 9 resumed; TLS 1.2, "},
		{"get " + documents + " --connections 2 --count 20 --warm-up 0 --size 64KiB", "2 handshakes, 0 resumed; TLS 1.3, "},
		{"idle " + to + " --tunnels 5 --hold 20ms --touch 1KiB", "5 are still open, 0 ended by themselves"},
	} {
		if got := run(c.args); got.status != exitOK || !strings.Contains(got.stdout, c.want) || got.stderr != "" {
			t.Errorf("%s: status %d, %q; %q is missing in\n%s", c.args, got.status, got.stderr, c.want, got.stdout)
		}
	}
	var printed struct {
		Targets []string       `json:"targets"`
		Result  map[string]any `json:"result"`
	}
	got := run("connect " + to + " --count 3 --concurrency 1 --warm-up 0 --json")
	if err := json.Unmarshal([]byte(got.stdout), &printed); err != nil || len(printed.Targets) != 1 || "--target "+printed.Targets[0] != to ||
		printed.Result["tls_handshakes"] != 3.0 || printed.Result["tls"] == "" {
		t.Errorf("%v: %s", err, got.stdout)
	}
}

// TestWrongTargets are one line that says what is wrong with them.
func TestWrongTargets(t *testing.T) {
	for args, want := range map[string]string{
		"echo --target wss://localhost:1":                                  "--target wss://localhost:1: not an address with a port",
		"get --target https://127.0.0.1":                                   "a port is missing",
		"get --target https://127.0.0.1:0":                                 "nobody listens on port 0",
		"echo --target ftp://127.0.0.1:1":                                  "not an address with a port",
		"echo --target wss://127.0.0.1:1 --target 127.0.0.1:2":             "some targets are spoken to by TLS, and others are not",
		"get --target 127.0.0.1:1 --resume":                                "--resume: the target is not spoken to by TLS",
		"idle --target ws://127.0.0.1:1 --server-name a":                   "--server-name: the target is not spoken to by TLS",
		"connect --target wss://127.0.0.1:1 --tls-version 1.1":             "--tls-version 1.1: ",
		"connect --target 127.0.0.1:1 --key-exchange x25519":               "--key-exchange: the target is not spoken to by TLS",
		"echo --target wss://127.0.0.1:1 --key-exchange rsa":               "allowed: any, x25519, x25519mlkem768",
		"connect --target wss://127.0.0.1:1 --path chat":                   "not a path that begins with /",
		"connect --target wss://127.0.0.1:1 --server-name a --tls-version": "a value is missing",
	} {
		got := run(args)
		if got.status != exitUsage || !strings.Contains(got.stderr, want) || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%s: status %d, %q; want %q", args, got.status, got.stderr, want)
		}
	}
}
