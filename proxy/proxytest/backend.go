package proxytest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"culvert/proxy"

	"golang.org/x/sys/unix"
)

// Backend is a raw TCP server in the hands of a test, over TLS if that is the test's way. It records what each of its
// connections receives.
type Backend struct {
	t        testing.TB
	name     string
	version  Version
	listener *net.TCPListener

	mu          sync.Mutex
	connections []*Conn
	serving     sync.WaitGroup
	closing     atomic.Bool
}

// BackendOptions shape a backend.
type BackendOptions struct {
	// Name appears in failures, logs and metrics. "": the proxy's options give it one.
	Name string
	// Address is where it listens. The zero value: 127.0.0.1, at a free port.
	Address netip.AddrPort
	// ReceiveBuffer is the kernel's buffer of each connection in bytes, as in ConnOptions.
	ReceiveBuffer int
}

// NewBackend listens on a port of its own until the test is over.
func NewBackend(t testing.TB) *Backend {
	t.Helper()
	return NewBackendWith(t, BackendOptions{})
}

// NewBackendWith listens with options.
func NewBackendWith(t testing.TB, o BackendOptions) *Backend {
	t.Helper()
	config := net.ListenConfig{Control: ConnOptions{ReceiveBuffer: o.ReceiveBuffer}.control}
	address := "127.0.0.1:0"
	if o.Address.IsValid() {
		address = o.Address.String()
	}
	listener, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		t.Fatalf("a backend cannot listen: %v", err)
	}
	b := &Backend{t: t, name: o.Name, version: wayOf(t).Backend, listener: listener.(*net.TCPListener)}
	t.Cleanup(b.Close)
	return b
}

// Address is where the backend listens.
func (b *Backend) Address() netip.AddrPort { return addressOf(b.listener.Addr()) }

// Member is what a group says of the backend.
func (b *Backend) Member(name string) proxy.BackendConfig {
	m := proxy.BackendConfig{Name: name, Address: b.Address(), Weight: 1}
	if b.version != Plain {
		m.TLS = BackendTLS()
	}
	return m
}

// Accept waits for the next connection. It is closed when the test is over.
func (b *Backend) Accept() *Conn {
	b.t.Helper()
	_ = b.listener.SetDeadline(deadline())
	raw, err := b.listener.AcceptTCP()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		b.t.Fatalf("the backend wants a connection, but none came for %v", Patience)
	}
	if err != nil {
		b.t.Fatalf("the backend cannot accept: %v", err)
	}
	c := b.add(raw)
	c.greet()
	return c
}

// AcceptRaw is Accept without a TLS handshake.
func (b *Backend) AcceptRaw() *Conn {
	b.t.Helper()
	version := b.version
	b.version = Plain
	defer func() { b.version = version }()
	return b.Accept()
}

func (b *Backend) add(raw *net.TCPConn) *Conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := newConn(b.t, fmt.Sprintf("the backend's connection %d", len(b.connections)+1), raw)
	if b.version != Plain {
		c.over(ServerConfig(b.version), tls.Server)
	}
	b.connections = append(b.connections, c)
	return c
}

// Connections returns all connections accepted so far, also those of a script, in their order.
func (b *Backend) Connections() []*Conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*Conn(nil), b.connections...)
}

// Close stops listening and closes every connection, and waits for the scripts. Later dials are refused.
func (b *Backend) Close() {
	b.closing.Store(true)
	_ = b.listener.Close()
	for _, c := range b.Connections() {
		c.Close()
	}
	b.serving.Wait()
}

// StopListening has later dials refused; connections that were accepted live on.
func (b *Backend) StopListening() { _ = b.listener.Close() }

// Connects reports whether somebody accepts connections at an address.
func Connects(address netip.AddrPort) bool {
	c, err := net.DialTimeout("tcp", address.String(), Patience)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// Refuses returns an address at which every connection is refused until the test is over.
func Refuses(t testing.TB) netip.AddrPort {
	t.Helper()
	fd, address := boundSocket(t)
	t.Cleanup(func() { _ = unix.Close(fd) })
	return address
}

// NeverAnswers returns an address at which a connection is neither accepted nor refused until the test is over: the
// accept queue of its socket is full.
func NeverAnswers(t testing.TB) netip.AddrPort {
	t.Helper()
	fd, address := boundSocket(t)
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatalf("listen at %s: %v", address, err)
	}
	Dial(t, address) // the one that a queue of length 0 holds
	return address
}

// boundSocket returns a socket with a port of its own that does not listen.
func boundSocket(t testing.TB) (fd int, address netip.AddrPort) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("open a socket: %v", err)
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatalf("bind a socket: %v", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatalf("look at a socket: %v", err)
	}
	return fd, socketAddress(name)
}
