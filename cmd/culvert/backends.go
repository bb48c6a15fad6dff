//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
)

// resolveTimeout bounds the resolution of all names together, at start.
const resolveTimeout = 10 * time.Second

// resolver looks up the addresses of a name.
type resolver func(ctx context.Context, host string) ([]netip.Addr, error)

func systemResolver(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// resolveBackends finds the addresses of all backends: for each, what becomes of it. Every address of a name is a backend of its own, of the same
// weight: a name with several addresses stands for several servers, and one that only one family reaches is passed
// over for the other when a connection is refused.
func resolveBackends(ctx context.Context, backends []settings.Backend, lookUp resolver) ([][]proxy.BackendConfig, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	resolved := make([][]proxy.BackendConfig, len(backends))
	for n, b := range backends {
		if b.Path != "" {
			resolved[n] = []proxy.BackendConfig{{Name: b.Name, Path: b.Path, Weight: b.Weight}}
			continue
		}
		addresses, err := addressesOf(ctx, b.Host, lookUp)
		if err != nil {
			return nil, fmt.Errorf("backend %s: %w", b.Name, err)
		}
		for _, a := range addresses {
			name := b.Name
			if len(addresses) > 1 {
				name += " (" + a.String() + ")"
			}
			resolved[n] = append(resolved[n], proxy.BackendConfig{Name: name, Address: netip.AddrPortFrom(a, b.Port), Weight: b.Weight})
		}
	}
	return resolved, nil
}

func addressesOf(ctx context.Context, host string, lookUp resolver) ([]netip.Addr, error) {
	if address, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{address.Unmap()}, nil
	}
	found, err := lookUp(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("the name cannot be resolved: %s", lookupFailure(err))
	}
	var addresses []netip.Addr
	for _, a := range found {
		if a = a.Unmap(); !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	if len(addresses) == 0 {
		return nil, errors.New("the name has no address")
	}
	return addresses, nil
}

// lookupFailure leaves out the name, which the reader has just been told.
func lookupFailure(err error) string {
	if failure := (*net.DNSError)(nil); errors.As(err, &failure) {
		return failure.Err
	}
	return err.Error()
}
