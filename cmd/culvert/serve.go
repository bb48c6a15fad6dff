//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"culvert/cmd/internal/configfile"
	"culvert/cmd/internal/settings"
	"culvert/proxy"
)

// serve runs the proxy, with what a configuration file says is served, if there is one and it does, until a signal ends
// it. seen is the state in which the file was read.
func serve(i *settings.Invocation, file *configfile.File, seen fileState) int {
	signals, stop := catchSignals()
	defer stop()
	// A signal that comes while names are resolved ends that; any later one is the supervisor's.
	ctx, cancel := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	served := configfile.Served(file, i)
	groups, err := served.GroupConfigs(func(servers []settings.Backend) ([][]proxy.BackendConfig, error) {
		return resolveBackends(ctx, servers, systemResolver)
	})
	cancel()
	if err != nil {
		return failed(err)
	}
	p, err := prepare(i, served.ListenerConfigs(i.Settings), groups)
	if err != nil {
		return failed(err)
	}
	defer p.service.logs.close()
	reloads := newReloader(p.service.logs.errors, p.config.Loops, i)
	p.service.reloads = reloads
	if err := p.service.start(p.config, p.admin); err != nil {
		p.service.logs.close() // what was warned of stands before the error
		return failed(err)
	}
	p.announce()
	ctx, cancel = context.WithCancel(context.Background())
	defer cancel()
	go reloads.run(ctx)
	if i.WatchConfig && i.ConfigFile != "" {
		go reloads.watch(i.ConfigFile, seen, time.Tick(watchPeriod)) // until the process ends
	}
	return p.service.supervise(signals, nil)
}

// failed reports why the process could not start, in one line.
func failed(err error) int {
	fmt.Fprintf(os.Stderr, "culvert: %v\n", err)
	return exitFailed
}

// preparation is all that a start needs.
type preparation struct {
	service     service
	config      proxy.Config
	admin       settings.AdminAddress
	descriptors uint64
}

// prepare sets up the process, and opens the logs but nothing else.
func prepare(i *settings.Invocation, listeners []proxy.ListenerConfig, groups []proxy.GroupConfig) (*preparation, error) {
	p := &preparation{admin: i.Settings.Admin.Admin}
	p.service.tokenFile = string(i.Settings.Admin.AdminTokenFile)
	p.admin.Address = reachable(p.admin.Address)
	var err error
	if p.service.logs, err = openLogs(&i.Settings.Logs); err != nil {
		return nil, err
	}
	log := &p.service.logs.errors
	loops, processors := loopsAndProcessors(i.Settings.Limits.Loops)
	runtime.GOMAXPROCS(processors)
	p.config = configure(i, listeners, groups, loops)
	allowForHandshakes(&p.config)
	keepHeapFloor()
	shortenSlices()
	if p.descriptors, err = proxy.RaiseDescriptorLimit(); err != nil {
		log.Warn().Err(err).Msg("the limit of descriptors stays as it is")
	}
	for _, warning := range i.Warnings {
		log.Warn().Msg(warning)
	}
	p.warn(i.SiteInFile())
	return p, nil
}
