package proxy_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lockstep opens tunnels one after the other with plain blocking sockets on both sides and no goroutine: what it costs
// is known, and thousands of tunnels fit into one test.
type lockstep struct {
	t        testing.TB
	listener int
	backend  netip.AddrPort
	scratch  []byte
	tunnels  []rawTunnel
}

// rawTunnel is a tunnel by its two far ends, both plain blocking descriptors.
type rawTunnel struct{ client, backend int }

// newLockstep opens the backend's listener.
func newLockstep(t testing.TB) *lockstep {
	t.Helper()
	l := &lockstep{t: t, scratch: make([]byte, 64<<10)}
	var err error
	if l.listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	l.check("bind", unix.Bind(l.listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	l.check("listen", unix.Listen(l.listener, 128))
	l.bound(l.listener)
	name, err := unix.Getsockname(l.listener)
	l.check("getsockname", err)
	l.backend = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(name.(*unix.SockaddrInet4).Port))
	return l
}

func (l *lockstep) close() {
	l.closeTunnels()
	_ = unix.Close(l.listener)
}

// closeTunnels ends all tunnels at their far ends.
func (l *lockstep) closeTunnels() {
	for _, tunnel := range l.tunnels {
		_ = unix.Close(tunnel.client)
		_ = unix.Close(tunnel.backend)
	}
	l.tunnels = nil
}

func (l *lockstep) check(what string, err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatalf("%s: %v", what, err)
	}
}

// bound makes the descriptor's blocking calls give up, so that a failure is told instead of a hang.
func (l *lockstep) bound(fd int) {
	patience := unix.NsecToTimeval(int64(volumePatience))
	l.check("SO_RCVTIMEO", unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience))
	l.check("SO_SNDTIMEO", unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience))
}

const (
	lockstepRequest = "GET /volume HTTP/1.1\r\nHost: volume.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	lockstepKey = "dGhlIHNhbXBsZSBub25jZQ=="
	acceptGUID  = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455 section 1.3
)

// open opens n more tunnels through the proxy.
func (l *lockstep) open(proxy netip.AddrPort, n int) {
	l.t.Helper()
	digest := sha1.Sum([]byte(lockstepKey + acceptGUID))
	answer := []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(digest[:]) + "\r\n\r\n")
	for range n {
		client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		l.check("socket", err)
		l.tunnels = append(l.tunnels, rawTunnel{client: client, backend: -1})
		l.check("TCP_NODELAY", unix.SetsockoptInt(client, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
		// Before it is bounded in time: the kernel goes on by itself with a call that a signal has interrupted.
		l.check("connect", unix.Connect(client, &unix.SockaddrInet4{Addr: proxy.Addr().As4(), Port: int(proxy.Port())}))
		l.bound(client)
		l.write(client, []byte(lockstepRequest))
		backend, _, err := unix.Accept4(l.listener, unix.SOCK_CLOEXEC)
		for err == unix.EINTR {
			backend, _, err = unix.Accept4(l.listener, unix.SOCK_CLOEXEC)
		}
		l.check("accept", err)
		l.tunnels[len(l.tunnels)-1].backend = backend
		l.bound(backend)
		l.check("TCP_NODELAY", unix.SetsockoptInt(backend, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
		l.readHead(backend)
		l.write(backend, answer)
		l.readHead(client)
	}
}

// readHead reads up to the end of a head, behind which nothing may come yet.
func (l *lockstep) readHead(fd int) {
	l.t.Helper()
	for got := 0; !bytes.HasSuffix(l.scratch[:got], []byte("\r\n\r\n")); {
		n, err := unix.Read(fd, l.scratch[got:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			l.t.Fatalf("a head was cut after %q: %v", l.scratch[:got], err)
		}
		got += n
	}
}

// write writes all of b.
func (l *lockstep) write(fd int, b []byte) {
	l.t.Helper()
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err == unix.EINTR {
			continue
		}
		l.check("write", err)
		b = b[n:]
	}
}

// expect reads as many bytes as want has, and compares.
func (l *lockstep) expect(fd int, want []byte) {
	l.t.Helper()
	for len(want) > 0 {
		n, err := unix.Read(fd, l.scratch[:min(len(want), len(l.scratch))])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			l.t.Fatalf("%d bytes are missing: %v", len(want), err)
		}
		if !bytes.Equal(l.scratch[:n], want[:n]) {
			l.t.Fatal("other bytes arrived than were sent")
		}
		want = want[n:]
	}
}

// echo sends a frame to the backend over a tunnel, and the answering frame back.
func (l *lockstep) echo(tunnel rawTunnel, question, answer []byte) {
	l.t.Helper()
	l.write(tunnel.client, question)
	l.expect(tunnel.backend, question)
	l.write(tunnel.backend, answer)
	l.expect(tunnel.client, answer)
}

// binaryFrames returns the same message of the given payload size as a client sends it and as a server does.
func binaryFrames(size int) (fromClient, fromServer []byte) {
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	return frameOf(payload, true), frameOf(payload, false)
}

// since is for figures in the log only.
func since(begin time.Time) time.Duration { return time.Since(begin).Round(time.Millisecond) }
