//go:build !race

package proxy_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"culvert/proxy"
	"culvert/proxy/proxytest"
	"culvert/proxy/proxytest/authority"

	"golang.org/x/sys/unix"
)

// blockingSocket is a plain blocking descriptor as crypto/tls wants it: thousands cost no goroutine.
type blockingSocket struct{ fd int }

func (b blockingSocket) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(b.fd, p)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

func (b blockingSocket) Write(p []byte) (int, error) {
	for sent := 0; ; {
		n, err := unix.Write(b.fd, p[sent:])
		if err == unix.EINTR {
			continue
		}
		if sent += max(n, 0); err != nil || sent == len(p) {
			return sent, err
		}
	}
}

func (b blockingSocket) Close() error                     { return nil }
func (b blockingSocket) LocalAddr() net.Addr              { return nil }
func (b blockingSocket) RemoteAddr() net.Addr             { return nil }
func (b blockingSocket) SetDeadline(time.Time) error      { return nil }
func (b blockingSocket) SetReadDeadline(time.Time) error  { return nil }
func (b blockingSocket) SetWriteDeadline(time.Time) error { return nil }

// openSecure opens one more tunnel over TLS, and returns its client.
func (l *lockstep) openSecure(p *proxyProcess, config *tls.Config) *tls.Conn {
	l.t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	l.check("socket", err)
	l.tunnels = append(l.tunnels, rawTunnel{client: fd, backend: -1})
	l.check("TCP_NODELAY", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	l.check("connect", unix.Connect(fd, &unix.SockaddrInet4{Addr: p.address.Addr().As4(), Port: int(p.address.Port())}))
	l.bound(fd)
	client := tls.Client(blockingSocket{fd}, config)
	_, err = io.WriteString(client, lockstepRequest)
	l.check("the handshake", err)
	backend, _, err := unix.Accept4(l.listener, unix.SOCK_CLOEXEC)
	for err == unix.EINTR {
		backend, _, err = unix.Accept4(l.listener, unix.SOCK_CLOEXEC)
	}
	l.check("accept", err)
	l.tunnels[len(l.tunnels)-1].backend = backend
	l.bound(backend)
	l.readHead(backend)
	answer := proxytest.Head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: "+proxytest.Accept(lockstepKey))
	l.write(backend, []byte(answer))
	_, err = io.ReadFull(client, make([]byte, len(answer)))
	l.check("the answer", err)
	return client
}

func TestFourThousandTunnelsOverTLSStartNoGoroutine(t *testing.T) {
	const tunnels = 4000
	l := newLockstep(t)
	ca := authority.New(t, "Servers")
	p := startProxy(t, childSettings{
		Backends: []netip.AddrPort{l.backend}, Loops: 2,
		TLS: &proxy.ListenerTLS{Certificates: certificatesOf(ca.Issue(authority.Leaf{Names: []string{securedName}}))},
	})
	p.scrape() // the connection that scrapes come over has goroutines of its own, from now on
	none := p.scrape()
	config := (&secured{ca: ca}).config(tls.VersionTLS13)
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1) // most are resumed, as most are in practice
	begin := time.Now()
	clients := make([]*tls.Conn, tunnels)
	for i := range clients {
		clients[i] = l.openSecure(p, config)
	}
	took := since(begin)
	with := p.until("all tunnels", func(s samples) bool { return s.sum("culvert_tunnels_active") == tunnels })
	if n := with.sum("go_goroutines"); n > none.sum("go_goroutines")+2 {
		t.Errorf("%v goroutines with %d tunnels, %v with none", n, tunnels, none.sum("go_goroutines"))
	}
	if n := with.sum("culvert_buffer_bytes"); n != 0 {
		t.Errorf("%v bytes are held by idle tunnels", n)
	}
	question, answer := binaryFrames(100)
	for i, c := range clients {
		_, err := c.Write(question)
		l.check("a message", err)
		l.expect(l.tunnels[i].backend, question)
		l.write(l.tunnels[i].backend, answer)
		_, err = io.ReadFull(c, make([]byte, len(answer)))
		l.check("its answer", err)
	}
	t.Logf("figure: %v goroutines without tunnels, %v with %d over TLS, opened in %v; %v were resumed", none.sum("go_goroutines"),
		with.sum("go_goroutines"), tunnels, took, with.sum("culvert_tls_sessions_resumed_total"))
	l.closeTunnels()
	p.until("nothing is left", func(s samples) bool {
		return s.sum("culvert_client_connections_active") == 0 && s.sum("culvert_timers") == 0 && s.sum("process_open_fds") <= none.sum("process_open_fds")
	})
}
