package exhaustion

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"culvert/proxy"

	"golang.org/x/sys/unix"
)

// TestHostileE08Ports: one source address with 100 ports carries 100 tunnels to one backend, two carry 200; beyond
// that requests get 503, tunnels live on, and a port that is free again is used again. It needs a network namespace
// of its own, which an unprivileged user may make where the kernel allows it.
func TestHostileE08Ports(t *testing.T) {
	attributes := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		attributes = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWNET | syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
	}
	runScenario(t, "ports", attributes, 0)
}

// clientPorts are outside of the range that the kernel chooses from: the clients' own ports must not be what runs out.
const clientPorts = 40000

func portsScenario() error {
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	for sources, want := range map[int]int{1: 100, 2: 200} {
		if err := fillPorts(sources, want); err != nil {
			return fmt.Errorf("%d source addresses: %w", sources, err)
		}
	}
	if err := portsOfOneBackend(); err != nil {
		return fmt.Errorf("no address for one of two backends: %w", err)
	}
	return connectsToItself()
}

// portsOfOneBackend: without IPv6 there is no local address for one backend (EADDRNOTAVAIL, as when its ports are used
// up), and the other takes all requests.
func portsOfOneBackend() error {
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0o644); err != nil && !os.IsNotExist(err) {
		return err
	}
	return besideUseless("[::1]:9", "20000 29999", clientPorts+5000, 10)
}

// connectsToItself: nobody listens at one of two backends, and the one port from which the kernel lets connect is its
// own, so that the connection meets itself.
func connectsToItself() error {
	return besideUseless("127.0.0.1:20004", "20004 20004", clientPorts+6000, 1)
}

// besideUseless opens tunnels, one after the other, where a backend that takes none stands beside a good one.
func besideUseless(useless, ports string, clientPort, tunnels int) error {
	if err := setPorts("20000 29999"); err != nil {
		return err
	}
	s, err := newStand(func(c *proxy.Config) {
		c.Groups[0].Backends = append([]proxy.BackendConfig{{Name: "useless", Weight: 1, Address: netip.MustParseAddrPort(useless)}}, c.Groups[0].Backends...)
	})
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }()
	if err := setPorts(ports); err != nil {
		return err
	}
	for i := range tunnels {
		c, status, err := s.openFrom(clientPort + i)
		if err != nil || status != 101 {
			return fmt.Errorf("tunnel %d of %d: status %d, %v", i+1, tunnels, status, err)
		}
		_ = c.Close()
	}
	return nil
}

// setPorts sets the range that the kernel chooses ports from, in this namespace.
func setPorts(bounds string) error {
	return os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte(bounds), 0o644)
}

func fillPorts(sources, want int) error {
	// The listeners' own ports come from elsewhere: the kernel passes over ports that somebody is bound to.
	if err := setPorts("50000 60000"); err != nil {
		return err
	}
	s, err := newStand(func(c *proxy.Config) {
		for i := range sources {
			c.Sources = append(c.Sources, netip.AddrFrom4([4]byte{127, 0, 0, byte(10 + i)}))
		}
	})
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }()
	if err := setPorts("20000 20099"); err != nil {
		return err
	}
	next := clientPorts + 1000*sources
	open := func() (net.Conn, int, error) {
		next++
		return s.openFrom(next)
	}
	var tunnels []net.Conn
	for i := range want {
		c, status, err := open()
		if err != nil || status != 101 {
			return fmt.Errorf("tunnel %d of %d: status %d, %v", i+1, want, status, err)
		}
		defer func() { _ = c.Close() }()
		tunnels = append(tunnels, c)
	}
	if _, status, err := open(); err != nil || status != 503 {
		return fmt.Errorf("with all %d ports in use: status %d, %v; want 503", want, status, err)
	}
	if n := s.metric(`culvert_exchanges_ended_total{loop="0",reason="no-resources"}`); n != 1 {
		return fmt.Errorf("%v requests were counted as refused for want of resources, want 1", n)
	}
	for i, c := range tunnels {
		if err := ping(c); err != nil {
			return fmt.Errorf("tunnel %d suffered: %w", i+1, err)
		}
	}
	_ = tunnels[0].Close()
	recovered := func() bool {
		c, status, err := open()
		if err == nil && status == 101 {
			tunnels = append(tunnels, c)
			return true
		}
		return false
	}
	if err := eventually("a freed port carries a tunnel again", recovered); err != nil {
		return err
	}
	defer func() { _ = tunnels[len(tunnels)-1].Close() }()
	fmt.Printf("%d source addresses with 100 ports each: %d tunnels, then 503, then recovered\n", sources, want)
	return nil
}

// openFrom opens a tunnel from a client port of its own.
func (s *stand) openFrom(port int) (net.Conn, int, error) {
	previous := dialer
	defer func() { dialer = previous }()
	dialer = net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}}
	return s.open()
}

// loopbackUp brings up lo in a fresh network namespace.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}
