package proxy_test

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"testing"

	"culvert/proxy"
	"culvert/proxy/proxytest"
)

// What those do to the balancing who mean it harm, or are broken.

// TestAListIsReadWhileResolversAreSilent: so many names wait for their answers that everybody who asks is busy with them.
func TestAListIsReadWhileResolversAreSilent(t *testing.T) {
	t.Parallel()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	resolvers := []netip.AddrPort{silent.LocalAddr().(*net.UDPAddr).AddrPort()}
	tellers := newTellers(t, "a", "b")
	list := filepath.Join(t.TempDir(), "servers.yaml")
	replace(t, list, fmt.Sprintf("- %s\n", tellers[0].Address()))
	p := startTellers(t, tellers, func(c *proxy.Config, g *proxy.GroupConfig) {
		for n := range 20 {
			d := proxy.Discovery{DNS: fmt.Sprintf("name%d.test.", n), Port: 80, Weight: 1, Resolvers: resolvers}
			c.Groups = append(c.Groups, proxy.GroupConfig{Name: d.DNS, Discovery: &d})
		}
		c.Groups[0].Backends, c.Groups[0].Discovery = nil, &proxy.Discovery{File: list, Resolvers: resolvers}
	})
	replace(t, list, fmt.Sprintf("- %s\n", tellers[1].Address()))
	proxytest.Eventually(t, "the server that is new in the list answers", func() bool { return who(inquiry{}.try(t, p)) == tellers[1].name })
}
