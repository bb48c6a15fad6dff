//go:build linux

package main

import (
	"errors"
	"fmt"
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
	p, err := prepare(i, configfile.Served(nil, i).ListenerConfigs(i.Settings), []proxy.GroupConfig{{Name: proxy.DefaultGroup, Backends: backends}})
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
		metrics = "http://" + forBrowser(p.service.admin.address()) + "/metrics"
	}
	fmt.Print(demo.Guide(os.Args[0], "http://"+forBrowser(p.service.server.Addresses()[0]), metrics, d.Addresses()))
	// The backends end first: they say goodbye with a close frame.
	return p.service.supervise(signals, d.Close)
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
		} else {
			if i.Given("listen") {
				return err
			}
			p.config.Listeners[0].Address = freePort(p.config.Listeners[0].Address)
		}
		err = p.service.start(p.config, p.admin)
	}
	return err
}

func freePort(address netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(address.Addr(), 0) }
