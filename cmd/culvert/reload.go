//go:build linux

package main

import (
	"context"
	"reflect"
	"sync"
	"time"

	"culvert/cmd/internal/configfile"
	"culvert/cmd/internal/settings"
	"culvert/proxy"

	"github.com/rs/zerolog"
)

// reloader reads the configuration again and gives it to the running proxy: on SIGHUP, when the file has changed, or when
// the admin port is asked to. One reload at a time; what is asked for meanwhile is one more.
type reloader struct {
	server *proxy.Server // set before anybody asks
	log    zerolog.Logger
	loops  int
	lookUp resolver
	asked  chan string // by what; one waits

	started *settings.Invocation // whose fixed settings count

	mu      sync.Mutex
	current *settings.Invocation // whose other settings count
}

// reloadReport is what came of a reload.
type reloadReport struct {
	// Problems are why the old configuration stays, a line each; none: the configuration was taken over.
	Problems []string `json:"problems,omitempty"`
	// Warnings are of the new configuration.
	Warnings []string `json:"warnings,omitempty"`
	// NeedsRestart names changed settings that count at the next start only.
	NeedsRestart []string `json:"needs_restart,omitempty"`
	Listeners    int      `json:"listeners"`
	Groups       int      `json:"groups"`
	Rules        int      `json:"rules"`

	wrong bool // the configuration is, not this machine
}

func newReloader(log zerolog.Logger, loops int, i *settings.Invocation) *reloader {
	return &reloader{log: log, loops: loops, lookUp: systemResolver, asked: make(chan string, 1), started: i, current: i}
}

// ask asks for a reload, by a signal or by the watch.
func (r *reloader) ask(by string) {
	select {
	case r.asked <- by:
	default: // one waits already, and will see what has changed since
	}
}

// run reloads whenever it is asked to, until ctx is done.
func (r *reloader) run(ctx context.Context) {
	for {
		select {
		case by := <-r.asked:
			r.reload(ctx, by)
		case <-ctx.Done():
			return
		}
	}
}

// reload reads the configuration again and gives it to the proxy. by says who asked.
func (r *reloader) reload(ctx context.Context, by string) *reloadReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	report := r.try(ctx)
	for _, line := range report.Warnings {
		r.log.Warn().Msg(line)
	}
	for _, name := range report.NeedsRestart {
		r.log.Warn().Str("setting", name).Msg("this setting counts at the next start only")
	}
	for _, line := range report.Problems {
		r.log.Error().Msg(line)
	}
	if len(report.Problems) > 0 {
		r.server.ReloadRefused()
		r.log.Error().Str("by", by).Msg("the configuration is not taken over: the old one stays")
	} else {
		r.log.Info().Str("by", by).Int("listeners", report.Listeners).Int("groups", report.Groups).Int("rules", report.Rules).
			Msg("the configuration is taken over")
	}
	return report
}

func (r *reloader) try(ctx context.Context) *reloadReport {
	report := &reloadReport{}
	i, file, wrong := withConfig(r.current)
	if len(wrong) > 0 {
		report.Problems, report.wrong = wrong, true
		return report
	}
	report.Warnings = i.Warnings
	served := configfile.Served(file, i)
	groups, err := served.GroupConfigs(func(servers []settings.Backend) ([][]proxy.BackendConfig, error) {
		return resolveBackends(ctx, servers, r.lookUp)
	})
	if err == nil {
		config := configure(i, served.ListenerConfigs(i.Settings), groups, r.loops)
		report.count(&config)
		allowForHandshakes(&config)
		err = r.server.Reload(config)
	}
	if err != nil {
		report.Problems = []string{"culvert: " + err.Error()} // as at a start: this machine, now, does not let us
		return report
	}
	report.NeedsRestart = changedFixed(r.started, i)
	r.current = i
	return report
}

func (report *reloadReport) count(c *proxy.Config) {
	report.Listeners, report.Groups = len(c.Listeners), len(c.Groups)
	for i := range c.Listeners {
		report.Rules += len(c.Listeners[i].Rules)
	}
}

// fixed are the settings that count from a start on, by the names of their flags.
func fixed(i *settings.Invocation) map[string]any {
	l := &i.Settings.Limits
	return map[string]any{
		"loops": l.Loops, "read-buffer": l.ReadBuffer, "buffer-memory": l.BufferMemory, "splice-pipes": l.SplicePipes,
		"notsent-lowat": l.NotsentLowat, "source": i.Sources, "backlog": i.Settings.Listeners.Backlog, "admin": i.Settings.Admin.Admin,
		"admin-token-file": i.Settings.Admin.AdminTokenFile, "watch-config": i.WatchConfig,
		"tls-workers": i.Settings.TLS.TLSWorkers, "tls-handshakes-max": i.Settings.TLS.TLSHandshakesMax, "tls-ticket-keys": i.Settings.TLS.TLSTicketKeys,
		"log-level": i.Settings.Logs.LogLevel, "log-format": i.Settings.Logs.LogFormat, "access-log": i.Settings.Logs.AccessLog,
	}
}

// changedFixed returns the names of such settings that differ from those of the start.
func changedFixed(started, after *settings.Invocation) []string {
	var names []string
	was := fixed(started)
	for name, value := range fixed(after) {
		if !reflect.DeepEqual(was[name], value) {
			names = append(names, name)
		}
	}
	return sorted(names)
}

// watchPeriod is how often the configuration file is looked at. A change counts when it has not gone on for as long: an
// editor may write in several steps.
const watchPeriod = time.Second

// watch asks for a reload whenever the file has changed since it was as in seen. It looks at it at every tick, until
// there are no more.
func (r *reloader) watch(name string, seen fileState, ticks <-chan time.Time) {
	w := fileWatch{name: name, seen: seen, before: seen}
	for range ticks {
		if w.changed() {
			r.ask("watch")
		}
	}
}
