package proxy

import (
	"net/netip"
	"testing"
)

// TestWhatClientsCountAs: an IPv6 client may take any address of its network, so the network is what is bounded.
func TestWhatClientsCountAs(t *testing.T) {
	l := newClientLimit()
	for _, c := range []struct {
		prefix6       int
		first, second string
		same          bool
	}{
		{0, "2001:db8::1", "2001:db8::ffff:0:0:1", true},
		{0, "2001:db8::1", "2001:db8:0:1::1", false},
		{56, "2001:db8::1", "2001:db8:0:ff::1", true},
		{56, "2001:db8::1", "2001:db8:0:100::1", false},
		{128, "2001:db8::1", "2001:db8::2", false},
		{64, "fe80::1%eth0", "fe80::2%eth1", true},
		{1, "192.0.2.1", "192.0.2.2", false},
		{1, "192.0.2.1", "::ffff:192.0.2.1", true},
	} {
		l.set(1, c.prefix6)
		counted, ok := l.admit(netip.MustParseAddr(c.first))
		if !ok {
			t.Fatalf("%+v: the first is refused", c)
		}
		other, ok := l.admit(netip.MustParseAddr(c.second))
		if ok == c.same {
			t.Errorf("%+v: the second is admitted: %v", c, ok)
		}
		l.set(1, 32) // what was counted leaves as what it was counted as
		l.leave(counted)
		if ok {
			l.leave(other)
		}
	}
	for i := range l.stripes {
		if n := len(l.stripes[i].count); n != 0 {
			t.Errorf("%d clients are left", n)
		}
	}
}
