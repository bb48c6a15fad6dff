package proxy_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"culvert/proxy"
	"culvert/proxy/proxytest"

	gobwas "github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// TestBackendsBehindUnixSockets: ordinary requests and tunnels reach a backend that listens at a path; where nobody
// listens the next backend is tried.
func TestBackendsBehindUnixSockets(t *testing.T) { overWays(t, backendsBehindUnixSockets) }

func backendsBehindUnixSockets(t *proxytest.T) {
	path := filepath.Join(t.TempDir(), "backend")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	backend := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echoOne(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %s", r.Method, r.Host, body)
	})}
	go func() { _ = backend.Serve(listener) }()
	defer func() { _ = backend.Close() }()
	p := proxytest.Start(t, proxytest.Options{Config: func(c *proxy.Config) {
		livesOnBothSides(c)
		c.Groups[0].Backends = []proxy.BackendConfig{{Name: "none", Path: path + "-none", Weight: 1}, {Name: "unix", Path: path, Weight: 1}}
	}})
	for range 4 {
		client := p.Dial(t)
		client.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
		if head := client.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
			t.Fatalf("got %q", head)
		}
		client.Want("POST a hello")
		client.Close()
	}
	client := p.Dial(t)
	client.Send(proxytest.UpgradeRequest() + proxytest.ClientText("hello"))
	if head := client.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Fatalf("got %q", head)
	}
	client.Want(proxytest.ServerText("hello"))
	client.Close()
	if text := string(p.Scrape(t)); !strings.Contains(text, `address="unix:`+path+`"`) {
		t.Error("the metrics do not name the socket")
	}
}

// echoOne upgrades, echoes one text message, and waits for the end.
func echoOne(w http.ResponseWriter, r *http.Request) {
	conn, rw, _, err := gobwas.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	text, err := wsutil.ReadClientText(rw)
	if err == nil {
		_ = wsutil.WriteServerText(conn, text)
	}
	_, _ = io.Copy(io.Discard, conn)
}
