package load

import (
	"errors"
	"fmt"
	"net/netip"

	"culvert/proxy/ws"
)

// Target is where tunnels and requests go. It is not changed.
type Target struct {
	// Addresses are those of the proxy or the backend, used in turn.
	Addresses []netip.AddrPort
	// Path is the request's target; "/" if empty.
	Path string
	// Sources are addresses to dial from, in turn; none: the kernel chooses.
	Sources []netip.Addr
	// TLS says how they are spoken to by TLS; nil: in the clear.
	TLS *TLS
}

// check reports what is wrong with the target.
func (t *Target) check() error {
	if len(t.Addresses) == 0 {
		return errors.New("no address to connect to")
	}
	for _, address := range t.Addresses {
		if !address.IsValid() || address.Port() == 0 {
			return fmt.Errorf("%s is no address to connect to", address)
		}
	}
	if t.TLS != nil {
		if _, err := t.TLS.config(); err != nil {
			return err
		}
	}
	request := ws.ClientRequest{Host: t.Addresses[0].String(), Target: t.Path, Key: ws.NewKey([16]byte{})}
	_, err := ws.AppendClientRequest(nil, &request)
	return err
}

// address returns the address of the nth connection, and where to dial it from.
func (t *Target) address(n int) (to netip.AddrPort, from netip.Addr) {
	to = t.Addresses[n%len(t.Addresses)]
	if len(t.Sources) > 0 {
		from = t.Sources[n/len(t.Addresses)%len(t.Sources)]
	}
	return to, from
}
