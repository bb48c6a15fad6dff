package proxy_test

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	keptRequest = "GET /volume HTTP/1.1\r\nHost: volume.example\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n"
	keptAnswer  = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!"
)

// requester sends ordinary requests one after the other, with plain blocking sockets on both sides and no goroutine. All
// of them go over one connection to the backend.
type requester struct {
	*lockstep
	backendSide int // 0: not opened yet
	clients     []int
}

func newRequester(t testing.TB) *requester {
	t.Helper()
	q := &requester{lockstep: newLockstep(t)}
	t.Cleanup(q.disconnect)
	return q
}

// disconnect closes all connections.
func (q *requester) disconnect() {
	for _, client := range q.clients {
		_ = unix.Close(client)
	}
	q.clients = nil
	if q.backendSide != 0 {
		_ = unix.Close(q.backendSide)
		q.backendSide = 0
	}
}

// connect opens n more clients.
func (q *requester) connect(proxy netip.AddrPort, n int) {
	q.t.Helper()
	for range n {
		client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		q.check("socket", err)
		q.clients = append(q.clients, client)
		q.check("TCP_NODELAY", unix.SetsockoptInt(client, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
		q.check("connect", unix.Connect(client, &unix.SockaddrInet4{Addr: proxy.Addr().As4(), Port: int(proxy.Port())}))
		q.bound(client)
	}
}

// ask has one client send a request, the backend answer it, and the client read the answer.
func (q *requester) ask(client int) {
	q.t.Helper()
	q.write(client, []byte(keptRequest))
	for q.backendSide == 0 {
		backend, _, err := unix.Accept4(q.listener, unix.SOCK_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		q.check("accept", err)
		q.backendSide = backend
		q.bound(backend)
		q.check("TCP_NODELAY", unix.SetsockoptInt(backend, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	}
	q.readHead(q.backendSide)
	q.write(q.backendSide, []byte(keptAnswer))
	q.expect(client, []byte(keptAnswer))
}
