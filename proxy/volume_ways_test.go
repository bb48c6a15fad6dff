package proxy_test

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"testing"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// The ways of the volume tests, whose proxy is a process of its own. Over TLS they carry a fraction: cryptography takes the
// time, and what is looked for shows with less.

const (
	// securedPushed is how much a producer tries to push over TLS at a consumer that stands still, in bytes.
	securedPushed = 96 << 20
	// securedTunnels is how many tunnels the integrity test has over TLS.
	securedTunnels = 60
	// securedWide is wideEvery over TLS.
	securedWide = 3
)

// listenOver returns a backend's listener, and has a proxy speak as the way says.
func listenOver(t *testing.T, way proxytest.Way, settings childSettings) (net.Listener, childSettings) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	settings.Backends = []netip.AddrPort{netip.MustParseAddrPort(listener.Addr().String())}
	if way.Client != proxytest.Plain {
		settings.TLS = proxytest.ListenerTLS()
	}
	if way.Backend != proxytest.Plain {
		settings.BackendTLS = proxytest.BackendTLS()
		listener = tls.NewListener(listener, proxytest.ServerConfig(way.Backend))
	}
	return listener, settings
}

// dialOver connects a client.
func dialOver(way proxytest.Way, address netip.AddrPort) (net.Conn, error) {
	c, err := net.Dial("tcp", address.String())
	if err != nil || way.Client == proxytest.Plain {
		return c, err
	}
	return tls.Client(c, proxytest.ClientConfig(way.Client)), nil
}

// socketOf returns what a connection lies on.
func socketOf(c net.Conn) *net.TCPConn {
	if s, ok := c.(*tls.Conn); ok {
		c = s.NetConn()
	}
	return c.(*net.TCPConn)
}

// halfClose ends what a connection sends.
func halfClose(c net.Conn) error {
	var err error
	if s, ok := c.(*tls.Conn); ok {
		err = s.CloseWrite()
	}
	return errors.Join(err, socketOf(c).CloseWrite())
}

// childBackend is what the group of a proxy process says of a backend.
func (s *childSettings) childBackend(name string, address netip.AddrPort) proxy.BackendConfig {
	return proxy.BackendConfig{Name: name, Address: address, Weight: 1, TLS: s.BackendTLS}
}
