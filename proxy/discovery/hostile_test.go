package discovery

import (
	"net/netip"
	"testing"
	"time"
)

// What resolvers and writers of files do that mean us harm, or know no better.

// TestManyServicesOnManyAddresses: records multiplied by addresses would be millions of endpoints.
func TestManyServicesOnManyAddresses(t *testing.T) {
	s := &serviceSource{name: "_ws._tcp.app.test."}
	var a answer
	for n := range 3000 {
		a.services = append(a.services, service{"t.", uint16(1 + n), uint16((n + 1) % 2), 1})
	}
	s.records.adopt(a)
	s.retarget()
	for n := range 6000 {
		s.targets[0].four.addresses = append(s.targets[0].four.addresses, netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}))
	}
	begin := time.Now()
	set, _, _ := s.state()
	if took := time.Since(begin); len(set) != MaxEndpoints+1 || took > time.Second {
		t.Errorf("%d endpoints, after %v", len(set), took)
	}
	for _, e := range set {
		if e.Priority != 0 {
			t.Fatalf("%v, which is asked last, and others are left out", e)
		}
	}
}
