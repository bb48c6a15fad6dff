//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"culvert/cmd/internal/configfile"
	"culvert/cmd/internal/demo"
	"culvert/cmd/internal/settings"
	"culvert/proxy"
)

// demoBackends is how many backends the demo starts.
const demoBackends = 2

// demonstrate runs the proxy before backends of its own, and says where to look and what to try.
func demonstrate(i *settings.Invocation) int {
	i, _, ok := readConfig(i) // of which there is none: but flags may name files
	if !ok {
		return exitUsage
	}
	signals, stop := catchSignals()
	defer stop()
	d, err := demo.Start(demo.Options{Backends: demoBackends})
	if err != nil {
		return failed(err)
	}
	defer d.Close()
	var backends []proxy.BackendConfig
	for n, address := range d.Addresses() {
		backends = append(backends, proxy.BackendConfig{Name: fmt.Sprintf("demo-%d", n+1), Address: address, Weight: 1})
	}
	served := configfile.Served(nil, i)
	groups, err := served.GroupConfigs(func([]settings.Backend) ([][]proxy.BackendConfig, error) { return nil, nil }) // flags name none
	if err != nil {
		return failed(err)
	}
	groups[0].Backends = backends
	p, err := prepare(i, served.ListenerConfigs(i.Settings), groups)
	if err != nil {
		return failed(err)
	}
	defer p.service.logs.close()
	if err := p.startAnywhere(i); err != nil {
		p.service.logs.close() // what was warned of stands before the error
		return failed(err)
	}
	metrics := ""
	if p.service.admin != nil {
		metrics = p.service.admin.url("/metrics")
	}
	fmt.Print(demo.Guide(demo.Running{
		Program: os.Args[0], Page: p.firstURL(false), Secure: p.firstURL(true), SelfSigned: i.SelfSigned, Metrics: metrics, Backends: d.Addresses(),
	}))
	// The backends end first: they say goodbye with a close frame.
	return p.service.supervise(signals, d.Close)
}

// firstURL returns where the first HTTPS listener is reached, or the first plain one; "": there is none.
func (p *preparation) firstURL(https bool) string {
	for n, address := range p.service.server.Addresses() {
		if l := &p.config.Listeners[n]; (l.TLS != nil) == https {
			return urlOf(l, address)
		}
	}
	return ""
}

// startAnywhere starts the proxy, on free ports where the usual ones are taken and nobody has asked for them.
func (p *preparation) startAnywhere(i *settings.Invocation) error {
	err := p.service.start(p.config, p.admin)
	for range 2 {
		if !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
		if admin := (*adminError)(nil); errors.As(err, &admin) {
			if i.Given("admin") {
				return err
			}
			p.admin.Address = freePort(p.admin.Address)
		} else if !p.moveListeners(i) {
			return err
		}
		err = p.service.start(p.config, p.admin)
	}
	return err
}

// moveListeners gives free ports to listeners whose own are taken, and reports whether there are any that nobody has asked
// for. One that others are redirected to stays where they say it is.
func (p *preparation) moveListeners(i *settings.Invocation) bool {
	moved := false
	for n := range p.config.Listeners {
		l := &p.config.Listeners[n]
		asked := i.Given("listen")
		if l.TLS != nil {
			asked = i.Given("tls-listen") || i.Given("https-redirect")
		}
		if !asked && taken(l.Address) {
			l.Address, moved = freePort(l.Address), true
		}
	}
	return moved
}

// taken reports whether somebody else listens at an address.
func taken(address netip.AddrPort) bool {
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(address))
	if err != nil {
		return errors.Is(err, syscall.EADDRINUSE)
	}
	_ = listener.Close()
	return false
}

func freePort(address netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(address.Addr(), 0) }
