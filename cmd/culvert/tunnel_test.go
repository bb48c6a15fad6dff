//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// startBackend starts a server that echoes what comes by WebSocket, and answers other requests with "hello". It
// returns its host and port.
func startBackend(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			_, _ = io.WriteString(w, "hello")
			return
		}
		c, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		for {
			opcode, payload, err := readMessage(c)
			if err != nil || opcode == ws.OpClose || ws.WriteFrame(c, ws.NewFrame(opcode, true, payload)) != nil {
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// maxMessage bounds the messages of these tests, in bytes.
const maxMessage = 1 << 16

// readMessage reads a frame that is a whole message.
func readMessage(r io.Reader) (ws.OpCode, []byte, error) {
	header, err := ws.ReadHeader(r)
	if err != nil {
		return 0, nil, err
	}
	if header.Length > maxMessage || !header.Fin {
		return 0, nil, errors.New("not a short message in one frame")
	}
	payload := make([]byte, header.Length)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, err
	}
	if header.Masked {
		ws.Cipher(payload, header.Mask, 0)
	}
	return header.OpCode, payload, nil
}

// tunnel is the client's end of a WebSocket.
type tunnel struct {
	t    *testing.T
	conn net.Conn
	read io.Reader
}

func openTunnel(t *testing.T, address string) *tunnel {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, buffered, _, err := ws.Dial(ctx, "ws://"+address+"/chat?token=secret")
	if err != nil {
		t.Fatalf("open a tunnel: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	u := &tunnel{t: t, conn: c, read: c}
	if buffered != nil {
		u.read = buffered
	}
	return u
}

// echo sends a message and expects it back.
func (u *tunnel) echo(text string) {
	u.t.Helper()
	if err := ws.WriteFrame(u.conn, ws.MaskFrame(ws.NewTextFrame([]byte(text)))); err != nil {
		u.t.Fatalf("send: %v", err)
	}
	_, payload, err := readMessage(u.read)
	if err != nil {
		u.t.Fatalf("receive: %v", err)
	}
	if string(payload) != text {
		u.t.Fatalf("received %q, sent %q", payload, text)
	}
}

// wantEnd expects that the other side ends the tunnel.
func (u *tunnel) wantEnd() {
	u.t.Helper()
	_, err := io.Copy(io.Discard, u.read)
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		u.t.Error("the tunnel lives on")
	}
}

// quick are settings of a proxy that picks its ports and ends soon, where more does not say otherwise.
func quick(backend string, more ...string) []string {
	args := []string{"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--backend", backend}
	for _, usual := range [][]string{{"--loops", "2"}, {"--shutdown-delay", "0"}, {"--shutdown-grace", "0"}} {
		if !slices.Contains(more, usual[0]) {
			args = append(args, usual...)
		}
	}
	return append(args, more...)
}

// proxyURL returns the URL of a running proxy.
func (p *process) proxyURL() string { return "http://" + p.listener() + "/" }

// refused reports whether nobody listens at the address any more.
func refused(address string) bool {
	c, err := net.Dial("tcp", address)
	if err == nil {
		_ = c.Close()
	}
	return err != nil
}
