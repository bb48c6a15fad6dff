package proxy

import (
	"errors"
	"net/netip"

	"culvert/engine"

	"golang.org/x/sys/unix"
)

// sources are the addresses that a loop dials from, in turn. One address has some 28,000 ports for each backend; more
// tunnels to one backend need more addresses. Owned by the loop.
type sources struct {
	addresses []netip.Addr
	next      int
}

// dial connects from the next source that fits the backend's family and has a port left.
func (s *sources) dial(l *engine.Loop, address netip.AddrPort, owner engine.Owner) (c *engine.Conn, err error) {
	tried := 0
	for range s.addresses {
		source := s.addresses[s.next]
		s.next = (s.next + 1) % len(s.addresses)
		if source.Is4() != address.Addr().Is4() {
			continue
		}
		tried++
		if c, err = l.Dial(address, source, owner, engine.SideBackend); !errors.Is(err, unix.EADDRNOTAVAIL) {
			return c, err
		}
	}
	if tried > 0 {
		return nil, err
	}
	return l.Dial(address, netip.Addr{}, owner, engine.SideBackend)
}
