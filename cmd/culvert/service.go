//go:build linux

package main

import (
	"context"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"culvert/cmd/internal/configfile"
	"culvert/cmd/internal/settings"
	"culvert/proxy"
)

const (
	// endPatience is how long ending everything at once may take before the process ends regardless.
	endPatience = 3 * time.Second
	// adminCloseTimeout is how long an answer of the admin port may still take at the end.
	adminCloseTimeout = time.Second
)

// service is a running proxy with what belongs to it.
type service struct {
	logs   logs
	server *proxy.Server
	admin  *adminServer // nil: off

	tokenFile string // of the admin port; "": there is none

	reloads *reloader // nil: there is nothing to read again
}

// start starts the proxy and its admin port, or nothing. The admin port is bound first and served last.
func (s *service) start(config proxy.Config, admin settings.AdminAddress) error {
	server, err := proxy.New(config, proxy.Logs{Error: s.logs.errors, Access: s.logs.writer(), Dropped: s.logs.dropped})
	if err != nil {
		return err
	}
	s.server, s.admin = server, nil
	if s.reloads != nil {
		s.reloads.server = server
	}
	if !admin.Off {
		if s.admin, err = bindAdmin(admin); err != nil {
			return err
		}
	}
	if err := server.Start(); err != nil {
		if s.admin != nil {
			s.admin.close(context.Background())
		}
		return err
	}
	if s.admin != nil {
		s.admin.serve(s.adminHandler(), s.logs.errors)
	}
	return nil
}

// adminHandler is what the admin port serves.
func (s *service) adminHandler() http.Handler {
	d := &doorkeeper{tokenFile: s.tokenFile, socket: s.admin.path != "", log: s.logs.errors}
	mux := http.NewServeMux()
	mux.Handle("/", s.server.Admin())
	(&backendsAdmin{keeper: s.server, log: s.logs.errors}).serveOn(mux, d)
	if s.reloads != nil {
		s.reloads.serveOn(mux, d)
	}
	return mux
}

// configure translates the settings for the proxy, with what is listened on and which groups there are.
func configure(i *settings.Invocation, listeners []proxy.ListenerConfig, groups []proxy.GroupConfig, loops int) proxy.Config {
	s := i.Settings
	for n := range listeners {
		listeners[n].Address = reachable(listeners[n].Address)
	}
	l := &s.Limits
	return proxy.Config{
		Listeners: listeners, Groups: groups, Sources: i.Sources, Loops: loops,
		ReadBuffer: l.ReadBuffer, BufferMemory: int64(l.BufferMemory), Backlog: s.Listeners.Backlog, Limits: configfile.LimitsOf(s),
		SpliceThreshold: zeroMeansNone(l.SpliceThreshold), SplicePipes: zeroMeansNone(l.SplicePipes), NotSentLowat: l.NotsentLowat,
		Policy: configfile.PolicyOf(s), BackendIdle: zeroMeansNone(s.HTTP.BackendIdleConnections),
		MaxHead: s.HTTP.MaxHead, MaxStartLine: min(s.HTTP.MaxRequestLine, s.HTTP.MaxHead), MaxHeaders: s.HTTP.MaxHeaders,
		TLSWorkers: s.TLS.TLSWorkers, HandshakesMax: s.TLS.TLSHandshakesMax, TicketKeys: string(s.TLS.TLSTicketKeys),
		TrustedProxies: s.Trust.TrustedProxies, AccessLogQuery: s.Logs.AccessLogQuery, Version: buildVersion(),
		ShutdownDelay: s.Shutdown.ShutdownDelay, ShutdownGrace: s.Shutdown.ShutdownGrace,
	}
}

// zeroMeansNone translates a setting whose 0 means none for a field whose 0 means the default, and less than that none.
func zeroMeansNone(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// reachable turns "every address" into every IPv4 address where the kernel has no IPv6.
func reachable(address netip.AddrPort) netip.AddrPort {
	if address.Addr() != netip.IPv6Unspecified() {
		return address
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), address.Port())
	}
	_ = unix.Close(fd)
	return address
}

// catchSignals returns the signals that the process acts on, from now on.
func catchSignals() (<-chan os.Signal, func()) {
	// Without this, a reader of our output that goes away ends the process at the next line, and all tunnels with it.
	signal.Ignore(unix.SIGPIPE)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGUSR1)
	// What asks for a reload or a new file must not end us at the end. It stays wanted, by a channel that nobody reads: to
	// take that back, even to ignore it, leaves a moment in which the runtime lets the signal do what it does by default.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGUSR1)
	return signals, func() { signal.Stop(signals) }
}

// supervise acts on signals until everything has ended, and returns the exit status. before runs when a shutdown
// begins, if it is not nil.
func (s *service) supervise(signals <-chan os.Signal, before func()) int {
	ctx, endAtOnce := context.WithCancel(context.Background())
	defer endAtOnce()
	ended := make(chan error, 1)
	ending, forced := false, false
	var overdue <-chan time.Time
	for {
		select {
		case received := <-signals:
			switch {
			case received == syscall.SIGUSR1:
				s.logs.reopen()
			case received == syscall.SIGHUP:
				if s.reloads == nil {
					s.logs.errors.Warn().Msg("HUP: the demonstration has no configuration to read again")
				} else {
					s.reloads.ask("HUP")
				}
			case !ending:
				ending = true
				s.logs.errors.Info().Str("signal", received.String()).Msg("shutting down; a second signal ends everything at once")
				go func() {
					if before != nil {
						before()
					}
					ended <- s.server.Shutdown(ctx)
				}()
			case !forced:
				forced = true
				s.logs.errors.Warn().Str("signal", received.String()).Msg("ending everything at once")
				endAtOnce()
				timer := time.NewTimer(endPatience)
				defer timer.Stop()
				overdue = timer.C
			}
		case err := <-ended:
			return s.finish(err, forced)
		case <-overdue:
			s.logs.errors.Error().Dur("patience", endPatience).Msg("the loops do not end: ending without them")
			return exitFailed
		}
	}
}

// finish closes what is left after the proxy has ended.
func (s *service) finish(err error, forced bool) int {
	status := exitOK
	if forced {
		status = exitFailed
	}
	if err != nil {
		s.logs.errors.Error().Err(err).Msg("the proxy did not end cleanly")
		status = exitFailed
	}
	if s.admin != nil {
		ctx, cancel := context.WithTimeout(context.Background(), adminCloseTimeout)
		s.admin.close(ctx)
		cancel()
	}
	s.logs.closeAccess()
	s.logs.errors.Info().Uint64("access_log_dropped", s.logs.dropped()).Msg("ended")
	return status
}
