package proxy

import (
	"net/netip"
	"strings"
	"testing"

	"culvert/proxy/balance"
)

// groupOf is a configuration with one group of servers.
func groupOf(n int) Config {
	backends := make([]BackendConfig, n)
	for i := range backends {
		address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 80)
		backends[i] = BackendConfig{Name: address.String(), Address: address, Weight: 1}
	}
	c := Config{Loops: 1}
	c.Listeners, c.Groups = OneGroup([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, backends)
	return c
}

// TestMoreServersThanCanBeChosenAmong: names that resolve to many addresses can make so many.
func TestMoreServersThanCanBeChosenAmong(t *testing.T) {
	most := groupOf(balance.MaxMembers)
	if _, err := New(most, Logs{}); err != nil {
		t.Errorf("the most that are allowed: %v", err)
	}
	_, err := New(groupOf(balance.MaxMembers+1), Logs{})
	if err == nil || !strings.Contains(err.Error(), "65537 servers") {
		t.Errorf("one more: %v", err)
	}
}

// TestServersOfOneIdentity: somebody who chooses addresses can find two with the same.
func TestServersOfOneIdentity(t *testing.T) {
	c := groupOf(3)
	c.Groups[0].Schedule.Algorithm = "hash"
	registry := &backendRegistry{}
	for i := range c.Groups[0].Backends {
		m := &c.Groups[0].Backends[i]
		registry.take(backendKey{c.Groups[0].Name, m.Address, m.Path, false}, m.Name).identity = 7
	}
	s, err := newSite(&c, []*port{{}}, nil, registry, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]bool{}
	for _, m := range s.groups[0].members {
		if seen[m.id] {
			t.Errorf("two members of identity %d", m.id)
		}
		seen[m.id] = true
	}
}
